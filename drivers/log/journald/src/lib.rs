//! The journald log driver: records become entries of the host's journal, and are read back from its files.
//!
//! Writing: `fields` turns a record into a message of journald's native protocol, `socket` sends batches of them (what is
//! too large goes as a sealed memory file), `sink` resumes after a SIGKILL. Reading: `journal` reads the files' format
//! itself, without any library or program; `entry` makes a record out of an entry, `view` finds a container's entries in
//! one file, and `reader` goes from file to file, by tail, time and following. `control` asks journald to write down what
//! it has received.
//!
//! journald takes messages without answering, so a sink whose process is killed may send some of them again. Every entry
//! carries the number of its record (`CONTAINER_LOG_EPOCH`, `CONTAINER_LOG_ORDINAL`), and the reader passes over
//! repetitions: sent at least once, read exactly once.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod control;
mod driver;
mod entry;
mod error;
mod fields;
mod journal;
mod options;
mod places;
mod reader;
mod sink;
mod socket;
mod view;

pub use driver::Journald;
