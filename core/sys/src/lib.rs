//! Safe wrappers of the Linux system calls that `nix` does not offer.
//!
//! Every function is a thin, allocation-free door to one system call, so that
//! it may be used between `clone` and `exec`. Policy lives elsewhere: nothing
//! here logs or decides, and only `path::openat2` retries. All of them answer
//! `nix`'s `Errno`.

pub mod bpf;
pub mod crash;
pub mod cred;
pub mod fanotify;
pub mod label;
pub mod limits;
pub mod loop_device;
pub mod memfd;
pub mod memory;
pub mod mount;
pub mod netlink;
pub mod packet;
pub mod passing;
pub mod path;
pub mod pidfd;
pub mod pipe;
pub mod proc;
pub mod process;
pub mod protect;
pub mod sched;
pub mod seccomp;
pub mod signal;
pub mod start;
pub mod tty;
pub mod userns;
pub mod witness;
pub mod writeback;

pub use nix::errno::Errno;

/// What every wrapper returns.
pub type Result<T> = std::result::Result<T, Errno>;

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Turns the raw result of `syscall(2)` into a value or the `errno` it left.
fn check(raw: libc::c_long) -> Result<libc::c_long> {
    if raw == -1 { Err(Errno::last()) } else { Ok(raw) }
}

/// Like [`check`], for calls whose value says nothing.
fn check_unit(raw: libc::c_long) -> Result<()> {
    check(raw).map(drop)
}

/// Like [`check`], for calls that return a new descriptor.
fn check_fd(raw: libc::c_long) -> Result<OwnedFd> {
    let fd = check(raw)? as RawFd;
    // SAFETY: the kernel has just made this descriptor for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
