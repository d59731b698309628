//! What the kernel knows about a socket and no safe wrapper asks for.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Bytes given to a socket that its peer has not taken: for a stream over the network those not acknowledged, for a
/// socket of this host those not read, each with the kernel's own bookkeeping. 0 when unknown.
pub fn unread_by_peer(socket: impl AsFd) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open for the length of the borrow, and the request writes one `int` behind the pointer.
    let result = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if result == 0 { usize::try_from(bytes).unwrap_or_default() } else { 0 }
}

/// Sends in a row without an answer after which a peer counts as gone.
const UNANSWERED: u8 = 6;

/// True when a peer no longer acknowledges anything, as opposed to one that answers but takes no more.
pub fn is_silent(socket: impl AsFd) -> io::Result<bool> {
    let info = tcp_info(socket)?;
    Ok(info.tcpi_retransmits >= UNANSWERED || info.tcpi_probes >= UNANSWERED)
}

/// `TCP_CLOSE` of the kernel's `net/tcp_states.h`.
const CLOSED: u8 = 7;

/// True when the connection is no more, though this side has not ended it: the peer broke it off, which its kernel does
/// when a program leaves words unread. A peer that ends it in order leaves it half open.
pub fn is_broken_off(socket: impl AsFd) -> bool {
    tcp_info(socket).is_ok_and(|info| info.tcpi_state == CLOSED)
}

fn tcp_info(socket: impl AsFd) -> io::Result<libc::tcp_info> {
    // SAFETY: all zeros is a valid `tcp_info`, which has numbers only.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut size = size_of::<libc::tcp_info>() as libc::socklen_t;
    let (fd, place) = (socket.as_fd().as_raw_fd(), (&raw mut info).cast());
    // SAFETY: the descriptor is open for the length of the borrow; the kernel writes at most `size` bytes, which are
    // those of `info`.
    let result = unsafe { libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, place, &raw mut size) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(info)
}
