//! Sinks: how one comes to be, and how a running container changes to others.
//!
//! A change happens between two records. The order with the new sinks, and with the number of the first record that is
//! theirs, goes to the keeper before anything is done: whoever is killed, the successor divides the records alike. The
//! sinks of before get what is theirs, close, and stay to be counted.

use super::sink::{Found, Health, Sink};
use super::spool::Spool;
use super::wake::Wake;
use super::{Pump, complaint, writer};
use crate::estate::Link;
use crate::launch::{Launch, MOST_SINKS, Policy, SinkSpec};
use crate::note::note;
use crate::state::{Commit, StateFile};
use crate::wire::{self, Refusal, Tell};
use gantry_model::class::Class;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the answer waits for the sinks of before to close, and for the new ones to open.
const PATIENCE: Duration = Duration::from_secs(6);

/// A change whose end somebody waits for.
pub(super) struct Change {
    socket: OwnedFd,
    until: Instant,
}

/// What a sink stands on.
pub(super) struct Ground<'a> {
    pub launch: &'a Launch,
    pub state: &'a StateFile,
    pub wake: &'a Arc<Wake>,
    /// The number of the next record.
    pub next: u64,
}

impl Ground<'_> {
    /// A sink whose thread is not started.
    pub fn sink(&self, spec: SinkSpec, quarantined: bool) -> Sink {
        let retired = spec.until > 0 && self.next >= spec.until;
        let health = match (quarantined, retired) {
            (true, _) => Health::Quarantined,
            (_, true) => Health::Closed,
            _ => Health::Opening,
        };
        let spool = if spec.policy == Policy::Spill && !retired { self.spool(&spec) } else { None };
        Sink::new(spec, Found { state: self.state, next: self.next, health, spool }, self.wake)
    }

    fn spool(&self, spec: &SinkSpec) -> Option<Spool> {
        let dir = self.launch.container_dir.join("spool").join(&spec.driver);
        let opened = Spool::open(&dir, self.state.id_base(), spec.spool);
        let complain = |error| {
            let text = format!("log driver {} cannot spool in {}: {error}", spec.driver, dir.display());
            note(&self.launch.state_dir, &text);
        };
        opened.map_err(complain).ok()
    }
}

impl Pump {
    /// Starts the thread of a sink. One that writes where another has not closed yet waits for that.
    pub(super) fn start_sink(&self, at: usize) -> io::Result<()> {
        let sink = &self.sinks[at];
        if sink.health().is_final() {
            return Ok(());
        }
        let same_place = |other: &&Sink| {
            let (a, b) = (&sink.spec, &other.spec);
            a.slot != b.slot && b.until > 0 && b.until <= a.from && (&a.driver, &a.dir) == (&b.driver, &b.dir)
        };
        let before = self.sinks.iter().find(same_place).map(|before| before.shared().clone());
        writer::start(sink, before, &self.drivers, &self.launch, &self.state)
    }

    /// Other sinks from the next record on; those that stay the same go on. Answered by [`Pump::answer_change`].
    pub(super) fn change_sinks(&mut self, wanted: Vec<SinkSpec>, socket: OwnedFd) -> io::Result<()> {
        let refusal = if self.change.is_some() || self.stage != super::Stage::Live {
            Some("another change of log drivers is under way, or the container has just ended")
        } else {
            None
        };
        let (stay, new) = self.compare(wanted);
        let slots = self.free_slots();
        if let Some(reason) = refusal.or((slots.len() < new.len()).then_some("too many changes: restart the container"))
        {
            let refusal = Refusal::new(Class::InUse, reason);
            return wire::send(socket.as_fd(), &Tell::Refused(refusal), &[]);
        }
        let next = self.next_sequence;
        let numbered = |(slot, spec): (usize, SinkSpec)| SinkSpec { slot, from: next, until: 0, ..spec };
        let new: Vec<_> = slots.into_iter().zip(new).map(numbered).collect();
        self.free(&new)?;
        self.note_order(&stay, &new)?;
        for sink in self.sinks.iter_mut().filter(|sink| sink.spec.until == 0 && !stay.contains(&sink.spec.slot)) {
            sink.spec.until = next;
            sink.close();
        }
        let (launch, state, wake) = (self.launch.clone(), self.state.clone(), self.wake.clone());
        for spec in new {
            let sink = Ground { launch: &launch, state: &state, wake: &wake, next }.sink(spec, false);
            self.sinks.push(sink);
            self.start_sink(self.sinks.len() - 1)?;
        }
        note(self.state_dir(), &format!("the log drivers change with record {next}"));
        self.change = Some(Change { socket, until: Instant::now() + PATIENCE });
        Ok(())
    }

    /// The slots of sinks that stay, and what is new.
    fn compare(&self, wanted: Vec<SinkSpec>) -> (Vec<usize>, Vec<SinkSpec>) {
        let (mut stay, mut new) = (Vec::new(), Vec::new());
        for spec in wanted {
            let living = self.sinks.iter().filter(|sink| sink.spec.until == 0 && !sink.health().is_final());
            match living.map(|sink| &sink.spec).find(|known| known.is_same(&spec)) {
                Some(known) => stay.push(known.slot),
                None => new.push(spec),
            }
        }
        (stay, new)
    }

    /// Slots that were never used come first, so that what was counted stays known as long as possible.
    fn free_slots(&self) -> Vec<usize> {
        let barred = self.state.life().quarantined;
        let user = |slot: usize| self.sinks.iter().find(|sink| sink.spec.slot == slot);
        let unused = (0..MOST_SINKS).filter(|slot| user(*slot).is_none());
        let over = |sink: &Sink| sink.spec.until > 0 && sink.health() == Health::Closed;
        let left = (0..MOST_SINKS).filter(|slot| user(*slot).is_some_and(over));
        unused.chain(left).filter(|slot| !barred.contains(slot)).collect()
    }

    /// Makes the slots of new sinks like new.
    fn free(&mut self, new: &[SinkSpec]) -> io::Result<()> {
        for spec in new {
            self.sinks.retain(|sink| sink.spec.slot != spec.slot);
            let (_, generation) = self.state.commit(spec.slot);
            let fresh = Commit { sequence: spec.from - 1, ..Commit::default() };
            self.state.set_commit(spec.slot, generation, &fresh)?;
        }
        Ok(())
    }

    /// Puts the change down where a successor of either process finds it.
    fn note_order(&mut self, stay: &[usize], new: &[SinkSpec]) -> io::Result<()> {
        let next = self.next_sequence;
        let known = self.sinks.iter().map(|sink| {
            let goes = sink.spec.until == 0 && !stay.contains(&sink.spec.slot);
            SinkSpec { until: if goes { next } else { sink.spec.until }, ..sink.spec.clone() }
        });
        let sinks = known.chain(new.iter().cloned()).collect();
        let launch = Launch { sinks, ..self.launch.as_ref().clone() };
        let order = launch.to_memfd()?;
        let _ = wire::send(self.link.as_fd(), &Link::Order {}, &[order.as_raw_fd()]);
        self.rest.launch_file = order;
        self.launch = Arc::new(launch);
        Ok(())
    }

    /// Answers when the sinks of before have closed and the new ones are open, or after a while.
    pub(super) fn answer_change(&mut self) {
        let Some(change) = &self.change else { return };
        self.wake.want();
        if !self.has_changed() && Instant::now() < change.until {
            return;
        }
        let living = self.sinks.iter().filter(|sink| sink.spec.until == 0 && sink.health() != Health::Open);
        let slow = self.sinks.iter().filter(|sink| sink.spec.until > 0 && sink.health() != Health::Closed);
        let warnings = living.chain(slow).map(complaint).collect();
        let _ = wire::send(change.socket.as_fd(), &Tell::SinksChanged { warnings }, &[]);
        self.change = None;
        gantry_sys::memory::trim();
    }

    fn has_changed(&self) -> bool {
        self.sinks.iter().all(|sink| match sink.spec.until {
            0 => sink.health() != Health::Opening,
            _ => sink.health().is_final(),
        })
    }

    /// When the answer is due.
    pub(super) fn change_deadline(&self) -> Option<Instant> {
        self.change.as_ref().map(|change| change.until)
    }
}
