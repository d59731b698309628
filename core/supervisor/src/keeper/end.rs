//! The end of a container: its status, the last of its output, the record, those who wait, the cleaning up.

use super::{Keeper, oom};
use crate::client::{KEEPER_DOOR, PUMP_DOOR};
use crate::clock;
use crate::estate::Link;
use crate::note::{self, note};
use crate::state::Phase;
use crate::wire::{self, Exit, Tell};
use gantry_sys::pidfd::{self, Exit as Status};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The pump has its own limits; this one is for a pump that lost its way.
const DRAIN_LIMIT: Duration = Duration::from_secs(8);
/// How long the pump may take to note the status of an init that it had to reap.
const STATUS_LIMIT: Duration = Duration::from_millis(500);
/// One try of the finish command.
const FINISH_LIMIT: Duration = Duration::from_secs(60);
/// Pauses between tries; after the last one the next command that writes does it.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(25)];
/// How long a caller that has cleaned up is waited for, in milliseconds.
const PARTING_LIMIT: u16 = 1000;
/// How long a pump that goes on after the end is looked after, and how many successors it may have.
const PUMP_LIMIT: Duration = Duration::from_secs(70);
const MOST_SUCCESSORS: usize = 8;
const STATUS_LOST: &str = "exit status lost";

impl Keeper {
    /// True when init is gone; its status is noted before it is reaped.
    pub(super) fn init_ended(&mut self) -> bool {
        let Some(init) = &self.estate.init else { return true };
        let mut fds = [PollFd::new(init.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    /// From init's death to our own.
    pub(super) fn conclude(&mut self) -> io::Result<()> {
        if self.life.phase == Phase::Running {
            self.note_status()?;
            self.await_drained()?;
            self.record_exit();
            self.life.phase = Phase::Ended;
            self.estate.state.set_life(&self.life)?;
        }
        self.let_go();
        self.tell_end();
        self.mounts = None;
        self.leave()
    }

    fn note_status(&mut self) -> io::Result<()> {
        if self.life.exit.finished_ns == 0 {
            let (code, error) = match self.init_status() {
                Some(status) => (status.shell_code(), String::new()),
                None => (255, STATUS_LOST.to_owned()),
            };
            self.life.exit = Exit {
                code,
                oom: oom::killed(&self.estate.launch.oom_files),
                error,
                finished_ns: clock::realtime_ns(),
            };
            self.estate.state.set_life(&self.life)?;
        }
        if let Some(init) = &self.estate.init {
            let _ = pidfd::wait(init.as_fd(), libc::WNOHANG);
        }
        Ok(())
    }

    /// As its parent; or from the pump, which inherited it from a killed predecessor; or from the kernel, which remembers
    /// since Linux 6.15; or from its zombie, when a stranger inherited it and has not looked yet.
    fn init_status(&self) -> Option<Status> {
        let init = self.estate.init.as_ref()?.as_fd();
        if let Ok(Some(status)) = pidfd::wait(init, libc::WNOHANG | libc::WNOWAIT) {
            return Some(status);
        }
        let until = Instant::now() + STATUS_LIMIT;
        loop {
            let noted = self.estate.state.reaped().map(Status::from_wait_status);
            let remembered = || pidfd::exit_info(init).ok().flatten();
            let status = noted.or_else(remembered).or_else(|| zombie_status(self.life.init, init));
            if status.is_some() || Instant::now() >= until {
                return status;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn await_drained(&mut self) -> io::Result<()> {
        let until = Instant::now() + DRAIN_LIMIT;
        while !self.drained && Instant::now() < until {
            let ready = self.wait(false, Some(until))?;
            self.serve(&ready)?;
        }
        if !self.drained {
            note(&self.estate.launch.state_dir, "the pump did not finish in time");
            self.drained = true;
        }
        Ok(())
    }

    fn tell_end(&mut self) {
        let exit = self.life.exit.clone();
        let _ = wire::send(self.link.as_fd(), &Link::Exited(exit.clone()), &[]);
        let told = Tell::Exit(exit);
        let _ = self.tell_caller(&told);
        for waiter in self.waiters.drain(..).chain(self.finisher.as_ref().and_then(|fd| fd.try_clone().ok())) {
            let _ = wire::send(waiter.as_fd(), &told, &[]);
        }
    }

    /// Before anybody is told of the end: whoever hears of it may start the container again, with doors and sockets of
    /// its own.
    pub(super) fn let_go(&mut self) {
        self.fetcher = super::fetch::Fetcher::default();
        self.estate.held.clear();
        let _ = wire::send(self.link.as_fd(), &Link::LetGo {}, &[]);
        for door in [KEEPER_DOOR, PUMP_DOOR] {
            let _ = std::fs::remove_file(self.estate.launch.state_dir.join(door));
        }
    }

    /// Has the engine clean up, unless the caller or somebody who stopped the container does; then goes.
    pub(super) fn leave(&mut self) -> io::Result<()> {
        let pending: Vec<_> = std::iter::from_fn(|| wire::accept(self.estate.keeper_door.as_fd()).ok()).collect();
        self.clients.extend(pending);
        self.answer_late_clients();
        if !self.caller_cleans_up()? && !self.finisher_cleans_up() {
            self.finish();
        }
        self.see_pump_off()
    }

    /// A pump may have lines to store when everybody has been told of the end. Killed now, it has a successor as before.
    fn see_pump_off(&mut self) -> io::Result<()> {
        let _ = wire::send(self.link.as_fd(), &Link::Bye {}, &[]);
        if self.life.phase != Phase::Ended || self.estate.launch.ephemeral {
            return Ok(());
        }
        let until = Instant::now() + PUMP_LIMIT;
        for _ in 0..MOST_SUCCESSORS {
            self.listen_to_pump(until, |keeper| keeper.pump_over);
            if self.pump_over || Instant::now() >= until {
                return Ok(());
            }
            self.drained = false;
            self.start_pump()?;
            // Told to go before it has seen that there was an end, it would.
            self.listen_to_pump(until, |keeper| keeper.drained);
            let _ = wire::send(self.link.as_fd(), &Link::Bye {}, &[]);
        }
        Ok(())
    }

    /// Listens to the pump until it has said something, or ends.
    fn listen_to_pump(&mut self, until: Instant, said: impl Fn(&Keeper) -> bool) {
        while !said(self) && Instant::now() < until {
            let Some(pump) = &self.pump.pidfd else { return };
            let left = until.saturating_duration_since(Instant::now()).as_millis() as i32;
            let mut fds = [self.link.as_fd(), pump.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            let waited = poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO));
            let ended = waited.is_ok() && fds[1].revents().is_some_and(|events| !events.is_empty());
            let _ = self.take_link_messages();
            if ended {
                // A pump that left something of ours unread reset the connection, once; what it had said is still there.
                let _ = self.take_link_messages();
                self.pump.pidfd = None;
            }
        }
    }

    fn answer_late_clients(&mut self) {
        let told = Tell::Exit(self.life.exit.clone());
        for client in std::mem::take(&mut self.clients) {
            let mut fds = [PollFd::new(client.as_fd(), PollFlags::POLLIN)];
            if poll(&mut fds, PollTimeout::from(20u8)).is_ok_and(|ready| ready > 0) {
                let asked = wire::try_receive::<wire::Ask>(client.as_fd());
                if asked.is_ok_and(|asked| asked.is_some_and(|packet| packet.message == wire::Ask::Wait {})) {
                    let _ = wire::send(client.as_fd(), &told, &[]);
                }
            }
        }
    }

    /// True when a caller that said so, or whose start failed, has done it; false when it died or never promised.
    fn caller_cleans_up(&mut self) -> io::Result<bool> {
        let failed_start = self.life.started_ns == 0;
        if !self.life.caller_finishes && !failed_start {
            return Ok(false);
        }
        while !self.caller_finished {
            let Some(control) = &self.estate.control else { return Ok(false) };
            match wire::receive::<wire::Ask>(control.as_fd())? {
                Some(packet) => {
                    self.caller_finished = packet.message == wire::Ask::Finished {};
                    self.slow_to_close = packet.fds;
                }
                None => return Ok(false),
            }
        }
        self.estate.control.iter().for_each(await_parting);
        Ok(true)
    }

    /// True when somebody who took this over has done it.
    fn finisher_cleans_up(&mut self) -> bool {
        let Some(finisher) = self.finisher.take() else { return false };
        let Ok(Some(packet)) = wire::receive::<wire::Ask>(finisher.as_fd()) else { return false };
        self.slow_to_close = packet.fds;
        let finished = packet.message == wire::Ask::Finished {};
        if finished {
            await_parting(&finisher);
        }
        finished
    }

    fn finish(&self) {
        let Some((program, arguments)) = self.estate.launch.finish.split_first() else { return };
        let state_dir = &self.estate.launch.state_dir;
        for (tries, pause) in PAUSES.into_iter().map(Some).chain([None]).enumerate() {
            // What it says is of interest when it did not work, and the log often is not there yet.
            let stderr = if tries == 0 { Stdio::null() } else { note::stderr(state_dir) };
            match try_finish(program, arguments, stderr) {
                Ok(()) => return,
                Err(reason) => note(state_dir, &format!("{program} does not finish: {reason}")),
            }
            pause.into_iter().for_each(thread::sleep);
        }
    }
}

/// Our own end costs the processor something: a caller in a hurry comes first.
fn await_parting(caller: &OwnedFd) {
    let mut fds = [PollFd::new(caller.as_fd(), PollFlags::POLLIN)];
    let _ = poll(&mut fds, PollTimeout::from(PARTING_LIMIT));
}

/// Field 52 of its `stat`, believed only when the number still was its own afterwards.
fn zombie_status(pid: i32, pidfd: BorrowedFd<'_>) -> Option<Status> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.get(stat.rfind(')')? + 2..)?.split_ascii_whitespace();
    let is_zombie = fields.next()? == "Z";
    let code = fields.nth(48)?.parse().ok()?;
    let still_there = pidfd::pidfd_send_signal(pidfd, 0).is_ok();
    (is_zombie && still_there).then(|| Status::from_wait_status(code))
}

fn try_finish(program: &str, arguments: &[String], stderr: Stdio) -> Result<(), String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).process_group(0);
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let pidfd = pidfd::pidfd_open(child.id().cast_signed()).map_err(|errno| errno.to_string())?;
    let mut fds = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    let limit = PollTimeout::try_from(FINISH_LIMIT).unwrap_or(PollTimeout::MAX);
    if !poll(&mut fds, limit).is_ok_and(|ready| ready > 0) {
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!("it took longer than {} s", FINISH_LIMIT.as_secs()));
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(status.to_string()) }
}
