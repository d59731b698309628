//! A stream of messages: over TCP, TCP with TLS, or to a socket of this host.

use crate::link::{Trouble, poll, wait_for_room};
use crate::sys;
use crate::tls::Session;
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown};
use std::io::{self, Read};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Instant;

/// Times a server that talks is listened to before work goes on.
const MOST_TALK: usize = 64;

/// A connected stream.
pub struct Stream {
    socket: OwnedFd,
    over_tcp: bool,
    counted: bool,
    session: Option<Box<Session>>,
    /// Bytes that were not read when it was looked at last.
    unread: usize,
}

impl Stream {
    /// Over a socket that is connected and does not block.
    pub fn new(socket: OwnedFd, over_tcp: bool) -> Stream {
        Stream { socket, over_tcp, counted: false, session: None, unread: 0 }
    }

    /// Over a socket of this kind on which a session was agreed.
    pub fn encrypted(socket: OwnedFd, session: Session, counted: bool) -> Stream {
        Stream { counted, session: Some(Box::new(session)), ..Stream::new(socket, true) }
    }

    /// Messages are preceded by their length.
    pub fn is_counted(&self) -> bool {
        self.counted
    }

    /// It leads to another host, or could.
    pub fn is_remote(&self) -> bool {
        self.over_tcp
    }

    /// See [`crate::link::Link::is_broken_off`].
    pub fn is_broken_off(&self) -> bool {
        self.over_tcp && sys::is_broken_off(&self.socket)
    }

    /// See [`crate::link::Link::send`].
    pub fn send(&mut self, bytes: &[u8], until: Instant) -> (usize, Result<(), Trouble>) {
        let (taken, outcome) = match &mut self.session {
            None => send(&self.socket, bytes, until),
            Some(session) => session.send(&self.socket, bytes, until),
        };
        let outcome = outcome.map_err(|trouble| self.judged(trouble));
        if outcome.is_ok() || self.over_tcp {
            self.unread = sys::unread_by_peer(&self.socket);
        }
        (taken, outcome)
    }

    /// See [`crate::link::Link::flush`].
    pub fn flush(&mut self, until: Instant) -> Result<(), Trouble> {
        let Some(session) = &mut self.session else { return Ok(()) };
        let outcome = session.flush(&self.socket, until);
        outcome.map_err(|trouble| self.judged(trouble))
    }

    /// A server that acknowledges nothing is as good as gone; one that is slow is not.
    fn judged(&self, trouble: Trouble) -> Trouble {
        match trouble {
            Trouble::Stalled if self.over_tcp && sys::is_silent(&self.socket).unwrap_or(false) => {
                Trouble::Lost(io::ErrorKind::TimedOut.into())
            }
            other => other,
        }
    }

    /// Hears what the server has to say, which is of interest only when it is that it goes.
    pub fn listen(&mut self) -> io::Result<()> {
        let heard = match &mut self.session {
            None => listen(&self.socket),
            Some(session) => session.listen(&self.socket),
        };
        if self.over_tcp {
            self.unread = sys::unread_by_peer(&self.socket);
        }
        heard
    }

    /// Bytes of messages that may not have arrived.
    pub fn doubt(&self) -> usize {
        match &self.session {
            None => self.unread,
            Some(session) => session.doubt(self.unread),
        }
    }

    /// Ends the stream, and gives the other side until the deadline to take what is on its way.
    pub fn close(mut self, until: Instant) {
        if let Some(session) = &mut self.session {
            session.say_goodbye(&self.socket, until);
        }
        let _ = rustix::net::shutdown(&self.socket, Shutdown::Write);
        while self.over_tcp && sys::unread_by_peer(&self.socket) > 0 {
            let gone = listen(&self.socket).is_err();
            let in_time = !gone && poll(&self.socket, PollFlags::IN, soon().min(until)).is_ok();
            if !in_time || Instant::now() >= until {
                return;
            }
        }
        // Closing with words of the server unheard would break the connection off.
        let _ = self.listen();
    }
}

fn soon() -> Instant {
    Instant::now() + std::time::Duration::from_millis(5)
}

/// Sends until all is sent or the deadline passes.
pub fn send(socket: &OwnedFd, bytes: &[u8], until: Instant) -> (usize, Result<(), Trouble>) {
    let mut sent = 0;
    while sent < bytes.len() {
        match rustix::net::send(socket, &bytes[sent..], SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(count) => sent += count,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                if let Err(trouble) = wait_for_room(socket, until) {
                    return (sent, Err(trouble));
                }
            }
            Err(errno) => return (sent, Err(Trouble::Lost(errno.into()))),
        }
    }
    (sent, Ok(()))
}

fn listen(socket: &OwnedFd) -> io::Result<()> {
    let mut words = [0; 1024];
    for _ in 0..MOST_TALK {
        match Ear(std::os::fd::AsFd::as_fd(socket)).read(&mut words) {
            Ok(0) => return Err(closed()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The other side has ended the stream, having read all of it.
pub fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection")
}

/// Reads from a socket without waiting.
pub struct Ear<'a>(pub BorrowedFd<'a>);

impl Read for Ear<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match rustix::net::recv(self.0, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((_, count)) => return Ok(count),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}
