//! `start`: opens the gate.

use crate::Runtime;
use crate::error::{Error, Result, file};
use crate::hooks;
use crate::state::{Container, Status};
use gantry_runtime::Started;
use std::fs;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

impl Runtime {
    /// Lets the container's program run. What a poststart hook does wrong ends the container.
    pub fn start(&self, id: &str) -> Result<()> {
        let container = self.open(id)?;
        let pid = container.require("start", &[Status::Created])?;
        let spec = container.spec()?;
        let name = spec.process().as_ref().and_then(|process| process.args().as_ref()?.first().cloned());
        container.open_gate(&name.unwrap_or_default())?;
        let Some(hooks) = spec.hooks() else { return Ok(()) };
        let state = hooks::state_json(&container.state, "running", pid);
        hooks::run("poststart", hooks.poststart().as_ref(), &state).inspect_err(|_| {
            let _ = container.kill_everything();
        })
    }
}

impl Container {
    fn open_gate(&self, program: &str) -> Result<()> {
        let handle = fs::File::open(&self.directory).map_err(file("open", &self.directory))?;
        let socket = PathBuf::from(format!("/proc/self/fd/{}/start", handle.as_raw_fd()));
        let started = gantry_runtime::start_waiting(&socket, program);
        // Whatever became of it, nobody can open the gate again.
        let _ = fs::remove_file(self.gate());
        match started? {
            Started::Running => Ok(()),
            Started::NotWaiting => {
                let status = self.status().word();
                Err(Error::Status { act: "start", id: self.state.id.clone(), status })
            }
        }
    }
}
