//! Path resolution that cannot leave a directory: `openat2(2)` (Linux 5.6).

use crate::{Errno, Result, check_fd};
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

pub const RESOLVE_NO_XDEV: u64 = 0x01;
pub const RESOLVE_NO_MAGICLINKS: u64 = 0x02;
pub const RESOLVE_NO_SYMLINKS: u64 = 0x04;
pub const RESOLVE_BENEATH: u64 = 0x08;
pub const RESOLVE_IN_ROOT: u64 = 0x10;

#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

/// How often an open that a rename or mount elsewhere disturbed is tried again.
const TRIES: u32 = 10_000;

/// Opens `path` below `dir` with `O_*` flags and `RESOLVE_*` rules; `O_CLOEXEC` is always added.
///
/// With a scoped rule a `..` (or a symlink with one) gives `EAGAIN` when anything on the machine was renamed or
/// mounted meanwhile, since the kernel cannot tell whether the walk left the root (openat2(2)): that is tried again.
pub fn openat2(dir: BorrowedFd<'_>, path: &CStr, flags: i32, mode: u32, resolve: u64) -> Result<OwnedFd> {
    let mut tries = 1;
    loop {
        match openat2_once(dir, path, flags, mode, resolve) {
            Err(Errno::EAGAIN) if tries < TRIES => tries += 1,
            done => return done,
        }
    }
}

fn openat2_once(dir: BorrowedFd<'_>, path: &CStr, flags: i32, mode: u32, resolve: u64) -> Result<OwnedFd> {
    let how = OpenHow { flags: (flags | libc::O_CLOEXEC) as u64, mode: u64::from(mode), resolve };
    // SAFETY: `path` is NUL-terminated, `how` is a live struct of the size we state.
    check_fd(unsafe {
        libc::syscall(libc::SYS_openat2, dir.as_raw_fd(), path.as_ptr(), &raw const how, size_of::<OpenHow>())
    })
}

/// Opens `path` as a process whose root is `root` would, except that magic links are refused.
pub fn open_in_root(root: BorrowedFd<'_>, path: &CStr, flags: i32) -> Result<OwnedFd> {
    openat2(root, path, flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
}

/// Whether the working directory lies below this process' root. One that was reached by a leaked descriptor of the host,
/// or through `/proc/self/fd`, does not (CVE-2024-21626).
pub fn cwd_is_reachable() -> Result<bool> {
    let mut buffer = [0u8; 4096];
    // SAFETY: pointer and length describe the live buffer.
    let raw = unsafe { libc::syscall(libc::SYS_getcwd, buffer.as_mut_ptr(), buffer.len()) };
    match crate::check(raw) {
        Ok(_) => Ok(buffer[0] == b'/'),
        // A path too long to be told is one that could be walked.
        Err(Errno::ERANGE | Errno::ENAMETOOLONG) => Ok(true),
        Err(errno) => Err(errno),
    }
}
