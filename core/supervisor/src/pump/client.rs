//! One session: somebody who follows the streams, and may feed the container.
//!
//! A session is shown chunks as they are; it holds them until its socket has taken them. The session of the caller that
//! started the container is waited for, as a shell's pipe would be, until the order's stall limit. One that attached
//! later may hold the container back only while it makes some progress; it is dropped when it does not.

use super::chunk::Chunk;
use crate::frame::{self, Header, Kind};
use crate::wire::Exit;
use gantry_sys::{Errno, passing};
use std::collections::VecDeque;
use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes that may wait for a session before the container is held back.
const HOLD_BACK: usize = 1024 * 1024;
/// How long one that attached later may stand still with that much waiting.
const STALL: Duration = Duration::from_secs(5);

/// What a client asked for.
pub enum Request {
    Stdin(Vec<u8>),
    StdinEnd,
    Resize { rows: u16, columns: u16 },
    Signal(i32),
    Gone,
}

/// See the module.
pub struct Client {
    pub id: u64,
    pub socket: OwnedFd,
    /// The caller's own, from the start.
    pub first: bool,
    pub feeds: bool,
    follows: [bool; 2],
    queue: VecDeque<(Arc<Chunk>, usize)>,
    waiting: usize,
    small: VecDeque<Vec<u8>>,
    exit: Option<Vec<u8>>,
    moved: Instant,
    stall: Option<Duration>,
    taken: u64,
    pub alive: bool,
}

impl Client {
    /// One that attached.
    pub fn new(id: u64, socket: OwnedFd, feeds: bool, follows: [bool; 2]) -> Client {
        Client {
            id,
            socket,
            first: false,
            feeds,
            follows,
            queue: VecDeque::new(),
            waiting: 0,
            small: VecDeque::new(),
            exit: None,
            moved: Instant::now(),
            stall: Some(STALL),
            taken: 0,
            alive: true,
        }
    }

    /// The caller's own session; it may stand still for ever when `stall_ms` is 0.
    pub fn first(id: u64, socket: OwnedFd, attach: [bool; 3], stall_ms: u32) -> Client {
        let [feeds, stdout, stderr] = attach;
        let stall = (stall_ms > 0).then(|| Duration::from_millis(stall_ms.into()));
        Client { first: true, stall, ..Client::new(id, socket, feeds, [stdout, stderr]) }
    }

    /// Shows it a chunk.
    pub fn show(&mut self, chunk: &Arc<Chunk>) {
        let length = chunk.fresh().len();
        if !self.follows[usize::from(chunk.stream)] || length == 0 {
            return;
        }
        if self.queue.is_empty() {
            self.moved = Instant::now();
        }
        self.waiting += length;
        self.queue.push_back((chunk.clone(), 0));
        self.flush();
    }

    /// Tells it the end; nothing is shown after it.
    pub fn end(&mut self, exit: &Exit) {
        self.exit = serde_json::to_vec(exit).ok();
        self.flush();
    }

    /// So many more bytes of its input are passed on.
    pub fn took(&mut self, length: usize) {
        self.taken += length as u64;
        let header = Header { kind: Kind::TAKEN, stream: 0, position: self.taken };
        self.small.push_back(header.encode().to_vec());
        self.flush();
    }

    /// Sends what the socket takes.
    pub fn flush(&mut self) {
        while self.alive && self.send_one() {
            self.moved = Instant::now();
        }
    }

    /// True when something waits for its socket.
    pub fn wants_room(&self) -> bool {
        !self.small.is_empty() || !self.queue.is_empty() || self.exit.is_some()
    }

    /// True when chunks wait.
    pub fn behind(&self) -> bool {
        !self.queue.is_empty()
    }

    /// True while nothing more should be read from the container for its sake.
    pub fn holds_back(&self) -> bool {
        self.waiting >= HOLD_BACK
    }

    /// When it will have stood still for too long.
    pub fn deadline(&self) -> Option<Instant> {
        self.stall.filter(|_| self.holds_back()).map(|stall| self.moved + stall)
    }

    fn send_one(&mut self) -> bool {
        if let Some(packet) = self.small.front() {
            let sent = send(self.socket.as_fd(), &[IoSlice::new(packet)], &mut self.alive);
            if sent {
                self.small.pop_front();
            }
            return sent;
        }
        if self.queue.is_empty() {
            return self.send_exit();
        }
        self.send_data()
    }

    fn send_data(&mut self) -> bool {
        let Some((chunk, done)) = self.queue.front_mut() else { return false };
        let data = &chunk.fresh()[*done..];
        let data = &data[..data.len().min(frame::MOST_DATA)];
        let position = chunk.position + *done as u64;
        let header = Header { kind: Kind::DATA, stream: chunk.stream, position }.encode();
        let sent = send(self.socket.as_fd(), &[IoSlice::new(&header), IoSlice::new(data)], &mut self.alive);
        if sent {
            *done += data.len();
            self.waiting -= data.len();
            if *done == chunk.fresh().len() {
                self.queue.pop_front();
            }
        }
        sent
    }

    fn send_exit(&mut self) -> bool {
        let Some(exit) = &self.exit else { return false };
        let header = Header { kind: Kind::EXIT, stream: 0, position: 0 }.encode();
        let sent = send(self.socket.as_fd(), &[IoSlice::new(&header), IoSlice::new(exit)], &mut self.alive);
        if sent {
            self.exit = None;
        }
        sent
    }

    /// Takes what it sent.
    pub fn requests(&self, buffer: &mut [u8]) -> Vec<Request> {
        let mut requests = Vec::new();
        loop {
            match passing::receive_bytes(self.socket.as_fd(), buffer, false) {
                Err(Errno::EAGAIN | Errno::EINTR) => return requests,
                Ok(0) | Err(_) => {
                    requests.push(Request::Gone);
                    return requests;
                }
                Ok(length) => requests.extend(request(&buffer[..length])),
            }
        }
    }
}

fn request(packet: &[u8]) -> Option<Request> {
    let (header, data) = frame::decode(packet)?;
    match header.kind {
        Kind::STDIN => Some(Request::Stdin(data.to_vec())),
        Kind::STDIN_END => Some(Request::StdinEnd),
        Kind::RESIZE => Some(Request::Resize { rows: (header.position >> 16) as u16, columns: header.position as u16 }),
        Kind::SIGNAL => Some(Request::Signal(i32::try_from(header.position).ok()?)),
        _ => None,
    }
}

fn send(socket: std::os::fd::BorrowedFd<'_>, parts: &[IoSlice<'_>], alive: &mut bool) -> bool {
    match passing::send(socket, parts, &[], false) {
        Ok(_) => true,
        Err(Errno::EAGAIN | Errno::EINTR | Errno::ENOBUFS) => false,
        Err(_) => {
            *alive = false;
            false
        }
    }
}
