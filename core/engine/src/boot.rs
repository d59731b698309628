//! After a boot: what ran before it and must run again is started. Also what was lost meanwhile is put right, so it may be
//! called at any time, as often as one likes.

use crate::Engine;
use crate::error::{Error, Result};
use crate::request::AttachRequest;
use gantry_model::container::RestartPolicy;
use gantry_model::record::{Record, Status};
use gantry_store::{containers, proc};

/// Containers that join another's namespaces wait for it: so many rounds are made at most.
const ROUNDS: usize = 5;

/// What a start of all did.
#[derive(Debug, Default)]
pub struct StartedAll {
    /// Names of those started.
    pub started: Vec<String>,
    /// Names of those that could not be, with the reason.
    pub failed: Vec<(String, Error)>,
}

impl Engine {
    /// Starts every container whose restart policy wants it to run and that does not.
    pub fn start_all(&self) -> Result<StartedAll> {
        self.repair_all()?;
        self.remove_lost()?;
        let mut waiting = self.to_start()?;
        let mut done = StartedAll::default();
        for _ in 0..ROUNDS {
            let before = waiting.len();
            done.failed.clear();
            waiting.retain(|record| match self.start_again(record) {
                Ok(started) => {
                    done.started.extend(started.then(|| record.name.clone()));
                    false
                }
                Err(error) => {
                    done.failed.push((record.name.clone(), error));
                    true
                }
            });
            if waiting.is_empty() || waiting.len() == before {
                break;
            }
        }
        Ok(done)
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

    fn to_start(&self) -> Result<Vec<Record>> {
        let mut records = containers::list(&self.layout)?;
        records.sort_unstable_by_key(|record| record.created_ns);
        let records = records.into_iter().map(crate::container::corrected);
        Ok(records
            .filter(|record| self.container_file(&record.id).is_ok_and(|f| must_run(record, &f.host.restart_policy)))
            .collect())
    }

    /// False when somebody else was quicker.
    fn start_again(&self, record: &Record) -> Result<bool> {
        let grounds = [("policy", self.container_file(&record.id)?.host.restart_policy.name)];
        self.decide(&record.id, "boot", &grounds);
        Ok(self.start(&record.id, AttachRequest::default())?.is_some())
    }
}

/// True for what its policy keeps running and that neither runs nor is about to.
fn must_run(record: &Record, policy: &RestartPolicy) -> bool {
    let state = &record.state;
    let waits = state.status == Status::Restarting && state.boot == proc::boot() && proc::is_alive(state.keeper);
    if state.status.is_live() || waits {
        return false;
    }
    let tries_left = policy.maximum_retry_count == 0 || state.restarts < policy.maximum_retry_count;
    match policy.name.as_str() {
        "always" => true,
        "unless-stopped" => !state.stop_requested,
        "on-failure" => !state.stop_requested && state.exit_code != 0 && tries_left,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_model::record::State;

    #[test]
    fn policies_after_a_boot() {
        let record = |stop_requested, exit_code, restarts| Record {
            state: State { status: Status::Exited, stop_requested, exit_code, restarts, ..State::default() },
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
    }
}
