//! Descriptors over unix sockets, and descriptors inherited by number.

use crate::{Result, check};
use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// The most descriptors one message carries (the kernel's SCM_MAX_FD is 253).
pub const MOST_FDS: usize = 250;

/// Sends the parts as one message together with `fds`; never raises SIGPIPE.
pub fn send(socket: BorrowedFd<'_>, parts: &[IoSlice<'_>], fds: &[RawFd], wait: bool) -> Result<usize> {
    let mut flags = MsgFlags::MSG_NOSIGNAL;
    if !wait {
        flags |= MsgFlags::MSG_DONTWAIT;
    }
    let rights = [ControlMessage::ScmRights(fds)];
    let control = if fds.is_empty() { &rights[..0] } else { &rights[..] };
    sendmsg::<()>(socket.as_raw_fd(), parts, control, flags, None)
}

/// Receives one message into `buffer`; zero bytes: the peer is gone. The descriptors are close-on-exec.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8], wait: bool) -> Result<(usize, Vec<OwnedFd>)> {
    let mut flags = MsgFlags::MSG_CMSG_CLOEXEC;
    if !wait {
        flags |= MsgFlags::MSG_DONTWAIT;
    }
    let mut space = nix::cmsg_space!([RawFd; MOST_FDS]);
    let mut parts = [IoSliceMut::new(buffer)];
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
    let mut fds = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = control {
            fds.extend(numbers.into_iter().map(own));
        }
    }
    if message.flags.contains(MsgFlags::MSG_TRUNC) {
        return Err(Errno::EMSGSIZE);
    }
    Ok((message.bytes, fds))
}

/// [`receive`] without room for descriptors: those sent along are closed by the kernel.
pub fn receive_bytes(socket: BorrowedFd<'_>, buffer: &mut [u8], wait: bool) -> Result<usize> {
    let flags = if wait { 0 } else { libc::MSG_DONTWAIT };
    // SAFETY: the buffer is live and writable for its length.
    let got = unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), flags) };
    check(got as libc::c_long).map(|n| n as usize)
}

/// Room for a control message with one descriptor, aligned as the kernel wants it.
type RoomForOne = [u64; 3];

/// [`send`] of at most one descriptor without allocating, for a process that was cloned and may not.
pub fn send_one(socket: BorrowedFd<'_>, bytes: &[u8], fd: Option<BorrowedFd<'_>>) -> Result<()> {
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut room: RoomForOne = [0; 3];
    let mut message = message(&mut part, &mut room);
    match fd {
        Some(fd) => put_one(&message, fd),
        None => message.msg_controllen = 0,
    }
    // SAFETY: the message points to live values of the lengths told.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL) };
    check(sent as libc::c_long).map(drop)
}

/// [`receive`] of at most one descriptor without allocating.
pub fn receive_one(socket: BorrowedFd<'_>, buffer: &mut [u8], wait: bool) -> Result<(usize, Option<OwnedFd>)> {
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut room: RoomForOne = [0; 3];
    let mut message = message(&mut part, &mut room);
    let flags = libc::MSG_CMSG_CLOEXEC | if wait { 0 } else { libc::MSG_DONTWAIT };
    // SAFETY: the message points to live, writable values of the lengths told.
    let got = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
    let got = check(got as libc::c_long)? as usize;
    Ok((got, take_one(&message)))
}

fn message(part: &mut libc::iovec, room: &mut RoomForOne) -> libc::msghdr {
    // SAFETY: msghdr is plain data; zeroes mean no address.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (part, 1);
    (message.msg_control, message.msg_controllen) = (room.as_mut_ptr().cast(), size_of_val(room) as _);
    message
}

fn put_one(message: &libc::msghdr, fd: BorrowedFd<'_>) {
    // SAFETY: the message has room for one header.
    let header = unsafe { libc::CMSG_FIRSTHDR(message) };
    // SAFETY: takes a number.
    let length = unsafe { libc::CMSG_LEN(size_of::<RawFd>() as u32) };
    // SAFETY: the header lies in our room, which is zeroed and so a valid header.
    let written = unsafe { &mut *header };
    (written.cmsg_level, written.cmsg_type) = (libc::SOL_SOCKET, libc::SCM_RIGHTS);
    written.cmsg_len = length as _;
    // SAFETY: the header lies in our room, and so does what is behind it.
    let data = unsafe { libc::CMSG_DATA(header) }.cast::<RawFd>();
    // SAFETY: behind the header there is room for one number.
    unsafe { data.write_unaligned(fd.as_raw_fd()) };
}

fn take_one(message: &libc::msghdr) -> Option<OwnedFd> {
    // SAFETY: the kernel has filled in the message and how long its control part is.
    let header = unsafe { libc::CMSG_FIRSTHDR(message) };
    // SAFETY: null, or a header that the kernel wrote into our room.
    let read = unsafe { header.as_ref() }?;
    let is_one = read.cmsg_level == libc::SOL_SOCKET && read.cmsg_type == libc::SCM_RIGHTS;
    if !is_one {
        return None;
    }
    // SAFETY: the header lies in our room, and so does what is behind it.
    let data = unsafe { libc::CMSG_DATA(header) }.cast::<RawFd>();
    // SAFETY: such a message carries a number, and there was room for no more than one.
    Some(own(unsafe { data.read_unaligned() }))
}

/// Open sockets to the kernel's firewall. Whoever closes the last descriptor of such a socket waits for the RCU grace
/// period of anybody's last deletion (`nft_rcv_nl_event` in the kernel), some 5 ms; a process that has been waited for
/// sends them to one that nobody waits for.
pub fn slow_to_close() -> Vec<RawFd> {
    const ENOUGH: usize = 64;
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else { return Vec::new() };
    let numbers = open.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter(|number| is_to_firewall(*number)).take(ENOUGH).collect()
}

fn is_to_firewall(number: RawFd) -> bool {
    let told = |option| {
        let (mut value, mut length) = (0, size_of::<i32>() as libc::socklen_t);
        // SAFETY: both pointers are to live values of the lengths told; a number that is no socket is answered so.
        let done =
            unsafe { libc::getsockopt(number, libc::SOL_SOCKET, option, (&raw mut value).cast(), &raw mut length) };
        (done == 0).then_some(value)
    };
    told(libc::SO_DOMAIN) == Some(libc::AF_NETLINK) && told(libc::SO_PROTOCOL) == Some(libc::NETLINK_NETFILTER)
}

fn own(number: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just installed this descriptor for us; nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// Takes over a descriptor that this program was started with. Call it once per number, before
/// anything else may have opened it.
pub fn inherited(number: RawFd) -> Result<OwnedFd> {
    // SAFETY: F_SETFD takes an int; an unopened number is answered with EBADF.
    let raw = unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    check(libc::c_long::from(raw))?;
    Ok(own(number))
}

/// Lets `fd` survive an exec under its number.
pub fn keep_over_exec(fd: BorrowedFd<'_>) -> Result<RawFd> {
    // SAFETY: F_SETFD takes an int.
    let raw = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, 0) };
    check(libc::c_long::from(raw))?;
    Ok(fd.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
    use std::os::fd::AsFd;

    #[test]
    fn one_descriptor_travels_or_none() {
        let (here, there) = std::os::unix::net::UnixDatagram::pair().unwrap();
        let (read, write) = std::io::pipe().unwrap();
        send_one(here.as_fd(), b"with", Some(write.as_fd())).unwrap();
        send_one(here.as_fd(), b"without", None).unwrap();
        drop(write);
        let mut buffer = [0; 16];
        let (length, fd) = receive_one(there.as_fd(), &mut buffer, true).unwrap();
        assert_eq!(&buffer[..length], b"with");
        std::io::Write::write_all(&mut std::fs::File::from(fd.unwrap()), b"x").unwrap();
        assert_eq!(std::io::read_to_string(read).unwrap(), "x");
        let (length, fd) = receive_one(there.as_fd(), &mut buffer, true).unwrap();
        assert!(&buffer[..length] == b"without" && fd.is_none());
        assert_eq!(receive_one(there.as_fd(), &mut buffer, false).unwrap_err(), Errno::EAGAIN);
    }

    #[test]
    fn only_sockets_to_the_firewall_are_slow_to_close() {
        let to = |protocol| socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol).unwrap();
        let (firewall, routes) = (to(SockProtocol::NetlinkNetFilter), to(SockProtocol::NetlinkRoute));
        let found = slow_to_close();
        assert!(found.contains(&firewall.as_raw_fd()) && !found.contains(&routes.as_raw_fd()));
    }
}
