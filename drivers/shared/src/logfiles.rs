//! Log files of any format: a chain of them, rotated, compressed, resumed after a SIGKILL, and read back by tail, time and
//! following.
//!
//! A driver says how records stand in a file (`format`: an encoder and a decoder) and what the files are called (`files`);
//! all else is here. Writing: a `writer` encodes batches, rotates (`rotate`), compresses in the background (`compress`) and
//! can be resumed (`resume`, `mark`). Reading: a `reader` follows the chain of files (`chain`, `source`), starts where
//! `since`, `until` and `tail` say (`seek`, `tail`), decodes in place (`window`) and puts pieces of lines together
//! (`view`, `join`). `stamp` writes and reads RFC 3339 times.

mod chain;
mod compress;
mod error;
mod files;
pub mod format;
mod join;
mod mark;
mod reader;
mod resume;
mod rotate;
mod seek;
mod source;
pub mod stamp;
mod tail;
mod trim;
mod view;
mod window;
mod writer;

pub use error::LogFileError;
pub use files::Files;
pub use reader::Reader;
pub use rotate::Limits;
pub use trim::trim;
pub use writer::Writer;
