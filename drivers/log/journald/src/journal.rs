//! The format of the journal's files, as far as reading needs it.
//!
//! A file is a header and objects, each at an offset that is a multiple of 8: every field of every entry is a DATA object,
//! found by its hash; it knows the entries it occurs in, oldest first, by one offset and a list of growing arrays; an ENTRY
//! lists its fields. Numbers are stored least significant byte first. Files of a format that is newer than this are told
//! apart by their flags. What is read of a file that is being written was complete before its number of entries grew.

mod blocks;
mod compress;
mod entries;
mod file;
mod hash;

pub use entries::Entries;
pub use file::{EntryHead, JournalFile};
