//! Netlink by hand: messages with attributes, a socket that sends a batch and hears of its fate, and one that reads a
//! table of the kernel's. For the little that the core itself says to the kernel's firewall.

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType};
use nix::sys::time::{TimeVal, TimeValLike};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// The firewall's protocol.
pub const NETFILTER: SockProtocol = SockProtocol::NetlinkNetFilter;
/// The protocol of lists of sockets.
pub const SOCK_DIAG: SockProtocol = SockProtocol::NetlinkSockDiag;

const HEADER: usize = 16;
const NESTED: u16 = 0x8000;
const ERROR: u16 = libc::NLMSG_ERROR as u16;
const DONE: u16 = libc::NLMSG_DONE as u16;

/// A message in the making, or several in a row.
#[derive(Clone, Default, Debug)]
pub struct Message {
    bytes: Vec<u8>,
    start: usize,
    count: u32,
}

impl Message {
    /// Begins a message of a kind.
    pub fn begin(&mut self, kind: u16, flags: u16) {
        self.start = self.bytes.len();
        self.count += 1;
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&flags.to_ne_bytes());
        self.bytes.extend_from_slice(&self.count.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
    }

    /// What was written so far.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Ends it.
    pub fn end(&mut self) {
        let length = (self.bytes.len() - self.start) as u32;
        self.bytes[self.start..self.start + 4].copy_from_slice(&length.to_ne_bytes());
    }

    /// Bytes as they are, padded.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// One attribute.
    pub fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.bytes.extend_from_slice(&((value.len() + 4) as u16).to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.raw(value);
    }

    /// A number in network order.
    pub fn be32(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_be_bytes());
    }

    /// A text that ends with a zero byte.
    pub fn text(&mut self, kind: u16, value: &str) {
        self.attribute(kind, &[value.as_bytes(), &[0]].concat());
    }

    /// An attribute that holds attributes.
    pub fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Message)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        fill(self);
        let length = (self.bytes.len() - start) as u16;
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.bytes[start + 2..start + 4].copy_from_slice(&(kind | NESTED).to_ne_bytes());
    }
}

/// The attributes in `bytes`; stops at the first that is cut short.
pub fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?) as usize;
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?) & 0x3fff;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The value of one attribute.
pub fn find(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(k, _)| *k == kind).map(|(_, value)| value)
}

/// A text among attributes.
pub fn find_text(bytes: &[u8], kind: u16) -> Option<&str> {
    let value = find(bytes, kind)?;
    std::str::from_utf8(value.strip_suffix(&[0]).unwrap_or(value)).ok()
}

/// A number in network order among attributes.
pub fn find_be32(bytes: &[u8], kind: u16) -> Option<u32> {
    find(bytes, kind)?.try_into().ok().map(u32::from_be_bytes)
}

/// A socket to the kernel, of the calling thread's network namespace.
pub struct Socket(OwnedFd);

impl Socket {
    /// Opens it. A kernel that does not answer is given up after some seconds.
    pub fn open(protocol: SockProtocol) -> io::Result<Socket> {
        let socket = socket::socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
        socket::setsockopt(&socket, socket::sockopt::ReceiveTimeout, &TimeVal::seconds(10))?;
        // A larger buffer is welcome, and the default will do.
        let _ = socket::setsockopt(&socket, socket::sockopt::RcvBuf, &(1 << 20));
        Ok(Socket(socket))
    }

    fn send(&self, message: &Message) -> io::Result<()> {
        let kernel = NetlinkAddr::new(0, 0);
        socket::sendto(self.0.as_raw_fd(), &message.bytes, &kernel, MsgFlags::empty())?;
        Ok(())
    }

    fn receive(&self) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match socket::recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
                Ok(length) => {
                    buffer.truncate(length);
                    return Ok(buffer);
                }
            }
        }
    }

    /// Sends messages of which all that want it are acknowledged in turn; the first refusal is the answer.
    pub fn send_batch(&self, batch: &Message) -> io::Result<()> {
        self.send(batch)?;
        let mut awaited = acknowledged(&batch.bytes);
        while awaited > 0 {
            for (kind, body) in messages(&self.receive()?) {
                if kind == ERROR {
                    refusal(body)?;
                    awaited -= 1;
                }
            }
        }
        Ok(())
    }

    /// Asks for a table: kind and body of each message.
    pub fn dump(&self, question: &Message) -> io::Result<Vec<(u16, Vec<u8>)>> {
        self.send(question)?;
        let mut found = Vec::new();
        loop {
            let bytes = self.receive()?;
            for (kind, body) in messages(&bytes) {
                match kind {
                    DONE => return Ok(found),
                    ERROR => {
                        refusal(body)?;
                        return Ok(found);
                    }
                    _ => found.push((kind, body.to_vec())),
                }
            }
        }
    }
}

/// How many of the messages want to be acknowledged.
fn acknowledged(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    let mut count = 0;
    while let Some((length, _, flags)) = header(rest) {
        count += usize::from(flags & libc::NLM_F_ACK as u16 != 0);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    count
}

fn header(bytes: &[u8]) -> Option<(usize, u16, u16)> {
    let length = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let flags = u16::from_ne_bytes(bytes.get(6..8)?.try_into().ok()?);
    (length >= HEADER && length <= bytes.len()).then_some((length, kind, flags))
}

fn messages(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (length, kind, _) = header(rest)?;
        let body = rest.get(HEADER..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, body))
    })
}

fn refusal(body: &[u8]) -> io::Result<()> {
    let number = body.get(..4).and_then(|b| b.try_into().ok()).map_or(-libc::EPROTO, i32::from_ne_bytes);
    if number == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-number)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut message = Message::default();
        message.begin(7, libc::NLM_F_ACK as u16);
        message.text(1, "eth0");
        message.nest(2, |inner| inner.be32(3, 7));
        message.end();
        assert_eq!(acknowledged(&message.bytes), 1);
        let found: Vec<_> = messages(&message.bytes).collect();
        assert_eq!((found.len(), found[0].0), (1, 7));
        assert_eq!(find_text(found[0].1, 1), Some("eth0"));
        assert_eq!(find(found[0].1, 2).and_then(|inner| find_be32(inner, 3)), Some(7));
    }

    #[test]
    fn lying_lengths_end_the_list() {
        for bytes in [&[][..], &[8], &[8, 0, 1, 0, 1, 2], &[2, 0, 1, 0], &[255, 255, 1, 0, 0, 0, 0, 0]] {
            assert_eq!(attributes(bytes).count(), 0, "{bytes:?}");
        }
        assert_eq!(messages(&[255; 40]).count(), 0);
    }
}
