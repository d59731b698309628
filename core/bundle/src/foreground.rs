//! `run` and `exec` in the foreground: signals go to the container, its terminal comes here, its exit code is ours.

use crate::Runtime;
use crate::config;
use crate::create::Create;
use crate::error::{Error, Result, call, file};
use crate::exec::Exec;
use crate::terminal::{Raw, console_pair, receive_master, resize};
use gantry_sys::pidfd;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{read, write};
use std::io::{stdin, stdout};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How a foreground process ended.
#[derive(Clone, Debug)]
pub struct End {
    pub code: i32,
    pub warnings: Vec<String>,
}

impl Runtime {
    /// Creates, starts and, unless `keep`, deletes; with `detach` it only starts.
    pub fn run(&self, request: &Create, detach: bool, keep: bool) -> Result<End> {
        let own_terminal = request.console_socket.is_none() && !detach && wants_terminal(request)?;
        let pair = own_terminal.then(console_pair).transpose()?;
        let created = match pair {
            None => self.create(request).map(|created| (created, None)),
            Some((ours, theirs)) => self.create_with(request, Some(theirs)).map(|created| (created, Some(ours))),
        };
        let (created, console) = created?;
        let ended = self.start(&request.id).and_then(|()| {
            if detach {
                return Ok(0);
            }
            let master = console.as_ref().map(receive_master).transpose()?;
            follow(created.pidfd.as_fd(), master)
        });
        if !detach && !keep || ended.is_err() {
            self.delete(&request.id, true, &mut |_| {})?;
        }
        Ok(End { code: ended?, warnings: created.warnings })
    }

    /// Runs a further process to its end.
    pub fn exec_and_wait(&self, id: &str, request: &Exec) -> Result<End> {
        let own_terminal = request.console_socket.is_none() && self.exec_wants_terminal(id, request)?;
        if !own_terminal {
            let execed = self.exec(id, request)?;
            let code = follow(execed.pidfd.as_fd(), None)?;
            return Ok(End { code, warnings: told(&execed.warnings) });
        }
        let (ours, theirs) = console_pair()?;
        let execed = self.exec_with(id, request, Some(theirs))?;
        let code = follow(execed.pidfd.as_fd(), Some(receive_master(&ours)?))?;
        Ok(End { code, warnings: told(&execed.warnings) })
    }
}

fn told(warnings: &[gantry_runtime::Warning]) -> Vec<String> {
    warnings.iter().map(ToString::to_string).collect()
}

fn wants_terminal(request: &Create) -> Result<bool> {
    let bundle = request.bundle.canonicalize().map_err(file("find the bundle", &request.bundle))?;
    let config = config::load(&bundle)?;
    Ok(config.process()?.terminal().unwrap_or(false))
}

/// Until the process behind `pidfd`, a child of ours, has ended.
fn follow(pidfd: BorrowedFd<'_>, master: Option<OwnedFd>) -> Result<i32> {
    let signals = SigSet::all();
    signals.thread_block().map_err(call("block signals"))?;
    let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK);
    let signals = signals.map_err(call("listen to signals"))?;
    let _raw = master.as_ref().map(|_| Raw::enter());
    let mut input = master.is_some();
    let mut output = master.is_some();
    loop {
        let ready = wait(pidfd, &signals, master.as_ref(), input, output).map_err(call("wait for the container"))?;
        if ready.signal {
            pass_on(&signals, pidfd, master.as_ref());
        }
        if let Some(master) = &master {
            output &= !ready.output || copy(master.as_fd(), stdout().as_fd());
            input &= !ready.input || copy(stdin().as_fd(), master.as_fd());
        }
        if ready.ended && !(output && ready.output) {
            let exit = pidfd::wait(pidfd, 0).map_err(call("wait for the container"))?;
            return exit.map(pidfd::Exit::shell_code).ok_or(Error::Call { act: "wait", errno: Errno::ECHILD });
        }
    }
}

#[derive(Default)]
struct Ready {
    ended: bool,
    signal: bool,
    output: bool,
    input: bool,
}

fn wait(
    pidfd: BorrowedFd<'_>,
    signals: &SignalFd,
    master: Option<&OwnedFd>,
    input: bool,
    output: bool,
) -> nix::Result<Ready> {
    let mut watched = vec![PollFd::new(pidfd, PollFlags::POLLIN), PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
    let stdin = stdin();
    if let Some(master) = master {
        let when = |wanted: bool| if wanted { PollFlags::POLLIN } else { PollFlags::empty() };
        watched.push(PollFd::new(master.as_fd(), when(output)));
        if input {
            watched.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
        }
    }
    match poll(&mut watched, PollTimeout::NONE) {
        Err(Errno::EINTR) => return Ok(Ready::default()),
        other => other?,
    };
    let is_ready = |index: usize| watched.get(index).and_then(PollFd::any).unwrap_or(false);
    Ok(Ready { ended: is_ready(0), signal: is_ready(1), output: output && is_ready(2), input: is_ready(3) })
}

/// Ours and our children's stay here; a change of size is passed on as such.
fn pass_on(signals: &SignalFd, pidfd: BorrowedFd<'_>, master: Option<&OwnedFd>) {
    while let Ok(Some(signal)) = signals.read_signal() {
        match Signal::try_from(signal.ssi_signo as i32) {
            Ok(Signal::SIGCHLD | Signal::SIGPIPE | Signal::SIGURG) => {}
            Ok(Signal::SIGWINCH) => {
                if let Some(master) = master {
                    resize(master);
                }
            }
            _ => {
                let _ = pidfd::pidfd_send_signal(pidfd, signal.ssi_signo as i32);
            }
        }
    }
}

/// False when there is no more to copy.
fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> bool {
    let mut buffer = [0; 4096];
    let Ok(length) = read(from, &mut buffer) else { return false };
    let mut rest = &buffer[..length];
    while !rest.is_empty() {
        match write(to, rest) {
            Ok(written) => rest = &rest[written..],
            Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
    length > 0
}
