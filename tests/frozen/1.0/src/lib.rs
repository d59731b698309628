//! Everything the author of a Gantry driver may know.
//!
//! A driver is plain Rust: implement one of the four traits ([`log::LogDriver`], [`storage::StorageDriver`],
//! [`network::NetworkDriver`], [`volume::VolumeDriver`]), describe its options as constants and export it with
//! [`export_plugin!`]. The crate that does so is a `cdylib`; the file it builds is installed as
//! `<plugin dir>/<kind>/<name>.so`. Nothing here asks the author to think about the binary interface: guards inside this
//! crate catch panics and carry data over it.
//!
//! ```toml
//! [lib]
//! crate-type = ["cdylib"]
//!
//! [dependencies]
//! gantry-plugin-api = "1"
//! ```
//!
//! A complete log driver:
//!
//! ```
//! use gantry_plugin_api::prelude::*;
//! use std::{fs::File, io::Write};
//!
//! #[derive(Default)]
//! struct Hello;
//!
//! impl LogDriver for Hello {
//!     const OPTIONS: &'static [OptionSpec] = &[OptionSpec::string("greeting", "printed before each line").default("hello")];
//!
//!     fn capabilities(&self) -> LogCapabilities {
//!         LogCapabilities::default()
//!     }
//!
//!     fn open(&self, c: &LogContainer, o: &Options, _: Option<&ResumeToken>, _: Host) -> Result<OpenedSink> {
//!         let file = File::options().create(true).append(true).open(c.dir.join("hello.log"))?;
//!         Ok(OpenedSink::new(Sink { file, greeting: o.text("greeting").to_owned() }))
//!     }
//! }
//!
//! struct Sink {
//!     file: File,
//!     greeting: String,
//! }
//!
//! impl LogSink for Sink {
//!     fn write(&mut self, batch: &[LogRecord<'_>]) -> Result<ResumeToken> {
//!         for record in batch {
//!             self.file.write_all(&[self.greeting.as_bytes(), b" ", record.bytes(), b"\n"].concat())?;
//!         }
//!         Ok(ResumeToken::default())
//!     }
//!
//!     fn flush(&mut self) -> Result<()> {
//!         Ok(())
//!     }
//!
//!     fn close(&mut self) -> Result<()> {
//!         Ok(())
//!     }
//! }
//!
//! gantry_plugin_api::export_plugin! { name: "hello", license: "MIT", log: Hello }
//! # fn main() {}
//! ```
//!
//! `gantry plugin inspect hello` shows what the macro wrote into the file, `gantry run --log-driver hello --log-opt
//! greeting=hi …` uses it. The crate `gantry-plugin-testkit` holds a conformance suite per kind: call it from a test.
//!
//! Rules that hold for every kind:
//! * Calls block. A driver that wants async keeps a current-thread runtime of its own.
//! * Every call has a deadline set by the engine; a driver that misses it is cut off and named.
//! * No threads before `open`/`init`, no signal handlers, no change of umask, working directory or environment.
//! * A driver keeps no state between processes except in the directory it is given and in the opaque blobs it returns.
//! * Options are validated without I/O when the object is created.
//! * A panic becomes an error of the call it happened in; build with `panic = "unwind"`, which is cargo's default.
//! * `tracing` events of the library go to the engine's log, as does [`host::Host::log`]. Nothing is written to stdout or
//!   stderr, which belong to the user's command.
//! * Calls may come from any thread. Shared objects (`Send + Sync`) may be called by several at once.
//! * The file and its directory must belong to root (or the running user) and be writable by nobody else.
//!
//! # Versions
//!
//! Any 1.x plugin works in any 1.x engine, whichever of the two is older, and whichever compiler built it. What a plugin
//! does not know is answered by a default; what an engine does not know it leaves aside. Source that builds with 1.0 builds
//! with every 1.x, as long as it keeps to this:
//!
//! * Traits get more methods, each with a default.
//! * Structs that implement `Default` get more fields: write `..Default::default()` when you make one. Those without are
//!   made by a function (`new`), or never change, which their documentation says.
//! * Numbers in a wrapper ([`Class`], [`options::OptionKind`], [`storage::Whiteouts`] …) get more values: what you do not
//!   know is not an error. Enums that are `non_exhaustive` get more variants.
//! * [`log::LogRecord`] and [`log::ResumeToken`] cross as they are, and never change.
//!
//! The module `abi` is the engine's; nothing of it is promised to anybody else. [`manifest`] describes what can be read from a
//! plugin file without running it.

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
