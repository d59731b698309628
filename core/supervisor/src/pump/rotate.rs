//! `logs rotate` on a running container: every sink begins anew at its place in the queue, and whoever asked hears which
//! of them did not.

use super::Pump;
use super::sink::{Health, Rotation, Sink};
use crate::wire::{self, Refusal, Tell};
use gantry_model::class::Class;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long the answer waits for sinks that are read back …
const PATIENCE: Duration = Duration::from_secs(6);
/// … and for others, which keep no files here: only for what they refuse at once.
const BRIEF: Duration = Duration::from_millis(400);

/// A rotation whose end somebody waits for.
pub(super) struct Asked {
    socket: OwnedFd,
    since: Instant,
}

impl Pump {
    /// New log files. Answered by [`Pump::answer_rotation`].
    pub(super) fn rotate_logs(&mut self, socket: OwnedFd) -> io::Result<()> {
        if self.rotation.is_some() || self.stage != super::Stage::Live {
            let reason = "another rotation is under way, or the container has just ended";
            return wire::send(socket.as_fd(), &Tell::Refused(Refusal::new(Class::InUse, reason)), &[]);
        }
        self.living().for_each(Sink::reopen);
        self.rotation = Some(Asked { socket, since: Instant::now() });
        Ok(())
    }

    /// The same for a signal, which nobody answers.
    pub(super) fn rotate_unasked(&mut self) {
        if self.rotation.is_none() && self.stage == super::Stage::Live {
            self.living().for_each(Sink::reopen);
        }
    }

    fn living(&self) -> impl Iterator<Item = &Sink> {
        self.sinks.iter().filter(|sink| sink.spec.until == 0)
    }

    /// Answers when all sinks have begun anew, or refused, or after a while.
    pub(super) fn answer_rotation(&mut self) {
        let Some(asked) = &self.rotation else { return };
        self.wake.want();
        let waits = |sink: &Sink| sink.rotation() == Rotation::Pending && Instant::now() < until(asked, sink);
        if self.living().any(waits) {
            return;
        }
        let faults: Vec<String> = self.living().filter_map(fault).collect();
        let told = match faults.is_empty() {
            true => Tell::Done {},
            false => Tell::Refused(Refusal::new(Class::Driver, faults.join("; "))),
        };
        let _ = wire::send(asked.socket.as_fd(), &told, &[]);
        self.rotation = None;
    }

    /// When to look again although nothing happens.
    pub(super) fn rotation_deadline(&self) -> Option<Instant> {
        let asked = self.rotation.as_ref()?;
        let pending = self.living().filter(|sink| sink.rotation() == Rotation::Pending);
        pending.map(|sink| until(asked, sink)).filter(|until| *until > Instant::now()).min()
    }
}

fn until(asked: &Asked, sink: &Sink) -> Instant {
    asked.since + if sink.spec.readable { PATIENCE } else { BRIEF }
}

/// Why a sink did not begin anew. One that keeps no files here has nothing to begin while it is away.
fn fault(sink: &Sink) -> Option<String> {
    if !sink.spec.readable && sink.health() != Health::Open {
        return None;
    }
    let why = match sink.rotation() {
        Rotation::Done => return None,
        Rotation::Refused(why) => why,
        Rotation::Pending if !sink.spec.readable => return None,
        Rotation::Pending => match sink.counters() {
            counters if counters.last_error.is_empty() => format!("it is {}", counters.state),
            counters => format!("it is {}: {}", counters.state, counters.last_error),
        },
    };
    let driver = &sink.spec.driver;
    Some(match why.contains(driver) {
        true => format!("cannot begin a new log: {why}"),
        false => format!("cannot begin a new log: log driver {driver}: {why}"),
    })
}
