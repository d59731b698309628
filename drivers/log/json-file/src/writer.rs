//! The sink: batches into the current file, which is rotated when it is full.
//!
//! The file always ends with a whole record. What a failed or short write leaves of a torn one is cut off at once; the
//! whole records of a batch that failed later stay, are counted, and are left out when the engine offers it again.

use crate::compress::Compressor;
use crate::encode::Encoder;
use crate::error::{Context, JsonFileError, Result};
use crate::files::Files;
use crate::mark::Mark;
use crate::options::Settings;
use crate::resume::{self, Place};
use crate::rotate;
use gantry_plugin_api::host::Host;
use gantry_plugin_api::log::{LogContainer, LogRecord, LogSink, OpenedSink, ResumeToken};
use std::fs::{File, Metadata};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;

/// A batch is handed to the kernel when this much of it is encoded: large enough that the call costs nothing, small
/// enough to stay in the processor's cache and not to weigh on an idle container.
const CHUNK: usize = 64 * 1024;
/// Room kept when the sink is flushed.
const IDLE_ROOM: usize = 16 * 1024;
/// How long closing waits for a compression before it puts it off to the next start.
const PATIENCE: Duration = Duration::from_secs(2);

/// The sink of one container.
pub struct Writer {
    files: Files,
    path: PathBuf,
    settings: Settings,
    encoder: Encoder,
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
    /// Cut the file to this size before anything else: cutting a torn record failed before.
    torn: Option<u64>,
    /// Sequence of the first record of a batch that failed, and how many of its records are stored.
    half_done: Option<(u64, usize)>,
}

impl Writer {
    /// Opens the sink.
    pub fn open(
        container: &LogContainer,
        settings: Settings,
        resume: Option<&ResumeToken>,
        host: Host,
    ) -> Result<OpenedSink> {
        let files = Files::of(container);
        let path = files.current();
        let mut mark = Mark::load(&files)?;
        let place = resume.and_then(Place::of);
        let file = open_current(&files, &settings, &mut mark, place)?;
        let uncompressed = rotate::tidy(&files, &settings)?;
        resume::mend(&file, &path, resume.is_some())?;
        let beyond = place.map_or(Ok(0), |place| resume::beyond(&file, &path, &mark, place))?;
        let meta = file.metadata().context(JsonFileError::read, &path)?;
        let mut compressor = Compressor::new(host);
        if uncompressed {
            compressor.start(&files);
        }
        let sink = Writer {
            encoder: Encoder::new(&container.attributes, settings.partial_metadata),
            stored: place.map_or(0, |place| place.stored) + beyond,
            inode: meta.ino(),
            size: meta.len(),
            buffer: Vec::new(),
            torn: None,
            half_done: None,
            files,
            path,
            settings,
            compressor,
            mark,
            file,
        };
        Ok(OpenedSink { sink: Box::new(sink), beyond })
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
        }
        self.store(done)
    }

    /// Others may have deleted, moved or emptied the file meanwhile; only deleting asks for a new one.
    fn check_file(&mut self) -> Result<()> {
        if let Some(size) = self.torn {
            self.file.set_len(size).context(JsonFileError::cut, &self.path)?;
            self.torn = None;
        }
        let meta = self.file.metadata().context(JsonFileError::read, &self.path)?;
        self.size = meta.len();
        let unfinished_rotation = self.mark.rotating;
        if meta.nlink() == 0 || unfinished_rotation { self.next_file() } else { Ok(()) }
    }

    fn is_full(&self) -> bool {
        let size = self.size + self.buffer.len() as u64;
        size > 0 && self.settings.max_size.is_some_and(|max| size >= max)
    }

    fn next_file(&mut self) -> Result<()> {
        let file = rotate::rotate(&self.files, &self.settings, &mut self.mark, self.stored, &mut self.compressor)?;
        let meta = file.metadata().context(JsonFileError::read, &self.path)?;
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
            Ok(()) => written,
            Err(_) => memchr::memrchr(b'\n', &self.buffer[..written]).map_or(0, |newline| newline + 1),
        };
        let records = memchr::memchr_iter(b'\n', &self.buffer[..whole]).count();
        self.buffer.clear();
        self.size += whole as u64;
        self.stored += records as u64;
        *done += records;
        if whole < written {
            self.cut();
        }
        outcome.context(JsonFileError::write, &self.path)
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
fn open_current(files: &Files, settings: &Settings, mark: &mut Mark, place: Option<Place>) -> Result<File> {
    if mark.rotating {
        return rotate::finish(files, settings, mark);
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

impl LogSink for Writer {
    fn write(&mut self, batch: &[LogRecord<'_>]) -> gantry_plugin_api::Result<ResumeToken> {
        let mut done = self.take_half_done(batch);
        let outcome = self.write_batch(batch, &mut done);
        if let Err(error) = outcome {
            self.buffer.clear();
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
            let meta = file.metadata().context(JsonFileError::read, &self.path)?;
            self.enter(file, &meta);
            return Ok(());
        }
        if self.size == 0 {
            return Ok(());
        }
        if self.settings.max_file == 1 {
            return Err(JsonFileError::OnlyFile { path: self.path.clone() }.into());
        }
        Ok(self.next_file()?)
    }

    fn close(&mut self) -> gantry_plugin_api::Result<()> {
        self.compressor.wait_or_stop(PATIENCE);
        self.buffer = Vec::new();
        Ok(())
    }
}
