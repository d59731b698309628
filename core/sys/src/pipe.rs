//! Moving bytes between pipes without copying them through user space.

use crate::{Result, check};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

/// Moves up to `length` bytes; at least one side is a pipe. `flags` are `SPLICE_F_*`.
pub fn splice(from: BorrowedFd<'_>, to: BorrowedFd<'_>, length: usize, flags: u32) -> Result<usize> {
    let none = ptr::null_mut::<libc::loff_t>();
    // SAFETY: null offsets mean "use the file position"; no other memory is passed.
    let moved =
        check(unsafe { libc::splice(from.as_raw_fd(), none, to.as_raw_fd(), none, length, flags) as libc::c_long })?;
    Ok(moved as usize)
}

/// Duplicates up to `length` bytes of one pipe into another without consuming them.
pub fn tee(from: BorrowedFd<'_>, to: BorrowedFd<'_>, length: usize, flags: u32) -> Result<usize> {
    // SAFETY: two descriptors and two integers, no memory is passed.
    let copied = check(unsafe { libc::tee(from.as_raw_fd(), to.as_raw_fd(), length, flags) as libc::c_long })?;
    Ok(copied as usize)
}

/// Copies (never gifts) `bytes` into a pipe.
pub fn vmsplice(pipe: BorrowedFd<'_>, bytes: &[u8], flags: u32) -> Result<usize> {
    let vector = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let flags = flags & !libc::SPLICE_F_GIFT;
    // SAFETY: the vector describes `bytes`, which the kernel only reads.
    let moved = check(unsafe { libc::vmsplice(pipe.as_raw_fd(), &raw const vector, 1, flags) as libc::c_long })?;
    Ok(moved as usize)
}

/// How many bytes wait in a pipe, FIFO, socket or terminal.
pub fn fionread(fd: BorrowedFd<'_>) -> Result<usize> {
    let mut waiting: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int to the live variable we pass.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &raw mut waiting) as libc::c_long })?;
    Ok(waiting.max(0) as usize)
}

/// How many bytes the other end of a socket has not yet read (unix) or confirmed (TCP); for unix sockets with what the
/// kernel needs to keep them.
pub fn unread(socket: BorrowedFd<'_>) -> Result<usize> {
    let mut waiting: libc::c_int = 0;
    // SAFETY: SIOCOUTQ, which has TIOCOUTQ's number, writes one int to the live variable we pass.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut waiting) as libc::c_long })?;
    Ok(waiting.max(0) as usize)
}

/// Asks for a pipe capacity of `bytes`; answers what it became.
pub fn set_pipe_size(pipe: BorrowedFd<'_>, bytes: i32) -> Result<usize> {
    // SAFETY: F_SETPIPE_SZ takes an int.
    let size = check(unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETPIPE_SZ, bytes) as libc::c_long })?;
    Ok(size as usize)
}
