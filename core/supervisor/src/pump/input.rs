//! The container's standard input: what clients typed, on its way into the pipe or the terminal.

use gantry_sys::Errno;
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Waiting input, each piece with the client it came from.
pub struct Input {
    target: Option<OwnedFd>,
    waiting: VecDeque<(u64, Vec<u8>, usize)>,
    ending: bool,
}

/// What became of waiting input.
#[derive(Default)]
pub struct Passed {
    /// Bytes of each client that went in (or were thrown away, when nobody can read them).
    pub taken: Vec<(u64, usize)>,
    /// The pipe is closed now.
    pub closed: bool,
}

impl Input {
    /// Into a pipe or a terminal; `None`: the container has no input.
    pub fn new(target: Option<OwnedFd>) -> Input {
        Input { target, waiting: VecDeque::new(), ending: false }
    }

    /// Takes bytes of a client.
    pub fn add(&mut self, client: u64, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.waiting.push_back((client, bytes, 0));
        }
    }

    /// Close after what waits.
    pub fn end(&mut self) {
        self.ending = true;
    }

    /// What to wait for room in.
    pub fn wants_room(&self) -> Option<BorrowedFd<'_>> {
        self.target.as_ref().filter(|_| !self.waiting.is_empty()).map(|fd| fd.as_fd())
    }

    /// Writes what fits.
    pub fn pass(&mut self) -> Passed {
        let mut passed = Passed::default();
        while let Some((client, bytes, done)) = self.waiting.front_mut() {
            let Some(target) = &self.target else {
                passed.taken.push((*client, bytes.len() - *done));
                self.waiting.pop_front();
                continue;
            };
            match nix::unistd::write(target, &bytes[*done..]) {
                Ok(written) => {
                    *done += written;
                    passed.taken.push((*client, written));
                    if *done == bytes.len() {
                        self.waiting.pop_front();
                    }
                }
                Err(Errno::EAGAIN) => return passed,
                Err(Errno::EINTR) => {}
                // The container closed its end: nobody will read this.
                Err(_) => passed.closed |= self.target.take().is_some(),
            }
        }
        if self.ending {
            passed.closed |= self.target.take().is_some();
        }
        passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::OFlag;
    use std::fs::File;
    use std::io::Read;

    #[test]
    fn input_waits_for_room_and_then_ends() {
        let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).expect("pipe");
        let mut input = Input::new(Some(write));
        input.add(1, vec![b'a'; 100_000]);
        input.add(2, b"end".to_vec());
        input.end();
        let passed = input.pass();
        assert_eq!(passed.taken, [(1, 65_536)]);
        assert!(!passed.closed && input.wants_room().is_some());
        let mut reader = File::from(read);
        let mut got = vec![0; 65_536];
        reader.read_exact(&mut got).expect("read");
        let passed = input.pass();
        assert_eq!(passed.taken, [(1, 34_464), (2, 3)]);
        assert!(passed.closed && input.wants_room().is_none());
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).expect("end of file");
        assert_eq!(rest.len(), 34_467);
    }

    #[test]
    fn input_of_a_container_that_reads_nothing_is_thrown_away() {
        let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).expect("pipe");
        drop(read);
        let mut input = Input::new(Some(write));
        input.add(1, b"lost".to_vec());
        let passed = input.pass();
        assert!(passed.closed);
        assert_eq!(passed.taken, [(1, 4)]);
    }
}
