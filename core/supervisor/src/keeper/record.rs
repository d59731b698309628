//! What the keeper writes into the container's record.

use super::Keeper;
use crate::note::note;
use gantry_model::record::{ProcessRef, Record, Status};
use gantry_store::{containers, proc};

impl Keeper {
    /// It runs: who, since when, under whom.
    pub(super) fn record_running(&self) {
        let (life, pump) = (&self.life, self.pump.pid);
        self.record(|record| {
            let state = &mut record.state;
            if state.status != Status::Paused {
                state.status = Status::Running;
            }
            state.init = proc::reference(life.init);
            state.keeper = proc::own();
            state.pump = proc::reference(pump);
            state.boot = proc::boot().to_owned();
            state.started_ns = life.started_ns;
            (state.finished_ns, state.exit_code) = (0, 0);
            (state.oom_killed, state.cleaned) = (false, false);
            state.error.clear();
        });
    }

    /// It has a new pump.
    pub(super) fn record_pump(&self) {
        let pump = proc::reference(self.pump.pid);
        self.record(|record| record.state.pump = pump);
    }

    /// It has ended.
    pub(super) fn record_exit(&self) {
        let exit = &self.life.exit;
        self.record(|record| {
            let state = &mut record.state;
            state.status = Status::Exited;
            state.init = ProcessRef::default();
            state.exit_code = exit.code;
            state.oom_killed = exit.oom;
            state.finished_ns = exit.finished_ns;
            state.error.clone_from(&exit.error);
        });
    }

    fn record(&self, change: impl FnOnce(&mut Record)) {
        let dir = &self.estate.launch.container_dir;
        let changed = containers::update::<gantry_store::Error>(dir, |record| {
            change(record);
            Ok(())
        });
        if let Err(error) = changed {
            note(&self.estate.launch.state_dir, &format!("the record is not updated: {error}"));
        }
    }
}
