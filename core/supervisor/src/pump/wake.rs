//! How sink threads wake the main thread, at most once for each time it asked to be woken.

use nix::sys::eventfd::{EfdFlags, EventFd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// An eventfd that is only written while somebody waits.
pub struct Wake {
    event: EventFd,
    wanted: AtomicBool,
}

impl Wake {
    pub fn new() -> io::Result<Wake> {
        let event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Wake { event, wanted: AtomicBool::new(false) })
    }

    /// From now on [`Wake::wake`] makes the descriptor readable. Look again at what is waited for after this.
    pub fn want(&self) {
        self.wanted.store(true, Ordering::SeqCst);
    }

    /// Something changed.
    pub fn wake(&self) {
        if self.wanted.swap(false, Ordering::SeqCst) {
            let _ = self.event.write(1);
        }
    }

    /// Makes the descriptor unreadable again.
    pub fn clear(&self) {
        let _ = self.event.read();
    }

    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
