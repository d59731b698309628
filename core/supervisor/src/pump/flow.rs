//! Reading, holding back, letting go.

use super::chunk::Chunk;
use super::sink::{Health, Sink};
use super::stream::{Fetched, MOST_READ};
use super::{IDLE, MOST_IN_FLIGHT, Pump, Stage};
use crate::clock;
use crate::state::{Base, Entry};
use gantry_sys::Errno;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// A driver's call that takes longer will not return.
const CALL_LIMIT_MS: u64 = 10_000;
/// Reads smaller than this, one right after another, are worth waiting for.
const SMALL: usize = 16 * 1024;
const SOON: Duration = Duration::from_micros(500);
const GATHER: Duration = Duration::from_micros(250);

impl Pump {
    /// True while another chunk may be read.
    pub(super) fn may_read(&self) -> bool {
        let held = self.stage == Stage::Live && self.clients.iter().any(|client| client.alive && client.holds_back());
        self.in_flight.len() < MOST_IN_FLIGHT && !self.queue_full && !held
    }

    /// Reads what is there, one chunk of each stream in turn.
    pub(super) fn read_streams(&mut self) -> io::Result<()> {
        if matches!(self.stage, Stage::Closing | Stage::Drained) {
            return Ok(());
        }
        self.read_terminal()?;
        let mut progress = true;
        while progress {
            progress = false;
            for index in 0..self.streams.len() {
                progress |= self.may_read() && self.read_stream(index)?;
            }
            self.release()?;
        }
        Ok(())
    }

    /// Ends records of several lines to which nothing came for a while; noted like a read, so that a successor does so
    /// at the same place.
    pub(super) fn end_records(&mut self) -> io::Result<()> {
        for index in 0..self.streams.len() {
            let due = self.record_ends(index).is_some_and(|at| Instant::now() >= at);
            if due && self.in_flight.len() < MOST_IN_FLIGHT {
                let timestamp_ns = clock::realtime_ns();
                let entry = Entry { timestamp_ns, length: 0, stream: index as u8 };
                self.state.set_entry(self.next_entry, entry)?;
                self.end_record(index, timestamp_ns);
            }
        }
        Ok(())
    }

    /// When the record that a stream is in is complete unless something comes.
    fn record_ends(&self, index: usize) -> Option<Instant> {
        let (joiner, stream) = (self.joiner.as_ref()?, &self.streams[index]);
        (stream.partial.lines > 0 && !stream.partial.judged).then(|| stream.fed + joiner.timeout)
    }

    fn read_stream(&mut self, index: usize) -> io::Result<bool> {
        let stream = &mut self.streams[index];
        let fresh = stream.rest.len();
        let mut buffer = self.spare_buffers.pop().unwrap_or_default();
        let fetched = stream.fetch(&mut self.scratch, &mut buffer, fresh)?;
        let Fetched::Bytes(length) = fetched else {
            self.queue_full = fetched == Fetched::Full;
            self.spare_buffers.extend(Some(buffer).filter(|buffer| !buffer.is_empty()));
            return Ok(false);
        };
        buffer[..fresh].copy_from_slice(&stream.rest);
        let timestamp_ns = clock::realtime_ns();
        let entry = Entry { timestamp_ns, length: length as u32, stream: index as u8 };
        self.state.set_entry(self.next_entry, entry)?;
        self.admit(index, timestamp_ns, buffer, fresh, fresh + length);
        self.gather(length);
        Ok(length >= SMALL)
    }

    /// When small reads follow each other closely, waiting a moment makes one large read of many.
    fn gather(&mut self, length: usize) {
        let now = Instant::now();
        let soon = now.duration_since(self.last_read) < SOON;
        self.last_read = now;
        if soon && length < SMALL && self.stage == Stage::Live {
            thread::sleep(GATHER);
        }
    }

    /// A terminal cannot be copied from without being read: its bytes go through a pipe that outlives us.
    fn read_terminal(&mut self) -> io::Result<()> {
        let Some(terminal) = &self.terminal else { return Ok(()) };
        let feed = self.streams[0].fds.feed.as_fd();
        let flags = libc::SPLICE_F_NONBLOCK | libc::SPLICE_F_MOVE;
        match gantry_sys::pipe::splice(terminal.as_fd(), feed, MOST_READ, flags) {
            Ok(0) | Err(Errno::EIO) => self.terminal_quiet = true,
            Ok(_) => self.terminal_quiet = false,
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(Errno::EINVAL) => return self.copy_terminal(),
            Err(errno) => return Err(errno.into()),
        }
        Ok(())
    }

    /// The same on kernels that cannot splice from a terminal: killed right here, we lose these bytes.
    fn copy_terminal(&mut self) -> io::Result<()> {
        let Some(terminal) = &self.terminal else { return Ok(()) };
        let mut bytes = [0; 4096];
        match nix::unistd::read(terminal, &mut bytes) {
            Ok(0) | Err(Errno::EIO) => self.terminal_quiet = true,
            Ok(length) => {
                self.terminal_quiet = false;
                nix::unistd::write(self.streams[0].fds.feed.as_fd(), &bytes[..length])?;
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(())
    }

    /// Lets go of chunks that everyone has settled: moves the base, then empties the queues up to it.
    pub(super) fn release(&mut self) -> io::Result<()> {
        if self.in_flight.is_empty() {
            return Ok(());
        }
        let pressed = self.pressed();
        if pressed {
            self.wake.want();
        }
        if self.is_crowded() {
            self.sinks.iter().for_each(Sink::press);
        }
        let settled = self.settled(pressed);
        let waited_for = self.clients.iter().any(|c| c.first && c.alive && c.behind()) && self.stage == Stage::Live;
        let mut gone = Vec::new();
        while let Some(chunk) = self.in_flight.pop_front_if(|chunk| chunk.end() - 1 <= settled && !waited_for) {
            gone.push(chunk);
        }
        if gone.is_empty() {
            return self.hold_back(pressed);
        }
        self.pressed_since = None;
        self.queue_full = false;
        self.move_base(&gone)?;
        gone.into_iter().for_each(|chunk| self.keep_memory(chunk));
        Ok(())
    }

    fn pressed(&self) -> bool {
        self.is_crowded() || self.stage != Stage::Live
    }

    fn is_crowded(&self) -> bool {
        self.in_flight.len() >= MOST_IN_FLIGHT || self.queue_full
    }

    /// The last record nobody needs again. A sink that may lag is not waited for when room is short.
    fn settled(&self, pressed: bool) -> u64 {
        let counts = self.sinks.iter().filter(|sink| !(pressed && sink.may_lag()));
        counts.map(|sink| sink.settled()).min().unwrap_or(u64::MAX)
    }

    fn move_base(&mut self, gone: &[Arc<Chunk>]) -> io::Result<()> {
        let before = self.base.clone();
        for chunk in gone {
            let stream = &mut self.base.streams[usize::from(chunk.stream)];
            stream.position = chunk.position + chunk.fresh().len() as u64;
            stream.rest.clear();
            stream.rest.extend_from_slice(chunk.rest());
            stream.partial = chunk.after();
            self.base.entry = if chunk.entry > 0 { chunk.entry + 1 } else { self.base.entry };
            self.base.sequence = chunk.end();
            self.growth.add(chunk.fresh().len());
        }
        for (index, stream) in self.streams.iter().enumerate() {
            self.base.streams[index].queued = stream.queued;
        }
        self.state.set_base(self.base_generation, &self.base)?;
        self.base_generation += 1;
        self.consume(&before)
    }

    fn consume(&mut self, before: &Base) -> io::Result<()> {
        for (index, stream) in self.streams.iter_mut().enumerate() {
            let (from, to) = (before.streams[index].position, self.base.streams[index].position);
            stream.consume(from, to, &self.state, &self.scratch)?;
        }
        Ok(())
    }

    pub(super) fn keep_memory(&mut self, chunk: Arc<Chunk>) {
        if let Some(chunk) = Arc::into_inner(chunk)
            && self.spare_buffers.len() < MOST_IN_FLIGHT
        {
            let (buffer, cuts) = chunk.into_memory();
            self.spare_buffers.extend(Some(buffer).filter(|buffer| !buffer.is_empty()));
            self.spare_cuts.extend(Some(cuts).filter(|cuts| cuts.capacity() > 0));
        }
    }

    /// Nothing moves although it should: a sink that blocks has its time, then it drops.
    fn hold_back(&mut self, pressed: bool) -> io::Result<()> {
        let now = Instant::now();
        if pressed && self.pressed_since.is_none() {
            self.pressed_since = Some(now);
        }
        self.abandon_hung();
        let Some(since) = self.pressed_since else { return Ok(()) };
        let front = self.in_flight.front().map_or(0, |chunk| chunk.end() - 1);
        for sink in self.sinks.iter().filter(|sink| !sink.may_lag() && sink.settled() < front) {
            let patience_ends = held_from(sink, since).map(|from| from + block_limit(sink.spec.block_timeout_ms));
            if patience_ends.is_some_and(|end| now >= end) && sink.give_way() {
                let text = format!("log driver {} holds the container no longer: it is too slow", sink.spec.driver);
                crate::note::note(self.state_dir(), &text);
            }
        }
        Ok(())
    }

    fn abandon_hung(&mut self) {
        for sink in &self.sinks {
            let call = if sink.health() == Health::Opening { "open" } else { "write" };
            let overdue = sink.activity().busy_for().is_some_and(|ms| ms >= CALL_LIMIT_MS);
            if overdue && sink.abandon("a call into the driver did not return within 10 s") {
                crate::note::note(self.state_dir(), &format!("log driver {} hangs; left alone", sink.spec.driver));
                self.drivers.gave_up(&sink.spec.driver, call);
            }
        }
    }

    /// When to look again although nothing happens; `None`: never.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut times: Vec<Instant> = self.clients.iter().filter_map(|client| client.deadline()).collect();
        times.extend(self.open_deadline());
        times.extend(self.change_deadline());
        times.extend(self.rotation_deadline());
        times.extend(self.growth.due(self.launch.log_step));
        if self.in_flight.len() < MOST_IN_FLIGHT {
            times.extend((0..self.streams.len()).filter_map(|index| self.record_ends(index)));
        }
        if let Some(since) = self.pressed_since {
            let blocking = self.sinks.iter().filter(|sink| !sink.may_lag());
            let ends = |sink: &Sink| Some(held_from(sink, since)? + block_limit(sink.spec.block_timeout_ms));
            times.extend(blocking.filter_map(ends).filter(|at| *at > now));
        }
        if !self.in_flight.is_empty() {
            let busy = self
                .sinks
                .iter()
                .filter(|sink| sink.health() != Health::Hung)
                .filter_map(|sink| sink.activity().busy_for());
            times.extend(busy.map(|ms| now + Duration::from_millis((CALL_LIMIT_MS + 1).saturating_sub(ms))));
        }
        if self.stage != Stage::Live {
            times.extend(self.closing_tick(now));
        }
        if self.terminal_quiet && self.stage == Stage::Live {
            times.push(now + Duration::from_millis(200));
        }
        if self.has_idle_memory() {
            times.push(self.last_read + IDLE);
        }
        times.into_iter().min()
    }

    /// True while buffers are kept that an idle container does not need.
    pub(super) fn has_idle_memory(&self) -> bool {
        !self.spare_buffers.is_empty() || !self.spare_cuts.is_empty() || !self.in_flight.is_empty()
    }

    /// Gives them back when there was no output for a while.
    pub(super) fn rest_when_idle(&mut self) -> io::Result<()> {
        if self.last_read.elapsed() >= IDLE && self.has_idle_memory() {
            self.release()?;
            self.spare_buffers = Vec::new();
            self.spare_cuts = Vec::new();
            self.last_read = Instant::now();
            gantry_sys::memory::trim();
        }
        Ok(())
    }
}

/// Since when a sink holds the container up without being asked to. One that takes so much in a time does that while it is
/// in a call, not between two.
fn held_from(sink: &Sink, since: Instant) -> Option<Instant> {
    match sink.paced() {
        None => Some(since),
        Some((true, _)) => None,
        Some((false, still)) => Instant::now().checked_sub(still).map(|moved| moved.max(since)),
    }
}

/// 0 is the default.
fn block_limit(milliseconds: u32) -> Duration {
    Duration::from_millis(if milliseconds == 0 { 5000 } else { milliseconds.into() })
}
