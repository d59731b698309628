//! Anonymous files: shared memory between our processes, sealed copies of executables.

use crate::{Result, check_fd, check_unit};
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

const MFD_EXEC: u32 = 0x10;
/// No write, no resize, no further seals.
pub const SEAL_ALL: i32 = libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;

fn create(name: &CStr, flags: u32) -> Result<OwnedFd> {
    // SAFETY: `name` is NUL-terminated and outlives the call.
    check_fd(unsafe { libc::syscall(libc::SYS_memfd_create, name.as_ptr(), flags) })
}

/// A close-on-exec anonymous file that may be sealed.
pub fn memfd_create(name: &CStr) -> Result<OwnedFd> {
    create(name, libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING)
}

/// [`memfd_create`] for a program: asks for the execute bit where the kernel (6.3) knows the flag.
pub fn memfd_create_exec(name: &CStr) -> Result<OwnedFd> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    create(name, flags | MFD_EXEC).or_else(|_| create(name, flags))
}

/// Adds `seals` (`F_SEAL_*`).
pub fn seal(fd: BorrowedFd<'_>, seals: i32) -> Result<()> {
    // SAFETY: F_ADD_SEALS takes an int.
    check_unit(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_ADD_SEALS, seals) as libc::c_long })
}

/// Whether nobody can write to the file any more; only a file in memory has seals.
pub fn is_sealed(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: F_GET_SEALS takes no argument and touches no memory.
    let seals = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GET_SEALS) };
    seals >= 0 && seals & libc::F_SEAL_WRITE != 0
}
