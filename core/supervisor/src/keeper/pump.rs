//! Watching the pump: it is restarted at once when it was killed. When a driver crashes it again and again, that driver is
//! taken out of service.

use super::{Keeper, PumpProcess};
use crate::client::CONTROL;
use crate::estate::Link;
use crate::launch::{Launch, MOST_SINKS};
use crate::note::note;
use crate::wire;
use gantry_sys::pidfd::{self, Exit};
use gantry_sys::protect;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// So many crashes inside one sink …
const STRIKES: usize = 3;
/// … within so long put it in quarantine.
const MEMORY: Duration = Duration::from_secs(60);
/// A pump that crashes outside any driver is restarted more slowly after [`STRIKES`].
const PAUSE: Duration = Duration::from_secs(1);
const KEEPER: i32 = CONTROL + 1;

impl PumpProcess {
    pub fn new(pid: i32, pidfd: Option<OwnedFd>) -> PumpProcess {
        PumpProcess { pid, pidfd, crashes: Vec::new(), retry_at: None }
    }

    /// How it ended, if that can be known: the first pump is not our child.
    fn status(&self) -> Option<Exit> {
        let pidfd = self.pidfd.as_ref()?.as_fd();
        match pidfd::wait(pidfd, libc::WNOHANG) {
            Ok(exit) => exit,
            Err(_) => pidfd::exit_info(pidfd).ok().flatten(),
        }
    }
}

impl Keeper {
    /// The pump is gone.
    pub(super) fn pump_died(&mut self) -> io::Result<()> {
        let status = self.pump.status();
        self.pump.pidfd = None;
        if self.drained {
            return Ok(());
        }
        self.judge(status)?;
        if self.pump.crashes.len() >= STRIKES {
            self.pump.retry_at = Some(Instant::now() + PAUSE);
            return Ok(());
        }
        self.start_pump()
    }

    /// Notes a crash, and in whose code it was. A pump that was killed from outside did not crash.
    fn judge(&mut self, status: Option<Exit>) -> io::Result<()> {
        let state = &self.estate.state;
        let busy = state.busy(MOST_SINKS);
        busy.iter().try_for_each(|sink| state.set_busy(*sink, false))?;
        let inside = state.take_culprit().map_or(busy, |sink| vec![sink]);
        let crashed = match status {
            Some(Exit::Signal { number, .. }) => !matches!(number, libc::SIGKILL | libc::SIGTERM),
            Some(Exit::Code(code)) => code != 0,
            None => false,
        };
        let now = Instant::now();
        self.pump.crashes.retain(|(_, at)| now.duration_since(*at) < MEMORY);
        if !crashed {
            return Ok(());
        }
        note(&self.estate.launch.state_dir, &format!("the pump crashed ({status:?}) inside sinks {inside:?}"));
        match inside.as_slice() {
            [] => self.pump.crashes.push((None, now)),
            sinks => self.pump.crashes.extend(sinks.iter().map(|sink| (Some(*sink), now))),
        }
        self.quarantine()
    }

    /// One at a time. A thread that crashes says whose it is; when it cannot, since a driver's own thread crashed, and
    /// several sinks were inside calls, the later one goes first: the first is the copy that people read. If it was
    /// innocent, the next crashes show the other alone.
    fn quarantine(&mut self) -> io::Result<()> {
        let strikes = |sink: &usize| self.pump.crashes.iter().filter(|(inside, _)| *inside == Some(*sink)).count();
        let struck_out = (0..MOST_SINKS).rev().find(|sink| strikes(sink) >= STRIKES);
        let Some(sink) = struck_out else { return Ok(()) };
        self.pump.crashes.clear();
        self.life.quarantined.push(sink);
        self.estate.state.set_life(&self.life)?;
        let spec = self.estate.launch.sinks.iter().find(|spec| spec.slot == sink);
        let driver = spec.map_or("?", |spec| &spec.driver);
        let text = format!("log driver {driver} crashed {STRIKES} times: out of service");
        note(&self.estate.launch.state_dir, &text);
        Ok(())
    }

    /// Starts a pump, which goes on where the last one was.
    pub(super) fn start_pump(&mut self) -> io::Result<()> {
        self.pump.retry_at = None;
        let (ours, theirs) = wire::pair()?;
        let own = pidfd::pidfd_open(std::process::id().cast_signed())?;
        let args = [c"gantry-pump", c"3", c"4"];
        let fds = [(theirs.as_fd(), CONTROL), (own.as_fd(), KEEPER)];
        match protect::spawn_protected(&self.estate.programs.pump, &args, &fds, false) {
            Ok(spawned) => {
                self.pump.pid = spawned.pid;
                self.pump.pidfd = Some(spawned.pidfd);
            }
            Err(errno) => {
                note(&self.estate.launch.state_dir, &format!("the pump cannot be started: {errno}"));
                self.pump.retry_at = Some(Instant::now() + PAUSE);
                return Ok(());
            }
        }
        drop(theirs);
        self.estate.send(ours.as_fd())?;
        self.link = ours;
        if self.life.phase == crate::state::Phase::Running {
            self.record_pump();
        }
        Ok(())
    }

    /// The sinks have changed: a successor of the pump must know.
    fn take_order(&mut self, order: Option<OwnedFd>) -> io::Result<()> {
        if let Some(order) = order {
            self.estate.launch.sinks = Launch::from_memfd(order.as_fd())?.sinks;
            self.estate.launch_file = order;
        }
        Ok(())
    }

    /// What the pump said.
    pub(super) fn take_link_messages(&mut self) -> io::Result<()> {
        while let Some(packet) = wire::try_receive::<Link>(self.link.as_fd())? {
            match packet.message {
                Link::Ready { warnings, refusal } => self.pump_ready = Some((warnings, refusal)),
                Link::Order {} => self.take_order(packet.fds.into_iter().next())?,
                Link::StdinClosed {} => self.estate.stdin = None,
                Link::LogsGrew {} => self.execute_internal(&["logs"]),
                Link::Drained {} => self.drained = true,
                Link::Over {} => self.pump_over = true,
                _ => {}
            }
        }
        Ok(())
    }
}
