//! Signals, stops, restarts, pauses, waits and new names.

use super::truth;
use crate::Engine;
use crate::error::{Error, Result};
use crate::request::{AttachRequest, StopRequest};
use gantry_model::class::Class;
use gantry_model::record::{Record, State, Status};
use gantry_store::{containers, proc};
use nix::sys::signal::Signal;
use std::str::FromStr;
use std::time::Duration;

const DEFAULT_STOP: Duration = Duration::from_secs(10);
/// How long the record of an end may take after the end itself.
const RECORDING: Duration = Duration::from_secs(5);

/// What is known of a container's end.
pub struct Watched {
    /// 64 hex digits.
    pub id: String,
    /// Tells one run from the next.
    pub started_ns: u64,
    /// It is removed at its end.
    pub auto_remove: bool,
    /// The end itself.
    pub end: Watch,
}

/// The end of a container as it can be waited for.
pub enum Watch {
    /// It does not run; the last run ended so.
    Stopped { code: i32, error: String },
    /// It runs, and its supervisor will tell.
    Running(gantry_supervisor::Waiting),
    /// It runs, and its supervisor is just being restarted.
    Unreachable,
}

/// A signal by number or name, with or without `SIG`.
pub(crate) fn parse_signal(text: &str) -> Result<i32> {
    let invalid = || Error::invalid(format!("invalid signal: {text}"));
    let known = |number: i32| if (1..=64).contains(&number) { Ok(number) } else { Err(unsupported(text)) };
    match text.parse::<i32>() {
        Ok(0) => return Err(invalid()),
        Ok(number) => return known(number),
        Err(_) => {}
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(offset) = name.strip_prefix("RTMIN") {
        let offset = if offset.is_empty() { 0 } else { offset.parse::<i32>().map_err(|_| invalid())? };
        return known(34 + offset);
    }
    Signal::from_str(&format!("SIG{name}")).map(|s| s as i32).map_err(|_| invalid())
}

fn unsupported(text: &str) -> Error {
    Error::invalid(format!("Linux does not support signal {text}"))
}

/// The same failure, with what was to be done.
fn about(act: String) -> impl Fn(Error) -> Error {
    move |error| {
        let told = Error::request(error.class(), format!("{act}: {}", crate::sentence(&error)));
        match error.hint() {
            Some(hint) => told.with_hint(hint),
            None => told,
        }
    }
}

impl Engine {
    /// Sends a signal to a running container's init.
    pub fn kill(&self, reference: &str, signal: &str) -> Result<()> {
        let number = if signal.is_empty() { Signal::SIGKILL as i32 } else { parse_signal(signal)? };
        self.kill_by_number(reference, number).map_err(about(format!("cannot kill container: {reference}")))
    }

    fn kill_by_number(&self, reference: &str, number: i32) -> Result<()> {
        let id = self.resolve(reference)?;
        self.repair(&id)?;
        let record = containers::read(&self.layout, &id)?;
        let meant = number == Signal::SIGKILL as i32 || number == self.stop_signal(&id)?;
        if !record.state.status.is_live() || !proc::init_alive(&record.state) {
            if meant && (record.state.status == Status::Restarting || self.ended_just_now(&record)?) {
                return self.stay_down(&id, &StopRequest::default(), asked);
            }
            return Err(not_running(reference, &id));
        }
        if meant {
            self.note_end(&id, asked)?;
        }
        self.tell_of(&id, "kill", &[("signal", number.to_string())]);
        let end = (number == Signal::SIGKILL as i32).then(|| self.take_end(&id));
        self.signal(&record, number)?;
        if meant {
            self.thaw_if_paused(&record)?;
        }
        if let Some(end) = end {
            end.get_ready();
            end.clean(RECORDING, &|| {});
        }
        Ok(())
    }

    fn signal(&self, record: &Record, number: i32) -> Result<()> {
        let act = || format!("signal container {}", record.id);
        let pidfd = match gantry_sys::pidfd::pidfd_open(record.state.init.pid) {
            // It has ended since the look.
            Err(nix::errno::Errno::ESRCH) => return Ok(()),
            opened => opened.map_err(|e| Error::io(act())(e.into()))?,
        };
        // The number may have gone to another process between the look and the open.
        if !proc::init_alive(&record.state) {
            return Ok(());
        }
        use std::os::fd::AsFd;
        match gantry_sys::pidfd::pidfd_send_signal(pidfd.as_fd(), number) {
            Err(nix::errno::Errno::ESRCH) | Ok(()) => Ok(()),
            Err(errno) => Err(Error::io(act())(errno.into())),
        }
    }

    /// Why the end comes, which tells its restart policy what to do.
    fn note_end(&self, id: &str, why: fn(&mut State)) -> Result<()> {
        containers::update(&self.layout.container(id), |r| -> Result<()> {
            why(&mut r.state);
            Ok(())
        })?;
        Ok(())
    }

    /// Stops a container: its stop signal, then SIGKILL. One that does not run is no error.
    pub fn stop(&self, reference: &str, request: &StopRequest) -> Result<()> {
        self.stop_because(reference, request, asked)
    }

    pub(crate) fn stop_because(&self, reference: &str, request: &StopRequest, why: fn(&mut State)) -> Result<()> {
        let id = self.resolve(reference)?;
        self.repair(&id)?;
        let record = containers::read(&self.layout, &id)?;
        if !record.state.status.is_live() {
            let comes_back = record.state.status == Status::Restarting || self.wants_restart(&record)?;
            return if comes_back { self.stay_down(&id, request, why) } else { Ok(()) };
        }
        let file = self.container_file(&id)?;
        let signal = request.signal.as_deref().or(file.config.stop_signal.as_deref()).unwrap_or("SIGTERM");
        let number = parse_signal(signal)?;
        let given = file.config.stop_timeout.map(|s| if s < 0 { Duration::MAX } else { Duration::from_secs(s as u64) });
        let patience = request.timeout.or(given).unwrap_or(DEFAULT_STOP);
        self.note_end(&id, why)?;
        self.tell_container(&file, &record.name, "kill", &[("signal", number.to_string())]);
        let end = self.take_end(&id);
        self.signal(&record, number)?;
        self.thaw_if_paused(&record)?;
        end.get_ready();
        if !self.await_death(&record, patience) {
            let grounds = [("signal", number.to_string()), ("seconds", patience.as_secs().to_string())];
            self.decide(&id, "stop-ignored", &grounds);
            self.tell_container(&file, &record.name, "kill", &[("signal", (Signal::SIGKILL as i32).to_string())]);
            self.kill_all(&id, &file.host)?;
            self.await_death(&record, RECORDING);
        }
        end.clean(RECORDING, &|| self.tell_container(&file, &record.name, "stop", &[]));
        Ok(())
    }

    /// Takes back a restart that is to come. One that is under way is awaited, and what it has started is stopped.
    fn stay_down(&self, id: &str, request: &StopRequest, why: fn(&mut State)) -> Result<()> {
        let act = self.begin(id, "stop")?;
        if act.record.state.status.is_live() {
            drop(act);
            return self.stop_because(id, request, why);
        }
        act.finish(|record| {
            why(&mut record.state);
            if record.state.status == Status::Restarting {
                record.state.status = Status::Exited;
            }
        })
        .map(drop)
    }

    /// The signal that asks this container to end.
    fn stop_signal(&self, id: &str) -> Result<i32> {
        parse_signal(self.container_file(id)?.config.stop_signal.as_deref().unwrap_or("SIGTERM"))
    }

    /// SIGKILL to init and to everything in the container's cgroup.
    pub(crate) fn kill_all(&self, id: &str, host: &gantry_model::container::HostConfig) -> Result<()> {
        let record = containers::read(&self.layout, id)?;
        if proc::init_alive(&record.state) {
            self.signal(&record, Signal::SIGKILL as i32)?;
        }
        let manager = self.cgroup(&super::start::cgroup_path(host, id))?;
        Ok(manager.kill_all()?)
    }

    /// Stops and starts a container.
    pub fn restart(&self, reference: &str, request: &StopRequest) -> Result<()> {
        let id = self.resolve(reference)?;
        self.stop(&id, request)?;
        self.start(&id, AttachRequest::default())?;
        // The keeper tells of the start when the caller knows of it already; who is answered now hears what came before.
        let _ = gantry_supervisor::connect(&self.layout.container_state(&id)).and_then(|mut keeper| keeper.status());
        self.tell_of(&id, "restart", &[]);
        Ok(())
    }

    /// Waits for the end of a container; answers its exit code.
    pub fn wait(&self, reference: &str) -> Result<i32> {
        let id = self.resolve(reference)?;
        self.repair(&id)?;
        if let Ok(mut client) = gantry_supervisor::connect(&self.layout.container_state(&id))
            && let Ok(exit) = client.wait()
        {
            return Ok(exit.code);
        }
        loop {
            let record = truth::corrected(containers::read(&self.layout, &id)?);
            if !record.state.status.is_live() {
                return Ok(record.state.exit_code);
            }
            self.await_death(&record, Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// How a container's end can be learnt, at once and without waiting.
    pub fn watch_end(&self, reference: &str) -> Result<Watched> {
        let id = self.resolve(reference)?;
        self.repair(&id)?;
        let record = truth::corrected(containers::read(&self.layout, &id)?);
        let state = &record.state;
        let end = match state.status.is_live() {
            false => Watch::Stopped { code: state.exit_code, error: state.error.clone() },
            true => match gantry_supervisor::connect(&self.layout.container_state(&id)).and_then(|c| c.begin_wait()) {
                Ok(waiting) => Watch::Running(waiting),
                Err(_) => Watch::Unreachable,
            },
        };
        Ok(Watched { started_ns: state.started_ns, auto_remove: record.auto_remove, end, id })
    }

    /// True while a container of this id exists.
    pub fn exists(&self, id: &str) -> bool {
        containers::read(&self.layout, id).is_ok()
    }

    /// Gives a container another name.
    pub fn rename(&self, reference: &str, new: &str) -> Result<()> {
        let id = self.resolve(reference)?;
        let new = new.trim_start_matches('/');
        if new.is_empty() {
            return Err(Error::invalid("Neither old nor new names may be empty"));
        }
        let allocating = about("error when allocating new name".to_owned());
        super::create::check_name(new).map_err(&allocating)?;
        let act = self.begin(&id, "rename")?;
        let old = act.record.name.clone();
        if old == new {
            return Err(Error::invalid("Renaming a container with the same name as its current name"));
        }
        containers::claim_name(&self.layout, new, &id).map_err(|error| allocating(error.into()))?;
        act.finish(|r| new.clone_into(&mut r.name))?;
        self.rename_member(&id, &old, new)?;
        containers::release_name(&self.layout, &old, &id)?;
        self.tell_of(&id, "rename", &[("oldName", format!("/{old}"))]);
        Ok(())
    }

    /// Tells a container's terminal its size.
    pub fn resize(&self, reference: &str, rows: u16, columns: u16) -> Result<()> {
        let id = self.resolve(reference)?;
        if !truth::corrected(containers::read(&self.layout, &id)?).state.status.is_live() {
            return Err(not_running(reference, &id));
        }
        Ok(gantry_supervisor::connect(&self.layout.container_state(&id))?.resize(rows, columns)?)
    }
}

/// The user asked for the end: no restart policy applies.
fn asked(state: &mut State) {
    state.stop_requested = true;
}

/// Docker's text for an act that needs a running container.
pub(crate) fn not_running(reference: &str, id: &str) -> Error {
    let _ = reference;
    Error::request(Class::InUse, format!("container {id} is not running"))
}

#[cfg(test)]
mod tests {
    use super::parse_signal;

    #[test]
    fn signals_by_number_and_name() {
        for (text, want) in [("9", 9), ("KILL", 9), ("SIGTERM", 15), ("sigusr1", 10), ("RTMIN+3", 37)] {
            assert_eq!(parse_signal(text).ok(), Some(want), "{text}");
        }
        for bad in ["0", "65", "SIGNOPE", ""] {
            assert!(parse_signal(bad).is_err(), "{bad}");
        }
    }
}
