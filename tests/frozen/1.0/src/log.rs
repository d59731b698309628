//! Log drivers: where the lines of a container go.
//!
//! The engine's pump splits the output into records, stamps them and hands them over in batches, one thread per sink;
//! splitting, partial lines, rings, spools, fan-out and the counting of drops are never a driver's. A driver writes
//! records, and, when it can, reads them back.

use crate::error::{Error, Result};
use crate::host::Host;
use crate::options::{OptionSpec, Options};
use abi_stable::std_types::RSlice;
use std::path::PathBuf;

/// Which stream a record came from: `1` stdout, `2` stderr.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, abi_stable::StableAbi)]
pub struct Stream(pub u8);

impl Stream {
    /// Standard output, and everything a terminal prints.
    pub const STDOUT: Stream = Stream(1);
    /// Standard error.
    pub const STDERR: Stream = Stream(2);

    /// `stdout` or `stderr`.
    pub fn name(self) -> &'static str {
        if self == Stream::STDERR { "stderr" } else { "stdout" }
    }
}

/// The record is a piece of a line that exceeds the line limit, or of a last line without newline.
pub const PARTIAL: u8 = 1;
/// The piece that ends a partial line (only with [`PARTIAL`]).
pub const LAST: u8 = 2;

/// One record: a line without its newline, or a piece of one. Frozen layout; bytes, not text.
#[repr(C)]
#[derive(Clone, Copy, Debug, abi_stable::StableAbi)]
pub struct LogRecord<'a> {
    /// When the newline was seen, nanoseconds since 1970, UTC. All pieces of a line carry the first one's.
    pub timestamp_ns: u64,
    /// Counts the records of the container from 1, over both streams, without gaps.
    pub sequence: u64,
    /// Same for all pieces of one line, else 0.
    pub partial_id: u64,
    /// The bytes.
    pub line: RSlice<'a, u8>,
    /// 1, 2, … within one line, else 0.
    pub partial_ordinal: u32,
    /// Where it came from.
    pub stream: Stream,
    /// [`PARTIAL`], [`LAST`].
    pub flags: u8,
    /// Zero.
    pub reserved: u16,
}

impl<'a> LogRecord<'a> {
    /// A whole line.
    pub fn line(timestamp_ns: u64, sequence: u64, stream: Stream, bytes: &'a [u8]) -> Self {
        LogRecord {
            timestamp_ns,
            sequence,
            partial_id: 0,
            line: bytes.into(),
            partial_ordinal: 0,
            stream,
            flags: 0,
            reserved: 0,
        }
    }

    /// The bytes, without newline.
    pub fn bytes(&self) -> &'a [u8] {
        self.line.as_slice()
    }

    /// True when a newline followed these bytes.
    pub fn ends_line(&self) -> bool {
        self.flags & PARTIAL == 0 || self.flags & LAST != 0
    }
}

/// What a driver wants to find again after its process was killed: opaque to the engine, which keeps the one of the last
/// successful `write` in shared memory. Files put inode and offset here.
#[repr(C)]
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, abi_stable::StableAbi)]
pub struct ResumeToken(pub [u64; 4]);

/// The container whose lines are logged. `dir` is the log directory of the container, made by the engine, 0700; files
/// of the driver go there.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct LogContainer {
    /// 64 hex digits.
    pub id: String,
    /// Without leading slash.
    pub name: String,
    /// `sha256:…`.
    pub image_id: String,
    /// The reference as given.
    pub image_name: String,
    /// Entrypoint and arguments.
    pub command: Vec<String>,
    /// Nanoseconds since 1970.
    pub created_ns: u64,
    /// `KEY=value`.
    pub env: Vec<String>,
    /// Labels, sorted.
    pub labels: Vec<(String, String)>,
    /// Attributes selected by `labels`, `env` … and `tag`, sorted by key; computed by the engine.
    pub attributes: Vec<(String, String)>,
    /// The tag after the template was filled in; empty: none.
    pub tag: String,
    /// The host's name.
    pub hostname: String,
    /// The container's log directory.
    pub dir: PathBuf,
}

/// What a log driver can do.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct LogCapabilities {
    /// `open_reader` works.
    pub read: bool,
    /// `reopen` starts a new file.
    pub rotate: bool,
    /// Records leave this host: default policy is drop-old, not block.
    pub remote: bool,
    /// `remove` has something to do; else the driver is not loaded for it.
    pub removes: bool,
    /// `trim` works: the log counts for the engine's limit for all logs together.
    pub trims: bool,
    /// Bytes after which the pump should cut a line; 0: the engine's default of 16,384.
    pub max_line: u32,
}

/// What a trim gave up. Never changes.
#[repr(C)]
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, abi_stable::StableAbi)]
pub struct Trimmed {
    /// Records, pieces of long lines counted one by one.
    pub records: u64,
    /// Bytes of disk.
    pub bytes: u64,
}

/// A sink just opened.
#[non_exhaustive]
pub struct OpenedSink {
    /// Takes the records.
    pub sink: Box<dyn LogSink>,
    /// How many records are already stored beyond the token given to `open`: the engine skips so many.
    /// 0 when no token was given or the driver cannot know (then records may be written twice).
    pub beyond: u64,
}

impl OpenedSink {
    /// A sink that takes up nothing.
    pub fn new(sink: impl LogSink + 'static) -> Self {
        OpenedSink { sink: Box::new(sink), beyond: 0 }
    }

    /// The same with so many records stored beyond the token.
    #[must_use]
    pub fn beyond(mut self, records: u64) -> Self {
        self.beyond = records;
        self
    }
}

/// A log driver. A plugin's is made once per process with `Default` and shared by threads.
///
/// Life cycle: `validate` when a container is created (no I/O). In the pump: `open`, then `write`… `flush`, `close` from
/// one thread. In `logs`: `open_reader`, then `next`… from one thread, also while a pump writes and after it is gone.
/// `remove` when the container is removed.
pub trait LogDriver: Send + Sync + 'static {
    /// The schema. The common keys (`labels`, `labels-regex`, `env`, `env-regex`, `tag`, `mode`, `max-buffer-size`,
    /// `cache-*`, `policy`, `spool-size`, `block-timeout`, `strict`) are the engine's and not listed here.
    const OPTIONS: &'static [OptionSpec];

    /// What this driver can do.
    fn capabilities(&self) -> LogCapabilities;

    /// Checks across options; types and keys are checked already. No I/O.
    fn validate(&self, _options: &Options) -> Result<()> {
        Ok(())
    }

    /// Opens the sink of one container. `resume` is the last token a killed predecessor returned.
    /// A driver for files removes a torn last record here.
    fn open(
        &self,
        container: &LogContainer,
        options: &Options,
        resume: Option<&ResumeToken>,
        host: Host,
    ) -> Result<OpenedSink>;

    /// Opens a reader.
    fn open_reader(
        &self,
        _container: &LogContainer,
        _options: &Options,
        _query: &ReadQuery,
        _host: Host,
    ) -> Result<Box<dyn LogReader>> {
        Err(Error::unsupported("configured logging driver does not support reading"))
    }

    /// Removes what is outside the container's log directory (which the engine removes). Idempotent. Called when the
    /// capabilities say so.
    fn remove(&self, _container: &LogContainer, _options: &Options) -> Result<()> {
        Ok(())
    }

    /// Deletes the oldest files of a log until so many `bytes` are free, whole files only, and counts what was in them. The
    /// file that is being written stays; with `all` nobody writes, and it may go, too. Called from another process than
    /// the sink's, which may rotate meanwhile. Called when the capabilities say so.
    fn trim(&self, _container: &LogContainer, _options: &Options, _bytes: u64, _all: bool) -> Result<Trimmed> {
        Err(Error::unsupported("configured logging driver has no files to give up"))
    }
}

/// Takes the records of one container, from one thread.
pub trait LogSink: Send {
    /// Stores a batch in order, all of it or an error. After an error nothing of the batch may be half-stored in a way
    /// that a later `write` would corrupt. The token describes the state after the batch.
    fn write(&mut self, batch: &[LogRecord<'_>]) -> Result<ResumeToken>;

    /// Hands everything buffered on.
    fn flush(&mut self) -> Result<()>;

    /// Starts a new file or connection (`logs rotate`).
    fn reopen(&mut self) -> Result<()> {
        Ok(())
    }

    /// Flushes and closes; the last call.
    fn close(&mut self) -> Result<()>;
}

/// Which records a reader wants.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct ReadQuery {
    /// Only records with a timestamp at or after this, ns; 0: all.
    pub since_ns: u64,
    /// Only records with a timestamp at or before this, ns; 0: all.
    pub until_ns: u64,
    /// Only the last so many logical lines (after since and until); `None`: all.
    pub tail: Option<u64>,
    /// Keep delivering records as they are written; `next` then answers `Idle` when there is none yet.
    pub follow: bool,
}

/// What `next` found.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, abi_stable::StableAbi)]
pub struct ReadState(pub u32);

impl ReadState {
    /// Records were delivered; there may be more.
    pub const MORE: ReadState = ReadState(1);
    /// None now; only with `follow`.
    pub const IDLE: ReadState = ReadState(2);
    /// No more, ever.
    pub const END: ReadState = ReadState(3);
}

/// Receives the records of a reader. The bytes live until the call returns. `attributes` are those stored with the
/// record, already in the form `k=v` pairs sorted by key; empty when the driver stored none.
pub type Emit<'a> = dyn FnMut(&[LogRecord<'_>], &[(String, String)]) + 'a;

/// Reads the records of one container, oldest first, from one thread.
pub trait LogReader: Send {
    /// Delivers about `max` records to `emit`, in as many batches as the driver likes (records of one batch share their
    /// attributes); waits at most `wait_ms` milliseconds for the first one when following.
    /// Records that cannot be decoded are skipped and told through the host's log.
    fn next(&mut self, max: u32, wait_ms: u32, emit: &mut Emit<'_>) -> Result<ReadState>;
}
