//! The end: what the container left is read and stored, but no sink may delay it for long.

use super::chunk::{Chunk, Source};
use super::sink::{Health, Sink};
use super::{Pump, Stage};
use crate::clock;
use crate::estate::Link;
use crate::launch::Policy;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is read back holds the end up until it is complete, but not longer than this while it stands still …
const STILL: Duration = Duration::from_millis(700);
/// (looked at again so often when it seems to wait for its turn) …
const TURN: Duration = Duration::from_millis(100);
/// … and the rest only so long.
const BRIEF: Duration = Duration::from_millis(400);
/// The end waits so long for sinks that move; a sink that stands still is given up after it.
const CLOSING: Duration = Duration::from_secs(5);
/// What is read back and moves goes on so long after the end.
const LAST: Duration = Duration::from_secs(60);

impl Pump {
    /// Init has ended: what is in the pipes now is all that counts.
    pub(super) fn begin_drain(&mut self) {
        if self.stage == Stage::Live {
            self.stage = Stage::Draining;
            self.stop_resolver();
            self.streams.iter_mut().for_each(|stream| stream.close_source());
            if self.terminal.is_some() {
                // The terminal still holds some; it ends by itself, with EIO.
                self.streams.iter_mut().for_each(|stream| stream.remaining = u64::MAX);
            }
            self.sinks.iter().for_each(Sink::hurry);
            self.closing_since = Instant::now();
            self.closing_until = self.closing_since + CLOSING;
        }
    }

    /// Goes a stage further when this one is done.
    pub(super) fn advance_end(&mut self) -> io::Result<()> {
        if self.stage == Stage::Draining {
            self.pass_by_standing();
        }
        if self.stage == Stage::Draining && self.drain_sources()? {
            self.cut_off_last_lines()?;
            self.sinks.iter().filter(|sink| !sink.health().is_final()).for_each(|sink| sink.close());
            self.stage = Stage::Closing;
        }
        if self.stage != Stage::Live {
            self.wake.want();
            self.give_up_wedged();
        }
        if self.stage == Stage::Closing && self.sinks.iter().all(|sink| self.may_end_without(sink)) {
            self.release()?;
            self.stage = Stage::Drained;
            self.keep_counters();
            // Who hears of the end may start it again at once, on the same ports.
            self.rest.held.clear();
            self.tell_keeper(&Link::Drained {});
        }
        if self.stage == Stage::Drained && !self.counted {
            self.keep_counters();
        }
        Ok(())
    }

    /// The container's end waits for what is read back, and a moment for the rest; what is left goes on by itself.
    fn may_end_without(&self, sink: &Sink) -> bool {
        sink.health().is_final() || Instant::now() >= self.held_until(sink)
    }

    /// How long a sink holds the end up. One that only waits for its turn on a busy machine does not stand still.
    fn held_until(&self, sink: &Sink) -> Instant {
        if !sink.spec.readable {
            return self.closing_since + BRIEF;
        }
        let (now, still_until) = (Instant::now(), self.last_move(sink) + STILL);
        let turn = now >= still_until && sink.activity().waits_its_turn();
        let until = if turn { now + TURN } else { still_until };
        until.min(self.closing_until)
    }

    /// When the sink last did something, at the earliest when the end began.
    fn last_move(&self, sink: &Sink) -> Instant {
        let still = Duration::from_millis(sink.activity().still_for());
        Instant::now().checked_sub(still).map_or(self.closing_since, |at| at.max(self.closing_since))
    }

    /// A sink that holds the end no longer does not hold up the reading either: what it has not taken waits in memory, as
    /// far as its buffer goes.
    fn pass_by_standing(&self) {
        let now = Instant::now();
        let open = self.sinks.iter().filter(|sink| !sink.health().is_final() && !sink.may_lag());
        for sink in open.filter(|sink| now >= self.held_until(sink)) {
            sink.give_way();
        }
    }

    /// True when nothing is left to read.
    fn drain_sources(&mut self) -> io::Result<bool> {
        self.read_streams()?;
        let empty = self.may_read() && self.streams.iter().all(|stream| stream.remaining == 0);
        Ok(empty || (self.terminal.is_some() && self.terminal_quiet && self.may_read()))
    }

    fn cut_off_last_lines(&mut self) -> io::Result<()> {
        for index in 0..self.streams.len() {
            let stream = &mut self.streams[index];
            let buffer = std::mem::take(&mut stream.rest);
            let length = buffer.len();
            let before = std::mem::take(&mut stream.partial);
            let source = Source {
                stream: stream.index,
                entry: 0,
                position: stream.position,
                first: self.next_sequence,
                timestamp_ns: clock::realtime_ns(),
                id_base: self.state.id_base(),
                before,
                buffer,
                length,
                fresh: length,
            };
            if length > 0 {
                self.dispatch(Arc::new(match &self.joiner {
                    None => Chunk::last(source),
                    Some(joiner) => Chunk::last_joined(source, self.state.line_limit(), joiner),
                }));
            }
        }
        Ok(())
    }

    fn give_up_wedged(&mut self) {
        let now = Instant::now();
        for sink in self.sinks.iter().filter(|sink| !sink.health().is_final()) {
            if now >= self.end_of(sink) && sink.abandon("it did not take the last records in time") {
                let text = format!("log driver {} was too slow at the end", sink.spec.driver);
                crate::note::note(self.state_dir(), &text);
            }
        }
    }

    /// When a sink is given up. What spills is safe on the disk: the next run need not wait for it.
    fn end_of(&self, sink: &Sink) -> Instant {
        let spills = sink.spec.policy == Policy::Spill;
        if sink.spec.readable && !spills {
            return (self.last_move(sink) + CLOSING).min(self.closing_since + LAST);
        }
        let brief = spills || sink.health() == Health::Opening;
        if brief { self.closing_since + BRIEF } else { self.closing_until }
    }

    /// When to look at the sinks again.
    pub(super) fn closing_tick(&self, now: Instant) -> Option<Instant> {
        let open = || self.sinks.iter().filter(|sink| !sink.health().is_final());
        let holds = open().map(|sink| self.held_until(sink)).filter(|at| *at > now);
        open().map(|sink| self.end_of(sink)).chain(holds).min().map(|at| at.max(now + Duration::from_millis(1)))
    }

    /// Leaves what the sinks have done where it is found when the pump is gone; once more when the last one is done.
    fn keep_counters(&mut self) {
        let complete = self.sinks.iter().all(|sink| sink.health().is_final());
        if self.launch.ephemeral || (self.stage == Stage::Drained && self.late && !complete) {
            self.counted |= self.launch.ephemeral;
            return;
        }
        (self.counted, self.late) = (complete, true);
        let counters = self.counters();
        let path = self.launch.container_dir.join(crate::client::COUNTERS);
        if let Err(error) = gantry_store::atomic::create_json(&path, &counters)
            && self.launch.container_dir.is_dir()
        {
            crate::note::note(self.state_dir(), &format!("cannot keep the log counters: {error}"));
        }
    }
}
