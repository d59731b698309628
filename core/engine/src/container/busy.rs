//! One act at a time on one container. The act is noted in the record under its lock, the lock given back, drivers
//! called, and the note taken away at the end; a note whose process is gone is taken over, and what that process left
//! half done is put right by whoever comes next.

use super::truth;
use crate::Engine;
use crate::error::{Error, Result};
use gantry_model::class::Class;
use gantry_model::record::{Busy, Record};
use gantry_store::{containers, proc};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(15);

/// Which thread of this process is about an act on a container, and how many within each other: the note names the
/// process alone, and a server does several things at a time.
static THREADS: Mutex<BTreeMap<PathBuf, (ThreadId, u32)>> = Mutex::new(BTreeMap::new());

fn threads() -> MutexGuard<'static, BTreeMap<PathBuf, (ThreadId, u32)>> {
    THREADS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// This thread's place among the acts of this process; dropped, it is given up.
struct Turn {
    dir: PathBuf,
}

impl Turn {
    /// `None`: another thread is about an act.
    fn take(dir: &Path) -> Option<Turn> {
        let own = thread::current().id();
        let mut threads = threads();
        let turn = threads.entry(dir.to_owned()).or_insert((own, 0));
        if turn.0 != own {
            return None;
        }
        turn.1 += 1;
        Some(Turn { dir: dir.to_owned() })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut threads = threads();
        if let Some(turn) = threads.get_mut(&self.dir) {
            turn.1 -= 1;
            if turn.1 == 0 {
                threads.remove(&self.dir);
            }
        }
    }
}

/// The note; dropped, it is taken away.
pub(crate) struct Act {
    dir: PathBuf,
    _turn: Option<Turn>,
    act: &'static str,
    /// The record as it was when the act began.
    pub record: Record,
    /// Another process died in the middle of an act on this container.
    pub interrupted: Option<String>,
    finished: bool,
}

impl Engine {
    /// Begins an act, waiting for the one that another process is about.
    pub(crate) fn begin(&self, id: &str, act: &'static str) -> Result<Act> {
        let dir = self.layout.container(id);
        let until = Instant::now() + PATIENCE;
        let mut pause = Duration::from_millis(1);
        loop {
            if let Some(act) = try_begin(&dir, act)? {
                return Ok(act);
            }
            if Instant::now() > until {
                return Err(self.still_busy(id));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    fn still_busy(&self, id: &str) -> Error {
        let busy = containers::read(&self.layout, id).ok().and_then(|r| r.busy).unwrap_or_default();
        let message = format!("container {id} is busy: process {} is about to {} it", busy.process.pid, busy.act);
        Error::request(Class::InUse, message).with_hint("try again when that process is done")
    }
}

/// The note that this process is about an act.
pub(crate) fn own(act: &str) -> Busy {
    Busy { act: act.to_owned(), process: proc::own(), boot: proc::boot().to_owned() }
}

fn try_begin(dir: &Path, act: &'static str) -> Result<Option<Act>> {
    let Some(turn) = Turn::take(dir) else { return Ok(None) };
    let mut interrupted = None;
    let mut taken = false;
    let record = containers::update(dir, |record| -> Result<()> {
        if truth::busy_alive(record) && record.busy.as_ref().is_some_and(|b| b.process != proc::own()) {
            taken = true;
            return Ok(());
        }
        interrupted = record.busy.take().filter(|b| b.process != proc::own()).map(|b| b.act);
        record.busy = Some(own(act));
        Ok(())
    })?;
    if taken {
        return Ok(None);
    }
    Ok(Some(Act { dir: dir.to_owned(), _turn: Some(turn), act, record, interrupted, finished: false }))
}

impl Act {
    /// An act noted in the record when that was made.
    pub(crate) fn noted(dir: PathBuf, act: &'static str, record: Record) -> Act {
        Act { _turn: Turn::take(&dir), dir, act, record, interrupted: None, finished: false }
    }

    /// Changes the record and takes the note away in one step.
    pub(crate) fn finish(mut self, change: impl FnOnce(&mut Record)) -> Result<Record> {
        self.finished = true;
        containers::update(&self.dir, |record| -> Result<()> {
            change(record);
            clear(record, self.act);
            Ok(())
        })
    }

    /// The container is gone, and the note with it.
    pub(crate) fn forget(mut self) {
        self.finished = true;
    }
}

impl Drop for Act {
    fn drop(&mut self) {
        if !self.finished && self.dir.is_dir() {
            let act = self.act;
            let cleared = containers::update(&self.dir, |record| -> Result<()> {
                clear(record, act);
                Ok(())
            });
            if let Err(error) = cleared {
                tracing::warn!("cannot take the note of {act} away: {error}");
            }
        }
    }
}

fn clear(record: &mut Record, act: &str) {
    if record.busy.as_ref().is_some_and(|b| b.act == act && b.process == proc::own()) {
        record.busy = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_at_a_time() {
        let dir = Path::new("/nowhere/of/this/test");
        let (first, second) = (Turn::take(dir), Turn::take(dir));
        assert!(first.is_some() && second.is_some(), "an act within an act");
        let other = || thread::spawn(|| Turn::take(Path::new("/nowhere/of/this/test")).is_some()).join();
        assert!(other().is_ok_and(|taken| !taken));
        drop(first);
        assert!(other().is_ok_and(|taken| !taken));
        drop(second);
        assert!(other().is_ok_and(|taken| taken));
    }
}
