//! A synchronous netlink socket: several requests in one send, their answers in one go.
//!
//! The kernel handles netlink requests while `sendmsg` runs, so all answers lie in the socket's queue when it returns:
//! nothing here ever waits for an answer. Only the last request of a batch asks for an acknowledgement; refusals of the
//! others are sent by the kernel in any case, and come before it.

use crate::attributes::{Buffer, find_text};
use netlink_packet_core::Emitable;
use netlink_packet_route::RouteNetlinkMessage;
use std::borrow::Cow;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

const HEADER: usize = 16;
const ERROR: u16 = libc::NLMSG_ERROR as u16;
const DONE: u16 = libc::NLMSG_DONE as u16;
const ACK: u16 = libc::NLM_F_ACK as u16;
const DUMP: u16 = libc::NLM_F_DUMP as u16;
const REQUEST: u16 = libc::NLM_F_REQUEST as u16;
const MULTI: u16 = libc::NLM_F_MULTI as u16;
const INTERRUPTED: u16 = libc::NLM_F_DUMP_INTR as u16;
/// The kernel fills a dump's parts up to the reader's buffer, but not beyond this.
const RECEIVE: usize = 32 * 1024;
/// A dump that others keep changing is asked again this often.
const DUMP_TRIES: u32 = 8;

/// What a socket speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// Links, addresses, routes, neighbours.
    Route,
    /// nf_tables.
    Netfilter,
}

/// Why a netlink act failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No socket.
    #[error("cannot open a {protocol:?} netlink socket")]
    Open {
        /// What it was to speak.
        protocol: Protocol,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The batch did not reach the kernel.
    #[error("cannot {act}: sending to the kernel failed")]
    Send {
        /// The first act of the batch.
        act: String,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The answers could not be read.
    #[error("cannot {act}: reading the kernel's answer failed")]
    Receive {
        /// The first act of the batch.
        act: String,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The kernel said no.
    #[error("cannot {act}{}", explained(.detail))]
    Refused {
        /// The act refused.
        act: String,
        /// What the kernel added in words; may be empty.
        detail: String,
        /// The error number.
        source: io::Error,
    },
    /// The kernel kept silent.
    #[error("cannot {act}: the kernel did not answer")]
    Silent {
        /// The act.
        act: String,
    },
    /// Others changed what was being listed, again and again.
    #[error("cannot {act}: it changes too quickly")]
    Unsteady {
        /// The act.
        act: String,
    },
}

fn explained(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(" ({detail})") }
}

impl Error {
    /// The kernel's error number, when it gave one.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Error::Open { source, .. }
            | Error::Send { source, .. }
            | Error::Receive { source, .. }
            | Error::Refused { source, .. } => source.raw_os_error(),
            Error::Silent { .. } | Error::Unsteady { .. } => None,
        }
    }
}

/// A netlink result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

struct Message {
    start: usize,
    act: Cow<'static, str>,
    tolerated: i32,
}

/// Requests that travel together. Each is named after its act, for errors: `cannot <act>`.
#[derive(Default)]
pub struct Batch {
    buffer: Buffer,
    messages: Vec<Message>,
}

impl Batch {
    /// One request: kind, flags beyond `NLM_F_REQUEST`, and what follows the header.
    pub fn request(
        &mut self,
        act: impl Into<Cow<'static, str>>,
        kind: u16,
        flags: u16,
        fill: impl FnOnce(&mut Buffer),
    ) {
        let start = self.buffer.len();
        self.buffer.raw(&[0; HEADER]);
        fill(&mut self.buffer);
        let length = (self.buffer.len() - start) as u32;
        self.buffer.overwrite(start, &length.to_ne_bytes());
        self.buffer.overwrite(start + 4, &kind.to_ne_bytes());
        self.buffer.overwrite(start + 6, &(flags | REQUEST).to_ne_bytes());
        self.messages.push(Message { start, act: act.into(), tolerated: 0 });
    }

    /// One routing request; `flags` as `NLM_F_CREATE | NLM_F_EXCL`.
    pub fn route(&mut self, act: impl Into<Cow<'static, str>>, message: &RouteNetlinkMessage, flags: i32) {
        let mut body = vec![0; message.buffer_len()];
        message.emit(&mut body);
        self.request(act, message.message_type(), flags as u16, |buffer| buffer.raw(&body));
    }

    /// The last request may fail with this error number.
    pub fn tolerate(&mut self, errno: i32) {
        if let Some(last) = self.messages.last_mut() {
            last.tolerated = errno;
        }
    }

    /// Asks for an acknowledgement of the last request.
    pub(crate) fn acknowledge_last(&mut self) {
        let Some(last) = self.messages.last() else { return };
        let at = last.start + 6;
        let flags = u16::from_ne_bytes([self.buffer.bytes()[at], self.buffer.bytes()[at + 1]]);
        self.buffer.overwrite(at, &(flags | ACK).to_ne_bytes());
    }

    fn acknowledged(&self) -> usize {
        let flagged = |m: &Message| self.buffer.bytes()[m.start + 6] & ACK as u8 != 0;
        self.messages.iter().rposition(flagged).unwrap_or(0)
    }

    /// True when there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    fn number(&mut self, first: u32) {
        for (index, message) in self.messages.iter().enumerate() {
            self.buffer.overwrite(message.start + 8, &first.wrapping_add(index as u32).to_ne_bytes());
        }
    }

    fn act(&self) -> String {
        self.messages.first().map(|m| m.act.to_string()).unwrap_or_default()
    }
}

/// One message the kernel answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its kind.
    pub kind: u16,
    /// What followed the header.
    pub body: Vec<u8>,
}

/// A netlink socket. It speaks to the network namespace in which it was opened, wherever its user is.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    next: u32,
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Socket {
    /// Opens a socket in the calling thread's network namespace.
    pub fn open(protocol: Protocol) -> Result<Socket> {
        let number = match protocol {
            Protocol::Route => libc::NETLINK_ROUTE,
            Protocol::Netfilter => libc::NETLINK_NETFILTER,
        };
        // SAFETY: socket(2) takes three numbers and no memory.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, number) };
        if fd < 0 {
            return Err(Error::Open { protocol, source: io::Error::last_os_error() });
        }
        // SAFETY: the descriptor was made two lines above and has no other owner.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let socket = Socket { fd, next: 1 };
        // Both only make answers shorter and clearer: a kernel without them is served as well.
        socket.set(libc::SOL_NETLINK, libc::NETLINK_EXT_ACK, 1);
        socket.set(libc::SOL_NETLINK, libc::NETLINK_CAP_ACK, 1);
        Ok(socket)
    }

    /// Sends a batch. The error is that of the first request refused; the others of a routing batch are done all the
    /// same, those of an nf_tables transaction are not.
    pub fn send(&mut self, mut batch: Batch) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        if batch.messages.iter().all(|m| batch.buffer.bytes()[m.start + 6] & ACK as u8 == 0) {
            batch.acknowledge_last();
        }
        let first = self.transmit(&mut batch)?;
        self.collect(&batch, first)
    }

    /// One question with one answer.
    pub fn ask(&mut self, act: &'static str, kind: u16, flags: u16, fill: impl FnOnce(&mut Buffer)) -> Result<Answer> {
        let mut batch = Batch::default();
        batch.request(act, kind, flags, fill);
        let first = self.transmit(&mut batch)?;
        let mut found = None;
        self.answers(&batch, first, |answer| found = Some(answer), |_| {})?;
        found.ok_or_else(|| Error::Silent { act: act.into() })
    }

    /// All objects of a kind.
    pub fn dump(&mut self, act: &'static str, kind: u16, fill: impl Fn(&mut Buffer)) -> Result<Vec<Answer>> {
        for _ in 0..DUMP_TRIES {
            let mut batch = Batch::default();
            batch.request(act, kind, DUMP, &fill);
            let first = self.transmit(&mut batch)?;
            let (mut found, mut steady) = (Vec::new(), true);
            self.answers(&batch, first, |answer| found.push(answer), |flags| steady &= flags & INTERRUPTED == 0)?;
            if steady {
                return Ok(found);
            }
        }
        Err(Error::Unsteady { act: act.into() })
    }

    fn transmit(&mut self, batch: &mut Batch) -> Result<u32> {
        let first = self.next;
        self.next = self.next.wrapping_add(batch.messages.len() as u32);
        batch.number(first);
        let bytes = batch.buffer.bytes();
        self.make_room(bytes.len());
        loop {
            // SAFETY: pointer and length describe a live slice.
            let sent = unsafe { libc::send(self.fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0) };
            if sent >= 0 {
                return Ok(first);
            }
            let source = io::Error::last_os_error();
            if source.kind() != io::ErrorKind::Interrupted {
                return Err(Error::Send { act: batch.act(), source });
            }
        }
    }

    /// The kernel refuses a message larger than the send buffer; its default is 208 KiB.
    fn make_room(&self, length: usize) {
        if length > 128 * 1024 {
            self.set(libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, (length * 2) as i32);
            self.set(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, (length * 2) as i32);
        }
    }

    fn collect(&mut self, batch: &Batch, first: u32) -> Result<()> {
        let last = batch.acknowledged();
        let (mut refused, mut acknowledged) = (None, false);
        while !acknowledged && let Some(bytes) = self.receive(batch)? {
            for (header, body) in messages(&bytes) {
                let index = header.sequence.wrapping_sub(first) as usize;
                if header.kind != ERROR || index >= batch.messages.len() {
                    continue;
                }
                acknowledged |= index == last;
                refused = refused.or_else(|| refusal(&batch.messages[index], header.flags, body));
            }
        }
        match refused {
            Some(error) => Err(error),
            None if acknowledged => Ok(()),
            None => Err(Error::Silent { act: batch.act() }),
        }
    }

    fn answers(
        &mut self,
        batch: &Batch,
        first: u32,
        mut take: impl FnMut(Answer),
        mut note: impl FnMut(u16),
    ) -> Result<()> {
        let (mut failed, mut ended) = (None, false);
        while !ended && let Some(bytes) = self.receive(batch)? {
            for (header, body) in messages(&bytes).filter(|(h, _)| h.sequence == first) {
                note(header.flags);
                ended |= header.flags & MULTI == 0 || matches!(header.kind, ERROR | DONE);
                match header.kind {
                    ERROR => failed = failed.or_else(|| refusal(&batch.messages[0], header.flags, body)),
                    DONE => {}
                    kind => take(Answer { kind, body: body.to_vec() }),
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// What lies in the queue; `None` when it is empty.
    fn receive(&self, batch: &Batch) -> Result<Option<Vec<u8>>> {
        let mut bytes = Vec::<u8>::with_capacity(RECEIVE);
        loop {
            let into = bytes.as_mut_ptr().cast();
            // SAFETY: the vector owns RECEIVE bytes of memory from this pointer on.
            let got = unsafe { libc::recv(self.fd.as_raw_fd(), into, RECEIVE, libc::MSG_DONTWAIT) };
            if got >= 0 {
                // SAFETY: the kernel wrote that many bytes, at most RECEIVE.
                unsafe { bytes.set_len(got as usize) };
                return Ok(Some(bytes));
            }
            let source = io::Error::last_os_error();
            match source.kind() {
                io::ErrorKind::WouldBlock => return Ok(None),
                io::ErrorKind::Interrupted => {}
                _ => return Err(Error::Receive { act: batch.act(), source }),
            }
        }
    }

    fn set(&self, level: i32, option: i32, value: i32) {
        let (fd, at) = (self.fd.as_raw_fd(), (&raw const value).cast());
        // SAFETY: the pointer is to a live i32 and the length is its own.
        unsafe { libc::setsockopt(fd, level, option, at, size_of::<i32>() as u32) };
    }
}

struct Header {
    kind: u16,
    flags: u16,
    sequence: u32,
}

/// The messages of one datagram; stops at the first that is cut short.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (Header, &[u8])> {
    std::iter::from_fn(move || {
        let number = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let short = |at: usize| Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        let length = number(0)? as usize;
        let header = Header { kind: short(4)?, flags: short(6)?, sequence: number(8)? };
        let body = bytes.get(HEADER..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((header, body))
    })
}

/// The error in an answer of kind `NLMSG_ERROR`; `None` for an acknowledgement and for what is tolerated.
fn refusal(message: &Message, flags: u16, body: &[u8]) -> Option<Error> {
    let code = i32::from_ne_bytes(body.get(..4)?.try_into().ok()?).wrapping_neg();
    if code == 0 || code == message.tolerated {
        return None;
    }
    let detail = detail(flags, body).unwrap_or_default().to_owned();
    Some(Error::Refused { act: message.act.to_string(), detail, source: io::Error::from_raw_os_error(code) })
}

/// The kernel's words, which follow the (capped) request it echoes.
fn detail(flags: u16, body: &[u8]) -> Option<&str> {
    const CAPPED: u16 = 0x100;
    const HAS_ATTRIBUTES: u16 = 0x200;
    const TEXT: u16 = 1;
    if flags & HAS_ATTRIBUTES == 0 {
        return None;
    }
    let echoed = u32::from_ne_bytes(body.get(4..8)?.try_into().ok()?) as usize;
    let skip = if flags & CAPPED != 0 { HEADER } else { echoed.next_multiple_of(4) };
    find_text(body.get(4 + skip..)?, TEXT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_route::link::LinkMessage;

    const RTM_GETLINK: u16 = 18;

    fn named(name: &str) -> impl Fn(&mut Buffer) {
        let name = name.to_owned();
        move |buffer| {
            buffer.raw(&[0; 16]);
            buffer.text(3, &name);
        }
    }

    #[test]
    fn asks_for_the_loopback_and_lists_it() {
        let mut socket = Socket::open(Protocol::Route).expect("a socket");
        let answer = socket.ask("ask for lo", RTM_GETLINK, 0, named("lo")).expect("an answer");
        assert_eq!(find_text(&answer.body[16..], 3), Some("lo"));
        let links = socket.dump("list links", RTM_GETLINK, |b| b.raw(&[0; 16])).expect("a list");
        assert!(links.iter().any(|l| find_text(&l.body[16..], 3) == Some("lo")));
    }

    #[test]
    fn a_refusal_names_the_act_and_the_number() {
        let mut socket = Socket::open(Protocol::Route).expect("a socket");
        let error = socket.ask("find it", RTM_GETLINK, 0, named("no-such-link")).expect_err("none");
        assert_eq!(error.errno(), Some(libc::ENODEV));
        assert!(error.to_string().starts_with("cannot find it"), "{error}");
    }

    #[test]
    fn the_first_refusal_of_a_batch_wins_and_tolerated_ones_do_not_count() {
        let mut socket = Socket::open(Protocol::Route).expect("a socket");
        let mut missing = LinkMessage::default();
        missing.header.index = 0x7fff_0000;
        let missing = RouteNetlinkMessage::DelLink(missing);
        let mut batch = Batch::default();
        batch.route("delete the first", &missing, 0);
        batch.tolerate(libc::ENODEV);
        batch.route("delete the second", &missing, 0);
        batch.route("delete the third", &missing, 0);
        let error = socket.send(batch).expect_err("nothing there, or not permitted");
        if error.errno() == Some(libc::EPERM) {
            eprintln!("skipped: needs root to delete links");
            return;
        }
        assert!(error.to_string().contains("delete the second"), "{error}");
    }

    #[test]
    fn cut_datagrams_are_no_messages() {
        assert_eq!(messages(&[1, 2, 3]).count(), 0);
        assert_eq!(messages(&[200, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]).count(), 0);
    }
}
