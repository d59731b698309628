//! Everything the author of a Gantry driver may know.
//!
//! A driver is plain Rust: implement one of the four traits ([`log::LogDriver`], [`storage::StorageDriver`],
//! [`network::NetworkDriver`], [`volume::VolumeDriver`]), describe its options as constants and export it with
//! [`export_plugin!`]. The crate that does so is a `cdylib`; the file it builds is installed as
//! `<plugin dir>/<kind>/<name>.so`. Nothing here asks the author to think about the binary interface: guards inside this
//! crate catch panics and carry data over it.
//!
//! Rules that hold for every kind:
//! * Calls block. A driver that wants async keeps a current-thread runtime of its own.
//! * Every call has a deadline set by the engine; a driver that misses it is cut off and named.
//! * No threads before `open`/`init`, no signal handlers, no change of umask, working directory or environment.
//! * A driver keeps no state between processes except in the directory it is given and in the opaque blobs it returns.
//! * Options are validated without I/O when the object is created.

#[cfg(panic = "abort")]
compile_error!(
    "a Gantry plugin must be built with panic = \"unwind\": a panic would kill the engine's process instead of failing one call"
);

#[doc(hidden)]
pub mod abi;
pub mod error;
mod export;
pub mod host;
pub mod log;
pub mod manifest;
pub mod network;
pub mod options;
pub mod storage;
pub mod types;
pub mod volume;

pub use error::{Class, Error, Result};

/// What a driver author imports.
pub mod prelude {
    pub use crate::error::{Class, Error, Result};
    pub use crate::host::{Host, Level};
    pub use crate::log::*;
    pub use crate::network::*;
    pub use crate::options::{OptionKind, OptionSpec, Options, Scope};
    pub use crate::storage::*;
    pub use crate::types::*;
    pub use crate::volume::*;
}
