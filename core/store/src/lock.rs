//! `flock` on a file beside the record: held for a read-modify-write, never while a driver runs.

use crate::{Error, Result};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A held lock; dropped, it is released. The kernel releases it when its process dies.
pub struct Lock(#[allow(dead_code, reason = "held for its drop")] Flock<File>);

/// Waits for the exclusive lock on `path`, which is created when missing.
pub fn exclusive(path: &Path) -> Result<Lock> {
    lock(path, FlockArg::LockExclusive)
}

/// The exclusive lock, or `None` when another process has it.
pub fn try_exclusive(path: &Path) -> Result<Option<Lock>> {
    match lock(path, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

fn lock(path: &Path, arg: FlockArg) -> Result<Lock> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(Error::io("open lock", path))?;
    let locked = Flock::lock(file, arg).map_err(|(_, errno)| Error::io("lock", path)(errno.into()))?;
    Ok(Lock(locked))
}
