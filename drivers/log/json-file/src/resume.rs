//! What a sink finds when it opens: a torn last record is cut off, and the records stored beyond a token are counted.

use crate::decode::is_record;
use crate::error::{Context, JsonFileError, Result};
use crate::mark::Mark;
use gantry_plugin_api::log::ResumeToken;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

/// Bytes looked at together.
const BLOCK: usize = 64 * 1024;

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
pub fn beyond(file: &File, path: &Path, mark: &Mark, token: Place) -> Result<u64> {
    let meta = file.metadata().context(JsonFileError::read, path)?;
    if mark.generation == token.generation {
        // Someone else has replaced or emptied the file: nothing is known, and twice is better than never.
        let same = meta.ino() == token.inode && meta.len() >= token.offset;
        return if same { count_lines(file, token.offset).context(JsonFileError::read, path) } else { Ok(0) };
    }
    if mark.generation < token.generation {
        return Ok(0);
    }
    let inside = count_lines(file, 0).context(JsonFileError::read, path)?;
    Ok(mark.before.saturating_sub(token.stored) + inside)
}

fn count_lines(file: &File, from: u64) -> io::Result<u64> {
    let (mut block, mut offset, mut lines) = (vec![0; BLOCK], from, 0);
    loop {
        let length = file.read_at(&mut block, offset)?;
        if length == 0 {
            return Ok(lines);
        }
        lines += memchr::memchr_iter(b'\n', &block[..length]).count() as u64;
        offset += length as u64;
    }
}

/// Makes the file end with a whole record. A last one that lacks only its newline is completed when nobody will write it
/// again, that is without a token; any other piece of a record is cut off.
pub fn mend(file: &File, path: &Path, resumed: bool) -> Result<()> {
    let size = file.metadata().context(JsonFileError::read, path)?.len();
    let whole = whole_size(file, size).context(JsonFileError::read, path)?;
    if whole == size {
        return Ok(());
    }
    if !resumed && ends_with_record(file, whole, size).context(JsonFileError::read, path)? {
        return io::Write::write_all(&mut &*file, b"\n").context(JsonFileError::write, path);
    }
    file.set_len(whole).context(JsonFileError::cut, path)
}

/// The size up to and including the last newline.
pub fn whole_size(file: &File, size: u64) -> io::Result<u64> {
    let mut last = [0];
    if size == 0 || (file.read_at(&mut last, size - 1)? == 1 && last[0] == b'\n') {
        return Ok(size);
    }
    let (mut block, mut end) = (vec![0; BLOCK], size);
    while end > 0 {
        let start = end.saturating_sub(BLOCK as u64);
        let block = &mut block[..(end - start) as usize];
        file.read_exact_at(block, start)?;
        if let Some(newline) = memchr::memrchr(b'\n', block) {
            return Ok(start + newline as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// A record longer than this is taken for torn.
const LONGEST: u64 = 32 << 20;

fn ends_with_record(file: &File, from: u64, to: u64) -> io::Result<bool> {
    if to - from > LONGEST {
        return Ok(false);
    }
    let mut line = vec![0; (to - from) as usize];
    file.read_exact_at(&mut line, from)?;
    Ok(is_record(&mut line))
}
