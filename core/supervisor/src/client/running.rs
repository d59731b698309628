//! Talking to the supervisor of a running container, of this or any other 1.x version.

use super::say_finished;
use super::session::Session;
use crate::launch::SinkSpec;
use crate::wire::{self, Ask, Exit, SinkCounters, Tell};
use crate::{Error, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

pub(crate) const KEEPER_DOOR: &str = "keeper.sock";
pub(crate) const PUMP_DOOR: &str = "pump.sock";
/// Where a pump leaves its counters at the end: in the container's directory.
pub(crate) const COUNTERS: &str = "log-counters.json";
/// A pump that does not answer in time is stopped, or the machine is very busy.
const ANSWER: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_millis(20);
const TRIES: u32 = 50;
/// Descriptors that one message carries.
const MOST_DESCRIPTORS: usize = 200;

/// Which streams a session follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttachOptions {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
}

/// What a supervisor says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    pub keeper: i32,
    pub pump: i32,
    pub init: i32,
    pub running: bool,
}

/// A connection to the keeper of one container.
pub struct Client {
    state_dir: PathBuf,
    keeper: OwnedFd,
}

/// Connects to the supervisor whose container's runtime directory is `state_dir`.
pub fn connect(state_dir: &Path) -> Result<Client> {
    let keeper = wire::connect(state_dir, KEEPER_DOOR)?;
    Ok(Client { state_dir: state_dir.to_owned(), keeper })
}

/// An answer that comes at the container's end.
pub struct Waiting {
    keeper: OwnedFd,
}

impl Waiting {
    /// Readable when the container has ended, or its keeper.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.keeper.as_fd()
    }

    /// Waits for the answer. [`Error::Gone`]: the keeper was killed, its successor can be asked.
    pub fn end(self) -> Result<Exit> {
        match wire::hear(self.keeper.as_fd(), "an answer")? {
            Tell::Exit(exit) => Ok(exit),
            other => Err(Error::protocol(format!("it said {other:?} instead of the end"))),
        }
    }
}

/// The cleaning up after a running container's end, taken over from its keeper. Dropped before
/// [`Taken::finished`], or with the death of this process, it is the keeper's again.
pub struct Taken {
    keeper: OwnedFd,
}

impl Taken {
    /// Waits for the end to be recorded; `None`: not in this time, or the keeper was killed.
    pub fn wait(&self, patience: Duration) -> Option<Exit> {
        let mut fds = [PollFd::new(self.keeper.as_fd(), PollFlags::POLLIN)];
        let limit = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
        if !poll(&mut fds, limit).is_ok_and(|ready| ready > 0) {
            return None;
        }
        match wire::hear(self.keeper.as_fd(), "the container's end") {
            Ok(Tell::Exit(exit)) => Some(exit),
            _ => None,
        }
    }

    /// It is cleaned up. The keeper goes when this process lets go of the answer, so as not to be in its way.
    pub fn finished(&self) -> Result<()> {
        say_finished(self.keeper.as_fd())
    }
}

impl Client {
    /// Takes over the cleaning up after the end. Refused when somebody else has.
    pub fn take_finish(mut self) -> Result<Taken> {
        done(self.ask(&Ask::TakeFinish {}, &[])?)?;
        Ok(Taken { keeper: self.keeper })
    }

    /// Follows the streams from now on.
    pub fn attach(&self, options: AttachOptions) -> Result<Session> {
        Session::attach(&self.state_dir, options)
    }

    /// Sends a signal to the container's init.
    pub fn signal(&mut self, number: i32) -> Result<()> {
        done(self.ask(&Ask::Signal { number }, &[])?)
    }

    /// The terminal's new size.
    pub fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        done(self.ask_pump(&Ask::Resize { rows, columns })?)
    }

    /// Waits for the container's end, through restarts of the keeper.
    pub fn wait(&mut self) -> Result<Exit> {
        loop {
            match self.ask(&Ask::Wait {}, &[]) {
                Ok(Tell::Exit(exit)) => return Ok(exit),
                Ok(other) => return Err(Error::protocol(format!("it said {other:?} instead of the end"))),
                Err(Error::Gone { .. } | Error::Talk { .. }) => self.reconnect()?,
                Err(error) => return Err(error),
            }
        }
    }

    /// Asks for the container's end without waiting for it.
    pub fn begin_wait(self) -> Result<Waiting> {
        wire::send(self.keeper.as_fd(), &Ask::Wait {}, &[]).map_err(Error::talk("ask"))?;
        Ok(Waiting { keeper: self.keeper })
    }

    /// Which processes there are.
    pub fn status(&mut self) -> Result<Status> {
        match self.ask(&Ask::Status {}, &[])? {
            Tell::Status { keeper, pump, init, running } => Ok(Status { keeper, pump, init, running }),
            other => Err(Error::protocol(format!("it said {other:?} instead of its status"))),
        }
    }

    /// What the log drivers have taken and lost.
    pub fn counters(&self) -> Result<Vec<SinkCounters>> {
        counters(&self.state_dir)
    }

    /// Starts new log files; tells which drivers did not.
    pub fn rotate_logs(&self) -> Result<()> {
        let pump = patiently(&self.state_dir, PUMP_DOOR)?;
        done(wire::ask(pump.as_fd(), &Ask::RotateLogs {}, &[], "the rotation")?)
    }

    /// Runs `argv` as a child of the keeper, with these as its streams, and answers its pid. The keeper reaps it.
    pub fn spawn(&mut self, exec: &str, argv: &[String], stdio: [BorrowedFd<'_>; 3]) -> Result<i32> {
        let numbers = stdio.map(|fd| fd.as_raw_fd());
        match self.ask(&Ask::Exec { argv: argv.to_vec(), exec: exec.to_owned() }, &numbers)? {
            Tell::Spawned { pid } => Ok(pid),
            other => Err(Error::protocol(format!("it said {other:?} instead of a pid"))),
        }
    }

    /// Descriptors that stay open as long as the container lives.
    pub fn hold(&mut self, fds: &[BorrowedFd<'_>]) -> Result<()> {
        for some in fds.chunks(MOST_DESCRIPTORS) {
            let numbers: Vec<_> = some.iter().map(|fd| fd.as_raw_fd()).collect();
            done(self.ask(&Ask::Hold {}, &numbers)?)?;
        }
        Ok(())
    }

    /// Sockets held so far are closed, by what they are bound to and their protocol's number.
    pub fn let_go(&mut self, sockets: &[(SocketAddr, u8)]) -> Result<()> {
        done(self.ask(&Ask::LetGo { sockets: sockets.to_vec() }, &[])?)
    }

    /// From now on the container resolves names of others, as its asker's file says.
    pub fn resolve_names(&self) -> Result<()> {
        done(self.ask_pump(&Ask::ResolveNames {})?)
    }

    /// The runtime directory says for whose work the container is frozen.
    pub fn watch_freezer(&mut self) -> Result<()> {
        done(self.ask(&Ask::Frozen {}, &[])?)
    }

    fn ask(&mut self, question: &Ask, fds: &[i32]) -> Result<Tell> {
        wire::ask(self.keeper.as_fd(), question, fds, "an answer")
    }

    fn ask_pump(&self, question: &Ask) -> Result<Tell> {
        let pump = wire::connect(&self.state_dir, PUMP_DOOR)?;
        wire::ask(pump.as_fd(), question, &[], "an answer")
    }

    fn reconnect(&mut self) -> Result<()> {
        self.keeper = patiently(&self.state_dir, KEEPER_DOOR)?;
        Ok(())
    }
}

/// What the log drivers of a running container have taken and lost; never waits long.
pub fn counters(state_dir: &Path) -> Result<Vec<SinkCounters>> {
    let pump = wire::connect(state_dir, PUMP_DOOR)?;
    wire::send(pump.as_fd(), &Ask::Counters {}, &[]).map_err(Error::talk("ask"))?;
    let mut fds = [PollFd::new(pump.as_fd(), PollFlags::POLLIN)];
    let limit = PollTimeout::try_from(ANSWER).unwrap_or(PollTimeout::MAX);
    if !poll(&mut fds, limit).is_ok_and(|ready| ready > 0) {
        return Err(Error::Gone { what: "the counters" });
    }
    match wire::hear(pump.as_fd(), "the counters")? {
        Tell::Counters { sinks } => Ok(sinks),
        other => Err(Error::protocol(format!("it said {other:?} instead of counters"))),
    }
}

/// The same of the last run, as its pump left it; empty when there is none.
pub fn last_counters(container_dir: &Path) -> Vec<SinkCounters> {
    gantry_store::atomic::read_json(&container_dir.join(COUNTERS)).unwrap_or_default()
}

/// Gives a running container other sinks, from its next record on; answers warnings. The sinks of before have all that
/// was theirs by then.
pub fn change_sinks(state_dir: &Path, sinks: Vec<SinkSpec>) -> Result<Vec<String>> {
    let pump = patiently(state_dir, PUMP_DOOR)?;
    match wire::ask(pump.as_fd(), &Ask::ChangeSinks { sinks }, &[], "the change of log drivers")? {
        Tell::SinksChanged { warnings } => Ok(warnings),
        other => Err(Error::protocol(format!("it said {other:?} instead of changing its log drivers"))),
    }
}

/// Connects again after a process was killed: its successor is there within 100 ms.
pub(crate) fn patiently(state_dir: &Path, door: &str) -> Result<OwnedFd> {
    let mut last = wire::connect(state_dir, door);
    for _ in 0..TRIES {
        if last.is_ok() {
            break;
        }
        thread::sleep(PATIENCE);
        last = wire::connect(state_dir, door);
    }
    last
}

fn done(told: Tell) -> Result<()> {
    match told {
        Tell::Done {} => Ok(()),
        other => Err(Error::protocol(format!("it said {other:?} instead of \"done\""))),
    }
}
