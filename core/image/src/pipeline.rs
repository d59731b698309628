//! One layer from its stored form to a directory, streamed.
//!
//! A thread of its own reads, hashes and keeps the blob and decompresses it; the caller's thread hashes the
//! tar stream and applies it. A few buffers go round between them, so memory is bounded.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Cursor, Read, Write};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use gantry_model::digest::{DiffId, Digest};
use gantry_model::idmap::IdMaps;

use crate::apply::{Applied, ApplyError, LayerTarget, Lower, apply};
use crate::content::Ingest;
use crate::hash::Hasher;
use crate::limits::Limits;
use crate::tar::{Input, TarReader};

const BUFFER: usize = 256 << 10;
const BUFFERS: usize = 4;

/// How a stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// The OCI media type of a layer stored this way.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::None => "application/vnd.oci.image.layer.v1.tar",
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::None => "uncompressed",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// Tells the compression by the first bytes of a stream.
pub(crate) fn sniff(head: &[u8]) -> Result<Compression, ApplyError> {
    match head {
        [0x1f, 0x8b, ..] => Ok(Compression::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Compression::Zstd),
        [b'B', b'Z', b'h', ..] => Err(ApplyError::Compression("bzip2")),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Err(ApplyError::Compression("xz")),
        _ => Ok(Compression::None),
    }
}

/// A layer that was unpacked.
pub(crate) struct Unpacked {
    pub(crate) diff: DiffId,
    pub(crate) applied: Applied,
    pub(crate) compression: Compression,
    /// The blob as it was read, if it was to be kept.
    pub(crate) blob: Option<Ingest>,
}

/// Unpacks a stream into a layer's directory; `keep` gets a copy of the bytes as they are read.
pub(crate) fn unpack(
    input: impl Read + Send,
    keep: Option<Ingest>,
    target: &LayerTarget,
    limits: &Limits,
) -> Result<Unpacked, ApplyError> {
    unpack_as(input, keep, target, limits, None, None)
}

/// [`unpack`] for a layer whose hard links may lead to files of the layers below, and whose files may belong to others than
/// it says.
pub(crate) fn unpack_as(
    input: impl Read + Send,
    keep: Option<Ingest>,
    target: &LayerTarget,
    limits: &Limits,
    lower: Option<&dyn Lower>,
    owners: Option<&IdMaps>,
) -> Result<Unpacked, ApplyError> {
    let ((applied, diff), source) = through(input, keep, limits, limits.layer_bytes, |stream| {
        let mut tar = TarReader::new(stream, limits.header_bytes);
        let applied = apply(&mut tar, target, limits, lower, owners)?;
        Ok((applied, DiffId(tar.into_input().digest())))
    })?;
    Ok(Unpacked { diff, applied, compression: source.compression, blob: source.blob })
}

/// What is known of a stream once it was read to its end.
pub(crate) struct Source {
    pub(crate) compression: Compression,
    pub(crate) blob: Option<Ingest>,
}

/// Runs `work` on the decompressed form of `input`.
pub(crate) fn through<T>(
    input: impl Read + Send,
    keep: Option<Ingest>,
    limits: &Limits,
    most: u64,
    work: impl FnOnce(Stream) -> Result<T, ApplyError>,
) -> Result<(T, Source), ApplyError> {
    thread::scope(|scope| {
        let (full_sender, full) = sync_channel(BUFFERS);
        let (empty, empty_receiver) = channel();
        let pump = Pump { full: full_sender, empty: empty_receiver, limits: *limits, most };
        let reader = scope.spawn(move || pump.run(input, keep));
        let worked = work(Stream { full, empty, current: Vec::new(), position: 0, hasher: Hasher::default() });
        let read = reader.join().unwrap_or_else(|_| Err(stopped()));
        match (worked, read) {
            (Ok(value), Ok(Some(source))) => Ok((value, source)),
            (_, Err(error)) => Err(error),
            (Err(error), _) => Err(error),
            (Ok(_), Ok(None)) => Err(stopped()),
        }
    })
}

fn stopped() -> ApplyError {
    ApplyError::Decompress("compressed", io::Error::other("the stream was not read to its end"))
}

/// The reading side.
struct Pump {
    full: SyncSender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
    limits: Limits,
    most: u64,
}

impl Pump {
    /// `None` if the other side gave up.
    fn run(self, input: impl Read, keep: Option<Ingest>) -> Result<Option<Source>, ApplyError> {
        let count = Rc::new(Cell::new(0));
        let mut tee = Tee { input, keep, count: Rc::clone(&count) };
        let mut head = [0; 6];
        let have = read_full(&mut tee, &mut head).map_err(ApplyError::Stream)?;
        let compression = sniff(&head[..have])?;
        let whole = BufReader::with_capacity(BUFFER, Cursor::new(&head[..have]).chain(&mut tee));
        let passed = match compression {
            Compression::None => self.pass(compression, whole, &count)?,
            Compression::Gzip => self.pass(compression, flate2::bufread::MultiGzDecoder::new(whole), &count)?,
            Compression::Zstd => self.pass(compression, zstd_decoder(whole)?, &count)?,
        };
        if !passed {
            return Ok(None);
        }
        // A decoder may stop at the end of its format; what follows belongs to the blob all the same.
        io::copy(&mut tee, &mut io::sink()).map_err(ApplyError::Stream)?;
        Ok(Some(Source { compression, blob: tee.keep }))
    }

    /// Sends the decoded bytes on; false if nobody wants them any more.
    fn pass(&self, compression: Compression, mut decoder: impl Read, read: &Cell<u64>) -> Result<bool, ApplyError> {
        let mut total = 0;
        loop {
            let mut buffer = self.empty.try_recv().unwrap_or_default();
            buffer.resize(BUFFER, 0);
            let filled = read_full(&mut decoder, &mut buffer);
            let count = filled.map_err(|error| broken(compression, error))?;
            if count == 0 {
                return Ok(true);
            }
            total += count as u64;
            self.check(read.get(), total)?;
            buffer.truncate(count);
            if self.full.send(buffer).is_err() {
                return Ok(false);
            }
        }
    }

    fn check(&self, compressed: u64, total: u64) -> Result<(), ApplyError> {
        if total > self.most {
            return Err(ApplyError::Limit { what: "the uncompressed size", limit: self.most });
        }
        if total > self.limits.ratio_floor && total / self.limits.ratio.max(1) > compressed {
            return Err(ApplyError::Limit { what: "the compression ratio", limit: self.limits.ratio });
        }
        Ok(())
    }
}

/// A failure of whatever the stream is read from, on its way through a decoder.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct FromSource(io::Error);

fn from_source(error: io::Error) -> io::Error {
    match error.raw_os_error().is_some() || error.kind() == io::ErrorKind::Interrupted {
        true => error,
        false => io::Error::new(error.kind(), FromSource(error)),
    }
}

/// The system's errors come from the source or from the copy that is kept, the others from the format.
fn broken(compression: Compression, error: io::Error) -> ApplyError {
    let outside = error.raw_os_error().is_some() || error.get_ref().is_some_and(|inner| inner.is::<FromSource>());
    match outside {
        true => ApplyError::Stream(error),
        false => ApplyError::Decompress(compression.name(), error),
    }
}

fn zstd_decoder<'a, R: BufRead + 'a>(whole: R) -> Result<zstd::Decoder<'a, R>, ApplyError> {
    zstd::Decoder::with_buffer(whole).map_err(|error| ApplyError::Decompress("zstd", error))
}

/// Reads until the buffer is full or the stream ends.
fn read_full(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut have = 0;
    while have < buffer.len() {
        match input.read(&mut buffer[have..]) {
            Ok(0) => break,
            Ok(count) => have += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(have)
}

/// Counts what is read and gives a copy to the content store.
struct Tee<R> {
    input: R,
    keep: Option<Ingest>,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer).map_err(from_source)?;
        if let Some(keep) = &mut self.keep {
            keep.write_all(&buffer[..count])?;
        }
        self.count.set(self.count.get() + count as u64);
        Ok(count)
    }
}

/// The decompressed bytes on the applying side, hashed as they arrive.
pub(crate) struct Stream {
    full: Receiver<Vec<u8>>,
    empty: Sender<Vec<u8>>,
    current: Vec<u8>,
    position: usize,
    hasher: Hasher,
}

impl Stream {
    /// The digest of everything that was read.
    pub(crate) fn digest(self) -> Digest {
        self.hasher.finish()
    }

    fn advance(&mut self) {
        let next = self.full.recv().unwrap_or_default();
        self.hasher.update(&next);
        let spent = std::mem::replace(&mut self.current, next);
        self.position = 0;
        let _ = self.empty.send(spent);
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let have = self.fill_buf()?;
        let count = have.len().min(buffer.len());
        buffer[..count].copy_from_slice(&have[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Stream {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.position == self.current.len() {
            self.advance();
        }
        Ok(&self.current[self.position..])
    }

    fn consume(&mut self, count: usize) {
        self.position += count;
    }
}

impl Input for Stream {}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_model::class::Class;

    #[test]
    fn a_full_disk_is_not_the_archives_fault() {
        let full = broken(Compression::Gzip, io::Error::from_raw_os_error(28));
        assert_eq!(full.class(), Class::NoSpace);
        assert!(full.hint().is_some_and(|hint| hint.contains("free space")));
        let damaged = broken(Compression::Gzip, io::Error::other("corrupt deflate stream"));
        assert_eq!(damaged.class(), Class::Invalid);
    }
}
