//! Before the host goes down and after it came up: what runs is stopped in an orderly way, what must run is started. Also
//! what was lost meanwhile is put right, so both may be called at any time, as often as one likes.

use crate::Engine;
use crate::error::{Error, Result};
use crate::request::{AttachRequest, StopRequest};
use gantry_model::container::RestartPolicy;
use gantry_model::record::{Record, State, Status};
use gantry_store::{containers, proc};
use std::collections::BTreeSet;

/// Containers that join another's namespaces wait for it, and what fails is tried again while others succeed: so many rounds
/// are made at most.
const ROUNDS: usize = 20;
/// So many are started at the same time: one that waits for a server holds up few others.
const STARTS: usize = 8;
/// So many are stopped at the same time: mostly that is waiting.
const STOPS: usize = 50;

/// What a start or stop of all did.
#[derive(Debug, Default)]
pub struct DoneToAll {
    /// Names of those started or stopped.
    pub done: Vec<String>,
    /// Names of those that could not be, with the reason.
    pub failed: Vec<(String, Error)>,
}

/// A container that must run.
struct Due {
    record: Record,
    /// Ids of those whose namespaces it joins.
    needs: Vec<String>,
    /// It was tried, in vain.
    tried: bool,
}

impl Engine {
    /// Starts every container whose restart policy wants it to run and that does not.
    pub fn start_all(&self) -> Result<DoneToAll> {
        self.repair_all()?;
        self.remove_lost()?;
        let mut waiting = self.to_start()?;
        let mut all = DoneToAll::default();
        for _ in 0..ROUNDS {
            let before = waiting.len();
            let (now, mut later) = part(waiting);
            later.extend(self.start_some(now, &mut all)?);
            waiting = later;
            if waiting.is_empty() || waiting.len() == before && waiting.iter().all(|due| due.tried) {
                break;
            }
        }
        Ok(all)
    }

    /// Answers those that did not start.
    fn start_some(&self, now: Vec<Due>, all: &mut DoneToAll) -> Result<Vec<Due>> {
        let answers = self.at_once(&now, STARTS, |engine, due| engine.start_again(&due.record))?;
        all.failed.clear();
        let mut left = Vec::new();
        for (due, answer) in now.into_iter().zip(answers) {
            match answer {
                Ok(started) => all.done.extend(started.then_some(due.record.name)),
                Err(error) => {
                    all.failed.push((due.record.name.clone(), error));
                    left.push(Due { tried: true, ..due });
                }
            }
        }
        Ok(left)
    }

    /// Stops every container that runs, for the host's end. Those that a restart policy keeps running are started again
    /// afterwards.
    pub fn stop_all(&self, request: &StopRequest) -> Result<DoneToAll> {
        let mut records = containers::list(&self.layout)?;
        records.sort_unstable_by_key(|record| record.created_ns);
        let records = records.into_iter().map(crate::container::corrected);
        let alive = |record: &Record| record.state.status.is_live() || record.state.status == Status::Restarting;
        let running: Vec<Record> = records.filter(alive).collect();
        let stop = |engine: &Engine, record: &Record| {
            engine.decide(&record.id, "shutdown", &[]);
            engine.stop_because(&record.id, request, for_the_host)
        };
        let answers = self.at_once(&running, STOPS, stop)?;
        let mut all = DoneToAll::default();
        for (record, answer) in running.into_iter().zip(answers) {
            match answer {
                Ok(()) => all.done.push(record.name),
                Err(error) => all.failed.push((record.name, error)),
            }
        }
        Ok(all)
    }

    /// Those that were to go at their end, which nobody saw.
    fn remove_lost(&self) -> Result<()> {
        for record in containers::list(&self.layout)? {
            let over = !crate::container::corrected(record.clone()).state.status.is_live();
            if over && record.auto_remove && record.state.started_ns > 0 && record.busy.is_none() {
                self.internal_finish(&record.id)?;
            }
        }
        Ok(())
    }

    fn to_start(&self) -> Result<Vec<Due>> {
        let mut records = containers::list(&self.layout)?;
        records.sort_unstable_by_key(|record| record.created_ns);
        let due = |record: Record| {
            let record = crate::container::corrected(record);
            let host = self.container_file(&record.id).ok()?.host;
            let joined = [&host.network_mode, &host.pid_mode, &host.ipc_mode];
            let joined = joined.into_iter().filter_map(|mode| mode.strip_prefix("container:"));
            let needs = joined.filter_map(|other| self.resolve(other).ok()).collect();
            must_run(&record, &host.restart_policy).then_some(Due { record, needs, tried: false })
        };
        Ok(records.into_iter().filter_map(due).collect())
    }

    /// False when somebody else was quicker.
    fn start_again(&self, record: &Record) -> Result<bool> {
        let grounds = [("policy", self.container_file(&record.id)?.host.restart_policy.name)];
        self.decide(&record.id, "boot", &grounds);
        Ok(self.start(&record.id, AttachRequest::default())?.is_some())
    }
}

/// Those that wait for none of the others, and the rest. Where all wait for each other, none does, nor for what was tried.
fn part(waiting: Vec<Due>) -> (Vec<Due>, Vec<Due>) {
    let ids: BTreeSet<String> = waiting.iter().filter(|due| !due.tried).map(|due| due.record.id.clone()).collect();
    let waits = |due: &Due| due.needs.iter().any(|other| *other != due.record.id && ids.contains(other));
    let (later, now): (Vec<Due>, Vec<Due>) = waiting.into_iter().partition(waits);
    if now.is_empty() { (later, now) } else { (now, later) }
}

/// The host goes down: the restart policy applies afterwards.
fn for_the_host(state: &mut State) {
    state.shut_down = true;
}

/// True for what its policy keeps running and that neither runs nor is about to. What was never started nobody wants to run.
fn must_run(record: &Record, policy: &RestartPolicy) -> bool {
    let state = &record.state;
    let waits = state.status == Status::Restarting && state.boot == proc::boot() && proc::is_alive(state.keeper);
    if state.status.is_live() || state.started_ns == 0 || waits {
        return false;
    }
    let tries_left = policy.maximum_retry_count == 0 || state.restarts < policy.maximum_retry_count;
    match policy.name.as_str() {
        "always" => true,
        "unless-stopped" => !state.stop_requested,
        "on-failure" => !state.stop_requested && (state.shut_down || state.exit_code != 0 && tries_left),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_after_a_boot() {
        let record = |stop_requested, exit_code, restarts| Record {
            state: State {
                status: Status::Exited,
                started_ns: 1,
                stop_requested,
                exit_code,
                restarts,
                ..State::default()
            },
            ..Record::default()
        };
        let policy = |name: &str, most| RestartPolicy { name: name.to_owned(), maximum_retry_count: most };
        for (name, most, stopped, code, restarts, want) in [
            ("no", 0, false, 1, 0, false),
            ("always", 0, true, 0, 0, true),
            ("unless-stopped", 0, true, 0, 0, false),
            ("unless-stopped", 0, false, 0, 0, true),
            ("on-failure", 0, false, 255, 0, true),
            ("on-failure", 0, false, 0, 0, false),
            ("on-failure", 3, false, 1, 3, false),
            ("on-failure", 3, true, 1, 1, false),
        ] {
            assert_eq!(
                must_run(&record(stopped, code, restarts), &policy(name, most)),
                want,
                "{name} {stopped} {code}"
            );
        }
        let mut running = record(false, 0, 0);
        running.state.status = Status::Running;
        assert!(!must_run(&running, &policy("always", 0)));
        let mut never = record(false, 0, 0);
        never.state.started_ns = 0;
        assert!(!must_run(&never, &policy("always", 0)));
        let mut ended_with_the_host = record(false, 0, 0);
        ended_with_the_host.state.shut_down = true;
        assert!(must_run(&ended_with_the_host, &policy("on-failure", 0)));
    }

    #[test]
    fn who_joins_another_comes_later() {
        let due = |id: &str, needs: &[&str]| Due {
            record: Record { id: id.to_owned(), ..Record::default() },
            needs: needs.iter().map(|other| (*other).to_owned()).collect(),
            tried: false,
        };
        let ids = |some: &[Due]| some.iter().map(|due| due.record.id.clone()).collect::<Vec<_>>();
        let (now, later) = part(vec![due("a", &["b"]), due("b", &["elsewhere"]), due("c", &["c"])]);
        assert_eq!((ids(&now), ids(&later)), (vec!["b".into(), "c".into()], vec!["a".to_owned()]));
        let (now, later) = part(vec![due("a", &["b"]), due("b", &["a"])]);
        assert_eq!((now.len(), later.len()), (2, 0), "a circle");
    }
}
