//! The json-file log driver: Docker's file format, bounded, lossless and safe against crashes.
//!
//! One JSON object a line in `<dir>/<id>-json.log`, keys `log`, `stream`, `attrs`, `time`, byte for byte as Docker writes
//! them, so that every shipper made for Docker reads it. Added, always behind those keys: `b64` with the raw bytes of a
//! line that is not UTF-8, and, with `partial-metadata=true`, `p` with `<line>/<piece>/<last>` of a piece of a line.
//!
//! `encode` and `decode` are the format (`escape` is JSON's); rotation, resuming and following are those of all log files,
//! in the drivers' shared crate.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod decode;
mod driver;
mod encode;
mod escape;
mod options;

pub use driver::JsonFile;
