//! The end: what the container left is read and stored, but no sink may delay it for long.

use super::chunk::{Chunk, Source};
use super::sink::Health;
use super::{Pump, Stage};
use crate::clock;
use crate::estate::Link;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A call that takes longer at the end is given up.
const WEDGED_MS: u64 = 900;
/// Sinks that move have so long in all.
const CLOSING: Duration = Duration::from_secs(5);

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
            self.closing_since = Instant::now();
            self.closing_until = self.closing_since + CLOSING;
        }
    }

    /// Goes a stage further when this one is done.
    pub(super) fn advance_end(&mut self) -> io::Result<()> {
        if self.stage == Stage::Draining && self.drain_sources()? {
            self.cut_off_last_lines()?;
            self.sinks.iter().filter(|sink| !sink.health().is_final()).for_each(|sink| sink.close());
            self.stage = Stage::Closing;
        }
        if matches!(self.stage, Stage::Draining | Stage::Closing) {
            self.wake.want();
            self.give_up_wedged();
        }
        if self.stage == Stage::Closing && self.sinks.iter().all(|sink| sink.health().is_final()) {
            self.release()?;
            self.stage = Stage::Drained;
            self.tell_keeper(&Link::Drained {});
        }
        Ok(())
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
                self.dispatch(Arc::new(Chunk::last(source)));
            }
        }
        Ok(())
    }

    fn give_up_wedged(&mut self) {
        let late = Instant::now() >= self.closing_until;
        for sink in self.sinks.iter().filter(|sink| !sink.health().is_final()) {
            let wedged = sink.busy_for().is_some_and(|ms| ms >= WEDGED_MS);
            let opening =
                sink.health() == Health::Opening && self.closing_since.elapsed().as_millis() > WEDGED_MS.into();
            if wedged || late || opening {
                sink.abandon("it did not take the last records in time");
                crate::note::note(
                    self.state_dir(),
                    &format!("log driver {} was too slow at the end", sink.spec.driver),
                );
            }
        }
    }

    /// When to look for wedged sinks again.
    pub(super) fn closing_tick(&self, now: Instant) -> Instant {
        let busy = self.sinks.iter().filter(|sink| !sink.health().is_final()).filter_map(|sink| sink.busy_for());
        let soonest = busy.map(|ms| now + Duration::from_millis((WEDGED_MS + 1).saturating_sub(ms))).min();
        soonest.unwrap_or(self.closing_until).min(self.closing_until)
    }
}
