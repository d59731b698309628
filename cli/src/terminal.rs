//! The caller's terminal: raw while a container's terminal is shown in it, and put back whatever happens.

use nix::sys::termios::{self, SetArg, Termios};
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::sync::Mutex;

/// What to restore; here, so that a fatal signal can restore it, too.
static SAVED: Mutex<Option<Termios>> = Mutex::new(None);

/// Raw mode until dropped.
#[derive(Debug)]
pub struct Raw(());

impl Raw {
    /// Enters raw mode; nothing when stdin is no terminal.
    pub fn enter() -> Option<Raw> {
        let stdin = io::stdin();
        let before = termios::tcgetattr(stdin.as_fd()).ok()?;
        let mut raw = before.clone();
        termios::cfmakeraw(&mut raw);
        *SAVED.lock().ok()? = Some(before);
        termios::tcsetattr(stdin.as_fd(), SetArg::TCSANOW, &raw).ok()?;
        Some(Raw(()))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

/// Leaves raw mode, if it was entered.
pub fn restore() {
    let saved = SAVED.lock().ok().and_then(|mut saved| saved.take());
    if let Some(before) = saved {
        let _ = termios::tcsetattr(io::stdin().as_fd(), SetArg::TCSANOW, &before);
    }
}

/// True when stdin is a terminal.
pub fn is_input() -> bool {
    io::stdin().is_terminal()
}

/// Rows and columns of the terminal that output goes to.
pub fn size() -> Option<(u16, u16)> {
    of(libc::STDOUT_FILENO).or_else(|| of(libc::STDIN_FILENO))
}

fn of(fd: i32) -> Option<(u16, u16)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one `winsize` to a pointer that is valid for the call.
    let answer = unsafe { libc::ioctl(fd, libc::TIOCGWINSZ, &raw mut size) };
    (answer == 0 && size.ws_row > 0).then_some((size.ws_row, size.ws_col))
}

/// Reads a line that is not shown; `Unsupported` when stdin is no terminal.
pub fn ask_secret(prompt: &str) -> io::Result<String> {
    use io::{BufRead, Write};
    use nix::sys::termios::LocalFlags;
    let stdin = io::stdin();
    let before = termios::tcgetattr(stdin.as_fd()).map_err(|_| io::Error::from(io::ErrorKind::Unsupported))?;
    let mut silent = before.clone();
    silent.local_flags.remove(LocalFlags::ECHO);
    *SAVED.lock().map_err(|_| io::Error::other("the terminal is in use"))? = Some(before);
    termios::tcsetattr(stdin.as_fd(), SetArg::TCSAFLUSH, &silent)?;
    let restored = Raw(());
    let _ = io::stderr().lock().write_all(prompt.as_bytes());
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line);
    drop(restored);
    read.map(|_| line.trim_end_matches(['\r', '\n']).to_owned())
}
