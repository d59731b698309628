//! A container's streams over a connection that was taken over: output on one thread, input on another, signals and the
//! terminal's size here.

use crate::cmd::attach::Following;
use crate::out::failure::Failure;
use crate::terminal;
use gantry_client::{Client, Line, copy_frames};
use gantry_engine::{Action, End};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::thread;

/// What is followed, and where signals and sizes go.
pub struct Streams<'a> {
    pub client: &'a Client,
    /// `/containers/ID` or `/exec/ID`.
    pub path: String,
    pub tty: bool,
}

fn copy_of(fd: BorrowedFd<'_>) -> io::Result<File> {
    fd.try_clone_to_owned().map(File::from)
}

impl Streams<'_> {
    /// Tells the engine how large our terminal is.
    pub fn resize(&self) {
        if let Some((rows, columns)) = terminal::size().filter(|_| self.tty) {
            self.send("resize", &[("h", rows.to_string()), ("w", columns.to_string())]);
        }
    }

    /// A container that has just ended cannot be told any more, which is no fault.
    fn send(&self, verb: &str, query: &[(&str, String)]) {
        let _ = self.client.call("POST", &format!("{}/{verb}", self.path), query, None);
    }

    /// Carries everything until the engine has nothing more to say.
    pub fn carry(&self, line: BufReader<Line>, following: &Following) -> Result<(), Failure> {
        let broken = |error: io::Error| Failure::error(format!("the streams broke off: {error}"));
        let (ended, end) = io::pipe().map_err(broken)?;
        let input = line.get_ref().try_clone().map_err(broken)?;
        let tty = self.tty;
        let output = thread::spawn(move || {
            let copied = copy_output(line, tty);
            drop(end);
            copied
        });
        let carried = following.with_io(&mut |io, _, on_signal| {
            if io.stdin.is_some() {
                let source = copy_of(io::stdin().as_fd()).map_err(gantry_engine::Error::io("read stdin"))?;
                let input = input.try_clone().map_err(gantry_engine::Error::io("share the connection"))?;
                // Blocks in a read that nothing ends but the process' own end.
                thread::spawn(move || copy_input(source, input));
            }
            while !wait(io.signals, ended.as_fd()) {
                on_signal().into_iter().for_each(|action| self.act(action));
            }
            Ok(End::Detached)
        });
        carried.map_err(|error| Failure::engine(&error))?;
        output.join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked"))).map_err(broken)
    }

    fn act(&self, action: Action) {
        match action {
            Action::Resize { .. } => self.resize(),
            Action::Signal(number) => self.send("kill", &[("signal", number.to_string())]),
            Action::Detach => {}
        }
    }
}

/// Waits for a signal or the end; true for the end.
fn wait(signals: Option<BorrowedFd<'_>>, ended: BorrowedFd<'_>) -> bool {
    let mut fds = vec![PollFd::new(ended, PollFlags::POLLIN)];
    fds.extend(signals.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
    let _ = poll(&mut fds, PollTimeout::NONE);
    fds[0].any().unwrap_or(true)
}

fn copy_output(mut line: BufReader<Line>, tty: bool) -> io::Result<()> {
    let (mut stdout, mut stderr) = (copy_of(io::stdout().as_fd())?, copy_of(io::stderr().as_fd())?);
    let copied = match tty {
        true => io::copy(&mut line, &mut stdout).map(drop),
        false => copy_frames(&mut line, &mut stdout, &mut stderr),
    };
    // Engines may close with a reset when input was left unread.
    copied.or_else(|error| if error.kind() == io::ErrorKind::ConnectionReset { Ok(()) } else { Err(error) })
}

fn copy_input(mut source: File, mut line: Line) {
    let mut bytes = [0; 16 << 10];
    loop {
        match source.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => {
                if line.write_all(&bytes[..count]).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    let _ = line.finish();
}
