//! The local log driver: Docker's binary format, compact, lossless and safe against crashes.
//!
//! Records in `<dir>/local-logs/container.log`, each a protobuf message between two copies of its length, byte for byte as
//! Docker's local driver stores them (`frame` says how, `encode` writes, `decode` reads). Rotation, resuming and following
//! are those of all log files, in the drivers' shared crate.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod decode;
mod driver;
mod encode;
mod error;
mod frame;
mod options;

pub use driver::Local;
