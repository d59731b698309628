//! A container that some process has frozen for the time of its work, as `commit` does. If that process dies before it has
//! thawed it, the engine is executed to do so. Who it is stands in a file: a successor of a killed keeper reads it again.

use super::Keeper;
use crate::launch::FROZEN_BY;
use gantry_model::record::ProcessRef;
use gantry_store::{atomic, proc};
use gantry_sys::pidfd;
use std::os::fd::OwnedFd;
use std::path::Path;

impl Keeper {
    /// Looks who it is.
    pub(super) fn watch_freezer(&mut self) {
        let note = atomic::read_json_optional::<ProcessRef>(&self.estate.launch.state_dir.join(FROZEN_BY));
        let Ok(Some(process)) = note else { return };
        self.freezer = open(process);
        if self.freezer.is_none() {
            self.have_thawed();
        }
    }

    /// Most have thawed it and ended as they should: then nothing is noted any more.
    pub(super) fn freezer_died(&mut self) {
        self.freezer = None;
        if is_noted(&self.estate.launch.state_dir) {
            self.have_thawed();
        }
    }

    fn have_thawed(&mut self) {
        let id = self.estate.launch.id.clone();
        self.execute_internal(&["thaw", &id]);
    }
}

/// The descriptor is opened first: afterwards the number cannot become another process's.
fn open(process: ProcessRef) -> Option<OwnedFd> {
    pidfd::pidfd_open(process.pid).ok().filter(|_| proc::is_alive(process))
}

fn is_noted(state_dir: &Path) -> bool {
    state_dir.join(FROZEN_BY).exists()
}
