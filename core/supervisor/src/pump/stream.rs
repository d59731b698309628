//! One stream on its way: from the container's pipe into the queue that a successor would find, and into our memory.
//!
//! The order matters. What is about to be read is first copied (`tee`) into a pipe of our own, then moved (`splice`) into
//! the queue, then read from our copy and noted in the journal, and only then shown to sinks. Whenever we are killed,
//! each byte is either still in the container's pipe or in the queue.

use crate::estate::StreamFds;
use crate::state::{Partial, StateFile, StreamBase};
use gantry_sys::{Errno, pipe};
use nix::fcntl::OFlag;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

/// The most that is read at once.
pub const MOST_READ: usize = 256 * 1024;
const PIPE_SIZE: i32 = 1024 * 1024;
/// A read of so much says that the pipes are too small.
const CROWDED: usize = 48 * 1024;

/// Our own pipe, and where bytes are thrown away.
pub struct Scratch {
    read: File,
    write: OwnedFd,
    null: File,
    grown: bool,
}

impl Scratch {
    /// Makes them.
    pub fn new() -> io::Result<Scratch> {
        let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        let null = OpenOptions::new().write(true).open("/dev/null")?;
        Ok(Scratch { read: read.into(), write, null, grown: false })
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.read.read_exact(buffer)
    }

    /// Throws bytes of a pipe away.
    fn discard(&self, from: impl AsFd, mut length: usize) -> io::Result<()> {
        while length > 0 {
            match pipe::splice(from.as_fd(), self.null.as_fd(), length, libc::SPLICE_F_MOVE) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(gone) => length -= gone,
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }
}

/// What a read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// So many bytes are in the buffer and in the queue.
    Bytes(usize),
    /// Nothing there.
    Empty,
    /// The queue has no room: sinks must store something first.
    Full,
}

/// See the module.
pub struct Stream {
    pub fds: StreamFds,
    /// 0 stdout, 1 stderr.
    pub index: u8,
    /// Of the next byte that is read.
    pub position: u64,
    /// The unfinished line.
    pub rest: Vec<u8>,
    pub partial: Partial,
    /// When it last had something.
    pub fed: Instant,
    /// Bytes in the queue.
    pub queued: u64,
    /// What may still be read after the container's end; before it, no limit.
    pub remaining: u64,
    grown: bool,
}

impl Stream {
    /// Takes a stream over where the base left it; finishes a consumption that a kill interrupted.
    pub fn take_over(
        fds: StreamFds,
        index: u8,
        base: &StreamBase,
        state: &StateFile,
        scratch: &Scratch,
    ) -> io::Result<Stream> {
        let mut queued = pipe::fionread(fds.queue_read.as_fd())? as u64;
        let consumed = state.consumed(usize::from(index))?;
        if consumed < base.position {
            let already = base.queued.saturating_sub(queued);
            let left = (base.position - consumed).saturating_sub(already).min(queued);
            scratch.discard(&fds.queue_read, left as usize)?;
            queued -= left;
            state.set_consumed(usize::from(index), base.position)?;
        }
        let (position, rest, partial) = (base.position, base.rest.clone(), base.partial);
        let fed = Instant::now();
        Ok(Stream { fds, index, position, rest, partial, fed, queued, remaining: u64::MAX, grown: false })
    }

    /// Bytes of the queue that a predecessor had read, in order.
    pub fn read_queue(&self, scratch: &mut Scratch) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.queued as usize];
        if bytes.is_empty() {
            return Ok(bytes);
        }
        let _ = pipe::set_pipe_size(scratch.write.as_fd(), PIPE_SIZE);
        let copied =
            pipe::tee(self.fds.queue_read.as_fd(), scratch.write.as_fd(), bytes.len(), libc::SPLICE_F_NONBLOCK)?;
        bytes.truncate(copied);
        scratch.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads up to [`MOST_READ`] into `buffer` from `at` on; `buffer` is made long enough.
    pub fn fetch(&mut self, scratch: &mut Scratch, buffer: &mut Vec<u8>, at: usize) -> io::Result<Fetched> {
        let want = self.remaining.min(MOST_READ as u64) as usize;
        let copied = match pipe::tee(self.fds.source.as_fd(), scratch.write.as_fd(), want, libc::SPLICE_F_NONBLOCK) {
            Ok(0) | Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Fetched::Empty),
            Err(errno) => return Err(errno.into()),
            Ok(copied) => copied,
        };
        let moved = self.enqueue(copied)?;
        if buffer.len() < at + moved {
            // Once large, of the largest size: a fresh mapping of zeroes, used again and again.
            let large = at + MOST_READ;
            *buffer = vec![0; if moved < CROWDED { at + moved } else { large }];
        }
        scratch.read_exact(&mut buffer[at..at + moved])?;
        scratch.discard(&scratch.read, copied - moved)?;
        if moved == 0 {
            return Ok(Fetched::Full);
        }
        self.queued += moved as u64;
        self.remaining -= moved as u64;
        if moved >= CROWDED {
            self.grow(scratch);
        }
        Ok(Fetched::Bytes(moved))
    }

    fn enqueue(&self, length: usize) -> io::Result<usize> {
        let flags = libc::SPLICE_F_NONBLOCK | libc::SPLICE_F_MOVE;
        match pipe::splice(self.fds.source.as_fd(), self.fds.queue_write.as_fd(), length, flags) {
            Ok(moved) => Ok(moved),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(0),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Makes the pipes as large as the kernel lets us; when it does not, they do their work smaller.
    fn grow(&mut self, scratch: &mut Scratch) {
        if !self.grown {
            self.grown = true;
            let _ = pipe::set_pipe_size(self.fds.source.as_fd(), PIPE_SIZE);
            let _ = pipe::set_pipe_size(self.fds.queue_write.as_fd(), PIPE_SIZE);
        }
        if !scratch.grown {
            scratch.grown = true;
            let _ = pipe::set_pipe_size(scratch.write.as_fd(), PIPE_SIZE);
        }
    }

    /// Removes from the queue what lies before `position`, once the base says that nobody needs it.
    pub fn consume(&mut self, from: u64, position: u64, state: &StateFile, scratch: &Scratch) -> io::Result<()> {
        if position > from {
            scratch.discard(&self.fds.queue_read, (position - from) as usize)?;
            self.queued -= position - from;
            state.set_consumed(usize::from(self.index), position)?;
        }
        Ok(())
    }

    /// The container has ended: what is there now is all that counts, whoever else may still write.
    pub fn close_source(&mut self) {
        self.remaining = pipe::fionread(self.fds.source.as_fd()).unwrap_or(0) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Base;
    use nix::unistd::{pipe2, write};

    fn pipes() -> StreamFds {
        let (source, feed) = pipe2(OFlag::O_CLOEXEC).expect("pipe");
        let (queue_read, queue_write) = pipe2(OFlag::O_CLOEXEC).expect("pipe");
        StreamFds { source, feed, queue_read, queue_write }
    }

    fn copy(fds: &StreamFds) -> StreamFds {
        let dup = |fd: &OwnedFd| fd.try_clone().expect("dup");
        StreamFds {
            source: dup(&fds.source),
            feed: dup(&fds.feed),
            queue_read: dup(&fds.queue_read),
            queue_write: dup(&fds.queue_write),
        }
    }

    #[test]
    fn what_was_read_but_not_stored_is_found_again() {
        let (state, mut scratch) = (StateFile::create(16_384, 0).expect("state"), Scratch::new().expect("scratch"));
        let fds = pipes();
        let kept = copy(&fds);
        let mut stream = Stream::take_over(fds, 0, &StreamBase::default(), &state, &scratch).expect("stream");
        write(&kept.feed, b"one\ntwo\n").expect("write");
        let mut buffer = Vec::new();
        assert_eq!(stream.fetch(&mut scratch, &mut buffer, 0).expect("fetch"), Fetched::Bytes(8));
        assert_eq!(&buffer[..8], b"one\ntwo\n");
        assert_eq!(stream.fetch(&mut scratch, &mut buffer, 0).expect("fetch"), Fetched::Empty);
        drop(stream);
        let again = Stream::take_over(kept, 0, &StreamBase::default(), &state, &scratch).expect("successor");
        assert_eq!(again.read_queue(&mut scratch).expect("queue"), b"one\ntwo\n");
    }

    #[test]
    fn a_consumption_cut_short_at_any_byte_is_finished() {
        for already in 0..=6 {
            let (state, mut scratch) = (StateFile::create(64, 0).expect("state"), Scratch::new().expect("scratch"));
            let fds = pipes();
            write(&fds.queue_write, b"abcdefgh").expect("write");
            let mut base = Base::default();
            base.streams[0] = StreamBase { position: 6, queued: 8, ..StreamBase::default() };
            scratch.discard(&fds.queue_read, already).expect("half a consumption");
            let stream = Stream::take_over(fds, 0, &base.streams[0], &state, &scratch).expect("successor");
            assert_eq!(stream.read_queue(&mut scratch).expect("queue"), b"gh");
            assert_eq!(state.consumed(0).expect("consumed"), 6);
        }
    }

    #[test]
    fn a_full_queue_says_so_and_loses_nothing() {
        let (state, mut scratch) = (StateFile::create(64, 0).expect("state"), Scratch::new().expect("scratch"));
        let mut stream = Stream::take_over(pipes(), 0, &StreamBase::default(), &state, &scratch).expect("stream");
        let feed = stream.fds.feed.try_clone().expect("dup");
        let (mut got, mut buffer, mut stored) = (Vec::new(), Vec::new(), 0);
        for round in 0..40u8 {
            write(&feed, &[round; 4096]).expect("write");
            while stream.fetch(&mut scratch, &mut buffer, 0).expect("fetch") == Fetched::Full {
                stream.consume(stored, stored + 4096, &state, &scratch).expect("consume");
                stored += 4096;
            }
            got.extend_from_slice(&buffer[..4096]);
        }
        let want: Vec<u8> = (0..40u8).flat_map(|round| [round; 4096]).collect();
        assert!(got == want);
    }
}
