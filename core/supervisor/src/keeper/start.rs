//! Leading one container to life, step by step with the caller. Until the caller says "release", its death undoes.

use super::health::Checks;
use super::serve::Cause;
use super::{Keeper, Launcher, PumpProcess, Steps, make, refuse};
use crate::clock;
use crate::estate::{Link, Programs};
use crate::launch::Launch;
use crate::state::{Life, Phase};
use crate::wire::{self, Ask, Refusal, Started, Tell};
use gantry_model::class::Class;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

pub fn run(
    control: OwnedFd,
    link: OwnedFd,
    pump: PumpProcess,
    programs: Programs,
    launcher: &dyn Launcher,
) -> io::Result<()> {
    let Some((order, session)) = order(control.as_fd())? else {
        launcher.dismiss();
        return Ok(());
    };
    let launch = Launch::from_memfd(order.as_fd())?;
    let told_cloned = tell_ready_init(control.as_fd(), &launch, launcher)?;
    let caller = control.try_clone()?;
    let (estate, stdio, master) = match make::make(launch, order, programs, control, session) {
        Ok(made) => made,
        Err(error) => {
            launcher.dismiss();
            let refusal = refuse(&error, "make the container's streams");
            return wire::send(caller.as_fd(), &Tell::Refused(refusal), &[]);
        }
    };
    drop(caller);
    if master.is_none() {
        estate.send(link.as_fd())?;
    }
    let mut keeper = Keeper { told_cloned, master, ..Keeper::new(estate, link, pump) };
    let plan = std::mem::take(&mut keeper.estate.launch.plan);
    let launched = launcher.launch(&plan, stdio, &mut keeper);
    drop(plan);
    match launched {
        Ok(()) => keeper.released()?,
        Err(refusal) => return keeper.give_up(refusal),
    }
    gantry_sys::memory::trim();
    keeper.run()
}

/// The caller may attach the network while the streams and cgroups are made.
fn tell_ready_init(control: BorrowedFd<'_>, launch: &Launch, launcher: &dyn Launcher) -> io::Result<bool> {
    let pid = if launch.stale { None } else { launcher.ready_init(&launch.plan) };
    match pid {
        Some(pid) => wire::send(control, &Tell::Cloned { pid }, &[]).map(|()| true),
        None => {
            launcher.dismiss();
            Ok(false)
        }
    }
}

fn order(control: BorrowedFd<'_>) -> io::Result<Option<(OwnedFd, Option<OwnedFd>)>> {
    while let Some(packet) = wire::receive::<Ask>(control)? {
        let mut fds = packet.fds.into_iter();
        if let (Ask::Launch {}, Some(order)) = (packet.message, fds.next()) {
            return Ok(Some((order, fds.next())));
        }
    }
    Ok(None)
}

impl Steps for Keeper {
    fn cloned(&mut self, pid: i32, pidfd: BorrowedFd<'_>) -> Result<(), Refusal> {
        let failed = |error: io::Error| refuse(&error, "tell of the container's init");
        self.estate.init = Some(pidfd.try_clone_to_owned().map_err(failed)?);
        self.life = Life { init: pid, ..std::mem::take(&mut self.life) };
        self.estate.state.set_life(&self.life).map_err(failed)?;
        self.mounts = std::fs::File::open(format!("/proc/{pid}/ns/mnt")).ok().map(OwnedFd::from);
        // A pump that has died meanwhile, or has no estate yet, gets it with that.
        if self.master.is_none() {
            let _ = wire::send(self.link.as_fd(), &Link::Init {}, &[pidfd.as_raw_fd()]);
        }
        if !self.told_cloned {
            self.tell_caller(&Tell::Cloned { pid }).map_err(failed)?;
        }
        Ok(())
    }

    fn ready(&mut self, mut warnings: Vec<String>) -> Result<(), Refusal> {
        self.take_terminal().map_err(|error| refuse(&error, "take over the container's terminal"))?;
        while self.pump_ready.is_none() {
            self.wait_for_start(false)?;
        }
        let (more, refusal) = self.pump_ready.take().unwrap_or_default();
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        warnings.extend(more);
        let failed = |error: io::Error| refuse(&error, "tell that the container is ready");
        self.tell_caller(&Tell::Ready { warnings }).map_err(failed)?;
        while !self.wait_for_start(true)? {}
        // The program itself may be one of the files that have not come.
        self.start_fetcher();
        Ok(())
    }
}

impl Keeper {
    /// The pump begins when there is a terminal to be read.
    fn take_terminal(&mut self) -> io::Result<()> {
        let Some(master) = self.master.take() else { return Ok(()) };
        self.estate.terminal = Some(make::terminal_that_came(master.as_fd(), &self.estate.launch)?);
        self.estate.send(self.link.as_fd())
    }

    /// Waits for the pump and the caller; true when the caller opened the gate.
    fn wait_for_start(&mut self, may_release: bool) -> Result<bool, Refusal> {
        let failed = |error: io::Error| refuse(&error, "wait for the start");
        let mut ready = self.wait(false, None).map_err(failed)?;
        let caller = ready.contains(&Cause::Caller);
        ready.retain(|cause| *cause != Cause::Caller);
        self.serve(&ready).map_err(failed)?;
        if self.pump.retry_at.is_some() {
            return Err(Refusal::new(Class::Driver, "the pump dies whenever it is started: see supervisor.log"));
        }
        if !caller {
            return Ok(false);
        }
        let Some(control) = &self.estate.control else { return Err(caller_gone()) };
        // What is asked too early stays in the socket until we are ready for it: only "hold" comes before.
        match wire::receive::<Ask>(control.as_fd()) {
            Ok(Some(packet)) => match packet.message {
                Ask::Hold {} => self.hold(packet.fds),
                Ask::Release {} if may_release => return Ok(true),
                Ask::Release {} => return Err(Refusal::new(Class::Internal, "released before it was ready")),
                Ask::TakeFinish {} => self.life.caller_finishes = true,
                _ => {}
            },
            _ => {
                self.estate.control = None;
                return Err(caller_gone());
            }
        }
        Ok(false)
    }

    /// The gate is open and the program runs.
    fn released(&mut self) -> io::Result<()> {
        self.life.phase = Phase::Running;
        self.life.started_ns = clock::realtime_ns();
        self.estate.state.set_life(&self.life)?;
        let _ = wire::send(self.link.as_fd(), &Link::Running {}, &[]);
        self.checks = Checks::new(&self.estate.launch, self.life.started_ns, true);
        self.record_running();
        let started = Started { pid: self.life.init, started_ns: self.life.started_ns };
        // The caller may be gone by now: from here on that is its own affair.
        let _ = self.tell_caller(&Tell::Started(started));
        self.tell_started();
        Ok(())
    }

    /// The start did not succeed: the caller undoes; when it is dead, "finish" does.
    fn give_up(&mut self, refusal: Refusal) -> io::Result<()> {
        self.life.phase = Phase::Ended;
        self.life.exit.error = refusal.message.clone();
        self.estate.state.set_life(&self.life)?;
        self.let_go();
        if self.master.take().is_some() {
            // It knows nothing else to do with what comes next.
            self.estate.send(self.link.as_fd())?;
        }
        let _ = self.tell_caller(&Tell::Refused(refusal));
        let _ = wire::send(self.link.as_fd(), &Link::Exited(self.life.exit.clone()), &[]);
        self.leave()
    }

    pub(super) fn tell_caller(&self, message: &Tell) -> io::Result<()> {
        self.estate.control.as_ref().map_or(Ok(()), |control| wire::send(control.as_fd(), message, &[]))
    }
}

fn caller_gone() -> Refusal {
    Refusal::new(Class::Unavailable, "the caller died before the container was started")
}
