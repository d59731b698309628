//! What can fail in this driver: a variant per operation with its subject.

use gantry_driver_shared::{netlink, report};
use gantry_plugin_api as api;
use gantry_plugin_api::Class;
use std::io;
use std::path::PathBuf;

/// This driver's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading a list of plugins.
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// A list that is none.
    #[error("{}: {reason}", path.display())]
    List { path: PathBuf, reason: String },
    /// No file tells a network of that name.
    #[error("no CNI network {name:?} in {}", dir.display())]
    NoNetwork { name: String, dir: PathBuf },
    /// A program that is nowhere.
    #[error("CNI plugin {plugin:?} not found in {places}")]
    NoPlugin { plugin: String, places: String },
    /// Running a program.
    #[error("cannot run CNI plugin {plugin:?} for {command}")]
    Run { plugin: String, command: &'static str, source: io::Error },
    /// It did not end in time.
    #[error("CNI plugin {plugin:?} did not end in time ({command})")]
    Late { plugin: String, command: &'static str },
    /// The plugin's own word.
    #[error("CNI plugin {plugin:?}: {command}: {said}")]
    Said { plugin: String, command: &'static str, code: u64, said: String },
    /// What it answered cannot be understood.
    #[error("CNI plugin {plugin:?} answered {command} with what is no result: {reason}")]
    Answer { plugin: String, command: &'static str, reason: String },
    /// No interface came of it.
    #[error("the CNI plugins made no interface {0} in the container")]
    NoInterface(String),
    /// The container's namespace.
    #[error("cannot enter the container's network namespace")]
    Namespace(#[source] io::Error),
    /// Routes and devices.
    #[error(transparent)]
    Kernel(#[from] netlink::Error),
    /// Notes of what was added.
    #[error("cannot {act} {}", path.display())]
    Cache { act: &'static str, path: PathBuf, source: io::Error },
    /// Ports that are none.
    #[error("not a port, or a range beyond the last")]
    Port,
    /// A port for a network that cannot have it.
    #[error("none of the CNI plugins of this network publishes ports")]
    NoPorts,
    /// An endpoint nobody knows of.
    #[error("the endpoint was never connected")]
    Unconnected,
    /// The container has gone.
    #[error("no process in the container's network namespace was found")]
    NoProcess,
    /// An option, a name.
    #[error("{0}")]
    Option(api::Error),
}

impl Error {
    /// The error of an act, with all its causes.
    pub fn during(&self, act: impl Into<String>) -> api::Error {
        if let Error::Option(error) = self {
            return error.clone();
        }
        report::error(self.class(), act, self).hint(self.hint())
    }

    fn class(&self) -> Class {
        match self {
            Error::NoNetwork { .. } | Error::NoPlugin { .. } | Error::Unconnected => Class::NOT_FOUND,
            Error::List { .. } | Error::Port => Class::INVALID,
            Error::NoPorts => Class::UNSUPPORTED,
            Error::Late { .. } => Class::TIMED_OUT,
            // "Try again later", by the specification.
            Error::Said { code: 11, .. } | Error::NoProcess => Class::UNAVAILABLE,
            Error::Kernel(error) => error.errno().map_or(Class::DRIVER, report::class_of_number),
            Error::Option(error) => error.class,
            _ => report::class_of(self),
        }
    }

    fn hint(&self) -> &'static str {
        match self {
            Error::NoNetwork { .. } => "give -o cni-name=NAME, -o conf=/path/to.conflist, or -o plugin=bridge",
            Error::NoPlugin { .. } => {
                "install containernetworking-plugins, or say where they are with -o bin-dir=/path"
            }
            Error::NoPorts => "add the plugin portmap to the list",
            _ => "",
        }
    }
}
