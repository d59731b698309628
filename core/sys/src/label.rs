//! Labels of security modules on files.

use crate::{Result, check_unit};
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Gives an open file SELinux's label.
pub fn set(fd: BorrowedFd<'_>, label: &CStr) -> Result<()> {
    let (name, value) = (c"security.selinux".as_ptr(), label.to_bytes());
    // SAFETY: the name is NUL-terminated; pointer and length describe the live value.
    check_unit(unsafe { libc::syscall(libc::SYS_fsetxattr, fd.as_raw_fd(), name, value.as_ptr(), value.len(), 0) })
}
