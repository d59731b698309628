//! When to try again to reach a server that is gone.

use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_millis(100);
const LAST: Duration = Duration::from_secs(10);

/// Pauses, each twice as long as the one before.
pub struct Retry {
    at: Instant,
    pause: Duration,
}

impl Retry {
    /// May be tried at once.
    pub fn new() -> Retry {
        Retry { at: Instant::now(), pause: FIRST }
    }

    /// True when the pause is over.
    pub fn is_due(&self) -> bool {
        Instant::now() >= self.at
    }

    /// It failed again.
    pub fn failed(&mut self) {
        self.at = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(LAST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_limit() {
        let mut retry = Retry::new();
        assert!(retry.is_due());
        let mut pauses = Vec::new();
        for _ in 0..9 {
            pauses.push(retry.pause.as_millis());
            retry.failed();
            assert!(!retry.is_due());
        }
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    }
}
