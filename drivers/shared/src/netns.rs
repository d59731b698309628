//! Work in another network namespace without moving the caller there.
//!
//! A short thread enters the namespace; what it opens (sockets) stays bound to it. The calling thread never leaves its
//! own, so that no failure can strand it elsewhere.

use nix::sched::{CloneFlags, setns};
use std::io;
use std::os::fd::BorrowedFd;
use std::thread::{Builder, JoinHandle};

const STACK: usize = 256 * 1024;

/// Runs a closure inside a network namespace.
pub fn within<T: Send>(netns: BorrowedFd<'_>, act: impl FnOnce() -> T + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let enter = move || -> io::Result<T> {
            setns(netns, CloneFlags::CLONE_NEWNET)?;
            Ok(act())
        };
        let thread = Builder::new().stack_size(STACK).spawn_scoped(scope, enter)?;
        thread.join().unwrap_or_else(|_| Err(panicked()))
    })
}

/// Work that goes on in another network namespace while the caller does something else.
pub struct Errand<T>(JoinHandle<io::Result<T>>);

/// Starts work in a network namespace.
pub fn send<T: Send + 'static>(
    netns: BorrowedFd<'_>,
    act: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Errand<T>> {
    let netns = netns.try_clone_to_owned()?;
    let enter = move || -> io::Result<T> {
        setns(netns, CloneFlags::CLONE_NEWNET)?;
        Ok(act())
    };
    Ok(Errand(Builder::new().stack_size(STACK).spawn(enter)?))
}

impl<T> Errand<T> {
    /// Waits for what it brings.
    pub fn join(self) -> io::Result<T> {
        self.0.join().unwrap_or_else(|_| Err(panicked()))
    }
}

fn panicked() -> io::Error {
    io::Error::other("the thread in the namespace panicked")
}
