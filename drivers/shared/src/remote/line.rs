//! A stream of messages to one server, connected anew when it breaks.
//!
//! What the server's host has not acknowledged is kept and sent again over the next connection: at least once, as far as
//! the kernel can tell. A message that was begun is finished before anything else, also in a later call. How often and how
//! fast a connection is tried again within one call is the driver's choice; across calls it is the engine's.

use super::parcel::Parcel;
use nix::sys::socket::{MsgFlags, recv};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Makes a connection until a deadline.
pub type Dial = Box<dyn Fn(Instant) -> io::Result<Box<dyn Socket>> + Send>;

/// A connected stream whose calls can be limited.
pub trait Socket: Read + Write + AsFd + Send {
    /// No reading or writing waits longer.
    fn limit(&self, time: Duration) -> io::Result<()>;
}

impl Socket for TcpStream {
    fn limit(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))?;
        self.set_write_timeout(Some(time))
    }
}

impl Socket for UnixStream {
    fn limit(&self, time: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(time))?;
        self.set_write_timeout(Some(time))
    }
}

/// Why not everything was sent.
#[derive(Debug)]
pub enum Trouble {
    /// No connection can be had.
    Unreachable(io::Error),
    /// The deadline passed; the connection is good for more.
    Stalled,
    /// The connection is gone.
    Lost(io::Error),
}

/// How a connection is tried again within one call.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Patience {
    /// How often, beside the first time.
    pub retries: u32,
    /// The pause before the first time again.
    pub pause: Duration,
    /// Each further pause is so much longer.
    pub growth: f64,
}

/// For those who leave trying again to the engine.
const NONE: Patience = Patience { retries: 0, pause: Duration::ZERO, growth: 1.0 };

impl Patience {
    /// No connection is tried again within a call.
    pub fn none() -> Patience {
        NONE
    }
}

/// See the module.
pub struct Line {
    dial: Dial,
    patience: Patience,
    /// How long the server may refuse to take more.
    stall: Duration,
    socket: Option<Box<dyn Socket>>,
    connected: Instant,
    connections: u64,
    /// Messages that may not have arrived, and those still to be sent.
    kept: Parcel,
    /// How many bytes of them were written to this connection.
    sent: usize,
}

impl Line {
    /// A line that is not connected yet.
    pub fn new(dial: Dial, patience: Patience, stall: Duration) -> Line {
        let connected = Instant::now();
        Line { dial, patience, stall, socket: None, connected, connections: 0, kept: Parcel::default(), sent: 0 }
    }

    /// Makes a connection if there is none, with the retries that the driver wants.
    pub fn connect(&mut self, until: Instant) -> Result<(), Trouble> {
        let (mut left, mut pause) = (self.patience.retries, self.patience.pause);
        while self.socket.is_none() {
            match (self.dial)(until) {
                Ok(socket) => self.connected_by(socket),
                Err(error) if left == 0 || Instant::now() + pause >= until => return Err(Trouble::Unreachable(error)),
                Err(_) => std::thread::sleep(pause),
            }
            left = left.saturating_sub(1);
            pause = pause.mul_f64(self.patience.growth.max(1.0));
        }
        Ok(())
    }

    /// Makes a connection, or says at once that there is none.
    pub fn connect_once(&mut self, until: Instant) -> Result<(), Trouble> {
        let patience = std::mem::replace(&mut self.patience, NONE);
        let outcome = self.connect(until);
        self.patience = patience;
        outcome
    }

    fn connected_by(&mut self, socket: Box<dyn Socket>) {
        self.socket = Some(socket);
        self.connected = Instant::now();
        self.connections += 1;
        self.sent = 0;
    }

    /// How many connections there have been.
    pub fn connections(&self) -> u64 {
        self.connections
    }

    /// How long there has been this connection; `None` when there is none.
    pub fn age(&self) -> Option<Duration> {
        self.socket.as_ref().map(|_| self.connected.elapsed())
    }

    /// Sends messages, over another connection if need be; answers how many were taken: those will arrive, now or later.
    pub fn send(&mut self, parcel: &Parcel, until: Instant) -> (usize, Result<(), Trouble>) {
        let mut taken = 0;
        let mut broken = false;
        loop {
            match self.try_send(parcel, &mut taken, until) {
                Err(Trouble::Lost(error)) if broken => return (taken, Err(Trouble::Lost(error))),
                Err(Trouble::Lost(_)) => broken = true,
                outcome => return (taken, outcome),
            }
        }
    }

    fn try_send(&mut self, parcel: &Parcel, taken: &mut usize, until: Instant) -> Result<(), Trouble> {
        self.check();
        self.connect(until)?;
        self.drive(until)?;
        let start = parcel.end(*taken);
        let (sent, outcome) = self.write(&parcel.bytes()[start..], until);
        let begun = parcel.begun(start + sent).max(*taken);
        self.kept.append(parcel, *taken, begun);
        *taken = begun;
        self.after(sent, outcome)
    }

    /// Sends what is left of earlier messages.
    fn drive(&mut self, until: Instant) -> Result<(), Trouble> {
        if self.sent == self.kept.bytes().len() {
            return Ok(());
        }
        let rest = self.kept.bytes()[self.sent..].to_vec();
        let (sent, outcome) = self.write(&rest, until);
        self.after(sent, outcome)
    }

    fn after(&mut self, sent: usize, outcome: Result<(), Trouble>) -> Result<(), Trouble> {
        self.sent += sent;
        if matches!(outcome, Err(Trouble::Lost(_))) {
            self.lose();
        } else {
            self.settle();
        }
        outcome
    }

    fn write(&mut self, bytes: &[u8], until: Instant) -> (usize, Result<(), Trouble>) {
        let until = until.min(Instant::now() + self.stall);
        let Some(socket) = &mut self.socket else { return (0, Err(Trouble::Lost(io::ErrorKind::NotConnected.into()))) };
        let mut sent = 0;
        while sent < bytes.len() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return (sent, Err(Trouble::Stalled));
            }
            match socket.limit(left).and_then(|()| socket.write(&bytes[sent..])) {
                Ok(0) => return (sent, Err(Trouble::Lost(io::ErrorKind::WriteZero.into()))),
                Ok(count) => sent += count,
                Err(error) if is_timeout(&error) => return (sent, Err(Trouble::Stalled)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (sent, Err(Trouble::Lost(error))),
            }
        }
        match socket.flush() {
            Err(error) if is_timeout(&error) => (sent, Err(Trouble::Stalled)),
            Err(error) => (sent, Err(Trouble::Lost(error))),
            Ok(()) => (sent, Ok(())),
        }
    }

    /// Forgets what has arrived.
    fn settle(&mut self) {
        let Some(socket) = self.socket.as_deref() else { return };
        let arrived = self.sent.saturating_sub(unread_by_peer(socket));
        self.sent -= self.kept.settle(arrived);
    }

    /// Notices that the server has gone, as far as this host knows.
    fn check(&mut self) {
        if self.socket.as_deref().is_some_and(has_ended) {
            self.settle();
            self.lose();
        }
    }

    /// Gives the connection up. What may not have arrived goes out over the next one.
    pub fn lose(&mut self) {
        self.socket = None;
        self.sent = 0;
    }

    /// Gives up the connection and all that was not acknowledged: the caller has it still.
    pub fn forget(&mut self) {
        self.lose();
        self.kept.clear();
    }

    /// Waits until no more than so many bytes may not have arrived.
    pub fn ebb(&mut self, most: usize, until: Instant) -> Result<(), Trouble> {
        self.settle();
        while self.socket.is_some() && self.kept.bytes().len() > most {
            if Instant::now() >= until {
                return Err(Trouble::Stalled);
            }
            std::thread::sleep(Duration::from_millis(1));
            self.check();
            self.settle();
        }
        Ok(())
    }

    /// What the server says next; an empty answer is its end.
    pub fn hear(&mut self, until: Instant) -> io::Result<Vec<u8>> {
        let Some(socket) = &mut self.socket else { return Err(io::ErrorKind::NotConnected.into()) };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.limit(left)?;
        let mut bytes = vec![0; 4096];
        let count = socket.read(&mut bytes)?;
        bytes.truncate(count);
        Ok(bytes)
    }

    /// Sends what is left; makes a connection only if something is.
    pub fn finish(&mut self, until: Instant) -> Result<(), Trouble> {
        self.check();
        self.settle();
        if self.kept.count() == 0 || (self.socket.is_some() && self.sent == self.kept.bytes().len()) {
            return Ok(());
        }
        self.send(&Parcel::default(), until).1
    }

    /// Sends what is left and gives the server's host until the deadline to take it.
    pub fn close(&mut self, until: Instant) -> Result<(), Trouble> {
        let mut finished = self.finish(until);
        while self.kept.count() > 0 && self.socket.is_some() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(2));
            self.check();
            self.settle();
        }
        if self.kept.count() > 0 && self.socket.is_none() && finished.is_ok() {
            finished = self.finish(until);
        }
        self.socket = None;
        finished
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// True when the other side has ended the stream or broken it off.
fn has_ended(socket: &dyn Socket) -> bool {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK;
    match recv(socket.as_fd().as_raw_fd(), &mut [0], flags) {
        Ok(count) => count == 0,
        Err(errno) => !matches!(errno, nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR),
    }
}

/// Bytes given to a socket that its peer has not taken: for a stream over the network those not acknowledged, for a
/// socket of this host those not read, each with the kernel's own bookkeeping. 0 when unknown.
fn unread_by_peer(socket: &dyn Socket) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open for the length of the borrow, and the request writes one `int` behind the pointer.
    let result = unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if result == 0 { usize::try_from(bytes).unwrap_or_default() } else { 0 }
}
