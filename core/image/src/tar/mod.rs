//! A streaming reader of tar: v7, ustar, GNU and PAX, with sparse files, and with a bound on everything; and a writer.
//!
//! It gives entries with plain fields and hands out their bytes without copying them. It decides nothing
//! about paths: that is the business of whoever applies them.

mod header;
mod pax;
mod sparse;
mod writer;

use std::io::{self, BufRead};

pub use header::Kind;
use header::{BLOCK, Header};
use pax::Extensions;
pub use sparse::Chunk;
use sparse::SparseKind;
pub use writer::TarWriter;

/// Why a stream is not a tar archive we read.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    #[error("archive is truncated")]
    Truncated,
    #[error("archive header is damaged: {0}")]
    Header(&'static str),
    #[error("archive has an entry of unknown type {0:#04x}")]
    UnknownType(u8),
    #[error("extended archive header exceeds the limit of {0} bytes")]
    ExtendedSize(u64),
    #[error("archive has a damaged sparse map")]
    Sparse,
    #[error("cannot read the stream")]
    Read(#[from] io::Error),
}

/// One entry: what the headers said, all extensions applied.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    pub kind: Kind,
    pub path: Vec<u8>,
    pub link: Vec<u8>,
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    /// Apparent size of the file.
    pub size: u64,
    /// Seconds and nanoseconds.
    pub mtime: (i64, u32),
    pub atime: Option<(i64, u32)>,
    pub major: u32,
    pub minor: u32,
    /// From `SCHILY.xattr.*`.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where the data goes if the file has holes.
    pub chunks: Option<Vec<Chunk>>,
}

/// A buffered stream that may know a faster way than reading to pass over bytes.
pub trait Input: BufRead {
    /// Passes over `count` bytes, which must exist.
    fn skip(&mut self, mut count: u64) -> io::Result<()> {
        while count > 0 {
            let have = self.fill_buf()?.len();
            if have == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let step = have.min(usize::try_from(count).unwrap_or(usize::MAX));
            self.consume(step);
            count -= step as u64;
        }
        Ok(())
    }
}

impl<T: AsRef<[u8]>> Input for io::Cursor<T> {}

/// Reads entries from a stream.
pub struct TarReader<R> {
    input: R,
    header_limit: u64,
    /// Data bytes of the present entry not yet read.
    left: u64,
    /// Bytes that fill its last block.
    padding: u64,
    ended: bool,
    position: u64,
}

impl<R: Input> TarReader<R> {
    /// A reader that refuses extended headers above `header_limit` bytes.
    pub fn new(input: R, header_limit: u64) -> Self {
        Self { input, header_limit, left: 0, padding: 0, ended: false, position: 0 }
    }

    /// The next entry, or `None` at the end of the archive. What was not read of the last one is skipped.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        self.skip_rest()?;
        let mut extensions = Extensions::default();
        while let Some(header) = self.read_header()? {
            match header.type_flag() {
                b'x' | b'X' => extensions.read_pax(&self.read_extended(&header)?)?,
                b'g' => drop(self.read_extended(&header)?),
                b'L' => extensions.long_path = Some(self.read_name(&header)?),
                b'K' => extensions.long_link = Some(self.read_name(&header)?),
                _ => return self.finish_entry(&header, extensions).map(Some),
            }
        }
        match extensions.is_empty() {
            true => Ok(None),
            false => Err(TarError::Truncated),
        }
    }

    /// Hands the present entry's stored bytes to `sink`, piece by piece.
    pub fn read_data<E: From<TarError>>(&mut self, mut sink: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        while self.left > 0 {
            let piece = fill(&mut self.input)?;
            let count = piece.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
            sink(&piece[..count])?;
            self.consume(count);
            self.left -= count as u64;
        }
        Ok(())
    }

    /// The stream itself.
    pub fn into_input(self) -> R {
        self.input
    }

    /// Where the present entry's data begins in the stream.
    pub fn data_position(&self) -> u64 {
        self.position
    }

    /// Reads what follows the end of the archive, so that the stream's digest is complete.
    pub fn drain(&mut self) -> Result<(), TarError> {
        loop {
            let count = self.input.fill_buf()?.len();
            if count == 0 {
                return Ok(());
            }
            self.consume(count);
        }
    }

    fn finish_entry(&mut self, header: &Header, extensions: Extensions) -> Result<Entry, TarError> {
        let mut entry = header.entry()?;
        let sparse_kind = extensions.apply(&mut entry)?;
        let stored = if entry.kind.has_data() { entry.size } else { 0 };
        self.begin_data(stored)?;
        match sparse_kind {
            _ if entry.kind != Kind::Regular => entry.size = 0,
            SparseKind::Map { chunks, real_size } => sparse::attach(&mut entry, chunks, real_size, stored)?,
            SparseKind::InData { real_size } => {
                let chunks = self.read_sparse_map()?;
                let left = self.left;
                sparse::attach(&mut entry, chunks, real_size, left)?;
            }
            SparseKind::None if header.is_gnu_sparse() => {
                let (chunks, real_size) = self.read_gnu_sparse(header)?;
                sparse::attach(&mut entry, chunks, real_size, stored)?;
            }
            SparseKind::None => {}
        }
        Ok(entry)
    }

    fn begin_data(&mut self, stored: u64) -> Result<(), TarError> {
        if stored > i64::MAX as u64 {
            return Err(TarError::Header("size"));
        }
        self.left = stored;
        self.padding = stored.next_multiple_of(BLOCK as u64) - stored;
        Ok(())
    }

    /// GNU 1.0: the map stands before the data, as decimal lines filling whole blocks.
    fn read_sparse_map(&mut self) -> Result<Vec<Chunk>, TarError> {
        let mut map = sparse::DecimalMap::default();
        while !map.is_complete() {
            if self.left < BLOCK as u64 || map.len() as u64 > self.header_limit {
                return Err(TarError::Sparse);
            }
            let block = self.read_block()?.ok_or(TarError::Truncated)?;
            self.left -= BLOCK as u64;
            map.push(&block)?;
        }
        map.chunks()
    }

    /// The old GNU format: the map stands in the header and in blocks that follow it, before the data.
    fn read_gnu_sparse(&mut self, header: &Header) -> Result<(Vec<Chunk>, u64), TarError> {
        let (mut chunks, real_size, mut more) = header.gnu_sparse()?;
        while more {
            if chunks.len() as u64 * 16 > self.header_limit {
                return Err(TarError::ExtendedSize(self.header_limit));
            }
            let block = self.read_block()?.ok_or(TarError::Truncated)?;
            more = header::gnu_sparse_block(&block, &mut chunks)?;
        }
        Ok((chunks, real_size))
    }

    /// A header, or `None` at the end: two blocks of zeros, or simply no more bytes.
    fn read_header(&mut self) -> Result<Option<Header>, TarError> {
        if self.ended {
            return Ok(None);
        }
        let Some(block) = self.read_block()? else {
            self.ended = true;
            return Ok(None);
        };
        if block.iter().any(|byte| *byte != 0) {
            return Header::parse(block).map(Some);
        }
        self.ended = true;
        match self.read_block()? {
            Some(second) if second.iter().any(|byte| *byte != 0) => Err(TarError::Header("lone block of zeros")),
            _ => Ok(None),
        }
    }

    fn read_block(&mut self) -> Result<Option<[u8; BLOCK]>, TarError> {
        let mut block = [0; BLOCK];
        let mut have = 0;
        while have < BLOCK {
            let piece = self.input.fill_buf()?;
            let count = piece.len().min(BLOCK - have);
            match count {
                0 if have == 0 => return Ok(None),
                0 => return Err(TarError::Truncated),
                _ => block[have..have + count].copy_from_slice(&piece[..count]),
            }
            self.consume(count);
            have += count;
        }
        Ok(Some(block))
    }

    fn read_extended(&mut self, header: &Header) -> Result<Vec<u8>, TarError> {
        let size = header.size()?;
        if size > self.header_limit {
            return Err(TarError::ExtendedSize(self.header_limit));
        }
        self.begin_data(size)?;
        let mut bytes = Vec::new();
        self.read_data(|piece| {
            bytes.extend_from_slice(piece);
            Ok::<(), TarError>(())
        })?;
        self.skip_rest()?;
        Ok(bytes)
    }

    fn read_name(&mut self, header: &Header) -> Result<Vec<u8>, TarError> {
        let mut name = self.read_extended(header)?;
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        name.truncate(end);
        Ok(name)
    }

    fn skip_rest(&mut self) -> Result<(), TarError> {
        let (left, padding) = (std::mem::take(&mut self.left), std::mem::take(&mut self.padding));
        match self.input.skip(left) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(TarError::Truncated),
            skipped => skipped?,
        }
        match self.input.skip(padding) {
            // Some writers stop right after the last byte of the last file; everybody reads that.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.ended = true,
            skipped => skipped?,
        }
        self.position += left + padding;
        Ok(())
    }

    fn consume(&mut self, count: usize) {
        self.input.consume(count);
        self.position += count as u64;
    }
}

/// More bytes, which must exist.
fn fill<R: BufRead>(input: &mut R) -> Result<&[u8], TarError> {
    match input.fill_buf()? {
        [] => Err(TarError::Truncated),
        piece => Ok(piece),
    }
}
