//! A line between the engine and a driver in a process of its own: frames over a stream socket, each with its length and
//! the number of descriptors that go with it. Both sides believe no length they have not bounded.

use crate::patience::Patience;
use gantry_sys::passing::{self, MOST_FDS};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// The most bytes of one frame.
pub const LONGEST: usize = 64 << 20;
/// The most descriptors that go with one.
const MOST_WITH_ONE: usize = 65_536;
const HEAD: usize = 8;

/// One end.
#[derive(Debug)]
pub struct Line(UnixStream);

/// How long a peer is waited for; `None`: however long it takes.
pub type Until<'a> = Option<&'a mut Patience>;

/// What came: bytes and descriptors.
pub type Frame = (Vec<u8>, Vec<OwnedFd>);

impl From<OwnedFd> for Line {
    fn from(fd: OwnedFd) -> Line {
        Line(fd.into())
    }
}

impl From<Line> for OwnedFd {
    fn from(line: Line) -> OwnedFd {
        line.0.into()
    }
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Line {
    /// Both ends.
    pub fn pair() -> io::Result<(Line, Line)> {
        let (one, other) = UnixStream::pair()?;
        Ok((Line(one), Line(other)))
    }

    /// Sends a frame until the deadline; `None`: however long it takes.
    pub fn send(&self, body: &[u8], fds: &[BorrowedFd<'_>], mut until: Until<'_>) -> io::Result<()> {
        if body.len() > LONGEST || fds.len() > MOST_WITH_ONE {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("a message of {} bytes", body.len())));
        }
        let mut head = [0; HEAD];
        head[..4].copy_from_slice(&(body.len() as u32).to_le_bytes());
        head[4..].copy_from_slice(&(fds.len() as u32).to_le_bytes());
        self.put(&head, &[], until.as_deref_mut())?;
        for some in fds.chunks(MOST_FDS) {
            let numbers: Vec<RawFd> = some.iter().map(AsRawFd::as_raw_fd).collect();
            self.put(b"f", &numbers, until.as_deref_mut())?;
        }
        self.put(body, &[], until)
    }

    /// Waits for a frame until the deadline; `None`: for ever. A peer that is gone is an unexpected end.
    pub fn receive(&self, mut until: Until<'_>) -> io::Result<Frame> {
        let head = self.take(HEAD, until.as_deref_mut())?;
        let number = |at: usize| head[at..at + 4].iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let (length, wanted) = (number(0), number(4));
        if length > LONGEST || wanted > MOST_WITH_ONE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a message of {length} bytes")));
        }
        let mut fds = Vec::new();
        while fds.len() < wanted {
            fds.extend(self.take_fds(until.as_deref_mut())?);
        }
        Ok((self.take(length, until)?, fds))
    }

    fn put(&self, bytes: &[u8], fds: &[RawFd], mut until: Until<'_>) -> io::Result<()> {
        let (mut rest, mut fds) = (bytes, fds);
        while !rest.is_empty() {
            match passing::send(self.as_fd(), &[IoSlice::new(rest)], fds, false) {
                Ok(count) => (rest, fds) = (&rest[count..], &[]),
                Err(errno) => self.wait(errno.into(), libc::POLLOUT, until.as_deref_mut())?,
            }
        }
        Ok(())
    }

    fn take(&self, length: usize, mut until: Until<'_>) -> io::Result<Vec<u8>> {
        let (mut bytes, mut have) = (vec![0; length], 0);
        while have < length {
            match passing::receive_bytes(self.as_fd(), &mut bytes[have..], false) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => have += count,
                Err(errno) => self.wait(errno.into(), libc::POLLIN, until.as_deref_mut())?,
            }
        }
        Ok(bytes)
    }

    fn take_fds(&self, mut until: Until<'_>) -> io::Result<Vec<OwnedFd>> {
        loop {
            match passing::receive(self.as_fd(), &mut [0], false) {
                Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok((_, fds)) if fds.is_empty() => return Err(io::ErrorKind::InvalidData.into()),
                Ok((_, fds)) => return Ok(fds),
                Err(errno) => self.wait(errno.into(), libc::POLLIN, until.as_deref_mut())?,
            }
        }
    }

    /// After a call that would have blocked; any other error is given back.
    fn wait(&self, error: io::Error, events: i16, until: Until<'_>) -> io::Result<()> {
        match error.kind() {
            io::ErrorKind::Interrupted => Ok(()),
            io::ErrorKind::WouldBlock => self.ready(events, until).map(drop),
            _ => Err(error),
        }
    }

    /// Returns when one of the events, or the peer's end, has come: true; or false after a while.
    pub fn ready(&self, events: i16, until: Until<'_>) -> io::Result<bool> {
        let slice = match until {
            Some(patience) => Some(patience.next(None).ok_or(io::ErrorKind::TimedOut)?),
            None => None,
        };
        let mut fds = libc::pollfd { fd: self.0.as_raw_fd(), events, revents: 0 };
        // SAFETY: one pollfd, which lives here.
        match unsafe { libc::poll(&raw mut fds, 1, slice.map_or(-1, milliseconds)) } {
            -1 => {
                let error = io::Error::last_os_error();
                if error.kind() == io::ErrorKind::Interrupted { Ok(false) } else { Err(error) }
            }
            ready => Ok(ready > 0),
        }
    }
}

/// Rounded up: a rest of less than one must not become a busy loop.
fn milliseconds(time: Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn soon() -> Patience {
        Patience::new(Duration::from_secs(20))
    }

    #[test]
    fn frames_and_descriptors_arrive() {
        let (here, there) = Line::pair().expect("a pair");
        let big: Vec<u8> = (0..3_000_000u32).map(|i| i as u8).collect();
        let fds = vec![here.as_fd(); 600];
        std::thread::scope(|scope| {
            scope.spawn(|| {
                here.send(b"", &[], Some(&mut soon())).expect("sent");
                here.send(&big, &fds, Some(&mut soon())).expect("sent");
            });
            assert_eq!(there.receive(Some(&mut soon())).expect("came").0, b"");
            let (bytes, fds) = there.receive(Some(&mut soon())).expect("came");
            assert_eq!((bytes.len(), fds.len()), (big.len(), 600));
            assert!(bytes == big);
        });
    }

    #[test]
    fn silence_an_end_and_garbage_are_told_apart() {
        let (here, there) = Line::pair().expect("a pair");
        let brief = Some(&mut Patience::new(Duration::from_millis(20)));
        assert_eq!(there.receive(brief).expect_err("silent").kind(), io::ErrorKind::TimedOut);
        (&here.0).write_all(&[0xff; 8]).expect("written");
        assert_eq!(there.receive(Some(&mut soon())).expect_err("too long").kind(), io::ErrorKind::InvalidData);
        drop(here);
        assert_eq!(there.receive(Some(&mut soon())).expect_err("gone").kind(), io::ErrorKind::UnexpectedEof);
        let (here, there) = Line::pair().expect("a pair");
        (&here.0).write_all(&[0, 0, 0, 0, 1, 0, 0, 0, b'x']).expect("written");
        assert_eq!(there.receive(Some(&mut soon())).expect_err("no descriptor").kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_peer_that_does_not_read_costs_the_deadline_only() {
        let (here, _there) = Line::pair().expect("a pair");
        let brief = Some(&mut Patience::new(Duration::from_millis(50)));
        let error = here.send(&vec![0; 8 << 20], &[], brief).expect_err("full");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
