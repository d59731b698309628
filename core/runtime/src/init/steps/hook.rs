//! Programs of the caller's that run inside while the container is made.
//!
//! Only the OCI command line plans hooks. It has one thread, so its clone may allocate here.

use super::{Perform, shown};
use crate::init::fault::{Act, During, Fault, Message};
use crate::init::{Context, send};
use gantry_sys::pidfd::{self, Exit};
use gantry_sys::process::{self, StringArray};
use gantry_sys::{Errno, Result as SysResult};
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Deserialize, Serialize};
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

/// Lets the parent run its hooks, and learns this process' number outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rendezvous;

impl Perform for Rendezvous {
    const NAME: &'static str = "hooks";

    fn perform(&self, context: &mut Context<'_>) -> Result<(), Fault> {
        send(context.prepared.doors.report, &Message::Hooks);
        context.pid = i32::from_ne_bytes(context.hear::<4>().during(Act::Hook)?);
        Ok(())
    }
}

/// Hooks of one kind, one after the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Hooks {
    pub hooks: Vec<Hook>,
    /// The container's state as JSON, in two parts: its process' number goes between.
    pub state: (Vec<u8>, Vec<u8>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Hook {
    pub path: CString,
    pub args: Vec<CString>,
    pub env: Vec<CString>,
    /// Seconds.
    pub timeout: Option<u32>,
}

impl Perform for Hooks {
    const NAME: &'static str = "hooks";

    fn perform(&self, context: &mut Context<'_>) -> Result<(), Fault> {
        let (before, after) = &self.state;
        let state = [before.as_slice(), context.pid.to_string().as_bytes(), after.as_slice()].concat();
        self.hooks.iter().try_for_each(|hook| hook.run(&state))
    }
}

impl Hook {
    fn run(&self, state: &[u8]) -> Result<(), Fault> {
        match self.spawn(state).about(Act::Hook, self.path.to_bytes())? {
            Exit::Code(0) => Ok(()),
            Exit::Code(code) => Err(self.failed(&format!("exit code {code}"))),
            Exit::Signal { number, .. } => Err(self.failed(&format!("signal {number}"))),
        }
    }

    fn failed(&self, how: &str) -> Fault {
        Fault::about(Act::HookFailed, Errno::ECANCELED, format!("{}: {how}", shown(&self.path)).as_bytes())
    }

    fn spawn(&self, state: &[u8]) -> SysResult<Exit> {
        let stdin = filled_pipe(state)?;
        let argv = StringArray::new(self.args.iter().map(CString::as_c_str));
        let envp = StringArray::new(self.env.iter().map(CString::as_c_str));
        let pid = process::fork()?;
        if pid == 0 {
            let _ = process::duplicate_onto(stdin.as_fd(), 0);
            process::execve(&self.path, &argv, &envp);
            process::exit(127)
        }
        self.wait(pid)
    }

    /// One that takes too long is killed.
    fn wait(&self, pid: i32) -> SysResult<Exit> {
        let pidfd = pidfd::pidfd_open(pid)?;
        let timeout = self.timeout.map_or(PollTimeout::NONE, |seconds| {
            PollTimeout::try_from(seconds.saturating_mul(1000)).unwrap_or(PollTimeout::MAX)
        });
        let ended = poll(&mut [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)], timeout)?;
        if ended == 0 {
            let _ = pidfd::pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL);
            let _ = pidfd::wait(pidfd.as_fd(), 0);
            return Err(Errno::ETIMEDOUT);
        }
        pidfd::wait(pidfd.as_fd(), 0)?.ok_or(Errno::ECHILD)
    }
}

/// The read end of a pipe that holds all of `state`: nobody has to write while the hook runs.
fn filled_pipe(state: &[u8]) -> SysResult<OwnedFd> {
    const USUAL: usize = 1 << 16;
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    if state.len() > USUAL {
        let size = i32::try_from(state.len()).map_err(|_| Errno::E2BIG)?;
        nix::fcntl::fcntl(&write, nix::fcntl::FcntlArg::F_SETPIPE_SZ(size))?;
    }
    nix::unistd::write(&write, state)?;
    Ok(read)
}
