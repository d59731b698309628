//! The keeper's life while the container lives: it sleeps until something happens.

use super::lease::Leases;
use super::{Keeper, PumpProcess};
use crate::estate::Estate;
use crate::state::Phase;
use crate::tell;
use crate::wire::{self, Ask, Refusal, Tell};
use gantry_model::class::Class;
use gantry_sys::{Errno, pidfd};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Instant;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Link,
    Pump,
    Caller,
    Init,
    Door,
    Client(usize),
    Program(usize),
    Check,
    CheckOutput,
    Freezer,
    Fetcher,
    /// Only its end is of interest.
    CheckOutputEnd,
}

impl Cause {
    fn awaited(self) -> PollFlags {
        if self == Cause::CheckOutputEnd { PollFlags::empty() } else { PollFlags::POLLIN }
    }
}

impl Keeper {
    pub(super) fn new(estate: Estate, link: OwnedFd, pump: PumpProcess) -> Keeper {
        Keeper {
            _namespaces: super::pause::hold(&estate.launch.state_dir),
            life: estate.state.life(),
            estate,
            link,
            pump,
            clients: Vec::new(),
            waiters: Vec::new(),
            finisher: None,
            programs: Vec::new(),
            mounts: None,
            told_cloned: false,
            master: None,
            checks: None,
            leases: Leases::default(),
            freezer: None,
            fetcher: super::fetch::Fetcher::default(),
            overdue: false,
            pump_ready: None,
            drained: false,
            pump_over: false,
            caller_finished: false,
            slow_to_close: Vec::new(),
        }
    }

    /// From the start to the end.
    pub(super) fn run(&mut self) -> io::Result<()> {
        self.leases.look(&self.estate.launch.state_dir);
        self.watch_freezer();
        while self.life.phase == Phase::Running && !self.init_ended() {
            let ready = self.wait(true, None)?;
            self.serve(&ready)?;
            self.check_health();
            self.check_leases(&ready);
            self.check_run_limit();
        }
        self.end_checks();
        self.conclude()
    }

    /// Sleeps until something happens or `until`.
    pub(super) fn wait(&self, with_init: bool, until: Option<Instant>) -> io::Result<Vec<Cause>> {
        let watched = self.watched(with_init);
        let mut fds: Vec<_> = watched.iter().map(|(cause, fd)| PollFd::new(*fd, cause.awaited())).collect();
        let checks = self.checks.as_ref().map(|checks| checks.due());
        let until = until.into_iter().chain(self.pump.retry_at).chain(checks).chain(self.leases.wakes_at());
        let until = until.chain(self.run_limit_at()).chain(self.fetcher.retry_at).min();
        let left = |until: Instant| until.saturating_duration_since(Instant::now()).as_millis() as i32;
        let timeout = until.map_or(Ok(PollTimeout::NONE), |until| PollTimeout::try_from(left(until).saturating_add(1)));
        match poll(&mut fds, timeout.unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let ready = fds.iter().zip(&watched).filter(|(fd, _)| fd.any().unwrap_or(false));
        Ok(ready.map(|(_, (cause, _))| *cause).collect())
    }

    fn watched(&self, with_init: bool) -> Vec<(Cause, BorrowedFd<'_>)> {
        let mut watched = vec![(Cause::Door, self.estate.keeper_door.as_fd())];
        if let Some(pump) = &self.pump.pidfd {
            watched.push((Cause::Link, self.link.as_fd()));
            watched.push((Cause::Pump, pump.as_fd()));
        }
        watched.extend(self.estate.control.as_ref().map(|fd| (Cause::Caller, fd.as_fd())));
        watched.extend(self.estate.init.as_ref().filter(|_| with_init).map(|fd| (Cause::Init, fd.as_fd())));
        watched.extend(self.clients.iter().enumerate().map(|(at, fd)| (Cause::Client(at), fd.as_fd())));
        watched.extend(self.programs.iter().enumerate().map(|(at, (fd, _))| (Cause::Program(at), fd.as_fd())));
        watched.extend(self.freezer.as_ref().map(|fd| (Cause::Freezer, fd.as_fd())));
        watched.extend(self.fetcher.process().map(|fd| (Cause::Fetcher, fd)));
        watched.extend(self.checks.iter().flat_map(|checks| checks.watched()));
        watched
    }

    /// Sees to what happened. Later entries first: a removal does not move those that are still to be seen.
    pub(super) fn serve(&mut self, ready: &[Cause]) -> io::Result<()> {
        for cause in ready.iter().rev() {
            match cause {
                Cause::Program(at) => {
                    let (program, exec) = self.programs.swap_remove(*at);
                    let exit = pidfd::wait(program.as_fd(), libc::WNOHANG).ok().flatten();
                    self.tell_exec_end(exec, exit);
                }
                Cause::Client(at) => {
                    let client = self.clients.swap_remove(*at);
                    self.serve_client(client);
                }
                Cause::Door => self.clients.extend(wire::accept(self.estate.keeper_door.as_fd()).ok()),
                Cause::Caller => self.hear_caller(),
                Cause::Link if !ready.contains(&Cause::Pump) => self.hear_pump()?,
                Cause::Pump => {
                    self.take_link_messages()?;
                    self.pump_died()?;
                }
                Cause::Check | Cause::CheckOutputEnd => self.check_ended(),
                Cause::CheckOutput => self.hear_check(),
                Cause::Freezer => self.freezer_died(),
                Cause::Fetcher => self.fetcher_ended(),
                Cause::Init | Cause::Link => {}
            }
        }
        if self.pump.retry_at.is_some_and(|at| Instant::now() >= at) {
            self.start_pump()?;
        }
        if self.fetcher.retry_at.is_some_and(|at| Instant::now() >= at) {
            self.start_fetcher();
        }
        Ok(())
    }

    /// A link that is at its end belongs to a pump whose death its pidfd will tell in a moment.
    fn hear_pump(&mut self) -> io::Result<()> {
        self.take_link_messages()?;
        let mut fds = [PollFd::new(self.link.as_fd(), PollFlags::empty())];
        let ended = poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0);
        if ended && let Some(pump) = &self.pump.pidfd {
            let mut fds = [PollFd::new(pump.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut fds, PollTimeout::from(50u8));
        }
        Ok(())
    }

    pub(super) fn hold(&mut self, fds: Vec<OwnedFd>) {
        use std::os::fd::AsRawFd;
        let numbers: Vec<_> = fds.iter().map(|fd| fd.as_raw_fd()).collect();
        let _ = wire::send(self.link.as_fd(), &crate::estate::Link::Hold {}, &numbers);
        self.estate.held.extend(fds);
    }

    fn hear_caller(&mut self) {
        let Some(control) = &self.estate.control else { return };
        let Ok(Some(packet)) = wire::receive::<Ask>(control.as_fd()) else {
            self.estate.control = None;
            self.promise_nothing();
            return;
        };
        match packet.message {
            Ask::Hold {} => self.hold(packet.fds),
            Ask::TakeFinish {} => {
                self.life.caller_finishes = true;
                let _ = self.estate.state.set_life(&self.life);
            }
            Ask::Finished {} => {
                self.slow_to_close = packet.fds;
                self.caller_finished = true;
            }
            _ => {}
        }
    }

    /// A caller that has gone does not clean up: who stops the container may.
    fn promise_nothing(&mut self) {
        if std::mem::take(&mut self.life.caller_finishes) {
            let _ = self.estate.state.set_life(&self.life);
        }
    }

    fn serve_client(&mut self, client: OwnedFd) {
        let Ok(Some(packet)) = wire::receive::<Ask>(client.as_fd()) else { return };
        let told = match packet.message {
            Ask::Wait {} if self.life.phase == Phase::Ended => Tell::Exit(self.life.exit.clone()),
            Ask::Wait {} => return self.waiters.push(client),
            Ask::TakeFinish {} => return self.take_finisher(client),
            Ask::Signal { number } => self.signal(number),
            Ask::Status {} => self.status(),
            Ask::Exec { argv, exec } => self.exec(&argv, exec, packet.fds).unwrap_or_else(Tell::Refused),
            Ask::Hold {} => {
                self.hold(packet.fds);
                Tell::Done {}
            }
            Ask::Frozen {} => {
                self.watch_freezer();
                Tell::Done {}
            }
            Ask::LetGo { sockets } => {
                crate::estate::let_go(&mut self.estate.held, &sockets);
                let _ = wire::send(self.link.as_fd(), &crate::estate::Link::LetGoOf { sockets }, &[]);
                Tell::Done {}
            }
            _ => {
                Tell::Refused(Refusal::new(Class::Unsupported, "this version of the keeper does not know the request"))
            }
        };
        if wire::send(client.as_fd(), &told, &[]).is_ok() {
            self.clients.push(client);
        }
    }

    /// One at a time; one that has gone is in nobody's way.
    fn take_finisher(&mut self, client: OwnedFd) {
        let taken = self.life.caller_finishes || self.finisher.as_ref().is_some_and(|other| !is_gone(other));
        if taken || self.life.phase != Phase::Running {
            let refusal = Refusal::new(Class::InUse, "somebody else cleans up after this container");
            let _ = wire::send(client.as_fd(), &Tell::Refused(refusal), &[]);
        } else if wire::send(client.as_fd(), &Tell::Done {}, &[]).is_ok() {
            self.finisher = Some(client);
        }
    }

    fn signal(&self, number: i32) -> Tell {
        let init = self.estate.init.as_ref().filter(|_| self.life.phase == Phase::Running);
        let sent = init.map(|init| pidfd::pidfd_send_signal(init.as_fd(), number));
        match sent {
            Some(Ok(())) => Tell::Done {},
            Some(Err(Errno::EINVAL)) => {
                Tell::Refused(Refusal::new(Class::Invalid, format!("no such signal: {number}")))
            }
            Some(Err(Errno::ESRCH)) | None => Tell::Refused(Refusal::new(Class::InUse, "the container is not running")),
            Some(Err(errno)) => {
                Tell::Refused(Refusal::new(Class::Internal, format!("cannot signal the container: {errno}")))
            }
        }
    }

    fn status(&self) -> Tell {
        let (keeper, pump) = (std::process::id().cast_signed(), self.pump.pid);
        Tell::Status { keeper, pump, init: self.life.init, running: self.life.phase == Phase::Running }
    }

    fn exec(&mut self, argv: &[String], exec: String, fds: Vec<OwnedFd>) -> Result<Tell, Refusal> {
        let invalid = || Refusal::new(Class::Invalid, "exec wants a program and three descriptors");
        let [stdin, stdout, stderr] = <[OwnedFd; 3]>::try_from(fds).map_err(|_| invalid())?;
        let (program, arguments) = argv.split_first().ok_or_else(invalid)?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(stdin).stdout(stdout).stderr(stderr).process_group(0);
        let child = command.spawn().map_err(|error| super::refuse(&error, &format!("execute {program}")))?;
        let pid = child.id().cast_signed();
        self.programs.extend(pidfd::pidfd_open(pid).map(|program| (program, exec)));
        Ok(Tell::Spawned { pid })
    }

    fn tell_exec_end(&self, exec: String, exit: Option<pidfd::Exit>) {
        if exec.is_empty() {
            return;
        }
        let code = exit.map_or(255, |exit| exit.shell_code());
        tell::event(&self.estate.launch, "exec_die", &[("execID", exec), ("exitCode", code.to_string())]);
    }
}

/// Nothing is asked on such a connection before the end, so what can be read is its own end.
fn is_gone(client: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(client.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}
