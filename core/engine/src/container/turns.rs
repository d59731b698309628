//! Starts and ends take turns. Hundreds that begin at the same time only get in each other's way, until their drivers seem to
//! hang: so some are about it while the others wait. It is a courtesy, not a lock: who has waited for long goes anyway, so
//! nobody that was stopped or hangs holds up others for ever.

use crate::Engine;
use gantry_store::atomic;
use gantry_store::lock::{self, Lock};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// So many at the same time for each processor: part of their time they wait for the kernel.
const PER_PROCESSOR: usize = 4;
/// Nobody waits for longer.
const LONGEST: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(4);
const LONGEST_PAUSE: Duration = Duration::from_millis(60);

/// A place among those that are about it; dropped, it is given up.
pub(crate) struct Turn {
    _place: Option<Lock>,
}

impl Engine {
    /// To be taken before a container is started.
    pub(crate) fn turn_to_start(&self) -> Turn {
        take(&self.layout.state().join("turns/starts"))
    }

    /// To be taken before what a container's end left is cleaned up, where nobody waits for it.
    pub(crate) fn turn_to_finish(&self) -> Turn {
        take(&self.layout.state().join("turns/ends"))
    }
}

fn take(dir: &Path) -> Turn {
    let places = PER_PROCESSOR * thread::available_parallelism().map_or(2, usize::from);
    let until = Instant::now() + LONGEST;
    let mut pause = FIRST_PAUSE;
    loop {
        match free_place(dir, places) {
            Search::Found(place) => return Turn { _place: Some(place) },
            Search::Impossible => return Turn { _place: None },
            Search::AllTaken if Instant::now() >= until => return Turn { _place: None },
            Search::AllTaken => thread::sleep(pause),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

enum Search {
    Found(Lock),
    AllTaken,
    /// A turn is not worth failing for.
    Impossible,
}

/// Looks at the places beginning with one of our own, so that not all look at the same.
fn free_place(dir: &Path, places: usize) -> Search {
    let first = std::process::id() as usize;
    for n in 0..places {
        let path = dir.join(((first + n) % places).to_string());
        let taken = match lock::try_exclusive(&path) {
            Err(_) if n == 0 && atomic::make_dir(dir).is_ok() => lock::try_exclusive(&path),
            other => other,
        };
        match taken {
            Ok(Some(place)) => return Search::Found(place),
            Ok(None) => {}
            Err(_) => return Search::Impossible,
        }
    }
    Search::AllTaken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_taken_and_given_up() {
        let dir = tempfile::tempdir().expect("a directory");
        let starts = dir.path().join("turns/starts");
        let found = |search: Search| match search {
            Search::Found(place) => Some(place),
            _ => None,
        };
        let (first, second) = (found(free_place(&starts, 2)), found(free_place(&starts, 2)));
        assert!(first.is_some() && second.is_some());
        assert!(matches!(free_place(&starts, 2), Search::AllTaken));
        drop(first);
        assert!(found(free_place(&starts, 2)).is_some());
        assert!(matches!(free_place(Path::new("/proc/nowhere"), 2), Search::Impossible));
    }
}
