//! What the keeper writes into the container's record.

use super::{Keeper, oom};
use crate::note::note;
use crate::tell;
use gantry_model::record::{ProcessRef, Record, Status};
use gantry_store::{containers, proc};

impl Keeper {
    /// It runs: who, since when, under whom.
    pub(super) fn record_running(&self) {
        let (life, pump) = (&self.life, self.pump.pid);
        let health = self.checks.as_ref().map_or("", |checks| checks.status());
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
            health.clone_into(&mut state.health);
        });
    }

    /// That it was started; not said again by a successor.
    pub(super) fn tell_started(&self) {
        tell::event_named(&self.estate.launch, &self.estate.launch.name, "start", &[]);
    }

    /// It has a new pump.
    pub(super) fn record_pump(&self) {
        let pump = proc::reference(self.pump.pid);
        self.record(|record| record.state.pump = pump);
    }

    /// It has ended.
    pub(super) fn record_exit(&self) {
        let exit = &self.life.exit;
        let name = self.record(|record| {
            let state = &mut record.state;
            state.status = Status::Exited;
            state.init = ProcessRef::default();
            state.exit_code = exit.code;
            state.oom_killed = exit.oom;
            state.finished_ns = exit.finished_ns;
            state.error.clone_from(&exit.error);
        });
        self.tell_exit(&name);
    }

    fn tell_exit(&self, name: &str) {
        let (launch, exit) = (&self.estate.launch, &self.life.exit);
        if exit.oom {
            tell::event_named(launch, name, "oom", &[]);
            tell::decision(launch, "oom", &oom::grounds(&launch.oom_files));
        }
        if !exit.error.is_empty() {
            tell::decision(launch, "exit-unclear", &[("error", exit.error.clone())]);
        }
        let seconds = exit.finished_ns.saturating_sub(self.life.started_ns) / 1_000_000_000;
        let more = [("exitCode", exit.code.to_string()), ("execDuration", seconds.to_string())];
        tell::event_named(launch, name, "die", &more);
    }

    /// Answers the container's name.
    pub(super) fn record(&self, change: impl FnOnce(&mut Record)) -> String {
        let dir = &self.estate.launch.container_dir;
        let changed = containers::update::<gantry_store::Error>(dir, |record| {
            change(record);
            Ok(())
        });
        match changed {
            Ok(record) => record.name,
            Err(error) => {
                note(&self.estate.launch.state_dir, &format!("the record is not updated: {error}"));
                self.estate.launch.name.clone()
            }
        }
    }
}
