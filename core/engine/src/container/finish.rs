//! After the end of a run: what lies outside its namespaces is undone, then the container is removed (`--rm`),
//! started again (restart policy) or left for later. Safe to repeat: whoever comes next continues.

use super::busy::Act;
use super::truth;
use crate::Engine;
use crate::error::{Error, Result};
use crate::request::AttachRequest;
use gantry_model::container::HostConfig;
use gantry_model::record::{Record, State, Status};
use gantry_store::{containers, proc};
use nix::sys::signal::Signal;
use std::time::Duration;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A run of this length resets the pauses between restarts.
const LONG_RUN_NS: u64 = 10_000_000_000;

impl Engine {
    /// What a keeper asks for when its container ended: undo, then remove or restart.
    pub fn internal_finish(&self, id: &str) -> Result<()> {
        let _turn = self.turn_to_finish();
        self.finish(id)
    }

    pub(crate) fn finish(&self, id: &str) -> Result<()> {
        let Some((act, failures)) = self.undo_ended(id)? else { return Ok(()) };
        if act.record.auto_remove && failures.is_empty() {
            return self.remove_under(act, true);
        }
        let again = self.wants_restart(&act.record)?;
        let record = settle(act, failures, again)?;
        if record.state.status == Status::Restarting { self.restart_later(id, &record) } else { Ok(()) }
    }

    /// Undoes what a run left and records that.
    fn clean(&self, id: &str) -> Result<()> {
        let Some((act, failures)) = self.undo_ended(id)? else { return Ok(()) };
        settle(act, failures, false).map(|_| ())
    }

    /// Undoes what a run left, under an act; `None` when the container runs or is gone.
    fn undo_ended(&self, id: &str) -> Result<Option<(Act, Vec<Error>)>> {
        if !self.layout.container(id).join("record.json").is_file() {
            return Ok(None);
        }
        let mut act = self.begin(id, "finish")?;
        act.record = truth::corrected(act.record.clone());
        if act.record.state.status.is_live() {
            return match act.interrupted.as_deref() {
                Some("connect" | "disconnect") => self.mend_network(act).map(|()| None),
                Some("pause" | "unpause") => self.mend_freeze(act).map(|()| None),
                _ => Ok(None),
            };
        }
        if act.interrupted.is_some() && self.runs_unrecorded(id) {
            return Ok(None);
        }
        let undone = act.record.state.cleaned && act.interrupted.is_none();
        let failures = if undone { Vec::new() } else { self.undo_run(id, &act.record.name) };
        act.record.state.cleaned = failures.is_empty();
        Ok(Some((act, failures)))
    }

    /// True when a start whose caller died had just opened the gate: the container lives, and its keeper is about to
    /// record that.
    fn runs_unrecorded(&self, id: &str) -> bool {
        let client = gantry_supervisor::connect(&self.layout.container_state(id));
        client.and_then(|mut c| c.status()).is_ok_and(|status| status.running)
    }

    /// Takes back everything a run had outside its namespaces, in reverse; goes on after a failure.
    pub(crate) fn undo_run(&self, id: &str, name: &str) -> Vec<Error> {
        let mut failures = Vec::new();
        let mut note = |result: Result<()>| failures.extend(result.err());
        note(self.detach_endpoints(id, name));
        note(self.forget_foreign(id));
        note(self.remove_cgroup(id));
        note(self.close_volumes(id));
        note(self.throw_away(&self.layout.container_state(id)));
        failures
    }

    /// Ends what runs of a container that has no record any more, and takes back what it had.
    pub(crate) fn end_stray(&self, id: &str) -> Result<()> {
        if let Ok(mut client) = gantry_supervisor::connect(&self.layout.container_state(id)) {
            let _ = client.signal(Signal::SIGKILL as i32);
            let _ = client.wait();
        }
        let manager = self.cgroup(&super::start::cgroup_path(&HostConfig::default(), id))?;
        let mut failures: Vec<Error> =
            manager.kill_all().and_then(|()| manager.remove()).err().map(Error::from).into_iter().collect();
        failures.extend(self.undo_run(id, &id[..12]));
        let mut failures = failures.into_iter();
        failures.next().map_or(Ok(()), |first| Err(first.join(failures.collect())))
    }

    fn remove_cgroup(&self, id: &str) -> Result<()> {
        let Ok(file) = self.container_file(id) else { return Ok(()) };
        let path = super::start::cgroup_path(&file.host, id);
        let manager = self.cgroup(&path)?;
        Ok(manager.remove()?)
    }

    /// True between the end of a run and its policy's restart, before that is on record.
    pub(super) fn ended_just_now(&self, record: &Record) -> Result<bool> {
        let ended = record.state.status == Status::Exited && !record.state.cleaned;
        Ok(ended && self.wants_restart(record)?)
    }

    pub(super) fn wants_restart(&self, record: &Record) -> Result<bool> {
        if is_to_stay_down(&record.state) || record.state.started_ns == 0 {
            return Ok(false);
        }
        let policy = self.container_file(&record.id)?.host.restart_policy;
        Ok(match policy.name.as_str() {
            "always" | "unless-stopped" => true,
            "on-failure" => {
                let most = policy.maximum_retry_count;
                record.state.exit_code != 0 && (most == 0 || record.state.restarts < most)
            }
            _ => false,
        })
    }

    /// Has the container started again after its policy's pause, by a process that nobody waits for: this one is given less time
    /// than the longest pause takes.
    fn restart_later(&self, id: &str, record: &Record) -> Result<()> {
        let pid = self.spawn_detached(&["restart", id])?;
        containers::update(&self.layout.container(id), |r| -> Result<()> {
            if r.state.status == Status::Restarting && r.state.restarts == record.state.restarts {
                r.state.keeper = proc::reference(pid);
            }
            Ok(())
        })?;
        Ok(())
    }

    fn await_pause(&self, id: &str, record: &Record) -> Result<()> {
        let pause = pause_before_restart(&record.state);
        let policy = self.container_file(id)?.host.restart_policy.name;
        let grounds = [
            ("policy", policy),
            ("exitCode", record.state.exit_code.to_string()),
            ("restarts", (record.state.restarts + 1).to_string()),
            ("pauseMs", pause.as_millis().to_string()),
        ];
        self.decide(id, "restart", &grounds);
        std::thread::sleep(pause);
        Ok(())
    }

    /// Starts a container that waits for its restart, unless a stop was asked for meanwhile. A start that fails is tried again
    /// after a longer pause, as long as the policy allows.
    pub fn internal_restart(&self, id: &str) -> Result<()> {
        loop {
            let Some(record) = self.awaiting_restart(id) else { return Ok(()) };
            self.await_pause(id, &record)?;
            let Some(_) = self.awaiting_restart(id) else { return Ok(()) };
            let failed = self.start_after_end(id);
            let Err(error) = failed else { return Ok(()) };
            if self.awaiting_restart(id).is_none() {
                return Err(error);
            }
            tracing::warn!(container = %id, "not started again yet: {error}");
        }
    }

    /// The record while it waits and is not removed.
    fn awaiting_restart(&self, id: &str) -> Option<Record> {
        let record = containers::read(&self.layout, id).ok()?;
        let waits = record.state.status == Status::Restarting && !is_to_stay_down(&record.state);
        waits.then_some(record)
    }

    fn start_after_end(&self, id: &str) -> Result<()> {
        let _turn = self.turn_to_start();
        let mut act = self.begin(id, "start")?;
        if is_to_stay_down(&act.record.state) || act.record.state.status != Status::Restarting {
            return Ok(());
        }
        let file = self.container_file(id)?;
        act.record = containers::update(&self.layout.container(id), |r| -> Result<()> {
            r.state.restarts += 1;
            Ok(())
        })?;
        let supervisor = self.spawn_supervisor(id, &file.host)?;
        let started = self.start_under_act(file, act, AttachRequest::default(), true, supervisor);
        if started.is_err() {
            let again = self.wants_restart(&containers::read(&self.layout, id)?)?;
            containers::update(&self.layout.container(id), |r| -> Result<()> {
                if !again || is_to_stay_down(&r.state) {
                    r.state.status = Status::Exited;
                }
                Ok(())
            })?;
        }
        started.map(drop)
    }

    /// Puts right what dead processes left of one container; called by every command that writes.
    pub(crate) fn repair(&self, id: &str) -> Result<()> {
        let record = containers::read(&self.layout, id)?;
        let idle = !truth::busy_alive(&record);
        let lost = truth::is_lost(&record);
        let unclean = !record.state.status.is_live() && record.state.started_ns > 0 && !record.state.cleaned;
        let abandoned = record.busy.is_some();
        if idle && (lost || unclean || abandoned) {
            return self.clean(id);
        }
        if record.state.status == Status::Paused && idle && self.is_frozen_for_nobody(id) {
            return self.internal_thaw(id);
        }
        if idle && is_forsaken(&record.state) { self.restart_later(id, &record) } else { Ok(()) }
    }

    /// Puts right what dead processes left anywhere: runs whose end nobody recorded, and half-made containers.
    pub fn repair_all(&self) -> Result<()> {
        for id in containers::ids(&self.layout)? {
            let dir = self.layout.container(&id);
            if dir.join("record.json").is_file() {
                if let Err(error) = self.repair(&id) {
                    tracing::warn!(container = %id, "cannot put it right: {error}");
                }
            } else if !self.is_in_the_making(&id) && is_old(&dir) {
                // Half made before the last boot.
                let mounts = self.mounts(&id).unwrap_or_default();
                self.unmake(&id, &mounts);
            }
        }
        self.collect_unfinished();
        Ok(())
    }
}

/// It waits to be started again, in this boot, and the process that was to do so is gone.
fn is_forsaken(state: &State) -> bool {
    state.status == Status::Restarting && state.boot == proc::boot() && !proc::is_alive(state.keeper)
}

/// Docker's: from a tenth of a second doubled up to a minute; a run of some length begins anew.
fn pause_before_restart(state: &State) -> Duration {
    let ran_long = state.finished_ns.saturating_sub(state.started_ns) > LONG_RUN_NS;
    let tries = if ran_long { 0 } else { state.restarts.min(16) };
    (FIRST_PAUSE * 2u32.pow(tries)).min(LONGEST_PAUSE)
}

/// This process is going to start it again.
fn await_restart(state: &mut State) {
    state.status = Status::Restarting;
    state.keeper = proc::own();
    proc::boot().clone_into(&mut state.boot);
}

/// Its end was asked for.
fn is_to_stay_down(state: &State) -> bool {
    state.stop_requested || state.shut_down
}

/// Old enough that no living process is just about to note it.
fn is_old(dir: &std::path::Path) -> bool {
    let age = std::fs::metadata(dir).and_then(|m| m.modified()).map(|t| t.elapsed().unwrap_or_default());
    age.is_ok_and(|a| a > Duration::from_secs(10))
}

/// Ends an act with the state it found and reports what could not be undone. One that is started `again` awaits that from then
/// on, unless somebody wanted it to stay down meanwhile.
fn settle(act: Act, failures: Vec<Error>, again: bool) -> Result<Record> {
    let state = act.record.state.clone();
    let record = act.finish(|r| {
        let (stop_requested, shut_down) = (r.state.stop_requested, r.state.shut_down);
        r.state = State { stop_requested, shut_down, ..state };
        if again && !is_to_stay_down(&r.state) {
            await_restart(&mut r.state);
        }
    })?;
    let mut failures = failures.into_iter();
    match failures.next() {
        None => Ok(record),
        Some(first) => Err(first.join(failures.collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_minute() {
        let state = |restarts, seconds: u64| State {
            restarts,
            started_ns: 1,
            finished_ns: seconds * 1_000_000_000,
            ..State::default()
        };
        let pauses = [0, 1, 3, 9, 10, 4000].map(|restarts| pause_before_restart(&state(restarts, 1)).as_millis());
        assert_eq!(pauses, [100, 200, 800, 51_200, 60_000, 60_000]);
        assert_eq!(pause_before_restart(&state(9, 12)).as_millis(), 100, "it ran for long");
    }
}
