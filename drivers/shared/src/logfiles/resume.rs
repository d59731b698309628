//! What a sink finds when it opens: a torn last record is cut off, and the records stored beyond a token are counted.

use super::error::{Context, LogFileError, Result};
use super::format::{Decoder, Start};
use super::mark::Mark;
use super::tail::read_block;
use gantry_plugin_api::log::ResumeToken;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Bytes looked at together.
const BLOCK: u64 = 64 * 1024;

/// What a token says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Of the file.
    pub inode: u64,
    /// Bytes of the file.
    pub offset: u64,
    /// Records stored, as counted by the sink.
    pub stored: u64,
    /// Of the file.
    pub generation: u64,
}

impl Place {
    /// As opaque numbers.
    pub fn token(self) -> ResumeToken {
        ResumeToken([self.inode, self.offset, self.stored, self.generation])
    }

    /// From opaque numbers; all zero is the token of a sink that wrote nothing.
    pub fn of(token: &ResumeToken) -> Option<Place> {
        let [inode, offset, stored, generation] = token.0;
        (inode != 0).then_some(Place { inode, offset, stored, generation })
    }
}

/// How many records are stored beyond the token, of which `mark` says how many were in files before this one.
pub fn beyond<D: Decoder>(file: &File, path: &Path, mark: &Mark, token: Place) -> Result<u64> {
    let meta = file.metadata().context(LogFileError::read, path)?;
    if mark.generation == token.generation {
        // Someone else has replaced or emptied the file: nothing is known, and twice is better than never.
        let same = meta.ino() == token.inode && meta.len() >= token.offset;
        return if same { count::<D>(file, token.offset).context(LogFileError::read, path) } else { Ok(0) };
    }
    if mark.generation < token.generation {
        return Ok(0);
    }
    let inside = count::<D>(file, 0).context(LogFileError::read, path)?;
    Ok(mark.before.saturating_sub(token.stored) + inside)
}

fn count<D: Decoder>(file: &File, from: u64) -> io::Result<u64> {
    let (mut text, mut offset, mut records) = (Vec::new(), from, 0);
    loop {
        let more = read_block(file, offset, offset + BLOCK)?;
        if more.is_empty() {
            return Ok(records);
        }
        offset += more.len() as u64;
        text.extend_from_slice(&more);
        let whole = D::whole(&text);
        records += whole.records;
        text.drain(..whole.bytes);
    }
}

/// Makes the file end with a whole record. A last one that lacks nothing of importance is completed when nobody will write
/// it again, that is without a token; any other piece of a record is cut off.
pub fn mend<D: Decoder>(file: &File, path: &Path, resumed: bool) -> Result<()> {
    let size = file.metadata().context(LogFileError::read, path)?.len();
    let whole = whole_size::<D>(file, size).context(LogFileError::read, path)?;
    if whole == size {
        return Ok(());
    }
    if !resumed && let Some(lacking) = lacking::<D>(file, whole, size).context(LogFileError::read, path)? {
        return io::Write::write_all(&mut &*file, &lacking).context(LogFileError::write, path);
    }
    file.set_len(whole).context(LogFileError::cut, path)
}

/// The size up to and including the last whole record.
pub fn whole_size<D: Decoder>(file: &File, size: u64) -> io::Result<u64> {
    let (mut end, mut length) = (size, BLOCK);
    loop {
        let start = end.saturating_sub(length);
        let text = read_block(file, start, end)?;
        let first = match D::start(&text) {
            _ if start == 0 => Some(0),
            Start::At(first) => Some(first),
            Start::Behind(_) => None,
        };
        if let Some(first) = first {
            return Ok(start + (first + D::whole(&text[first..]).bytes) as u64);
        }
        // What is longer than any record holds none.
        (end, length) = if length > LONGEST { (start, BLOCK) } else { (end, length * 4) };
    }
}

/// A record longer than this is taken for torn.
const LONGEST: u64 = 32 << 20;

fn lacking<D: Decoder>(file: &File, from: u64, to: u64) -> io::Result<Option<Vec<u8>>> {
    if to - from > LONGEST { Ok(None) } else { Ok(D::lacking(&read_block(file, from, to)?)) }
}
