//! The size of a terminal.

use crate::{Result, check_unit};
use std::os::fd::{AsRawFd, BorrowedFd};

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
