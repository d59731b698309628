//! One file being read: plain or compressed, held by its descriptor, so that it stays readable when it is moved, compressed
//! or deleted meanwhile.

use super::compress::Extra;
use super::error::{Context, LogFileError, Result};
use super::files::{Files, if_exists};
use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes of a compressed file read at a time.
const BLOCK: usize = 64 * 1024;

/// A file being read.
pub struct Source {
    /// As it was called when it was opened; for messages.
    pub path: PathBuf,
    /// Of the open file.
    pub inode: u64,
    /// What the gzip header says; `None` for a plain file.
    pub extra: Option<Extra>,
    /// Counts the files; see [`super::mark`].
    pub generation: u64,
    /// Where reading begins.
    pub from: u64,
    /// Where reading ends.
    pub limit: u64,
    file: Arc<File>,
    gzip: Option<Gzip>,
}

type Gzip = MultiGzDecoder<BufReader<Cursor>>;

impl Source {
    /// Opens the file at an index, the plain one first; `None` when there is none.
    pub fn open(files: &Files, index: u32) -> Result<Option<Source>> {
        if let Some(source) = Source::open_path(files.plain(index), false)? {
            return Ok(Some(source));
        }
        if index == 0 { Ok(None) } else { Source::open_path(files.compressed(index), true) }
    }

    fn open_path(path: PathBuf, compressed: bool) -> Result<Option<Source>> {
        let Some(file) = if_exists(File::open(&path)).context(LogFileError::open, &path)? else { return Ok(None) };
        let inode = file.metadata().context(LogFileError::read, &path)?.ino();
        let file = Arc::new(file);
        let gzip = compressed.then(|| Cursor::gzip(&file));
        let extra = gzip.as_ref().map(|gzip| {
            let field = gzip.header().and_then(|header| header.extra());
            field.map(Extra::parse).unwrap_or_default()
        });
        Ok(Some(Source { path, inode, extra, generation: 0, from: 0, limit: u64::MAX, file, gzip }))
    }

    /// True for a file that can only be read from its start.
    pub fn is_compressed(&self) -> bool {
        self.gzip.is_some()
    }

    /// The size now; 0 when unknown.
    pub fn size(&self) -> u64 {
        self.file.metadata().map_or(0, |meta| meta.len())
    }

    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Reads at an offset. A compressed file gives what comes next, whatever the offset.
    pub fn read_at(&mut self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        if let Some(gzip) = &mut self.gzip {
            return gzip.read(bytes);
        }
        let left = self.limit.saturating_sub(offset).min(bytes.len() as u64);
        loop {
            match self.file.read_at(&mut bytes[..left as usize], offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => return outcome,
            }
        }
    }

    /// Starts a compressed file anew.
    pub fn rewind(&mut self) {
        if self.gzip.is_some() {
            self.gzip = Some(Cursor::gzip(&self.file));
        }
    }
}

/// Reads a shared file from a place of its own.
struct Cursor {
    file: Arc<File>,
    offset: u64,
}

impl Cursor {
    fn gzip(file: &Arc<File>) -> Gzip {
        let cursor = Cursor { file: Arc::clone(file), offset: 0 };
        MultiGzDecoder::new(BufReader::with_capacity(BLOCK, cursor))
    }
}

impl Read for Cursor {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read_at(bytes, self.offset)?;
        self.offset += length as u64;
        Ok(length)
    }
}
