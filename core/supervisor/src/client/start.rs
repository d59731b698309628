//! Starting a supervisor and leading it through a container's start.
//!
//! The caller and the keeper speak over one socket pair. Whatever the caller does not ask for does not happen: until
//! [`Supervisor::release`] its death aborts the start.

use super::guess::Guess;
use super::say_finished;
use super::session::Session;
use crate::launch::Launch;
use crate::wire::{self, Ask, Exit, Started, Tell};
use crate::{Error, Result};
use gantry_sys::protect::{self, Spawned};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{Shutdown, shutdown};
use std::ffi::CString;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The descriptor by which the keeper's program finds its caller.
pub(crate) const CONTROL: i32 = 3;

/// A supervisor that its caller leads through the start of one container.
pub struct Supervisor {
    control: OwnedFd,
    starter: Option<Spawned>,
    session: Option<Session>,
}

impl Supervisor {
    /// Starts keeper and pump; cheap to do as early as possible, since they get ready on their own.
    /// `cgroups` are the directories of the group they live in, one of each hierarchy.
    /// `guess` is what they can begin with.
    pub fn spawn(keeper_exe: &Path, pump_exe: &Path, cgroups: &[PathBuf], guess: &Guess) -> Result<Supervisor> {
        let failed = |source: io::Error| Error::Spawn { exe: keeper_exe.to_owned(), source };
        let (control, theirs) = wire::pair().map_err(failed)?;
        let null = OpenOptions::new().read(true).write(true).open("/dev/null").map_err(failed)?;
        let text = |path: &Path| CString::new(path.as_os_str().as_bytes()).map_err(|e| failed(e.into()));
        let (keeper, pump) = (text(keeper_exe)?, text(pump_exe)?);
        let cgroups = cgroups.iter().map(|group| text(group)).collect::<Result<Vec<_>>>()?;
        let guess = guess.to_argument();
        let mut args = vec![c"gantry-keeper", c"start", &keeper, &pump, &guess];
        args.extend(cgroups.iter().map(CString::as_c_str));
        let fds = [(null.as_fd(), 0), (null.as_fd(), 1), (null.as_fd(), 2), (theirs.as_fd(), CONTROL)];
        let starter = protect::spawn_protected(keeper_exe, &args, &fds, true).map_err(|e| failed(e.into()))?;
        Ok(Supervisor { control, starter: Some(starter), session: None })
    }

    /// Gives the order. Keeper and pump make the streams, open the log drivers and clone the container's init.
    pub fn launch(&mut self, launch: &Launch) -> Result<()> {
        let order = launch.to_memfd().map_err(Error::talk("write the order for"))?;
        if !launch.attached() {
            return self.tell(&Ask::Launch {}, &[order.as_raw_fd()]);
        }
        let (ours, theirs) = wire::pair().map_err(Error::talk("make a session with"))?;
        self.session = Some(Session::from_start(ours));
        self.tell(&Ask::Launch {}, &[order.as_raw_fd(), theirs.as_raw_fd()])
    }

    /// Descriptors (locks, bound sockets) that stay open as long as the container lives.
    pub fn hold(&mut self, fds: &[BorrowedFd<'_>]) -> Result<()> {
        let numbers: Vec<_> = fds.iter().map(|fd| fd.as_raw_fd()).collect();
        self.tell(&Ask::Hold {}, &numbers)
    }

    /// Waits until init exists, and with it its namespaces; answers its pid.
    pub fn wait_cloned(&mut self) -> Result<i32> {
        self.reap_starter();
        match self.hear("the container's init")? {
            Tell::Cloned { pid } => Ok(pid),
            other => Err(unexpected(&other)),
        }
    }

    /// Waits until init stands at its gate and the log drivers are open; answers warnings.
    pub fn wait_ready(&mut self) -> Result<Vec<String>> {
        match self.hear("the container to be ready")? {
            Tell::Ready { warnings } => Ok(warnings),
            other => Err(unexpected(&other)),
        }
    }

    /// Opens the gate. From the answer on the container lives without the caller.
    pub fn release(&mut self) -> Result<Started> {
        self.tell(&Ask::Release {}, &[])?;
        match self.hear("the container's program")? {
            Tell::Started(started) => Ok(started),
            other => Err(unexpected(&other)),
        }
    }

    /// The session that sees every byte from the first one; `None` when none was ordered or it was taken already.
    pub fn session(&mut self) -> Option<Session> {
        self.session.take()
    }

    /// Waits for the end; all output is logged and offered to the sessions by then.
    pub fn wait_exit(&mut self) -> Result<Exit> {
        match self.hear("the container's end")? {
            Tell::Exit(exit) => Ok(exit),
            other => Err(unexpected(&other)),
        }
    }

    /// The caller cleans up after the end and says so with [`Supervisor::finished`]. If it dies before, the keeper
    /// does it.
    pub fn take_finish(&mut self) -> Result<()> {
        self.tell(&Ask::TakeFinish {}, &[])
    }

    /// The caller has cleaned up. Keeper and pump go when this is dropped: until then they are not in the way of what
    /// the caller still has to do.
    pub fn finished(&mut self) -> Result<()> {
        say_finished(self.control.as_fd())
    }

    /// Readable when the keeper has something to say; for callers with a loop of their own.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }

    fn tell(&mut self, message: &Ask, fds: &[i32]) -> Result<()> {
        wire::send(self.control.as_fd(), message, fds).map_err(Error::talk("tell"))
    }

    fn hear(&mut self, what: &'static str) -> Result<Tell> {
        wire::hear(self.control.as_fd(), what)
    }

    /// True while nothing was heard of it: neither a word nor its end.
    pub fn is_silent(&self) -> bool {
        !self.wait_readable(0)
    }

    /// Tells it that there will be no order, and waits until it has gone.
    pub fn dismiss(self, limit: u16) {
        let _ = shutdown(self.control.as_raw_fd(), Shutdown::Write);
        self.wait_readable(limit);
    }

    fn wait_readable(&self, milliseconds: u16) -> bool {
        let mut fds = [PollFd::new(self.control.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::from(milliseconds)).is_ok_and(|ready| ready > 0)
    }

    /// Waits until keeper and pump are in their cgroups.
    pub fn wait_settled(&mut self) {
        self.reap_starter();
    }

    /// The process we started only forks the two and leaves.
    fn reap_starter(&mut self) {
        if let Some(starter) = self.starter.take() {
            let _ = gantry_sys::pidfd::wait(starter.pidfd.as_fd(), 0);
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.reap_starter();
    }
}

fn unexpected(told: &Tell) -> Error {
    Error::protocol(format!("it said {told:?} out of turn"))
}
