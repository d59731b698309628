//! The pump's other eye: on the keeper, on init, and on children it inherits when the keeper dies.

use super::Pump;
use crate::client::CONTROL;
use crate::estate::Link;
use crate::note::note;
use crate::state::Phase;
use crate::wire;
use gantry_sys::protect;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use std::ffi::CString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

/// Asks for new log files, as `logs rotate` does: for those who rotate logs by moving files away.
const ROTATE: Signal = Signal::SIGUSR1;

/// SIGCHLD and the signal to rotate as a descriptor; to be called before any thread is started.
pub fn child_signals() -> io::Result<SignalFd> {
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGCHLD);
    mask.add(ROTATE);
    mask.thread_block()?;
    Ok(SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?)
}

impl Pump {
    /// Reaps what ended. Init is among it when the keeper was killed: then nobody else will know its status.
    pub(super) fn reap(&mut self) -> io::Result<()> {
        let mut rotate = false;
        while let Ok(Some(signal)) = self.children.read_signal() {
            rotate |= signal.ssi_signo == ROTATE as u32;
        }
        if rotate {
            self.rotate_unasked();
        }
        let init = self.state.life().init;
        loop {
            let (pid, status) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, code << 8),
                Ok(WaitStatus::Signaled(pid, signal, core)) => (pid, signal as i32 | if core { 0x80 } else { 0 }),
                Ok(WaitStatus::StillAlive) | Err(_) => return Ok(()),
                Ok(_) => continue,
            };
            if pid.as_raw() == init {
                self.state.set_reaped(status)?;
            }
        }
    }

    /// The keeper is gone. On purpose, at the end: nothing to do. Before the gate was opened: the start is given up.
    /// Else its successor takes over where it was.
    pub(super) fn keeper_died(&mut self) -> io::Result<()> {
        self.keeper = None;
        self.take_link_messages()?;
        if self.keeper_left {
            return Ok(());
        }
        if self.state.life().phase == Phase::Starting {
            if let Some(init) = &self.init {
                let _ = gantry_sys::pidfd::pidfd_send_signal(init.as_fd(), libc::SIGKILL);
            }
            note(self.state_dir(), "the keeper died before the start was complete");
            self.keeper_left = true;
            return Ok(());
        }
        self.restart_keeper()
    }

    fn restart_keeper(&mut self) -> io::Result<()> {
        let (ours, theirs) = wire::pair()?;
        let exe = CString::new(self.rest.programs.keeper.as_os_str().as_bytes())?;
        let args = [c"gantry-keeper", c"resume", &exe];
        let spawned = protect::spawn_protected(&self.rest.programs.keeper, &args, &[(theirs.as_fd(), CONTROL)], false)?;
        drop(theirs);
        self.estate()?.send(ours.as_fd())?;
        self.keeper = Some(spawned.pidfd);
        self.link = ours;
        note(self.state_dir(), &format!("the keeper died; restarted as {}", spawned.pid));
        if self.stage == super::Stage::Drained {
            self.tell_keeper(&Link::Drained {});
        }
        Ok(())
    }

    /// What the keeper said.
    pub(super) fn take_link_messages(&mut self) -> io::Result<()> {
        while let Some(packet) = wire::try_receive::<Link>(self.link.as_fd())? {
            let mut fds = packet.fds;
            match packet.message {
                Link::Init {} => {
                    self.init = fds.pop();
                    self.start_resolver_if_wanted();
                }
                Link::Hold {} => self.rest.held.append(&mut fds),
                Link::Exited(exit) => {
                    self.clients.iter_mut().for_each(|client| client.end(&exit));
                    self.exit = Some(exit);
                }
                Link::LetGo {} => self.rest.held.clear(),
                Link::LetGoOf { sockets } => crate::estate::let_go(&mut self.rest.held, &sockets),
                Link::LetGoOfFiles {} => crate::estate::let_go_of_files(&mut self.rest.held),
                Link::Bye {} => self.keeper_left = true,
                _ => {}
            }
        }
        Ok(())
    }
}
