//! Compressing rotated files, in a thread that exists only meanwhile and gets the time that nobody else wants. Writing
//! never waits for it: a file that is rotated while another is being compressed stays plain until its turn comes. Nor does
//! closing, unless little is left to do: what is plain then is compressed after the next `open`.
//!
//! The gzip header's extra field holds `{"lastTime":"…","inode":…}`: the time of the last record, as Docker stores it, lets
//! a reader skip the whole file; the number of the plain file's inode lets a follower that was reading it find its place.

use super::error::{Context, LogFileError, Result};
use super::files::{Files, if_exists, remove};
use super::format::Decoder;
use super::stamp::{Clock, Stamper};
use super::tail::last_time;
use flate2::{Compression, GzBuilder};
use gantry_plugin_api::host::Host;
use serde_json::Value;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Bytes compressed between two looks at the request to stop.
const PIECE: usize = 128 * 1024;
/// So much is worth waiting for when the sink closes: some milliseconds of work …
const LITTLE: u64 = 256 * 1024;
/// … or a little longer on a machine that has no time.
const PATIENCE: Duration = Duration::from_secs(2);

/// The compression under way, if any.
pub struct Compressor {
    host: Host,
    last_time: LastTime,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// How the time of a file's last record is found.
type LastTime = fn(&File) -> io::Result<Option<u64>>;

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// Held while files change their names. True while the thread will look for files again.
    busy: Mutex<bool>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Compressor {
    /// Nothing under way.
    pub fn new<D: Decoder>(host: Host) -> Self {
        Compressor { host, last_time: last_time::<D>, shared: Arc::default(), thread: None }
    }

    /// Moves files while none of them is given its compressed name.
    pub fn hold<T>(&self, act: impl FnOnce() -> T) -> T {
        let _held = self.shared.lock();
        act()
    }

    /// Sees to it that rotated files are compressed. When no thread can be had they stay plain, which readers understand.
    pub fn start(&mut self, files: &Files) {
        if std::mem::replace(&mut *self.shared.lock(), true) {
            return;
        }
        self.wait();
        let (shared, host, files, last_time) = (self.shared.clone(), self.host.clone(), files.clone(), self.last_time);
        let work = move || {
            if let Err(error) = compress_all(&files, &shared, last_time) {
                host.warn(&gantry_plugin_api::Error::from(error).to_string());
                *shared.lock() = false;
            }
        };
        match thread::Builder::new().name("log-gzip".into()).stack_size(256 * 1024).spawn(work) {
            Ok(thread) => self.thread = Some(thread),
            Err(error) => {
                *self.shared.lock() = false;
                self.host.warn(&format!("cannot start thread to compress log: {error}"));
            }
        }
    }

    fn wait(&mut self) {
        if let Some(thread) = self.thread.take() {
            // A panic has been reported by the thread itself; the file stays plain.
            let _ = thread.join();
        }
    }

    /// Stops what is under way, unless it is as good as done; the next `open` begins it anew.
    pub fn finish_or_stop(&mut self, files: &Files) {
        let deadline = Instant::now() + if left(files) <= LITTLE { PATIENCE } else { Duration::ZERO };
        while self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(2));
        }
        self.stop();
    }

    fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.wait();
        self.shared.stop.store(false, Ordering::Relaxed);
    }
}

impl Drop for Compressor {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Bytes that wait to be compressed.
fn left(files: &Files) -> u64 {
    let indices = files.indices().unwrap_or_default().into_iter().filter(|index| *index > 0);
    indices.filter_map(|index| fs::metadata(files.plain(index)).ok()).map(|meta| meta.len()).sum()
}

/// From now on this thread runs when nobody else wants to. Not being allowed to yield would be strange, and no harm.
fn yield_to_others() {
    // SAFETY: `setpriority` takes numbers only; 0 is the calling thread.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) };
}

/// Compresses rotated files, the oldest first, until none is plain.
fn compress_all(files: &Files, shared: &Shared, last_time: LastTime) -> Result<()> {
    yield_to_others();
    while let Some((path, file)) = next_file(files, shared)? {
        let act = || -> io::Result<()> {
            if copy(&file, &files.unfinished(), &shared.stop, last_time)? {
                let _held = shared.lock();
                return replace(files, file.metadata()?.ino());
            }
            remove(&files.unfinished())
        };
        act().inspect_err(|_| _ = remove(&files.unfinished())).context(LogFileError::compress, &path)?;
    }
    Ok(())
}

/// The oldest file that is plain. When there is none, or no more is wanted, the thread ends, and says so while no file can
/// be rotated.
fn next_file(files: &Files, shared: &Shared) -> Result<Option<(PathBuf, File)>> {
    let mut busy = shared.lock();
    let indices = if shared.stop.load(Ordering::Relaxed) { Vec::new() } else { files.indices()? };
    for index in indices.into_iter().rev().filter(|index| *index > 0) {
        let path = files.plain(index);
        if let Some(file) = if_exists(File::open(&path)).context(LogFileError::open, &path)? {
            return Ok(Some((path, file)));
        }
    }
    *busy = false;
    Ok(None)
}

/// Puts the compressed file into the place of the plain one, wherever that was moved; it may be gone.
fn replace(files: &Files, inode: u64) -> io::Result<()> {
    let indices = files.indices().unwrap_or_default();
    let is_it = |index: &u32| fs::metadata(files.plain(*index)).is_ok_and(|meta| meta.ino() == inode);
    let Some(index) = indices.into_iter().filter(|index| *index > 0).find(is_it) else {
        return remove(&files.unfinished());
    };
    fs::rename(files.unfinished(), files.compressed(index))?;
    fs::remove_file(files.plain(index))
}

/// Answers false when stopped.
fn copy(mut from: &File, to: &Path, stop: &AtomicBool, last_time: LastTime) -> io::Result<bool> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(to)?;
    let extra = Extra { last_time: last_time(from)?, inode: Some(from.metadata()?.ino()) };
    let mut encoder = GzBuilder::new().extra(extra.text()).write(file, Compression::default());
    let mut piece = vec![0; PIECE];
    loop {
        let length = from.read(&mut piece)?;
        if length == 0 {
            break;
        }
        if stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        encoder.write_all(&piece[..length])?;
    }
    encoder.finish().map(|_| true)
}

/// What the extra field of the header says.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Extra {
    /// Of the last record, nanoseconds.
    pub last_time: Option<u64>,
    /// Of the file that was compressed.
    pub inode: Option<u64>,
}

impl Extra {
    fn text(&self) -> Vec<u8> {
        let mut out = b"{".to_vec();
        if let Some(ns) = self.last_time {
            out.extend_from_slice(b"\"lastTime\":\"");
            Stamper::new().push(&mut out, ns);
            out.extend_from_slice(b"\",");
        }
        out.extend_from_slice(format!("\"inode\":{}}}", self.inode.unwrap_or(0)).as_bytes());
        out
    }

    /// Reads the extra field; what it does not say is absent.
    pub fn parse(text: &[u8]) -> Extra {
        let Ok(value) = serde_json::from_slice::<Value>(text) else { return Extra::default() };
        let time = value.get("lastTime").and_then(Value::as_str);
        Extra {
            last_time: time.and_then(|time| Clock::new().any_zone(time.as_bytes())),
            inode: value.get("inode").and_then(Value::as_u64).filter(|inode| *inode != 0),
        }
    }
}
