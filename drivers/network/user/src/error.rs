//! What can go wrong, and what the user can do about it.

use crate::options::Program;
use gantry_driver_shared::{netlink, report};
use gantry_plugin_api as api;
use gantry_plugin_api::prelude::Class;
use std::io;
use std::path::PathBuf;

/// Results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// None of those that may be used.
    #[error("{} not installed", absent(.0))]
    NoProgram(Vec<Program>),
    /// Both work through it.
    #[error("/dev/net/tun cannot be opened")]
    Tun(#[source] io::Error),
    /// It could not be executed.
    #[error("cannot execute {program}")]
    Execute { program: Program, source: io::Error },
    /// It ended before it was ready.
    #[error("{program}: {said}")]
    Said { program: Program, said: String },
    /// It did not get ready.
    #[error("{0} was not ready in time")]
    Late(Program),
    /// The one that was tried first, then the other.
    #[error("{0}; {1}")]
    Both(Box<Error>, Box<Error>),
    /// A port that it does not forward.
    #[error("{program} refuses port {port}: {said}")]
    Forward { program: Program, port: String, said: String },
    /// pasta is told of ports when it starts.
    #[error("pasta publishes ports at the start of a container only")]
    StartOnly,
    /// It runs, and does not answer.
    #[error("cannot ask {program}")]
    Ask { program: Program, source: io::Error },
    /// Ports that are none.
    #[error("not a port, or a range beyond the last")]
    Port,
    /// The helper of an endpoint has gone.
    #[error("the process behind the network has ended")]
    Gone,
    /// It does not end.
    #[error("process {0} does not end")]
    Stays(i32),
    /// The container's namespace.
    #[error("cannot enter the container's network namespace")]
    Namespace(#[source] io::Error),
    /// It made no interface.
    #[error("{program} made no interface {interface}")]
    NoInterface { program: Program, interface: String },
    /// Routes and devices.
    #[error(transparent)]
    Kernel(#[from] netlink::Error),
    /// Notes of processes.
    #[error("cannot {act} {}", path.display())]
    Note { act: &'static str, path: PathBuf, source: io::Error },
}

fn absent(programs: &[Program]) -> String {
    match programs {
        [one] => format!("{one} is"),
        _ => "neither pasta nor slirp4netns is".to_owned(),
    }
}

impl Error {
    /// The error of an act, with all its causes.
    pub fn during(&self, act: impl Into<String>) -> api::Error {
        report::error(self.class(), act, self).hint(self.hint())
    }

    fn class(&self) -> Class {
        match self {
            Error::NoProgram(_) | Error::StartOnly => Class::UNSUPPORTED,
            Error::Port => Class::INVALID,
            Error::Late(_) => Class::TIMED_OUT,
            Error::Forward { .. } => Class::IN_USE,
            Error::Gone => Class::UNAVAILABLE,
            Error::Kernel(error) => error.errno().map_or(Class::DRIVER, report::class_of_number),
            _ => report::class_of(self),
        }
    }

    fn hint(&self) -> &'static str {
        match self {
            Error::NoProgram(programs) => match programs[..] {
                [Program::Pasta] => "install the package passt",
                [Program::Slirp] => "install the package slirp4netns",
                _ => "install the package passt or slirp4netns, or add --network none or --network host",
            },
            Error::Tun(_) => {
                "`modprobe tun` where it is missing; `chmod 666 /dev/net/tun`, as udev does, where it is root's alone"
            }
            Error::StartOnly => "give program = \"slirp4netns\" in [network.user]",
            Error::Gone => "`gantry network reload` starts it again",
            _ => "",
        }
    }
}
