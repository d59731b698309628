//! Small files that are replaced as a whole, the locks of writers, and unique names for what is unfinished.
//!
//! A record is written beside its place, synced, renamed, and its directory synced: a reader sees the old or
//! the new text, never a part. Names that begin with a dot are unfinished and belong to nobody.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::path::Arg;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// The schema number of all records of this crate.
pub(crate) const SCHEMA: u32 = 1;

/// Creates a directory and its parents, for the owner alone unless others need to pass through.
pub(crate) fn create_dir(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let made = fs::DirBuilder::new().recursive(true).mode(0o711).create(path);
    made.map_err(Error::io("create the directory", path))
}

/// How often an open that a rename or mount elsewhere disturbed is tried again.
const TRIES: u32 = 10_000;

/// Opens what a path names without leaving `dir`.
///
/// A walk over `..` gives `EAGAIN` when anything on the machine was renamed or mounted meanwhile (openat2(2)):
/// that is tried again.
pub(crate) fn open_scoped<P: Arg + Copy>(
    dir: &OwnedFd,
    path: P,
    flags: OFlags,
    scope: ResolveFlags,
) -> rustix::io::Result<OwnedFd> {
    let resolve = scope | ResolveFlags::NO_MAGICLINKS;
    let mut tries = 1;
    loop {
        match rustix::fs::openat2(dir, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN) if tries < TRIES => tries += 1,
            done => return done,
        }
    }
}

/// Makes a rename or a removal in this directory durable.
pub(crate) fn sync_dir(path: &Path) -> Result<()> {
    let dir = File::open(path).map_err(Error::io("open the directory", path))?;
    dir.sync_all().map_err(Error::io("sync the directory", path))
}

/// How many files a directory has, and their bytes; none if it is not there.
pub(crate) fn space(dir: &Path) -> Result<(usize, u64)> {
    let (mut count, mut bytes) = (0, 0);
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok((0, 0)),
        entries => entries.map_err(Error::io("list", dir))?,
    };
    for entry in entries.flatten() {
        let Ok(meta) = entry.metadata() else { continue };
        (count, bytes) = (count + 1, bytes + meta.len());
    }
    Ok((count, bytes))
}

/// A name that no other process or thread uses now.
pub(crate) fn unique_name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let now = jiff::Timestamp::now().as_nanosecond();
    format!("{}-{now:x}-{count}", std::process::id())
}

/// The present time as records keep it.
pub(crate) fn now() -> String {
    format!("{:.9}", jiff::Timestamp::now())
}

/// The host's present boot.
pub(crate) fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Replaces `path` by the JSON of `value`.
pub(crate) fn write_record<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let text = serde_json::to_vec(value).map_err(|source| Error::Record { path: path.to_owned(), source })?;
    let dir = path.parent().unwrap_or(Path::new("."));
    let temporary = dir.join(format!(".{}", unique_name()));
    let written = write_new(&temporary, &text).and_then(|()| rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.and_then(|()| sync_dir(dir))
}

fn write_new(path: &Path, text: &[u8]) -> Result<()> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = opened.map_err(Error::io("create", path))?;
    file.write_all(text).map_err(Error::io("write", path))?;
    file.sync_all().map_err(Error::io("sync", path))
}

pub(crate) fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(Error::io("rename to", to))
}

/// Removes a file; that it is gone already is no error.
pub(crate) fn remove(path: &Path) -> Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("remove", path)(error)),
    }
}

#[derive(serde::Deserialize)]
struct Versioned {
    schema: u32,
}

/// Reads a record; `None` if there is none.
pub(crate) fn read_record<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("read", path)(error)),
    };
    let broken = |source| Error::Record { path: path.to_owned(), source };
    let parsed = serde_json::from_slice(&text);
    if parsed.is_ok() {
        return parsed.map(Some).map_err(broken);
    }
    let versioned: Versioned = serde_json::from_slice(&text).map_err(broken)?;
    if versioned.schema > SCHEMA {
        return Err(Error::NewerRecord { path: path.to_owned(), found: versioned.schema, known: SCHEMA });
    }
    parsed.map(Some).map_err(broken)
}

/// The names in a directory, sorted; none if it does not exist. Unfinished ones are included.
pub(crate) fn names(dir: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("list", dir)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::io("list", dir))?;
        names.extend(entry.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}

/// Reads at most `limit` bytes, and fails beyond.
pub(crate) fn read_limited(reader: impl Read, what: &str, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit + 1).read_to_end(&mut bytes).map_err(Error::io("read", what))?;
    if bytes.len() as u64 > limit {
        return Err(Error::Limit { what: format!("the size of {what}"), limit });
    }
    Ok(bytes)
}

/// A lock on a file, released when dropped or when the process dies.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Waits until nobody else holds the lock.
    pub(crate) fn exclusive(path: &Path) -> Result<Self> {
        let lock = Self::open(path)?;
        lock.file.lock().map_err(Error::io("lock", path))?;
        Ok(lock)
    }

    /// Waits until nobody holds the lock exclusively.
    pub(crate) fn shared(path: &Path) -> Result<Self> {
        let lock = Self::open(path)?;
        lock.file.lock_shared().map_err(Error::io("lock", path))?;
        Ok(lock)
    }

    /// Takes the lock if nobody else has it.
    pub(crate) fn try_exclusive(path: &Path) -> Result<Option<Self>> {
        let lock = Self::open(path)?;
        match lock.file.try_lock() {
            Ok(()) => Ok(Some(lock)),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(Error::io("lock", path)(error)),
        }
    }

    fn is_current(&self) -> bool {
        let (Ok(held), Ok(named)) = (self.file.metadata(), fs::metadata(&self.path)) else {
            return false;
        };
        held.ino() == named.ino() && held.dev() == named.dev()
    }

    fn open(path: &Path) -> Result<Self> {
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let file = opened.map_err(Error::io("open the lock", path))?;
        Ok(Self { file, path: path.to_owned() })
    }
}

/// A lock whose file goes with it, however the work ends; the file is removed while the lock is held.
#[derive(Debug)]
pub(crate) struct PassingLock(Lock);

impl PassingLock {
    /// Waits until nobody else holds the lock. What was locked must still be there afterwards.
    pub(crate) fn take(path: &Path) -> Result<Self> {
        loop {
            let lock = Lock::exclusive(path)?;
            if lock.is_current() {
                return Ok(Self(lock));
            }
        }
    }
}

impl Drop for PassingLock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0.path);
    }
}
