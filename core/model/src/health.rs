//! A container's health as `inspect` shows it, and how a check's result changes it.

use serde::{Deserialize, Serialize};

/// Results that are kept.
const KEPT: usize = 5;
/// Failures in a row until unhealthy, when nothing else was asked for.
const RETRIES: u32 = 3;

/// `State.Health`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Health {
    /// `starting`, `healthy`, `unhealthy`.
    pub status: String,
    /// Failures in a row.
    pub failing_streak: u32,
    /// The last results, the oldest first.
    pub log: Vec<HealthResult>,
}

/// One check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthResult {
    /// RFC 3339.
    pub start: String,
    /// RFC 3339.
    pub end: String,
    /// 0: healthy; -1: it could not be made, or took too long.
    pub exit_code: i32,
    /// What it printed, cut.
    pub output: String,
}

impl Health {
    /// Before the first check.
    pub fn starting() -> Health {
        Health { status: "starting".to_owned(), ..Health::default() }
    }

    /// Takes a result in; true when the status has changed. A failure while starting does not count when it is
    /// `excused` by the start period.
    pub fn take(&mut self, result: HealthResult, retries: u32, excused: bool) -> bool {
        let before = self.status.clone();
        let healthy = result.exit_code == 0;
        self.log.push(result);
        let surplus = self.log.len().saturating_sub(KEPT);
        self.log.drain(..surplus);
        if healthy {
            self.failing_streak = 0;
            "healthy".clone_into(&mut self.status);
        } else if before != "starting" || !excused {
            self.failing_streak += 1;
            if self.failing_streak >= if retries == 0 { RETRIES } else { retries } {
                "unhealthy".clone_into(&mut self.status);
            }
        }
        self.status != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_count_after_the_start_period_and_in_a_row() {
        let mut health = Health::starting();
        let mut take = |exit_code, excused| {
            let changed = health.take(HealthResult { exit_code, ..HealthResult::default() }, 2, excused);
            (changed, health.status.clone(), health.failing_streak)
        };
        for (code, excused, want) in [
            (1, true, (false, "starting", 0)),
            (-1, false, (false, "starting", 1)),
            (1, true, (false, "starting", 1)),
            (0, false, (true, "healthy", 0)),
            (1, true, (false, "healthy", 1)),
            (0, false, (false, "healthy", 0)),
            (1, false, (false, "healthy", 1)),
            (2, false, (true, "unhealthy", 2)),
            (2, false, (false, "unhealthy", 3)),
            (0, false, (true, "healthy", 0)),
        ] {
            assert_eq!(take(code, excused), (want.0, want.1.to_owned(), want.2));
        }
        assert_eq!(health.log.len(), KEPT);
    }
}
