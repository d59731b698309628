//! Work in another network namespace without moving the caller there.
//!
//! A short thread enters the namespace; what it opens (sockets) stays bound to it. The calling thread never leaves its
//! own, so that no failure can strand it elsewhere.

use crate::netlink::{self, Protocol, Socket};
use nix::sched::{CloneFlags, setns};
use std::io;
use std::os::fd::BorrowedFd;

/// Runs a closure inside a network namespace.
pub fn within<T: Send>(netns: BorrowedFd<'_>, act: impl FnOnce() -> T + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let enter = move || -> io::Result<T> {
            setns(netns, CloneFlags::CLONE_NEWNET)?;
            Ok(act())
        };
        let thread = std::thread::Builder::new().stack_size(256 * 1024).spawn_scoped(scope, enter)?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread in the namespace panicked")))
    })
}

/// Opens a netlink socket that speaks to another namespace.
pub fn socket(netns: BorrowedFd<'_>, protocol: Protocol) -> netlink::Result<Socket> {
    within(netns, || Socket::open(protocol)).map_err(|source| netlink::Error::Open { protocol, source })?
}
