//! What a sink has done, as users see it.

use super::{Inner, Sink};
use crate::clock;
use crate::pump::spool::Spool;
use crate::wire::SinkCounters;
use std::collections::BTreeMap;

/// What became of the last order to begin anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    Done,
    Pending,
    Refused(String),
}

impl Sink {
    /// What it has done so far.
    pub fn counters(&self) -> SinkCounters {
        let inner = self.shared.lock();
        let commit = &inner.commit;
        let lost_on_disk = inner.spool.as_ref().map_or(0, Spool::lost);
        let [slow, error, down, killed, rate] = {
            let (_, holes) = inner.queue.counts();
            std::array::from_fn(|at| commit.dropped[at] + holes[at])
        };
        let slow = slow + lost_on_disk;
        let records_in = inner.offered + 1 - self.spec.from.max(1) + commit.replayed;
        let gone = commit.records_out + slow + error + down + killed + rate;
        SinkCounters {
            driver: self.spec.driver.clone(),
            cache: self.spec.cache,
            policy: self.spec.policy.name().to_owned(),
            records_in,
            records_out: commit.records_out,
            bytes_out: commit.bytes_out,
            dropped_slow: slow,
            dropped_error: error,
            dropped_down: down,
            dropped_killed: killed,
            dropped_rate: rate,
            waiting: records_in.saturating_sub(gone),
            spooled_bytes: inner.spool.as_ref().map_or(0, Spool::size),
            lag_ms: lag_ms(&inner),
            state: inner.health.name().to_owned(),
            last_error: inner.last_error.clone(),
            metrics: BTreeMap::new(),
        }
    }
}

fn lag_ms(inner: &Inner) -> u64 {
    let oldest = inner.current.as_ref().or_else(|| inner.queue.first()).map(|piece| piece.chunk.timestamp_ns());
    let since = if inner.is_spooling() { Some(inner.reached_ns).filter(|ns| *ns > 0) } else { oldest };
    since.map_or(0, |since| clock::realtime_ns().saturating_sub(since) / 1_000_000)
}
