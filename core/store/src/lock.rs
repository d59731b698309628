//! `flock` on a file beside the record: held for a read-modify-write, never while a driver runs.

use crate::{Error, Result};
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// A held lock; dropped, it is released. The kernel releases it when its process dies.
pub struct Lock(File);

impl Lock {
    /// Waits for the exclusive lock on an open file.
    pub(crate) fn on(file: File, path: &Path) -> Result<Lock> {
        file.lock().map_err(Error::io("lock", path))?;
        Ok(Lock(file))
    }

    /// Waits for a lock beside others that share it.
    pub(crate) fn shared(file: File, path: &Path) -> Result<Lock> {
        file.lock_shared().map_err(Error::io("lock", path))?;
        Ok(Lock(file))
    }

    pub(crate) fn file(&self) -> &File {
        &self.0
    }
}

impl Drop for Lock {
    /// Not left to the closing of the file: a process that was cloned meanwhile has it open, too. Should it fail, closing
    /// is all that is left.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// Waits for the exclusive lock on `path`, which is created when missing.
pub fn exclusive(path: &Path) -> Result<Lock> {
    Lock::on(open(path)?, path)
}

/// The exclusive lock on a file that may be removed by whoever has it: `None` when that came first.
pub fn exclusive_if_kept(path: &Path) -> Result<Option<Lock>> {
    let lock = match open(path) {
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => Lock::on(opened?, path)?,
    };
    let own = lock.0.metadata().map_err(Error::io("look at lock", path))?;
    let same = std::fs::metadata(path).is_ok_and(|there| (there.dev(), there.ino()) == (own.dev(), own.ino()));
    Ok(same.then_some(lock))
}

/// The exclusive lock, or `None` when another process has it.
pub fn try_exclusive(path: &Path) -> Result<Option<Lock>> {
    let file = open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(Error::io("lock", path)(error)),
    }
}

fn open(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map_err(Error::io("open lock", path))
}
