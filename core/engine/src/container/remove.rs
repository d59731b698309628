//! Removing a container: its name last, so that a removal cut short is found and continued.

use super::busy::Act;
use crate::Engine;
use crate::error::{Error, Result};
use crate::request::RemoveRequest;
use crate::userns;
use gantry_model::class::Class;
use gantry_model::record::Status;
use gantry_store::containers;
use std::time::Duration;

impl Engine {
    /// Removes a container.
    pub fn remove(&self, reference: &str, request: RemoveRequest) -> Result<()> {
        self.collect_unfinished();
        let id = match self.resolve(reference) {
            Err(error) if request.missing_ok && error.class() == Class::NotFound => return Ok(()),
            resolved => resolved?,
        };
        let removed = self.remove_by_id(&id, request);
        // Its own end with `--rm`, or somebody else, may have been quicker at any step.
        if removed.is_err() && !self.layout.container(&id).exists() { Ok(()) } else { removed }
    }

    fn remove_by_id(&self, id: &str, request: RemoveRequest) -> Result<()> {
        // Asked before the repair, which may be the one to finish the end; a dead finisher is made up for all the same.
        let restarts = !request.force
            && containers::read(&self.layout, id).is_ok_and(|record| self.ended_just_now(&record).unwrap_or(false));
        self.repair(id)?;
        let record = match containers::read(&self.layout, id) {
            Ok(record) => record,
            Err(_) => return self.remove_dead(id),
        };
        if record.state.status.is_live() || record.state.status == Status::Restarting {
            if !request.force {
                return Err(running(id, record.state.status));
            }
            return self.remove_live(id, request.volumes);
        }
        if restarts {
            return Err(running(id, Status::Restarting));
        }
        self.remove_files(id, request.volumes)
    }

    fn remove_live(&self, id: &str, volumes: bool) -> Result<()> {
        let end = self.take_end(id);
        self.force_end(id)?;
        end.recorded(Duration::from_secs(5));
        let removed = self.remove_files(id, volumes);
        if removed.is_ok() {
            end.finished();
        }
        removed
    }

    fn force_end(&self, id: &str) -> Result<()> {
        let file = self.container_file(id)?;
        containers::update(&self.layout.container(id), |r| -> Result<()> {
            r.state.stop_requested = true;
            if r.state.status == Status::Restarting {
                r.state.status = Status::Exited;
            }
            Ok(())
        })?;
        self.tell_of(id, "kill", &[("signal", "9".to_owned())]);
        self.kill_all(id, &file.host)
    }

    fn remove_files(&self, id: &str, volumes: bool) -> Result<()> {
        if !self.layout.container(id).is_dir() {
            return Ok(());
        }
        let act = self.begin(id, "rm")?;
        if super::truth::corrected(act.record.clone()).state.status.is_live() {
            return Err(running(id, Status::Running));
        }
        self.remove_under(act, volumes)
    }

    /// Removes a container that does not run, under an act on it.
    pub(crate) fn remove_under(&self, act: Act, volumes: bool) -> Result<()> {
        let id = act.record.id.as_str();
        let mounts = self.mounts(id)?;
        let mut failures = Vec::new();
        let mut note = |result: Result<()>| failures.extend(result.err());
        if !act.record.state.cleaned {
            self.undo_run(id, &act.record.name).into_iter().for_each(|e| note(Err(e)));
        }
        self.remove_log_data(id);
        let file = self.container_file(id);
        if let Ok(file) = &file {
            note(self.with_storage(&file.storage_driver, |store| Ok(store.remove(id)?)));
        }
        note(self.release_addresses(id));
        if file.as_ref().map_or(true, |file| userns::has_own(&file.host)) {
            self.release_ids(id);
        }
        if let Ok(file) = &file {
            self.release_labels(file);
        }
        if let Some(first) = failures.pop() {
            return Err(first.join(failures));
        }
        self.throw_away(&self.layout.container(id))?;
        containers::release_name(&self.layout, &act.record.name, id)?;
        if let Ok(file) = &file {
            self.tell_container(file, &act.record.name, "destroy", &[]);
        }
        let age = crate::now_ns().saturating_sub(act.record.created_ns);
        act.forget();
        self.empty_trash_after(Duration::from_nanos(age));
        if volumes { self.remove_anonymous_volumes(&mounts) } else { Ok(()) }
    }

    fn remove_dead(&self, id: &str) -> Result<()> {
        let mounts = self.mounts(id).unwrap_or_default();
        let mut failures = self.unmake(id, &mounts).into_iter();
        match failures.next() {
            None => Ok(()),
            Some(first) => Err(first.join(failures.collect())),
        }
    }
}

fn running(id: &str, status: Status) -> Error {
    let (state, hint) = match status {
        Status::Paused => ("paused", "Unpause and then stop the container before attempting removal or force remove"),
        Status::Restarting => ("restarting", "Stop the container before attempting removal or force remove"),
        _ => ("running", "Stop the container before attempting removal or force remove"),
    };
    Error::request(Class::InUse, format!("You cannot remove a {state} container {id}. {hint}"))
}
