//! How much a sink takes in a time: a bucket of records and one of their bytes, both filled at a steady rate.
//!
//! What is more either waits in the sink's thread (`wait`), or is dropped before it enters the queue. There time is what
//! the chunks' stamps say: it does not matter how far the sink is behind. A bucket that ran empty is shut until it holds
//! enough for a stretch of lines: a log of single lines, each with a note of losses before it, would help nobody.

use super::chunk::Chunk;
use super::queue::{Hole, Piece};
use crate::launch::{Allowance, Rate};
use crate::state::Reason;
use std::time::Duration;

/// Records and bytes of the shortest stretch, as far as the burst allows.
const STRETCH: [f64; 2] = [10.0, 4096.0];
/// Seconds' worth of a longer one; of one that waits, so that it comes evenly.
const DROP_SECONDS: f64 = 1.0;
const WAIT_SECONDS: f64 = 0.1;
/// The longest sleep; a clock that was set makes no longer one.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// See the module.
pub struct Limiter {
    records: Bucket,
    bytes: Bucket,
    wait: bool,
    shut: bool,
    last_ns: u64,
}

/// What becomes of a piece.
pub struct Verdict {
    pub passes: Option<Piece>,
    pub excess: Option<Hole>,
}

impl Verdict {
    /// All of it passes.
    pub fn all(piece: Piece) -> Verdict {
        Verdict { passes: Some(piece), excess: None }
    }
}

struct Bucket {
    level: f64,
    burst: f64,
    per_ns: f64,
    /// What it must hold to be opened again.
    enough: f64,
}

impl Bucket {
    fn new(allowance: Allowance, shortest: f64, seconds: f64) -> Bucket {
        let Allowance { per_second, burst } = allowance;
        if per_second <= 0.0 {
            return Bucket { level: f64::INFINITY, burst: f64::INFINITY, per_ns: 0.0, enough: 0.0 };
        }
        let enough = (per_second * seconds).max(shortest).min(burst);
        Bucket { level: burst, burst, per_ns: per_second / 1e9, enough }
    }

    fn fill(&mut self, ns: u64) {
        self.level = (self.level + ns as f64 * self.per_ns).min(self.burst);
    }

    fn has_enough(&self) -> bool {
        self.level >= self.enough
    }

    /// Nanoseconds until it may be opened.
    fn lacks_ns(&self) -> f64 {
        if self.has_enough() { 0.0 } else { (self.enough - self.level) / self.per_ns }
    }
}

impl Limiter {
    /// `None`: there is no limit.
    pub fn new(rate: &Rate) -> Option<Limiter> {
        let seconds = if rate.wait { WAIT_SECONDS } else { DROP_SECONDS };
        let shortest = if rate.wait { [1.0, 1.0] } else { STRETCH };
        let limited = rate.records.per_second > 0.0 || rate.bytes.per_second > 0.0;
        limited.then(|| Limiter {
            records: Bucket::new(rate.records, shortest[0], seconds),
            bytes: Bucket::new(rate.bytes, shortest[1], seconds),
            wait: rate.wait,
            shut: false,
            last_ns: 0,
        })
    }

    /// What is more waits.
    pub fn waits(&self) -> bool {
        self.wait
    }

    /// Lets the buckets fill up to now. A clock that was set back fills nothing, and goes on from there.
    fn fill(&mut self, now_ns: u64) {
        let passed = now_ns.saturating_sub(self.last_ns);
        self.last_ns = now_ns;
        self.records.fill(passed);
        self.bytes.fill(passed);
        self.shut &= !(self.records.has_enough() && self.bytes.has_enough());
    }

    /// The records that pass, from the first on, and those that are too many. The bytes of one record may be owed: the
    /// longest line passes at last.
    pub fn judge(&mut self, piece: Piece) -> Verdict {
        self.fill(piece.chunk.timestamp_ns());
        let fits = self.records.level >= piece.count() as f64 && self.bytes.level >= piece.bytes as f64;
        if fits && !self.shut {
            self.took(piece.count(), piece.bytes);
            return Verdict::all(piece);
        }
        let (count, bytes) = if self.shut { (0, 0) } else { self.count(&piece) };
        self.took(count as u64, bytes);
        let excess = Some(Hole { first: piece.first() + count as u64, last: piece.last(), reason: Reason::Rate });
        let excess = excess.filter(|hole| hole.first <= hole.last);
        self.shut |= excess.is_some();
        let passes = (count > 0).then(|| piece.split_at(count).0);
        Verdict { passes, excess }
    }

    /// How many of its records may be taken at once, at least one.
    pub fn holds(&self, piece: &Piece) -> usize {
        self.count(piece).0.max(1)
    }

    /// How many of its records the buckets hold, and their bytes.
    fn count(&self, piece: &Piece) -> (usize, usize) {
        let most = piece.range.len().min(self.records.level.max(0.0) as usize);
        let (chunk, start): (&Chunk, usize) = (&piece.chunk, piece.range.start);
        let (mut count, mut bytes) = (0, 0);
        while count < most && self.bytes.level - bytes as f64 > 0.0 {
            bytes += chunk.length(start + count);
            count += 1;
        }
        (count, bytes)
    }

    /// How many records may be taken now; 0: sleep for [`Limiter::pause`].
    pub fn allowed(&mut self, now_ns: u64) -> usize {
        self.fill(now_ns);
        self.shut |= self.records.level < 1.0 || self.bytes.level <= 0.0;
        if self.shut { 0 } else { self.records.level.min(1e9) as usize }
    }

    /// Until more may be taken.
    pub fn pause(&self) -> Duration {
        let ns = self.records.lacks_ns().max(self.bytes.lacks_ns());
        Duration::from_nanos(ns as u64 + 1_000_000).min(LONGEST_PAUSE)
    }

    /// So much was taken.
    pub fn took(&mut self, records: u64, bytes: usize) {
        self.records.level -= records as f64;
        self.bytes.level -= bytes as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pump::chunk::Source;
    use crate::state::Partial;
    use std::sync::Arc;

    const MS: u64 = 1_000_000;

    /// Lines of ten bytes, read at that time.
    fn piece(ms: u64, first: u64, lines: u64) -> Piece {
        let buffer: Vec<u8> = (0..lines).flat_map(|line| format!("{:010}\n", first + line).into_bytes()).collect();
        let (length, before, timestamp_ns) = (buffer.len(), Partial::default(), 1_000_000_000_000 + ms * MS);
        let (stream, entry, position, id_base, fresh) = (0, 1, 0, 1, 0);
        let source = Source { stream, entry, position, first, timestamp_ns, id_base, before, buffer, length, fresh };
        Piece::of(&Arc::new(Chunk::new(source, 16_384, Vec::new())), 0, u64::MAX)
    }

    fn limiter(records: (f64, f64), bytes: (f64, f64), wait: bool) -> Limiter {
        let allowance = |(per_second, burst)| Allowance { per_second, burst };
        Limiter::new(&Rate { records: allowance(records), bytes: allowance(bytes), wait }).expect("a limit")
    }

    fn judged(limiter: &mut Limiter, piece: Piece) -> (u64, u64) {
        let verdict = limiter.judge(piece);
        (verdict.passes.map_or(0, |piece| piece.count()), verdict.excess.map_or(0, |hole| hole.count()))
    }

    #[test]
    fn a_burst_passes_and_then_a_stretch_in_a_time() {
        let mut limiter = limiter((100.0, 300.0), (0.0, 0.0), false);
        assert_eq!(judged(&mut limiter, piece(0, 1, 200)), (200, 0));
        assert_eq!(judged(&mut limiter, piece(0, 201, 200)), (100, 100));
        assert_eq!(judged(&mut limiter, piece(500, 401, 10)), (0, 10), "shut until a second's worth is there");
        assert_eq!(judged(&mut limiter, piece(1000, 411, 150)), (100, 50));
        assert_eq!(judged(&mut limiter, piece(900_000, 561, 400)), (300, 100), "never more than the burst");
    }

    #[test]
    fn the_longest_line_passes_and_is_owed() {
        let mut limiter = limiter((0.0, 0.0), (10.0, 15.0), false);
        assert_eq!(judged(&mut limiter, piece(0, 1, 5)), (2, 3));
        assert_eq!(judged(&mut limiter, piece(1500, 6, 5)), (0, 5), "10 bytes of 15");
        assert_eq!(judged(&mut limiter, piece(2100, 11, 5)), (2, 3));
    }

    #[test]
    fn a_clock_that_was_set_back_stops_nothing_for_long() {
        let mut limiter = limiter((10.0, 10.0), (0.0, 0.0), false);
        assert_eq!(judged(&mut limiter, piece(3_600_000, 1, 20)), (10, 10));
        assert_eq!(judged(&mut limiter, piece(0, 21, 20)), (0, 20));
        assert_eq!(judged(&mut limiter, piece(1000, 41, 20)), (10, 10));
    }

    #[test]
    fn what_waits_goes_evenly() {
        let mut limiter = limiter((100.0, 20.0), (0.0, 0.0), true);
        assert_eq!(limiter.allowed(5 * MS), 20);
        limiter.took(20, 0);
        assert_eq!(limiter.allowed(6 * MS), 0);
        assert!((95..120).contains(&limiter.pause().as_millis()), "{:?}", limiter.pause());
        assert_eq!(limiter.allowed(60 * MS), 0);
        assert_eq!(limiter.allowed(106 * MS), 10);
    }

    #[test]
    fn no_limit_is_none() {
        assert!(Limiter::new(&Rate::default()).is_none());
    }
}
