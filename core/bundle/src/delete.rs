//! `delete`: nothing of the container remains.

use crate::Runtime;
use crate::error::{Error, Result, file};
use crate::hooks;
use crate::state::{Container, Status};
use gantry_sys::pidfd;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use oci_spec::runtime::Spec;
use std::fs;
use std::os::fd::AsFd;

impl Runtime {
    /// Takes a stopped container away; with `force` one in any state, and one that is gone already is fine.
    pub fn delete(&self, id: &str, force: bool, warn: &mut dyn FnMut(&Error)) -> Result<()> {
        let container = match self.open(id) {
            Err(Error::NotFound(_)) if force => return self.sweep(id),
            other => other?,
        };
        match container.status() {
            Status::Stopped => {}
            // One that was never started has nothing to lose.
            Status::Created => container.end()?,
            _ if force => container.end()?,
            status => return Err(Error::Status { act: "delete", id: id.to_owned(), status: status.word() }),
        }
        let spec = container.spec();
        container.remove()?;
        if let Ok(Some(hooks)) = spec.as_ref().map(Spec::hooks) {
            let state = hooks::state_json(&container.state, "stopped", 0);
            hooks::run_all("poststop", hooks.poststop().as_ref(), &state, warn);
        }
        Ok(())
    }

    /// What a `create` that was killed before it wrote anything may have left.
    fn sweep(&self, id: &str) -> Result<()> {
        let directory = self.directory(id)?;
        if directory.is_dir() {
            fs::remove_dir_all(&directory).map_err(file("remove", &directory))?;
        }
        Ok(())
    }
}

impl Container {
    /// Kills all of it, and waits for the first process to be gone.
    fn end(&self) -> Result<()> {
        let process = pidfd::pidfd_open(self.state.pid).ok().filter(|_| self.is_alive());
        self.kill_everything()?;
        if let Some(process) = process {
            let ended = poll(&mut [PollFd::new(process.as_fd(), PollFlags::POLLIN)], PollTimeout::from(10_000u16));
            if ended != Ok(1) {
                return Err(Error::Status { act: "delete", id: self.state.id.clone(), status: "not ending" });
            }
        }
        Ok(())
    }

    /// Its cgroup, with what may still live there, its mounts that others see, and its directory.
    fn remove(&self) -> Result<()> {
        let manager = self.manager()?;
        if manager.exists() {
            let left = manager.procs()?;
            if !left.is_empty() {
                manager.kill_all()?;
            }
        }
        manager.remove()?;
        if let Some(outliving) = &self.state.outliving {
            outliving.unmount(&self.state.rootfs)?;
        }
        fs::remove_dir_all(&self.directory).map_err(file("remove", &self.directory))
    }

    /// After a `create` that failed; errors of this are nobody's.
    pub(crate) fn undo(&self, spec: &Spec) {
        let _ = self.remove();
        let _ = fs::remove_dir_all(&self.directory);
        if let Some(hooks) = spec.hooks() {
            let state = hooks::state_json(&self.state, "stopped", 0);
            hooks::run_all("poststop", hooks.poststop().as_ref(), &state, &mut |_| {});
        }
    }
}
