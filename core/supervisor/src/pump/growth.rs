//! How much was logged since the engine last looked how much disk all logs take.

use std::time::{Duration, Instant};

/// Looks are no more frequent.
const PAUSE: Duration = Duration::from_millis(200);

/// See the module.
#[derive(Default)]
pub struct Growth {
    bytes: u64,
    told: Option<Instant>,
}

impl Growth {
    /// So many bytes more.
    pub fn add(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// When it will be time for a look; `None`: not before more is logged.
    pub fn due(&self, step: u64) -> Option<Instant> {
        let told = self.told.filter(|_| step > 0 && self.bytes >= step)?;
        Some(told + PAUSE)
    }

    /// True when it is time for a look; then it counts from zero. `step` 0: never.
    pub fn is_much(&mut self, step: u64) -> bool {
        if step == 0 || self.bytes < step || self.told.is_some_and(|told| told.elapsed() < PAUSE) {
            return false;
        }
        (self.bytes, self.told) = (0, Some(Instant::now()));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_for_each_step_and_not_too_often() {
        let mut growth = Growth::default();
        growth.add(100);
        assert!(!growth.is_much(0) && !growth.is_much(101));
        assert!(growth.is_much(100));
        growth.add(200);
        assert!(!growth.is_much(100) && growth.due(100).is_some(), "too soon");
        assert_eq!(growth.due(201), None);
        growth.told = Instant::now().checked_sub(PAUSE);
        assert!(growth.is_much(100));
    }
}
