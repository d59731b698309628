//! Terminals: their size, and the other side of a master.

use crate::{Result, check_unit};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Tells the kernel the size of the terminal behind `fd`; its foreground group gets SIGWINCH.
pub fn set_size(fd: BorrowedFd<'_>, rows: u16, columns: u16) -> Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCSWINSZ reads one winsize from the live variable we pass.
    check_unit(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) as libc::c_long })
}

/// Rows and columns of the terminal behind `fd`.
pub fn size(fd: BorrowedFd<'_>) -> Result<(u16, u16)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one winsize to the live variable we pass.
    check_unit(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) as libc::c_long })?;
    Ok((size.ws_row, size.ws_col))
}

/// The slave side of a pseudo-terminal whose master was opened from any devpts instance, that of a container included:
/// no path is walked (TIOCGPTPEER, Linux 4.13).
pub fn unlock_and_open_slave(master: BorrowedFd<'_>) -> Result<OwnedFd> {
    let unlocked: libc::c_int = 0;
    // SAFETY: TIOCSPTLCK reads one int from the live variable we pass.
    check_unit(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked) as libc::c_long })?;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: TIOCGPTPEER takes its flags by value and touches no memory of ours.
    let slave = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) };
    check_unit(libc::c_long::from(slave))?;
    // SAFETY: the kernel just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(slave) })
}
