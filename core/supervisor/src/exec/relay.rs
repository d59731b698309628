//! Between the caller's terminal and the process's: bytes both ways, sizes, and the keys that detach.

use crate::client::keys::Watch;
use crate::{Action, End, Error, Result, SessionIo};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::{AsFd, BorrowedFd};

const CHUNK: usize = 16 * 1024;

/// Asked what to do when the caller's signal descriptor is readable.
pub type OnSignal<'a> = dyn FnMut() -> Vec<Action> + 'a;

/// Copies until the process has ended and its last output was passed on, or the user detaches.
pub(super) fn copy(
    master: BorrowedFd<'_>,
    process: BorrowedFd<'_>,
    io: &SessionIo<'_>,
    keys: &[u8],
    on_signal: &mut OnSignal<'_>,
) -> Result<End> {
    let mut watch = Watch::new(keys);
    let mut stdin = io.stdin;
    let mut buffer = vec![0; CHUNK];
    loop {
        let ready = wait(master, process, stdin, io.signals)?;
        if ready[3] && act(master, &on_signal()) {
            return Ok(End::Detached);
        }
        if ready[2] && pass_input(master, &mut stdin, &mut watch, &mut buffer)? {
            return Ok(End::Detached);
        }
        if ready[0] && !pass_output(master, io.stdout, &mut buffer)? {
            return Ok(End::Exited(0));
        }
        if ready[1] && !ready[0] {
            return Ok(End::Exited(0));
        }
    }
}

fn wait(
    master: BorrowedFd<'_>,
    process: BorrowedFd<'_>,
    stdin: Option<BorrowedFd<'_>>,
    signals: Option<BorrowedFd<'_>>,
) -> Result<[bool; 4]> {
    let all = [Some(master), Some(process), stdin, signals];
    let mut fds: Vec<PollFd<'_>> = all.iter().flatten().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)).collect();
    loop {
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(copy_error("wait for the terminal", errno)),
            Ok(_) => break,
        }
    }
    let mut ready = fds.iter().map(|fd| fd.any().unwrap_or(false));
    Ok(all.map(|fd| fd.is_some() && ready.next().unwrap_or(false)))
}

fn act(master: BorrowedFd<'_>, actions: &[Action]) -> bool {
    for action in actions {
        match *action {
            Action::Resize { rows, columns } => drop(gantry_sys::tty::set_size(master, rows, columns)),
            Action::Signal(_) => {}
            Action::Detach => return true,
        }
    }
    false
}

fn pass_input(
    master: BorrowedFd<'_>,
    stdin: &mut Option<BorrowedFd<'_>>,
    watch: &mut Watch<'_>,
    buffer: &mut [u8],
) -> Result<bool> {
    let Some(from) = *stdin else { return Ok(false) };
    let count = nix::unistd::read(from, buffer).map_err(|e| copy_error("read standard input", e))?;
    if count == 0 {
        // A terminal has no half-close: its end of file is a character.
        *stdin = None;
        let _ = nix::unistd::write(master, &[4]);
        return Ok(false);
    }
    let mut passed = Vec::with_capacity(count);
    let detached = watch.feed(&buffer[..count], &mut passed);
    write_all(master, &passed)?;
    Ok(detached)
}

/// False when the terminal has no other side any more.
fn pass_output(master: BorrowedFd<'_>, to: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<bool> {
    match nix::unistd::read(master, buffer) {
        Ok(0) | Err(Errno::EIO) => Ok(false),
        Ok(count) => write_all(to, &buffer[..count]).map(|()| true),
        Err(Errno::EINTR | Errno::EAGAIN) => Ok(true),
        Err(errno) => Err(copy_error("read the terminal", errno)),
    }
}

fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match nix::unistd::write(to, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(errno) => return Err(copy_error("write output", errno)),
        }
    }
    Ok(())
}

fn copy_error(act: &'static str, errno: Errno) -> Error {
    Error::Copy { act, source: errno.into() }
}
