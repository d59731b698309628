//! Health checks: from the configuration to what the keeper is told, what it found, and what is done about it.

use super::file::ContainerFile;
use crate::Engine;
use crate::error::{Error, Result};
use crate::request::{AttachRequest, ExecRequest, StopRequest};
use gantry_model::container::{Config, Healthcheck, HostConfig};
use gantry_model::health::Health;
use gantry_model::record::Record;
use gantry_supervisor::HealthSpec;
use std::time::Duration;

const INTERVAL: Duration = Duration::from_secs(30);
const START_INTERVAL: Duration = Duration::from_secs(5);
const LEAST_NS: i64 = 1_000_000;
/// What may be done when a container becomes unhealthy.
pub(crate) const ACTIONS: [&str; 4] = ["none", "kill", "restart", "stop"];

/// What the user gave wins part by part over what the image says.
pub(crate) fn merge(own: &mut Option<Healthcheck>, image: Option<Healthcheck>) {
    let Some(image) = image else { return };
    let Some(own) = own else {
        *own = Some(image);
        return;
    };
    if own.test.is_empty() {
        own.test = image.test;
    }
    let parts = [
        (&mut own.interval, image.interval),
        (&mut own.timeout, image.timeout),
        (&mut own.retries, image.retries),
        (&mut own.start_period, image.start_period),
        (&mut own.start_interval, image.start_interval),
    ];
    parts.into_iter().filter(|(own, _)| **own == 0).for_each(|(own, image)| *own = image);
}

/// Refuses what cannot be checked.
pub(crate) fn check(config: &Config, host: &HostConfig) -> Result<()> {
    let action = host.health_on_failure.as_str();
    if !action.is_empty() && !ACTIONS.contains(&action) {
        let hint = format!("known actions: {}", ACTIONS.join(", "));
        return Err(Error::invalid(format!("invalid health action: {action}")).with_hint(hint));
    }
    let Some(health) = &config.healthcheck else { return Ok(()) };
    let durations = [
        ("Interval", health.interval),
        ("Timeout", health.timeout),
        ("StartPeriod", health.start_period),
        ("StartInterval", health.start_interval),
    ];
    if let Some((name, _)) = durations.iter().find(|(_, ns)| *ns != 0 && *ns < LEAST_NS) {
        return Err(Error::invalid(format!("{name} in Healthcheck cannot be less than 1ms")));
    }
    if health.retries < 0 {
        return Err(Error::invalid("Retries in Healthcheck cannot be negative"));
    }
    match health.test.first().map(String::as_str) {
        None | Some("" | "NONE" | "CMD" | "CMD-SHELL") => Ok(()),
        Some(other) => Err(Error::invalid(format!("Unknown healthcheck type '{other}' (expected 'CMD')"))),
    }
}

/// What is executed; empty: nothing.
fn command(config: &Config) -> Vec<String> {
    let Some(health) = &config.healthcheck else { return Vec::new() };
    let rest = || health.test.get(1..).unwrap_or_default().to_vec();
    match health.test.first().map(String::as_str) {
        Some("CMD") => rest(),
        Some("CMD-SHELL") if rest().iter().any(|word| !word.is_empty()) => {
            let shell = config.shell.clone().unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()]);
            shell.into_iter().chain(rest()).collect()
        }
        _ => Vec::new(),
    }
}

impl Engine {
    /// What the keeper needs to check a container's health; `None`: it is not checked.
    pub(crate) fn health_spec(&self, file: &ContainerFile) -> Result<Option<HealthSpec>> {
        let (cmd, Some(health)) = (command(&file.config), &file.config.healthcheck) else { return Ok(None) };
        if cmd.is_empty() {
            return Ok(None);
        }
        let plan = self.exec_plan(file, &ExecRequest { cmd, ..ExecRequest::default() })?;
        let or = |ns: i64, default: Duration| match u64::try_from(ns) {
            Ok(ns) if ns > 0 => Duration::from_nanos(ns),
            _ => default,
        };
        Ok(Some(HealthSpec {
            plan: plan.to_bytes()?,
            interval: or(health.interval, INTERVAL),
            timeout: or(health.timeout, INTERVAL),
            start_period: or(health.start_period, Duration::ZERO),
            start_interval: or(health.start_interval, START_INTERVAL),
            retries: u32::try_from(health.retries).unwrap_or(0),
            on_failure: file.host.health_on_failure.clone(),
        }))
    }

    /// What the checks have found; `None`: there were none. A container that does not run is not healthy.
    pub(crate) fn health(&self, record: &Record) -> Option<Health> {
        if record.state.health.is_empty() {
            return None;
        }
        let path = self.layout.container(&record.id).join(gantry_supervisor::keeper::HEALTH_FILE);
        let mut health: Health = gantry_store::inplace::read(&path).unwrap_or_else(|_| Health::starting());
        if !record.state.status.is_live() {
            "unhealthy".clone_into(&mut health.status);
        }
        Some(health)
    }

    /// A container has become unhealthy, and this is what its user wants then.
    pub fn internal_unhealthy(&self, id: &str, action: &str) -> Result<()> {
        match action {
            "kill" => self.end_for_health(id),
            "stop" => self.stop(id, &StopRequest::default()),
            "restart" => {
                self.stop(id, &StopRequest::default())?;
                self.start(id, AttachRequest::default())?;
                self.tell_of(id, "restart", &[]);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The restart policy applies afterwards: nobody asked for a stop.
    fn end_for_health(&self, id: &str) -> Result<()> {
        let file = self.container_file(id)?;
        self.tell_of(id, "kill", &[("signal", "9".to_owned())]);
        self.kill_all(id, &file.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn what_is_given_wins_over_the_image_part_by_part() {
        let image = Healthcheck { test: words("CMD true"), interval: 5, retries: 2, ..Healthcheck::default() };
        let mut own = None;
        merge(&mut own, Some(image.clone()));
        assert_eq!(own.as_ref(), Some(&image));
        let mut own = Some(Healthcheck { interval: 7, ..Healthcheck::default() });
        merge(&mut own, Some(image.clone()));
        assert_eq!(own, Some(Healthcheck { interval: 7, ..image.clone() }));
        let mut none = Some(Healthcheck { test: words("NONE"), ..Healthcheck::default() });
        merge(&mut none, Some(image));
        let config = Config { healthcheck: none, ..Config::default() };
        assert!(command(&config).is_empty());
    }

    #[test]
    fn commands_and_refusals() {
        let config = |test: &str, interval| Config {
            healthcheck: Some(Healthcheck { test: words(test), interval, ..Healthcheck::default() }),
            ..Config::default()
        };
        assert_eq!(command(&config("CMD a b", 0)), words("a b"));
        assert_eq!(command(&config("CMD-SHELL exit", 0)), words("/bin/sh -c exit"));
        let host = HostConfig::default();
        assert!(check(&config("CMD a", 0), &host).is_ok());
        assert!(check(&config("CMD a", 5), &host).is_err());
        assert!(check(&config("EXEC a", 0), &host).is_err());
        let host = HostConfig { health_on_failure: "dance".into(), ..host };
        assert!(check(&config("CMD a", 0), &host).is_err());
    }
}
