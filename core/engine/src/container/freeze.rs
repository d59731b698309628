//! Freezing and thawing: on a user's behalf, until he says otherwise, and for the time of an act of ours. Whoever does the
//! latter is noted, and the container's keeper watches him: his death thaws the container.

use super::kill::not_running;
use super::{Act, truth};
use crate::Engine;
use crate::error::{Error, Result};
use gantry_model::class::Class;
use gantry_model::record::{ProcessRef, Record, Status};
use gantry_store::atomic::{self, Durability};
use gantry_store::{containers, proc};
use gantry_supervisor::FROZEN_BY;
use std::fs;
use std::path::PathBuf;

impl Engine {
    /// Freezes a container.
    pub fn pause(&self, reference: &str) -> Result<()> {
        self.freeze(reference, true)
    }

    /// Thaws a container.
    pub fn unpause(&self, reference: &str) -> Result<()> {
        self.freeze(reference, false)
    }

    fn freeze(&self, reference: &str, freeze: bool) -> Result<()> {
        let id = self.resolve(reference)?;
        self.repair(&id)?;
        let act = self.begin(&id, if freeze { "pause" } else { "unpause" })?;
        let status = act.record.state.status;
        match (freeze, status) {
            (true, Status::Running) | (false, Status::Paused) => {}
            (true, Status::Paused) => return Err(state_error(format!("Container {id} is already paused"))),
            (false, _) => return Err(state_error(format!("Container {id} is not paused"))),
            _ => return Err(not_running(reference, &id)),
        }
        let file = self.container_file(&id)?;
        let manager = self.cgroup(&super::start::cgroup_path(&file.host, &id))?;
        if freeze {
            manager.freeze()?
        } else {
            manager.thaw()?
        }
        let record = act.finish(|r| r.state.status = if freeze { Status::Paused } else { Status::Running })?;
        if !freeze {
            self.forget_freezer(&id);
        }
        self.tell_container(&file, &record.name, if freeze { "pause" } else { "unpause" }, &[]);
        Ok(())
    }

    /// What was frozen or thawed half-way runs.
    pub(crate) fn mend_freeze(&self, act: Act) -> Result<()> {
        let id = act.record.id.clone();
        let file = self.container_file(&id)?;
        self.cgroup(&super::start::cgroup_path(&file.host, &id))?.thaw()?;
        act.finish(|r| {
            if r.state.status == Status::Paused {
                r.state.status = Status::Running;
            }
        })?;
        self.forget_freezer(&id);
        Ok(())
    }

    pub(super) fn thaw_if_paused(&self, record: &Record) -> Result<()> {
        if record.state.status != Status::Paused {
            return Ok(());
        }
        let file = self.container_file(&record.id)?;
        self.tell_container(&file, &record.name, "unpause", &[]);
        Ok(self.cgroup(&super::start::cgroup_path(&file.host, &record.id))?.thaw()?)
    }

    /// Stops the container's processes until what is returned is dropped, or this process is gone.
    pub(crate) fn frozen(&self, id: &str, wanted: bool) -> Result<Option<Frozen<'_>>> {
        let status = truth::corrected(containers::read(&self.layout, id)?).state.status;
        // Where no cgroup was delegated to an ordinary user nothing can be frozen.
        if !wanted || status != Status::Running || self.cgroups()?.hierarchies.is_empty() {
            return Ok(None);
        }
        atomic::write_json(&self.freezer_note(id), &proc::own(), Durability::Rename)?;
        // A keeper that is just being replaced looks by itself; one of an earlier version does not, but the next command does.
        let watched = gantry_supervisor::connect(&self.layout.container_state(id)).and_then(|mut k| k.watch_freezer());
        if let Err(error) = watched {
            tracing::debug!(container = id, "its keeper does not watch over the freezing: {error}");
        }
        let frozen = self.pause(id).map(|()| Some(Frozen { engine: self, id: id.to_owned() }));
        if frozen.is_err() {
            self.forget_freezer(id);
        }
        frozen
    }

    fn freezer_note(&self, id: &str) -> PathBuf {
        self.layout.container_state(id).join(FROZEN_BY)
    }

    fn forget_freezer(&self, id: &str) {
        let _ = fs::remove_file(self.freezer_note(id));
    }

    /// True when the container stands still for the work of a process that is gone.
    pub(super) fn is_frozen_for_nobody(&self, id: &str) -> bool {
        let freezer = atomic::read_json_optional::<ProcessRef>(&self.freezer_note(id)).ok().flatten();
        freezer.is_some_and(|process| !proc::is_alive(process))
    }

    /// Thaws a container whose freezer died.
    pub fn internal_thaw(&self, id: &str) -> Result<()> {
        if !self.is_frozen_for_nobody(id) {
            return Ok(());
        }
        let act = self.begin(id, "unpause")?;
        // Somebody else may have come first.
        if !self.is_frozen_for_nobody(id) {
            return Ok(());
        }
        if !truth::corrected(act.record.clone()).state.status.is_live() {
            self.forget_freezer(id);
            return Ok(());
        }
        self.mend_freeze(act)?;
        self.tell_of(id, "unpause", &[]);
        Ok(())
    }
}

fn state_error(message: String) -> Error {
    Error::request(Class::InUse, message)
}

/// Thaws when dropped.
pub(crate) struct Frozen<'a> {
    engine: &'a Engine,
    id: String,
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.engine.unpause(&self.id) {
            tracing::error!(container = %self.id, "cannot unpause it again: {error}");
        }
    }
}
