//! A supervisor that is begun before the start is asked for, by whoever sees that coming: it gets ready meanwhile, and makes
//! the namespaces and cgroups that are guessed.

use super::start::scope_name;
use super::truth;
use crate::Engine;
use crate::error::Result;
use gantry_model::record::Status;
use gantry_store::containers;
use gantry_supervisor::Supervisor;

/// How long the end of a supervisor that is not wanted is waited for.
const PARTING_LIMIT: u16 = 1000;

/// A supervisor that waits for its container's start.
pub struct Early {
    id: String,
    supervisor: Supervisor,
}

impl Early {
    /// The supervisor, if it is that container's and still there.
    pub(super) fn for_container(self, id: &str) -> Option<Supervisor> {
        (self.id == id && self.supervisor.is_silent()).then_some(self.supervisor)
    }
}

impl Engine {
    /// Begins the supervisor of a container that does not run; `None`: the start has to do it.
    pub fn start_early(&self, id: &str) -> Option<Early> {
        let record = containers::read(&self.layout, id).ok()?;
        let idle = !truth::busy_alive(&record) && matches!(record.state.status, Status::Created | Status::Exited);
        let host = self.container_file(id).ok()?.host;
        // A scope of systemd's would have to be taken back as well.
        if !idle || scope_name(&host, id).is_some() {
            return None;
        }
        let supervisor = self.spawn_supervisor(id, &host).ok()?;
        Some(Early { id: id.to_owned(), supervisor })
    }

    /// Ends a supervisor whose container was not started. Under an act, so that nobody starts the container while the cgroups
    /// of the guess go.
    pub fn dismiss_early(&self, early: Early) -> Result<()> {
        let _act = self.begin(&early.id, "dismiss")?;
        early.supervisor.dismiss(PARTING_LIMIT);
        Ok(())
    }
}
