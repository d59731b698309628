//! `--timeout`: a container that may run for so long and no longer. The engine kills it, since a frozen one has to be thawed.

use super::Keeper;
use crate::{clock, tell};
use std::time::{Duration, Instant};

impl Keeper {
    /// When to wake because of it.
    pub(super) fn run_limit_at(&self) -> Option<Instant> {
        let limit = self.estate.launch.run_limit;
        if limit.is_zero() || self.overdue {
            return None;
        }
        Some(Instant::now() + left(limit, self.life.started_ns, clock::realtime_ns()))
    }

    /// Has it killed when its time is over; its restart policy applies.
    pub(super) fn check_run_limit(&mut self) {
        if self.run_limit_at().is_none_or(|at| Instant::now() < at) {
            return;
        }
        self.overdue = true;
        let launch = &self.estate.launch;
        let id = launch.id.clone();
        tell::decision(launch, "timeout", &[("seconds", launch.run_limit.as_secs().to_string())]);
        self.execute_internal(&["unhealthy", &id, "kill"]);
    }
}

/// A successor of a killed keeper goes by the same start.
fn left(limit: Duration, started_ns: u64, now_ns: u64) -> Duration {
    limit.saturating_sub(Duration::from_nanos(now_ns.saturating_sub(started_ns)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_the_time() {
        let second = 1_000_000_000;
        for (now, want) in [(5 * second, 3), (4 * second, 3), (6 * second, 2), (9 * second, 0)] {
            assert_eq!(left(Duration::from_secs(3), 5 * second, now), Duration::from_secs(want), "{now}");
        }
    }
}
