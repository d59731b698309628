//! A connection to a server, whatever its kind: takes messages until a deadline, and knows what may not have arrived.

use crate::datagram::Datagrams;
use crate::messages::Messages;
use crate::stream::Stream;
use std::io;
use std::os::fd::AsFd;
use std::time::Instant;

/// How messages are parted.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Framing {
    /// A message begins with its length; otherwise its line feed parts it from the next.
    pub counted: bool,
    /// Longer messages cannot be sent; 0: any length can.
    pub longest: usize,
}

/// Why not everything was sent.
#[derive(Debug)]
pub enum Trouble {
    /// The deadline passed; the connection is good for more.
    Stalled,
    /// The connection is gone.
    Lost(io::Error),
}

/// How much of what was sent last may not have arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Doubt {
    Bytes(usize),
    Messages(usize),
}

impl Doubt {
    /// How much.
    pub fn amount(self) -> usize {
        let (Doubt::Bytes(amount) | Doubt::Messages(amount)) = self;
        amount
    }

    /// How much that would be of all these messages.
    pub fn measure(self, messages: &Messages) -> usize {
        match self {
            Doubt::Bytes(_) => messages.bytes.len(),
            Doubt::Messages(_) => messages.ends.len(),
        }
    }
}

/// See the module.
pub enum Link {
    Datagrams(Datagrams),
    Stream(Stream),
}

impl Link {
    /// How it wants its messages.
    pub fn framing(&self) -> Framing {
        match self {
            Link::Datagrams(link) => Framing { counted: false, longest: link.longest() },
            Link::Stream(link) => Framing { counted: link.is_counted(), longest: 0 },
        }
    }

    /// Sends from a byte on, until the deadline; answers how many bytes it took.
    pub fn send(&mut self, messages: &Messages, from: usize, until: Instant) -> (usize, Result<(), Trouble>) {
        match self {
            Link::Datagrams(link) => link.send(messages, from, until),
            Link::Stream(link) => link.send(&messages.bytes[from..], until),
        }
    }

    /// Hands everything it took to the kernel.
    pub fn flush(&mut self, until: Instant) -> Result<(), Trouble> {
        match self {
            Link::Datagrams(_) => Ok(()),
            Link::Stream(link) => link.flush(until),
        }
    }

    /// Finds out whether the server has gone, as far as this host knows.
    pub fn check(&mut self) -> Result<(), Trouble> {
        match self {
            Link::Datagrams(_) => Ok(()),
            Link::Stream(link) => link.listen().map_err(Trouble::Lost),
        }
    }

    /// What may not have arrived.
    pub fn doubt(&self) -> Doubt {
        match self {
            Link::Datagrams(link) => Doubt::Messages(link.doubt()),
            Link::Stream(link) => Doubt::Bytes(link.doubt()),
        }
    }

    /// True when what has arrived may yet be lost: acknowledged by the server's host, not read by the server.
    pub fn is_remote(&self) -> bool {
        matches!(self, Link::Stream(link) if link.is_remote())
    }

    /// True when the server's host broke the connection off, with words unread.
    pub fn is_broken_off(&self) -> bool {
        matches!(self, Link::Stream(link) if link.is_broken_off())
    }

    /// The connection is made anew because the server refused: it must show that it is there.
    pub fn suspect(&mut self) {
        if let Link::Datagrams(link) = self {
            link.suspect();
        }
    }

    /// Says goodbye.
    pub fn close(self, until: Instant) {
        if let Link::Stream(link) = self {
            link.close(until);
        }
    }
}

/// Waits until a socket can take more.
pub fn wait_for_room(socket: impl AsFd, until: Instant) -> Result<(), Trouble> {
    use rustix::event::PollFlags;
    if poll(socket.as_fd(), PollFlags::OUT, until).map_err(Trouble::Lost)? { Ok(()) } else { Err(Trouble::Stalled) }
}

/// Waits for an event on a socket; false when there was none in time.
pub fn poll(socket: impl AsFd, events: rustix::event::PollFlags, until: Instant) -> io::Result<bool> {
    use rustix::event::{PollFd, Timespec};
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let socket = socket.as_fd();
        match rustix::event::poll(&mut [PollFd::new(&socket, events)], Some(&left)) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}
