//! Following a container's streams: output to the caller's descriptors, its input, signals and sizes to the container.

use super::keys::Watch;
use super::running::{AttachOptions, PUMP_DOOR, patiently};
use crate::frame::{self, Header, Kind};
use crate::wire::{self, Ask, Exit, Tell};
use crate::{Error, Result};
use gantry_sys::{Errno, passing};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// How following ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The container ended with this code.
    Exited(i32),
    /// The user typed the detach keys.
    Detached,
}

/// What the caller wants done when its `signals` descriptor was readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The terminal's new size.
    Resize { rows: u16, columns: u16 },
    /// Pass a signal on to the container's init.
    Signal(i32),
    /// Leave the container alone and return.
    Detach,
}

/// The caller's descriptors.
pub struct SessionIo<'a> {
    pub stdin: Option<BorrowedFd<'a>>,
    pub stdout: BorrowedFd<'a>,
    pub stderr: BorrowedFd<'a>,
    /// A signalfd or self-pipe: when it is readable the callback is asked what to do.
    pub signals: Option<BorrowedFd<'a>>,
}

/// One connection that follows the streams of a container.
pub struct Session {
    socket: OwnedFd,
    again: Option<(PathBuf, AttachOptions)>,
    seen: [u64; 2],
    typed: u64,
    taken: u64,
    buffer: Vec<u8>,
}

enum Step {
    Go,
    End(End),
}

impl Session {
    pub(crate) fn from_start(socket: OwnedFd) -> Session {
        Session { socket, again: None, seen: [0; 2], typed: 0, taken: 0, buffer: Vec::new() }
    }

    pub(crate) fn attach(state_dir: &Path, options: AttachOptions) -> Result<Session> {
        let socket = open(state_dir, options)?;
        Ok(Session { again: Some((state_dir.to_owned(), options)), ..Session::from_start(socket) })
    }

    /// Copies until the container ends or the user detaches. Blocks; `on_signal` is asked when `io.signals` is
    /// readable and must read it. No detach keys: none are looked for.
    pub fn copy(
        &mut self,
        io: &SessionIo<'_>,
        detach_keys: &[u8],
        on_signal: &mut dyn FnMut() -> Vec<Action>,
    ) -> Result<End> {
        let mut emit = |stderr: bool, data: &[u8]| write_all(if stderr { io.stderr } else { io.stdout }, data);
        let others = Others { signals: io.signals, peer: None };
        self.follow(io.stdin, others, detach_keys, on_signal, &mut emit)
    }

    /// Serves a client at the other end of `peer` until the container ends or the client has gone: `emit` is given the
    /// output (true: of stderr) in its order, `stdin` is read.
    pub fn serve(
        &mut self,
        stdin: Option<BorrowedFd<'_>>,
        peer: BorrowedFd<'_>,
        detach_keys: &[u8],
        emit: &mut dyn FnMut(bool, &[u8]) -> io::Result<()>,
    ) -> Result<End> {
        let others = Others { signals: None, peer: Some(peer) };
        self.follow(stdin, others, detach_keys, &mut Vec::new, emit)
    }

    fn follow(
        &mut self,
        mut stdin: Option<BorrowedFd<'_>>,
        others: Others<'_>,
        detach_keys: &[u8],
        on_signal: &mut dyn FnMut() -> Vec<Action>,
        emit: &mut Emit<'_>,
    ) -> Result<End> {
        self.buffer.resize(frame::HEADER + frame::MOST_DATA, 0);
        let mut watch = Watch::new(detach_keys);
        loop {
            let ready = self.wait(stdin, &others)?;
            if ready.signals && self.act(&on_signal())? {
                return Ok(End::Detached);
            }
            if ready.stdin && self.pass_input(&mut stdin, &mut watch)? {
                return Ok(End::Detached);
            }
            if ready.socket
                && let Step::End(end) = self.take_packets(emit)?
            {
                return Ok(end);
            }
            if ready.gone {
                return Ok(End::Detached);
            }
        }
    }

    /// The terminal's new size.
    pub fn resize(&mut self, rows: u16, columns: u16) -> Result<()> {
        self.send(Kind::RESIZE, u64::from(rows) << 16 | u64::from(columns), &[])
    }

    /// Passes a signal to the container's init.
    pub fn signal(&mut self, number: i32) -> Result<()> {
        self.send(Kind::SIGNAL, number.unsigned_abs().into(), &[])
    }

    fn act(&mut self, actions: &[Action]) -> Result<bool> {
        for action in actions {
            match *action {
                Action::Resize { rows, columns } => self.resize(rows, columns)?,
                Action::Signal(number) => self.signal(number)?,
                Action::Detach => return Ok(true),
            }
        }
        Ok(false)
    }

    fn wait(&self, stdin: Option<BorrowedFd<'_>>, others: &Others<'_>) -> Result<Ready> {
        let Others { signals, peer } = *others;
        let reading = stdin.is_some();
        let stdin = stdin.filter(|_| self.typed - self.taken < frame::STDIN_WINDOW);
        let mut fds = vec![PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        fds.extend(stdin.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        fds.extend(signals.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        // That both directions are shut is told unasked; what was sent before is read first.
        let peer = peer.filter(|_| !reading);
        fds.extend(peer.map(|fd| PollFd::new(fd, PollFlags::empty())));
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => return Ok(Ready::default()),
            Err(errno) => return Err(Error::Copy { act: "wait for the container's output", source: errno.into() }),
            Ok(_) => {}
        }
        let mut states = fds.iter().map(|fd| fd.any().unwrap_or(false));
        let socket = states.next().unwrap_or(false);
        let stdin = stdin.is_some() && states.next().unwrap_or(false);
        let signals = signals.is_some() && states.next().unwrap_or(false);
        Ok(Ready { socket, stdin, signals, gone: peer.is_some() && states.next().unwrap_or(false) })
    }

    /// One read of the caller's input; true when it held the detach keys.
    fn pass_input(&mut self, stdin: &mut Option<BorrowedFd<'_>>, watch: &mut Watch<'_>) -> Result<bool> {
        let Some(fd) = *stdin else { return Ok(false) };
        let mut typed = [0; 8192];
        let length = match nix::unistd::read(fd, &mut typed) {
            Err(Errno::EINTR | Errno::EAGAIN) => return Ok(false),
            // A terminal that hung up and one whose session is not ours have no more to say.
            Err(Errno::EIO) => 0,
            Err(errno) => return Err(Error::Copy { act: "read standard input", source: errno.into() }),
            Ok(length) => length,
        };
        if length == 0 {
            *stdin = None;
            self.send(Kind::STDIN_END, 0, &[])?;
            return Ok(false);
        }
        let mut out = Vec::with_capacity(length);
        let detach = watch.feed(&typed[..length], &mut out);
        if !out.is_empty() {
            self.send(Kind::STDIN, 0, &out)?;
            self.typed += out.len() as u64;
        }
        Ok(detach)
    }

    /// Takes what has arrived.
    fn take_packets(&mut self, emit: &mut Emit<'_>) -> Result<Step> {
        loop {
            match passing::receive_bytes(self.socket.as_fd(), &mut self.buffer, false) {
                Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Step::Go),
                Ok(0) | Err(_) => return self.attach_again().map(|()| Step::Go),
                Ok(length) => {
                    if let Some(end) = self.take_packet(length, emit)? {
                        return Ok(Step::End(end));
                    }
                }
            }
        }
    }

    fn take_packet(&mut self, length: usize, emit: &mut Emit<'_>) -> Result<Option<End>> {
        let Some((header, data)) = frame::decode(&self.buffer[..length]) else {
            return Err(Error::protocol("its session speaks another version"));
        };
        match header.kind {
            Kind::DATA => {
                let stream = usize::from(header.stream == 1);
                let fresh = unseen(data, header.position, &mut self.seen[stream]);
                emit(stream == 1, fresh)
                    .map_err(|source| Error::Copy { act: "write the container's output", source })?;
            }
            Kind::EXIT => {
                let exit: Exit = serde_json::from_slice(data).map_err(|e| Error::protocol(e.to_string()))?;
                return Ok(Some(End::Exited(exit.code)));
            }
            Kind::TAKEN => self.taken = header.position.min(self.typed),
            _ => {}
        }
        Ok(None)
    }

    /// The pump was killed: its successor answers at the same door.
    fn attach_again(&mut self) -> Result<()> {
        let (state_dir, options) = self.again.as_ref().ok_or(Error::Gone { what: "the container's output" })?;
        self.socket = open(state_dir, *options)?;
        self.typed = 0;
        self.taken = 0;
        Ok(())
    }

    fn send(&mut self, kind: Kind, position: u64, data: &[u8]) -> Result<()> {
        let header = Header { kind, stream: 0, position }.encode();
        loop {
            match passing::send(self.socket.as_fd(), &[IoSlice::new(&header), IoSlice::new(data)], &[], true) {
                Err(Errno::EINTR) => {}
                // That it is gone is noticed when we read.
                Ok(_) | Err(Errno::EPIPE | Errno::ECONNRESET) => return Ok(()),
                Err(errno) => return Err(Error::Talk { act: "pass input to", source: errno.into() }),
            }
        }
    }
}

#[derive(Default)]
struct Ready {
    socket: bool,
    stdin: bool,
    signals: bool,
    gone: bool,
}

/// What is waited for beside output and input.
struct Others<'a> {
    signals: Option<BorrowedFd<'a>>,
    /// Watched for the end of whoever is served.
    peer: Option<BorrowedFd<'a>>,
}

/// Takes output; true: of stderr.
type Emit<'a> = dyn FnMut(bool, &[u8]) -> io::Result<()> + 'a;

fn open(state_dir: &Path, options: AttachOptions) -> Result<OwnedFd> {
    let socket = patiently(state_dir, PUMP_DOOR)?;
    let AttachOptions { stdin, stdout, stderr } = options;
    match wire::ask(socket.as_fd(), &Ask::Attach { stdin, stdout, stderr }, &[], "the session")? {
        Tell::Done {} => Ok(socket),
        other => Err(Error::protocol(format!("it said {other:?} instead of opening a session"))),
    }
}

/// What of `data`, which begins at `position`, lies beyond `seen`; moves `seen` on.
fn unseen<'a>(data: &'a [u8], position: u64, seen: &mut u64) -> &'a [u8] {
    let known = seen.saturating_sub(position).min(data.len() as u64);
    *seen = (*seen).max(position + data.len() as u64);
    &data[known as usize..]
}

fn write_all(fd: BorrowedFd<'_>, mut data: &[u8]) -> io::Result<()> {
    while !data.is_empty() {
        match nix::unistd::write(fd, data) {
            Ok(written) => data = &data[written..],
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                let mut fds = [PollFd::new(fd, PollFlags::POLLOUT)];
                let _ = poll(&mut fds, PollTimeout::NONE);
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_seen_before_are_left_out() {
        let mut seen = 0;
        assert_eq!(unseen(b"abc", 0, &mut seen), b"abc");
        assert_eq!(unseen(b"bcde", 1, &mut seen), b"de");
        assert_eq!(unseen(b"ab", 0, &mut seen), b"");
        assert_eq!(unseen(b"xy", 9, &mut seen), b"xy");
        assert_eq!(seen, 11);
    }
}
