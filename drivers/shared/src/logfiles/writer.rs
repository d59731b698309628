//! The sink: batches into the current file, which is rotated when it is full.
//!
//! The file always ends with a whole record. What a failed or short write leaves of a torn one is cut off at once; the
//! whole records of a batch that failed later stay, are counted, and are left out when the engine offers it again.

use super::compress::Compressor;
use super::error::{Context, LogFileError, Result};
use super::files::Files;
use super::format::{Decoder as _, Encoder, Whole};
use super::mark::Mark;
use super::resume::{self, Place};
use super::rotate::{self, Limits};
use gantry_plugin_api::host::Host;
use gantry_plugin_api::log::{LogRecord, LogSink, OpenedSink, ResumeToken};
use std::fs::{File, Metadata};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

/// A batch is handed to the kernel when this much of it is encoded: large enough that the call costs nothing, small
/// enough to stay in the processor's cache and not to weigh on an idle container.
const CHUNK: usize = 64 * 1024;
/// Room kept when the sink is flushed.
const IDLE_ROOM: usize = 16 * 1024;

/// The sink of one container.
pub struct Writer<E> {
    files: Files,
    path: PathBuf,
    limits: Limits,
    encoder: E,
    compressor: Compressor,
    mark: Mark,
    file: File,
    inode: u64,
    /// Bytes in the file.
    size: u64,
    /// Records in this and earlier generations, since `open` or the resumed token.
    stored: u64,
    /// Encoded, not yet written.
    buffer: Vec<u8>,
    /// Records in the buffer.
    encoded: u64,
    /// Cut the file to this size before anything else: cutting a torn record failed before.
    torn: Option<u64>,
    /// Sequence of the first record of a batch that failed, and how many of its records are stored.
    half_done: Option<(u64, usize)>,
}

impl<E: Encoder> Writer<E> {
    /// Opens the sink.
    pub fn open(
        files: Files,
        limits: Limits,
        encoder: E,
        resume: Option<&ResumeToken>,
        host: Host,
    ) -> Result<OpenedSink> {
        let path = files.current();
        let mut mark = Mark::load(&files)?;
        let place = resume.and_then(Place::of);
        let file = open_current(&files, &limits, &mut mark, place)?;
        let uncompressed = rotate::tidy(&files, &limits)?;
        resume::mend::<E::Decoder>(&file, &path, resume.is_some())?;
        let beyond = place.map_or(Ok(0), |place| resume::beyond::<E::Decoder>(&file, &path, &mark, place))?;
        let meta = file.metadata().context(LogFileError::read, &path)?;
        let mut compressor = Compressor::new::<E::Decoder>(host);
        if uncompressed {
            compressor.start(&files);
        }
        let sink = Writer {
            encoder,
            stored: place.map_or(0, |place| place.stored) + beyond,
            inode: meta.ino(),
            size: meta.len(),
            buffer: Vec::new(),
            encoded: 0,
            torn: None,
            half_done: None,
            files,
            path,
            limits,
            compressor,
            mark,
            file,
        };
        Ok(OpenedSink::new(sink).beyond(beyond))
    }

    fn write_batch(&mut self, batch: &[LogRecord<'_>], done: &mut usize) -> Result<()> {
        self.check_file()?;
        for record in &batch[*done..] {
            if self.is_full() {
                self.store(done)?;
                self.next_file()?;
            } else if self.buffer.len() >= CHUNK {
                self.store(done)?;
            }
            self.encoder.push(&mut self.buffer, record);
            self.encoded += 1;
        }
        self.store(done)
    }

    /// Others may have deleted, moved or emptied the file meanwhile; only deleting asks for a new one.
    fn check_file(&mut self) -> Result<()> {
        if let Some(size) = self.torn {
            self.file.set_len(size).context(LogFileError::cut, &self.path)?;
            self.torn = None;
        }
        let meta = self.file.metadata().context(LogFileError::read, &self.path)?;
        self.size = meta.len();
        let unfinished_rotation = self.mark.rotating;
        if meta.nlink() == 0 || unfinished_rotation { self.next_file() } else { Ok(()) }
    }

    fn is_full(&self) -> bool {
        let size = self.size + self.buffer.len() as u64;
        size > 0 && self.limits.max_size.is_some_and(|max| size >= max)
    }

    fn next_file(&mut self) -> Result<()> {
        let file = rotate::rotate(&self.files, &self.limits, &mut self.mark, self.stored, &mut self.compressor)?;
        let meta = file.metadata().context(LogFileError::read, &self.path)?;
        self.enter(file, &meta);
        Ok(())
    }

    fn enter(&mut self, file: File, meta: &Metadata) {
        (self.inode, self.size) = (meta.ino(), meta.len());
        self.file = file;
    }

    /// Writes what is encoded, or as many whole records of it as the disk takes.
    fn store(&mut self, done: &mut usize) -> Result<()> {
        let (written, outcome) = write_all(&self.file, &self.buffer);
        let whole = match &outcome {
            Ok(()) => Whole { bytes: written, records: self.encoded },
            Err(_) => E::Decoder::whole(&self.buffer[..written]),
        };
        self.discard();
        self.size += whole.bytes as u64;
        self.stored += whole.records;
        *done += whole.records as usize;
        if whole.bytes < written {
            self.cut();
        }
        outcome.context(LogFileError::write, &self.path)
    }

    fn discard(&mut self) {
        self.buffer.clear();
        self.encoded = 0;
    }

    fn cut(&mut self) {
        self.torn = self.file.set_len(self.size).err().map(|_| self.size);
    }

    /// How many records of this batch were stored when it failed before.
    fn take_half_done(&mut self, batch: &[LogRecord<'_>]) -> usize {
        match (self.half_done.take(), batch.first()) {
            (Some((sequence, done)), Some(first)) if sequence != 0 && first.sequence == sequence => {
                done.min(batch.len())
            }
            _ => 0,
        }
    }

    fn token(&self) -> ResumeToken {
        let (inode, offset, stored) = (self.inode, self.size, self.stored);
        Place { inode, offset, stored, generation: self.mark.generation }.token()
    }

    /// True when the name of the current file no longer leads to the file being written.
    fn was_moved(&self) -> bool {
        std::fs::metadata(&self.path).map_or(true, |meta| meta.ino() != self.inode)
    }
}

/// Finishes what a killed predecessor began. A file that others have deleted meanwhile begins a new generation.
fn open_current(files: &Files, limits: &Limits, mark: &mut Mark, place: Option<Place>) -> Result<File> {
    if mark.rotating {
        return rotate::finish(files, limits, mark);
    }
    let was_rotated = || mark.generation > 0 || files.plain(1).exists() || files.compressed(1).exists();
    let deleted = !files.current().exists() && was_rotated();
    let file = files.open_current()?;
    if deleted {
        let before = place.map_or(0, |place| place.stored);
        *mark = Mark { generation: mark.generation + 1, before, rotating: false };
        mark.store(files)?;
    }
    Ok(file)
}

/// Writes until everything is written or the kernel refuses; answers how much is.
fn write_all(mut file: &File, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(length) => written += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

impl<E: Encoder> LogSink for Writer<E> {
    fn write(&mut self, batch: &[LogRecord<'_>]) -> gantry_plugin_api::Result<ResumeToken> {
        let mut done = self.take_half_done(batch);
        let outcome = self.write_batch(batch, &mut done);
        if let Err(error) = outcome {
            self.discard();
            self.half_done = batch.first().filter(|_| done > 0).map(|first| (first.sequence, done));
            return Err(error.into());
        }
        Ok(self.token())
    }

    fn flush(&mut self) -> gantry_plugin_api::Result<()> {
        // Nothing is ever held back: writing to a file is handing on.
        self.buffer.shrink_to(IDLE_ROOM);
        Ok(())
    }

    fn reopen(&mut self) -> gantry_plugin_api::Result<()> {
        if self.was_moved() {
            // Moved by another program, which wants a new file under the old name and will look after the other.
            self.mark = Mark { generation: self.mark.generation + 1, before: self.stored, rotating: false };
            let file = self.files.open_current()?;
            self.mark.store(&self.files)?;
            let meta = file.metadata().context(LogFileError::read, &self.path)?;
            self.enter(file, &meta);
            return Ok(());
        }
        if self.size == 0 {
            return Ok(());
        }
        if self.limits.max_file == 1 {
            return Err(LogFileError::OnlyFile { path: self.path.clone() }.into());
        }
        Ok(self.next_file()?)
    }

    fn close(&mut self) -> gantry_plugin_api::Result<()> {
        self.compressor.finish_or_stop(&self.files);
        self.buffer = Vec::new();
        Ok(())
    }
}
