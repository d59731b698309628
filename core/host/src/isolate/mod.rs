//! Drivers in a process of their own (`isolation = "process"`): the host starts a helper, which loads the plugin and does
//! what it is told over a line; here stand objects with the same traits that tell it. A driver that crashes, hangs or
//! answers garbage costs its helper, and the call an error; the next call starts another helper.
//!
//! Each object that a driver opens (a sink, a reader, a store) has a line and a thread of its own in the helper, so that
//! none waits for another. Everything is written by `codec`, one file per kind has both sides of its calls.

mod codec;
mod data;
mod helper;
mod line;
pub mod log;
pub mod network;
mod serve;
pub mod storage;
pub mod volume;

pub use helper::{Helper, Order, VERSION};
pub use serve::program;

use crate::deadlines::Deadlines;
use gantry_plugin_api::host::{Host, HostCalls, Level};
use std::path::PathBuf;

/// Which drivers get a process of their own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Isolation {
    /// `kind/name`.
    pub drivers: Vec<String>,
    /// The program that [`program`] is the `main` of; its first argument is [`WORD`].
    pub program: PathBuf,
    /// For each call, since such calls need no thread that could be given up.
    pub deadlines: Deadlines,
}

/// The argument by which the program knows what it is to be.
pub const WORD: &str = "driver";

/// What a driver in a helper told the engine meanwhile; it travels with the next answer.
enum Note {
    Log(Level, String),
    Count(String, u64),
    Gauge(String, i64),
}

impl Note {
    fn tell(&self, host: &Host) {
        match self {
            Note::Log(level, message) => host.log(*level, message),
            Note::Count(name, by) => host.count(name, *by),
            Note::Gauge(name, value) => host.gauge(name, *value),
        }
    }
}

impl codec::Put for Note {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Note::Log(level, message) => (0u8, level.0, message).put(out),
            Note::Count(name, by) => (1u8, name, *by).put(out),
            Note::Gauge(name, value) => (2u8, name, *value).put(out),
        }
    }
}

impl codec::Take for Note {
    fn take(from: &mut &[u8]) -> Option<Note> {
        use codec::Take;
        match u8::take(from)? {
            0 => Take::take(from).map(|(level, message)| Note::Log(Level(level), message)),
            1 => Take::take(from).map(|(name, by)| Note::Count(name, by)),
            2 => Take::take(from).map(|(name, value)| Note::Gauge(name, value)),
            _ => None,
        }
    }
}

/// The handle of a driver in a helper.
pub(crate) struct Noting;

impl HostCalls for Noting {
    fn log(&self, level: Level, message: &str) {
        serve::note(Note::Log(level, message.to_owned()));
    }

    fn count(&self, name: &str, by: u64) {
        serve::note(Note::Count(name.to_owned(), by));
    }

    fn gauge(&self, name: &str, value: i64) {
        serve::note(Note::Gauge(name.to_owned(), value));
    }
}
