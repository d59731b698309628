//! `kill`: a signal for the container.

use crate::Runtime;
use crate::error::{Error, Result, call};
use crate::state::{Container, Status};
use gantry_sys::pidfd;
use nix::errno::Errno;
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use oci_spec::runtime::LinuxNamespaceType;
use std::os::fd::AsFd;
use std::str::FromStr;

impl Runtime {
    /// Sends `signal` to the first process, or with `all` to every process.
    pub fn kill(&self, id: &str, signal: i32, all: bool) -> Result<()> {
        let container = self.open(id)?;
        if all {
            return container.kill_all(signal);
        }
        container.require("kill", &[Status::Created, Status::Running, Status::Paused])?;
        if signal == libc::SIGKILL && !container.has_own_pids()? {
            // The end of the first process would not end the others.
            return container.kill_everything();
        }
        container.signal(signal)
    }
}

impl Container {
    pub(crate) fn signal(&self, signal: i32) -> Result<()> {
        let gone = |errno| match errno {
            Errno::ESRCH => Error::Status { act: "kill", id: self.state.id.clone(), status: "stopped" },
            errno => Error::Call { act: "send the signal", errno },
        };
        let process = pidfd::pidfd_open(self.state.pid).map_err(gone)?;
        // Still the same now that it cannot become another.
        if !self.is_alive() {
            return Err(gone(Errno::ESRCH));
        }
        pidfd::pidfd_send_signal(process.as_fd(), signal).map_err(gone)
    }

    fn kill_all(&self, number: i32) -> Result<()> {
        if number == libc::SIGKILL {
            return self.kill_everything();
        }
        let signal = Signal::try_from(number).map_err(call("send the signal"))?;
        for pid in self.manager()?.procs()? {
            match signal::kill(Pid::from_raw(pid), signal) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => return Err(Error::Call { act: "send the signal", errno }),
            }
        }
        Ok(())
    }

    /// SIGKILL for all in its cgroup, and for the first process wherever it is.
    pub(crate) fn kill_everything(&self) -> Result<()> {
        if self.is_alive() {
            match self.signal(libc::SIGKILL) {
                Ok(()) | Err(Error::Status { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let manager = self.manager()?;
        if manager.exists() { Ok(manager.kill_all()?) } else { Ok(()) }
    }

    fn has_own_pids(&self) -> Result<bool> {
        let spec = self.spec()?;
        let listed = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
        Ok(listed
            .into_iter()
            .flatten()
            .any(|namespace| namespace.typ() == LinuxNamespaceType::Pid && namespace.path().is_none()))
    }
}

/// A signal by number or name, with or without SIG.
pub fn signal_number(text: &str) -> Result<i32> {
    let unknown = || Error::invalid(format!("signal {text:?}"), "there is no such signal");
    if let Ok(number) = text.parse::<i32>() {
        return if (0..=64).contains(&number) { Ok(number) } else { Err(unknown()) };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(offset) = name.strip_prefix("RTMIN+").and_then(|offset| offset.parse::<i32>().ok()) {
        return if (0..=30).contains(&offset) { Ok(34 + offset) } else { Err(unknown()) };
    }
    Signal::from_str(&format!("SIG{name}")).map(|signal| signal as i32).map_err(|_| unknown())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for (text, number) in [("9", 9), ("KILL", 9), ("sigterm", 15), ("SIGRTMIN+3", 37), ("0", 0)] {
            assert_eq!(signal_number(text).unwrap(), number, "{text}");
        }
        assert!(signal_number("NONE").is_err() && signal_number("65").is_err());
    }
}
