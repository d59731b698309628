//! A terminal relayed to the caller's own, for `run` and `exec` by hand.

use crate::error::{Result, call};
use gantry_sys::{passing, tty};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use std::io::stdin;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// Two ends of a console socket of our own.
pub(crate) fn console_pair() -> Result<(UnixStream, OwnedFd)> {
    let pair = UnixStream::pair().map_err(|error| nix::errno::Errno::from_raw(error.raw_os_error().unwrap_or(0)));
    let (ours, theirs) = pair.map_err(call("make a console socket"))?;
    Ok((ours, theirs.into()))
}

/// The master that came over it.
pub(crate) fn receive_master(socket: &UnixStream) -> Result<OwnedFd> {
    let mut name = [0; 64];
    let (_, fds) = passing::receive(socket.as_fd(), &mut name, true).map_err(call("receive the terminal"))?;
    let master = fds.into_iter().next().ok_or(nix::errno::Errno::ENOTTY).map_err(call("receive the terminal"))?;
    resize(&master);
    Ok(master)
}

/// Gives the container's terminal the size of ours.
pub(crate) fn resize(master: &OwnedFd) {
    if let Ok((rows, columns)) = tty::size(stdin().as_fd()) {
        let _ = tty::set_size(master.as_fd(), rows, columns);
    }
}

/// Our own terminal in raw mode, until this is dropped.
pub(crate) struct Raw {
    before: Option<Termios>,
}

impl Raw {
    pub fn enter() -> Raw {
        let before = tcgetattr(stdin()).ok();
        if let Some(before) = &before {
            let mut raw = before.clone();
            cfmakeraw(&mut raw);
            let _ = tcsetattr(stdin(), SetArg::TCSANOW, &raw);
        }
        Raw { before }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(stdin(), SetArg::TCSANOW, before);
        }
    }
}
