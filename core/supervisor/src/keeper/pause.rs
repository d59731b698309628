//! The process that holds an ordinary user's namespaces while they are needed: `pause STATE`.
//!
//! Commands and keepers share a lock for as long as they live; this process waits for it alone. Who enters the namespaces
//! holds another lock meanwhile, so nobody finds this process about to leave.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const USERS: &str = "users.lock";
const ENTERING: &str = "entering.lock";
const NOTE: &str = "pause";

/// Returns when nobody needs the namespaces any more.
pub fn run(state: &Path) -> io::Result<()> {
    let (users, entering) = (open(&state.join(USERS))?, open(&state.join(ENTERING))?);
    loop {
        // Whoever made this process enters first.
        entering.lock()?;
        entering.unlock()?;
        users.lock()?;
        users.unlock()?;
        entering.lock()?;
        match users.try_lock() {
            Ok(()) => return std::fs::remove_file(state.join(NOTE)),
            Err(TryLockError::WouldBlock) => entering.unlock()?,
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// Shares the lock of those who need the namespaces, where there is one: `None` on the machine's own.
pub fn hold(container: &Path) -> Option<File> {
    let state = container.parent()?.parent()?;
    if !gantry_sys::userns::is_inner() {
        return None;
    }
    let users = File::open(state.join(USERS)).ok()?;
    users.lock_shared().ok()?;
    Some(users)
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}
