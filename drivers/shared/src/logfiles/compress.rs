//! Compressing the file rotated last, in a thread that exists only meanwhile.
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
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Bytes compressed between two looks at the request to stop.
const PIECE: usize = 128 * 1024;

/// The compression under way, if any.
pub struct Compressor {
    host: Host,
    last_time: LastTime,
    running: Option<Running>,
}

/// How the time of a file's last record is found.
type LastTime = fn(&File) -> io::Result<Option<u64>>;

struct Running {
    thread: JoinHandle<()>,
    stop: Arc<AtomicBool>,
}

impl Compressor {
    /// Nothing under way.
    pub fn new<D: Decoder>(host: Host) -> Self {
        Compressor { host, last_time: last_time::<D>, running: None }
    }

    /// Begins to compress `.1`. When no thread can be had the file stays plain, which readers understand.
    pub fn start(&mut self, files: &Files) {
        let (stop, host, files) = (Arc::new(AtomicBool::new(false)), self.host.clone(), files.clone());
        let (seen, last_time) = (Arc::clone(&stop), self.last_time);
        let work = move || {
            if let Err(error) = compress(&files, &seen, last_time) {
                host.warn(&gantry_plugin_api::Error::from(error).to_string());
            }
        };
        match thread::Builder::new().name("log-gzip".into()).stack_size(256 * 1024).spawn(work) {
            Ok(thread) => self.running = Some(Running { thread, stop }),
            Err(error) => self.host.warn(&format!("cannot start thread to compress log: {error}")),
        }
    }

    /// Waits until nothing is under way.
    pub fn wait(&mut self) {
        if let Some(running) = self.running.take() {
            // A panic has been reported by the thread itself; the file stays plain.
            let _ = running.thread.join();
        }
    }

    /// Waits for a while, then stops what is under way; the next `open` begins it anew.
    pub fn wait_or_stop(&mut self, patience: Duration) {
        let deadline = Instant::now() + patience;
        while self.running.as_ref().is_some_and(|running| !running.thread.is_finished()) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(2));
        }
        self.stop();
    }

    fn stop(&mut self) {
        if let Some(running) = &self.running {
            running.stop.store(true, Ordering::Relaxed);
        }
        self.wait();
    }
}

impl Drop for Compressor {
    fn drop(&mut self) {
        self.stop();
    }
}

/// `.1` to `.1.gz`, by way of a temporary file.
fn compress(files: &Files, stop: &AtomicBool, last_time: LastTime) -> Result<()> {
    let plain = files.plain(1);
    let act = || -> io::Result<()> {
        let Some(from) = if_exists(File::open(&plain))? else { return Ok(()) };
        if copy(&from, &files.unfinished(), stop, last_time)? {
            fs::rename(files.unfinished(), files.compressed(1))?;
            return fs::remove_file(&plain);
        }
        remove(&files.unfinished())
    };
    act().inspect_err(|_| _ = remove(&files.unfinished())).context(LogFileError::compress, &plain)
}

/// Answers false when stopped.
fn copy(mut from: &File, to: &std::path::Path, stop: &AtomicBool, last_time: LastTime) -> io::Result<bool> {
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
