//! One act at a time on one container. The act is noted in the record under its lock, the lock given back, drivers
//! called, and the note taken away at the end; a note whose process is gone is taken over, and what that process left
//! half done is put right by whoever comes next.

use super::truth;
use crate::Engine;
use crate::error::{Error, Result};
use gantry_model::class::Class;
use gantry_model::record::{Busy, Record};
use gantry_store::{containers, proc};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(15);

/// The note; dropped, it is taken away.
pub(crate) struct Act {
    dir: PathBuf,
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

fn try_begin(dir: &std::path::Path, act: &'static str) -> Result<Option<Act>> {
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
    Ok(Some(Act { dir: dir.to_owned(), act, record, interrupted, finished: false }))
}

impl Act {
    /// An act noted in the record when that was made.
    pub(crate) fn noted(dir: PathBuf, act: &'static str, record: Record) -> Act {
        Act { dir, act, record, interrupted: None, finished: false }
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
