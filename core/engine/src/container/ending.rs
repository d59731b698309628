//! Waiting for a container's end. Who stops a container cleans up after it as well, in his own process: starting another
//! one for that takes longer than the cleaning.

use super::truth;
use crate::Engine;
use gantry_model::record::Record;
use gantry_store::{containers, proc};
use gantry_supervisor::Taken;
use std::time::{Duration, Instant};

/// How long it mostly takes until an end is recorded.
const SOON: Duration = Duration::from_millis(30);
/// No driver holds up a stop for longer.
const DRIVER_LIMIT: Duration = Duration::from_secs(3);

/// A container's end that is about to come, and who cleans up after it.
pub(crate) struct ComingEnd<'a> {
    engine: &'a Engine,
    id: &'a str,
    /// The cleaning up is ours, with an engine of less patience.
    ours: Option<(Taken, Engine)>,
}

impl Engine {
    /// To be called before a container is made to end. Where somebody else cleans up already, his end is awaited.
    pub(crate) fn take_end<'a>(&'a self, id: &'a str) -> ComingEnd<'a> {
        let taken =
            gantry_supervisor::connect(&self.layout.container_state(id)).and_then(|keeper| keeper.take_finish());
        let ours = taken.ok().zip(self.impatient());
        ComingEnd { engine: self, id, ours }
    }

    fn impatient(&self) -> Option<Engine> {
        let mut settings = self.settings.clone();
        settings.config.plugin_deadline = settings.config.plugin_deadline.min(DRIVER_LIMIT);
        Engine::open(settings).ok()
    }

    /// Opens the drivers of the container's networks.
    fn get_ready_to_finish(&self, id: &str) {
        let _ = self.cgroups();
        for endpoint in self.endpoints(id).unwrap_or_default().iter().filter(|endpoint| endpoint.attached) {
            let _ = self.planned(endpoint);
        }
    }

    pub(super) fn await_death(&self, record: &Record, patience: Duration) -> bool {
        let Ok(pidfd) = gantry_sys::pidfd::pidfd_open(record.state.init.pid) else { return true };
        if !proc::init_alive(&record.state) {
            return true;
        }
        use std::os::fd::AsFd;
        let millis = u16::try_from(patience.as_millis()).ok();
        let mut fds = [nix::poll::PollFd::new(pidfd.as_fd(), nix::poll::PollFlags::POLLIN)];
        let timeout = millis.map_or(nix::poll::PollTimeout::NONE, nix::poll::PollTimeout::from);
        let until = Instant::now().checked_add(patience);
        loop {
            match nix::poll::poll(&mut fds, timeout) {
                Ok(0) if until.is_some_and(|u| Instant::now() >= u) => return false,
                Ok(0) | Err(nix::errno::Errno::EINTR) => {}
                Ok(_) => return true,
                Err(_) => return false,
            }
        }
    }

    /// Waits until the end is recorded and cleaned up, by its keeper or, when that is dead, by us.
    pub(crate) fn await_end(&self, id: &str, patience: Duration) {
        let begun = Instant::now();
        let until = begun + patience;
        let mut pause = Duration::from_micros(500);
        while Instant::now() < until {
            let Ok(record) = containers::read(&self.layout, id) else { return };
            if !record.state.status.is_live() && (record.state.cleaned || record.auto_remove) {
                return;
            }
            if truth::is_lost(&record) {
                let _ = self.repair(id);
                return;
            }
            std::thread::sleep(pause);
            // Mostly it is a matter of a few milliseconds, which somebody waits for.
            if begun.elapsed() > SOON {
                pause = (pause * 2).min(Duration::from_millis(10));
            }
        }
    }
}

impl ComingEnd<'_> {
    /// Fetches what cleaning up will need, while the container ends.
    pub(crate) fn get_ready(&self) {
        let engine = self.ours.as_ref().map(|(_, engine)| engine);
        engine.into_iter().for_each(|engine| engine.get_ready_to_finish(self.id));
    }

    /// Waits until the end is recorded and cleaned up; `told` is called then, or in between if nothing will be left.
    pub(crate) fn clean(self, patience: Duration, told: &dyn Fn()) {
        if let Some((taken, engine)) = &self.ours
            && taken.wait(patience).is_some()
        {
            let removed = containers::read(&engine.layout, self.id).is_ok_and(|record| record.auto_remove);
            if removed {
                told();
            }
            match engine.finish(self.id) {
                Ok(()) => drop(taken.finished()),
                // The keeper tries again, more patiently.
                Err(error) => tracing::debug!(container = %self.id, "not cleaned up yet: {error}"),
            }
            if !removed {
                told();
            }
            return;
        }
        drop(self.ours);
        self.engine.await_end(self.id, patience);
        told();
    }

    /// Waits until the end is recorded; the cleaning up is the caller's, who holds on to the answer until then.
    pub(crate) fn recorded(&self, patience: Duration) {
        match &self.ours {
            Some((taken, _)) if taken.wait(patience).is_some() => {}
            _ => self.engine.await_end(self.id, patience),
        }
    }

    /// The caller has cleaned up.
    pub(crate) fn finished(self) {
        if let Some((taken, _)) = self.ours {
            let _ = taken.finished();
        }
    }
}
