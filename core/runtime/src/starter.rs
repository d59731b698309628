//! Starting one program again and again in a container, by a process that stays there (`init/stay.rs`).

use crate::error::Error;
use crate::exec::Target;
use crate::init::fault::{Act, MESSAGE_SIZE, Message};
use crate::init::stay::{self, Room};
use crate::init::{Doors, Entered, Prepared};
use crate::launch::report;
use crate::launch::{Standard, Stdio, argv, clone, envp, failed};
use crate::plan::ExecPlan;
use gantry_sys::process::Stack;
use gantry_sys::{Errno, passing, pidfd};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How long it may take to end, in milliseconds: only a frozen one takes longer, and that nobody waits for.
const PARTING: u8 = 200;

/// The process; dropped, it ends.
#[derive(Debug)]
pub struct Starter {
    pidfd: OwnedFd,
    socket: OwnedFd,
}

/// What became of a start.
#[derive(Debug)]
pub enum Answer {
    /// It runs, or has run: a child of the caller.
    Started(OwnedFd),
    /// The program, or the way to it, is at fault.
    Failed(Error),
    /// It cannot be started in this way: the filter may not allow what that needs, or the container has no room for it.
    Unable,
}

impl Starter {
    /// Makes the process, which goes its way into the container while the caller goes on. What a program prints is given
    /// with each start; `stdin` is for all.
    pub fn open(plan: &ExecPlan, at: &Target, stdin: &OwnedFd) -> Result<Starter, Error> {
        let copy = || stdin.try_clone().map_err(|error| failed("duplicate a descriptor")(errno(&error)));
        let stdio = Standard::new(Stdio { stdin: copy()?, stdout: copy()?, stderr: copy()?, console: None })?;
        let pair = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC);
        let (socket, theirs) = pair.map_err(failed("make a socket"))?;
        let prepared = Prepared {
            steps: &plan.steps,
            program: &plan.program,
            argv: argv(&plan.program),
            stdio: stdio.borrow(),
            doors: Doors { report: theirs.as_fd(), gate: None, start: None, theirs: &[socket.as_fd()] },
            cgroups: &at.made().procs,
            console: None,
            target: Some(Entered { pidfd: at.pidfd(), root: at.root() }),
            terminal: false,
            console_socket: None,
            trees: &[],
            kept_fds: 0,
            start_hooks: None,
            init: false,
            title: None,
        };
        let mut room = Room { socket: theirs.as_fd(), stack: Stack::new(), unified: at.made().unified.is_some() };
        let envp = envp(&plan.program);
        let (_, pidfd) = clone(0, at.made(), || stay::run(&prepared, envp, &mut room))?;
        Ok(Starter { pidfd, socket })
    }

    /// Asks for one start. The caller should close the output then: who holds it open does not see its end.
    pub fn ask(&self, output: BorrowedFd<'_>) -> Result<(), Errno> {
        passing::send_one(self.socket.as_fd(), b"!", Some(output))
    }

    /// What became of it; `None`: not known yet.
    pub fn answer(&self, plan: &ExecPlan) -> Option<Answer> {
        let mut bytes = [0; MESSAGE_SIZE];
        loop {
            let (length, process) = match passing::receive_one(self.socket.as_fd(), &mut bytes, false) {
                Ok(got) => got,
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => return None,
                Err(_) => return Some(Answer::Unable),
            };
            let message = if length == MESSAGE_SIZE { Message::decode(&bytes) } else { None };
            return Some(match (message, process) {
                (Some(Message::Warning { .. }), _) => continue,
                (Some(Message::Ready), Some(process)) => Answer::Started(process),
                (Some(Message::Failed { fault, .. }), _) if matches!(fault.act, Act::Clone | Act::Stay) => {
                    Answer::Unable
                }
                (Some(Message::Failed { step, fault }), process) => {
                    // The child that did not become the program is ours to wait for.
                    let _ = process.map(|process| pidfd::wait(process.as_fd(), 0));
                    Answer::Failed(report::error(&plan.steps, &plan.program, step, &fault))
                }
                _ => Answer::Unable,
            });
        }
    }
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

impl Drop for Starter {
    fn drop(&mut self) {
        let _ = pidfd::pidfd_send_signal(self.pidfd.as_fd(), libc::SIGKILL);
        let _ = poll(&mut [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)], PollTimeout::from(PARTING));
        let _ = pidfd::wait(self.pidfd.as_fd(), libc::WNOHANG);
    }
}
