//! The json-file log driver: Docker's file format, bounded, lossless and safe against crashes.
//!
//! One JSON object a line in `<dir>/<id>-json.log`, keys `log`, `stream`, `attrs`, `time`, byte for byte as Docker writes
//! them, so that every shipper made for Docker reads it. Added, always behind those keys: `b64` with the raw bytes of a
//! line that is not UTF-8, and, with `partial-metadata=true`, `p` with `<line>/<piece>/<last>` of a piece of a line.
//!
//! Writing: `driver` opens a `writer`, which encodes batches (`encode`, `escape`, `stamp`), rotates
//! (`rotate`), compresses in the background (`compress`) and can be resumed after a SIGKILL (`resume`, `mark`).
//! Reading: a `reader` follows the chain of files (`chain`), starts where `since`, `until` and `tail` say (`seek`,
//! `tail`) and decodes in place (`window`, `decode`).

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod chain;
mod compress;
mod decode;
mod driver;
mod encode;
mod error;
mod escape;
mod files;
mod join;
mod mark;
mod options;
mod reader;
mod resume;
mod rotate;
mod seek;
mod source;
mod stamp;
mod tail;
mod view;
mod window;
mod writer;

pub use driver::JsonFile;
