//! Starts and ends take turns. Hundreds that begin at the same time only get in each other's way, until their drivers seem to
//! hang: so some are about it while the others wait. It is a courtesy, not a lock: where nobody gets on for long, who waits
//! goes anyway, so nobody that was stopped or hangs holds up others for ever.

use crate::Engine;
use gantry_store::atomic;
use gantry_sys::sched::processors;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, SystemTime};

/// So many at the same time for each processor: part of their time they wait for the kernel.
const PER_PROCESSOR: usize = 4;
/// Nobody waits for longer than this while no place is taken anew.
const LONGEST: Duration = Duration::from_secs(30);

/// A place among those that are about it; dropped, it is given up.
pub(crate) struct Turn {
    place: Option<File>,
}

impl Drop for Turn {
    /// Not left to the closing of the file: a process that was cloned meanwhile has it open, too.
    fn drop(&mut self) {
        let _ = self.place.as_ref().map(File::unlock);
    }
}

impl Engine {
    /// To be taken before a container is started.
    pub(crate) fn turn_to_start(&self) -> Turn {
        Turn { place: take(self.layout.state().join("turns/starts")) }
    }

    /// To be taken before what a container's end left is cleaned up, where nobody waits for it.
    pub(crate) fn turn_to_finish(&self) -> Turn {
        Turn { place: take(self.layout.state().join("turns/ends")) }
    }
}

/// Waits for a place. A turn is not worth failing for: what goes wrong gives none.
fn take(dir: PathBuf) -> Option<File> {
    let mut places = Places::new(dir, PER_PROCESSOR * processors());
    if let Some(place) = places.free().ok()? {
        return Some(place);
    }
    let queue = queue_for(places.own()?)?;
    let mut left = LONGEST;
    loop {
        match queue.recv_timeout(left) {
            Ok(place) => return places.taken(place).ok(),
            Err(RecvTimeoutError::Disconnected) => return None,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if let Some(place) = places.free().ok()? {
            return Some(place);
        }
        left = LONGEST.checked_sub(places.stand_for()).filter(|left| !left.is_zero())?;
    }
}

/// The place when those before us have had it. The kernel keeps the queue, so hundreds that wait cost nothing; its wait knows
/// no end, so a thread does it, which gives the place up when nobody wants it any more.
fn queue_for(place: File) -> Option<Receiver<File>> {
    let (sender, receiver) = channel();
    let wait = move || {
        if place.lock().is_ok()
            && let Err(unwanted) = sender.send(place)
        {
            let _ = unwanted.0.unlock();
        }
    };
    thread::Builder::new().name("turn".to_owned()).spawn(wait).ok()?;
    Some(receiver)
}

/// The places: locks on small files, opened when they are first tried, beginning with one of our own, so that not all try
/// the same.
struct Places {
    dir: PathBuf,
    first: usize,
    count: usize,
    tried: Vec<File>,
}

impl Places {
    fn new(dir: PathBuf, count: usize) -> Places {
        Places { dir, first: std::process::id() as usize, count, tried: Vec::new() }
    }

    /// One that nobody has.
    fn free(&mut self) -> io::Result<Option<File>> {
        for n in 0..self.count {
            if n == self.tried.len() {
                self.tried.push(self.open(n)?);
            }
            match self.tried[n].try_lock() {
                Ok(()) => {
                    let place = self.tried.swap_remove(n);
                    return self.taken(place).map(Some);
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(None)
    }

    /// The file's time tells others that it was taken.
    fn taken(&self, place: File) -> io::Result<File> {
        place.set_modified(SystemTime::now())?;
        Ok(place)
    }

    /// Our own place once more, to be waited for.
    fn own(&self) -> Option<File> {
        self.open(0).ok()
    }

    fn open(&self, n: usize) -> io::Result<File> {
        let path = self.dir.join(((self.first + n) % self.count).to_string());
        match open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                atomic::make_dir(&self.dir).map_err(io::Error::other)?;
                open(&path)
            }
            opened => opened,
        }
    }

    /// How long none has been taken.
    fn stand_for(&self) -> Duration {
        let taken = self.tried.iter().filter_map(|place| place.metadata().and_then(|meta| meta.modified()).ok()).max();
        taken.map_or(Duration::MAX, |at| at.elapsed().unwrap_or_default())
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_taken_and_given_up() {
        let dir = tempfile::tempdir().expect("a directory");
        let starts = dir.path().join("turns/starts");
        let found = |dir: &Path| {
            Places::new(dir.to_owned(), 2).free().map(|place| place.map(|place| Turn { place: Some(place) }))
        };
        let (first, second) = (found(&starts).expect("ours"), found(&starts).expect("ours"));
        assert!(first.is_some() && second.is_some());
        assert!(found(&starts).expect("ours").is_none());
        drop(first);
        assert!(found(&starts).expect("ours").is_some());
        assert!(found(Path::new("/proc/nowhere")).is_err());
    }

    #[test]
    fn who_waits_is_given_the_place_and_who_does_not_leaves_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut places = Places::new(dir.path().to_owned(), 1);
        let taken = places.free().expect("ours").expect("free");
        let gone = queue_for(places.own().expect("ours"));
        drop(gone);
        let next = queue_for(places.own().expect("ours")).expect("a thread");
        assert!(next.recv_timeout(Duration::from_millis(50)).is_err());
        drop(Turn { place: Some(taken) });
        let place = next.recv_timeout(LONGEST).expect("given up by the first and by who is gone");
        assert!(places.free().expect("ours").is_none());
        drop(place);
    }

    #[test]
    fn a_place_tells_when_it_was_taken() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut places = Places::new(dir.path().to_owned(), 1);
        assert_eq!(places.stand_for(), Duration::MAX);
        let taken = places.free().expect("ours").expect("free");
        assert!(places.free().expect("ours").is_none());
        assert!(places.stand_for() < Duration::from_secs(10));
        taken.set_modified(SystemTime::now() - Duration::from_secs(60)).expect("ours");
        assert!(places.stand_for() > LONGEST);
    }
}
