//! Addresses that were leased for a time. The engine renews them; here is only known when it is to be executed.

use super::Keeper;
use super::serve::Cause;
use crate::launch::LEASE_DUE;
use nix::time::{ClockId, clock_gettime};
use std::path::Path;
use std::time::{Duration, Instant};

/// The engine is executed no more often, whatever it leaves, and again after this when it leaves nothing.
const PAUSE: u64 = 5;
const AGAIN: u64 = 30;
/// The longest sleep.
const DAY: u64 = 86_400;

/// When the next renewal is due, in seconds since boot.
#[derive(Default)]
pub(super) struct Leases {
    due: Option<u64>,
    executed: Option<u64>,
}

impl Leases {
    /// Reads what the engine left.
    pub(super) fn look(&mut self, state_dir: &Path) {
        let text = std::fs::read_to_string(state_dir.join(LEASE_DUE)).ok();
        let due: Option<u64> = text.and_then(|text| text.trim().parse().ok());
        let least = self.executed.map_or(0, |at| at + PAUSE);
        self.due = due.map(|due| due.max(least));
    }

    /// When to wake because of it.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        let left = self.due?.saturating_sub(since_boot()).min(DAY);
        Some(Instant::now() + Duration::from_secs(left))
    }

    /// True when it is time; then the next look is a while away.
    fn is_due(&mut self, now: u64) -> bool {
        let due = self.due.is_some_and(|due| due <= now);
        if due {
            (self.due, self.executed) = (Some(now + AGAIN), Some(now));
        }
        due
    }
}

impl Keeper {
    /// Has the engine renew what is due. Whoever asked something may have brought a lease, and so may a program that ended.
    pub(super) fn check_leases(&mut self, ready: &[Cause]) {
        if ready.iter().any(|cause| matches!(cause, Cause::Client(_) | Cause::Program(_))) {
            self.leases.look(&self.estate.launch.state_dir);
        }
        if self.leases.is_due(since_boot()) {
            let id = self.estate.launch.id.clone();
            self.execute_internal(&["renew", &id]);
        }
    }
}

fn since_boot() -> u64 {
    // This clock exists on every Linux.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |time| time.tv_sec().unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_is_executed_once_and_not_too_often() {
        let dir = tempfile::tempdir().expect("directory");
        let mut leases = Leases::default();
        leases.look(dir.path());
        assert!(!leases.is_due(u64::MAX / 2) && leases.wakes_at().is_none());
        std::fs::write(dir.path().join(LEASE_DUE), "100").expect("written");
        leases.look(dir.path());
        assert!(!leases.is_due(99) && leases.is_due(100) && !leases.is_due(100));
        leases.look(dir.path());
        assert!(!leases.is_due(100 + PAUSE - 1), "nothing new was left");
        assert!(leases.is_due(100 + PAUSE));
        std::fs::write(dir.path().join(LEASE_DUE), "9223372036854775807").expect("written");
        leases.look(dir.path());
        assert!(leases.wakes_at().is_some_and(|at| at <= Instant::now() + Duration::from_secs(DAY)));
    }
}
