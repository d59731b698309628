//! The chain of files from the oldest to the current one, while another process rotates them.
//!
//! A file is known by its inode, which cannot be used again as long as the file is held open; one that was compressed
//! meanwhile by the inode its header names. Files only ever move one index up, the oldest first, so their order holds at
//! every moment; whatever was opened is checked against a second look, and looked for again when something had moved.

use super::error::{Context, LogFileError, Result};
use super::files::{Files, if_exists};
use super::mark::Mark;
use super::source::Source;
use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

/// Generations are counted from here, so that files older than the mark have numbers too.
const ORIGIN: u64 = 1 << 32;
/// How often a file that keeps moving is looked for.
const TRIES: u32 = 1000;

/// The next newer file.
pub enum Newer {
    /// Here it is.
    Found(Box<Source>),
    /// The file is still the newest.
    Newest,
    /// The file was deleted, so its successor cannot be told from later ones.
    Lost,
}

/// Opens all files, the oldest first.
pub fn open_all(files: &Files) -> Result<VecDeque<Source>> {
    let mut chain = VecDeque::new();
    let mark = Mark::load(files)?;
    let Some(mut newest) = first_from(files, 0)?.map(|(_, source)| source) else { return Ok(chain) };
    newest.generation = ORIGIN + mark.generation - u64::from(mark.rotating && mark.generation > 0);
    chain.push_front(newest);
    while let Some(oldest) = chain.front()
        && let Some(mut older) = older(files, oldest)?
    {
        older.generation = oldest.generation - 1;
        chain.push_front(older);
    }
    Ok(chain)
}

/// The file rotated just before this one.
fn older(files: &Files, source: &Source) -> Result<Option<Source>> {
    for _ in 0..TRIES {
        let Some(index) = locate(files, source)? else { return Ok(None) };
        let found = first_from(files, index + 1)?;
        if locate(files, source)? == Some(index) {
            return Ok(found.map(|(_, source)| source));
        }
    }
    Ok(None)
}

/// The file that followed this one.
pub fn newer(files: &Files, source: &Source) -> Result<Newer> {
    for _ in 0..TRIES {
        let Some(index) = locate(files, source)? else { return Ok(Newer::Lost) };
        let Some((at, mut found)) = last_before(files, index)? else { return Ok(Newer::Newest) };
        if locate(files, source)? == Some(index) && is_gap(files, at + 1..index)? {
            found.generation = source.generation + 1;
            return Ok(Newer::Found(Box::new(found)));
        }
    }
    Ok(Newer::Lost)
}

/// True while the current file is this one; costs one system call.
pub fn is_current(files: &Files, source: &Source) -> bool {
    fs::metadata(files.current()).is_ok_and(|meta| meta.ino() == source.inode)
}

/// The lowest index from `start` on at which there is a file. A rotation under way leaves one index empty.
fn first_from(files: &Files, start: u32) -> Result<Option<(u32, Source)>> {
    for index in start..start + 2 {
        if let Some(source) = Source::open(files, index)? {
            return Ok(Some((index, source)));
        }
    }
    // A larger gap was made by someone else.
    for index in files.indices()?.into_iter().filter(|index| *index >= start) {
        if let Some(source) = Source::open(files, index)? {
            return Ok(Some((index, source)));
        }
    }
    Ok(None)
}

fn last_before(files: &Files, index: u32) -> Result<Option<(u32, Source)>> {
    for index in (0..index).rev() {
        if let Some(source) = Source::open(files, index)? {
            return Ok(Some((index, source)));
        }
    }
    Ok(None)
}

fn is_gap(files: &Files, indices: std::ops::Range<u32>) -> Result<bool> {
    for index in indices {
        if Source::open(files, index)?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The index of an open file. Looked for upwards, as the files move, so that it cannot slip by.
fn locate(files: &Files, source: &Source) -> Result<Option<u32>> {
    let (mut index, mut missing) = (0, 0);
    while missing < 3 {
        match inode_at(files, index, source.inode)? {
            Some(true) => return Ok(Some(index)),
            Some(false) => missing = 0,
            None => missing += 1,
        }
        index += 1;
    }
    for index in files.indices()?.into_iter().filter(|other| *other >= index) {
        if inode_at(files, index, source.inode)? == Some(true) {
            return Ok(Some(index));
        }
    }
    Ok(None)
}

/// Whether the file at an index is the one with this inode; `None` when there is no file.
fn inode_at(files: &Files, index: u32, inode: u64) -> Result<Option<bool>> {
    let path = files.plain(index);
    if let Some(meta) = if_exists(fs::metadata(&path)).context(LogFileError::read, &path)? {
        return Ok(Some(meta.ino() == inode));
    }
    if index == 0 {
        return Ok(None);
    }
    let path = files.compressed(index);
    let Some(meta) = if_exists(fs::metadata(&path)).context(LogFileError::read, &path)? else { return Ok(None) };
    if meta.ino() == inode {
        return Ok(Some(true));
    }
    let compressed = Source::open(files, index)?;
    Ok(compressed.map(|source| source.inode == inode || source.extra.and_then(|extra| extra.inode) == Some(inode)))
}
