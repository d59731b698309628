//! Changing a container that exists: each part of the request in a step of its own. What is wrong with any part is found
//! before the first is made.

use super::file::{ContainerFile, LogAsked, SinkFile};
use super::{sink_join, sink_options, truth};
use crate::Engine;
use crate::error::{Error, Result};
use crate::request::{LogUpdate, UpdateRequest};
use gantry_model::container::{HostConfig, LogConfig};
use gantry_model::logopt;
use gantry_store::containers;
use std::collections::BTreeMap;

impl Engine {
    /// Changes a container.
    pub fn update(&self, reference: &str, request: &UpdateRequest) -> Result<()> {
        let id = self.resolve(reference)?;
        self.repair(&id)?;
        let act = self.begin(&id, "update")?;
        let mut file = self.container_file(&id)?;
        let limits = request.limits.as_ref().map(|limits| self.plan_limits(&file, limits)).transpose()?;
        let logs = request.logs.as_ref().map(|logs| self.plan_logs(&file, logs)).transpose()?;
        let ports = request.ports.as_ref().map(|ports| self.plan_port_update(&file, ports)).transpose()?;
        if let Some(host) = limits {
            if truth::corrected(act.record.clone()).state.status.is_live() {
                self.apply_limits(&id, &host)?;
            }
            file.host = host;
            self.replace_container_file(&file)?;
        }
        if let Some(host) = logs {
            let host = HostConfig { log_config: host.log_config, log_sinks: host.log_sinks, ..file.host.clone() };
            self.update_logs(&mut file, host)?;
            self.replace_container_file(&file)?;
        }
        let mut shown = None;
        if let Some(plan) = ports {
            shown = self.update_ports(&act.record, &plan)?;
            file.host.port_bindings = plan.file.host.port_bindings;
            file.config.exposed_ports = plan.file.config.exposed_ports;
        }
        self.replace_container_file(&file)?;
        let record = act.finish(|r| r.ports = shown.unwrap_or_else(|| std::mem::take(&mut r.ports)))?;
        self.tell_container(&file, &record.name, "update", &[]);
        Ok(())
    }

    /// What the container would have been made with.
    fn plan_logs(&self, file: &ContainerFile, update: &LogUpdate) -> Result<HostConfig> {
        let known = if update.drivers.is_empty() { present(file) } else { Vec::new() };
        let names: Vec<String> = known.iter().map(|sink| sink.r#type.clone()).collect();
        let names = if known.is_empty() { &update.drivers } else { &names };
        let mut sinks = logopt::assign(names, &update.options).map_err(|e| Error::invalid(e.to_string()))?;
        for (sink, known) in sinks.iter_mut().zip(known) {
            let given = std::mem::replace(&mut sink.config, known.config);
            sink.config.extend(given);
        }
        let mut sinks = sinks.into_iter();
        let first = sinks.next().unwrap_or_default();
        Ok(HostConfig { log_config: first, log_sinks: sinks.collect(), ..file.host.clone() })
    }

    /// A running container changes first: its file tells of a new part of the log only when the old one is complete.
    fn update_logs(&self, file: &mut ContainerFile, mut host: HostConfig) -> Result<()> {
        let log_asked = LogAsked::of(&host);
        let sinks = self.resolve_sinks(&mut host)?;
        let (sinks, past_sinks) = place(file, sinks);
        let forgotten: Vec<_> = file.past_sinks.iter().filter(|past| !past_sinks.contains(past)).cloned().collect();
        let changed = ContainerFile { host, sinks, past_sinks, log_asked, ..file.clone() };
        let record = truth::corrected(containers::read(&self.layout, &file.id)?);
        if record.state.status.is_live() {
            let specs = self.sink_specs(&changed, &record.name)?;
            for warning in gantry_supervisor::change_sinks(&self.layout.container_state(&file.id), specs)? {
                tracing::warn!(container = %file.id, "{warning}");
            }
            if cutting(file)? != cutting(&changed)? {
                tracing::warn!(container = %file.id, "lines are cut and joined in the new way from the next start on");
            }
        }
        *file = changed;
        for past in forgotten.iter().filter(|past| !past.dir.is_empty()) {
            let _ = std::fs::remove_dir_all(self.layout.container(&file.id).join(&past.dir));
        }
        Ok(())
    }
}

/// How the pump makes records of a container's output: settled when it starts.
fn cutting(file: &ContainerFile) -> Result<(u32, Option<gantry_supervisor::Joining>)> {
    Ok((sink_options::line_limit(&file.sinks)?, sink_join::of_sinks(&file.sinks)?))
}

/// Parts of a log that are kept beside the present one.
const MOST_PARTS: usize = 8;

/// Where the new sinks log. What is read goes on in the same place under the same driver; after another one a new part
/// of the log begins, and no part ever shares its place. Answers the sinks and the parts of before.
fn place(file: &ContainerFile, mut sinks: Vec<SinkFile>) -> (Vec<SinkFile>, Vec<SinkFile>) {
    let mut past = file.past_sinks.clone();
    let read = file.sinks.iter().find(|sink| sink.readable);
    let goes_on = read.is_some_and(|old| sinks.iter().find(|s| s.readable).is_some_and(|new| new.driver == old.driver));
    past.extend(read.filter(|_| !goes_on).cloned());
    let mut used: Vec<SinkFile> = past.iter().chain(&file.sinks).cloned().collect();
    for (number, new) in sinks.iter_mut().filter(|sink| sink.readable).enumerate() {
        let is_past = |sink: &SinkFile| past.iter().any(|p| (&p.driver, &p.dir) == (&sink.driver, &sink.dir));
        // A copy that nobody read so far would bring lines again that older parts have.
        let may_stay = number > 0 || goes_on;
        let before = file.sinks.iter().find(|old| may_stay && old.driver == new.driver && !is_past(old));
        match before {
            Some(before) => new.dir.clone_from(&before.dir),
            None => new.dir = free_place(new, &used),
        }
        used.push(new.clone());
    }
    let surplus = past.len().saturating_sub(MOST_PARTS);
    past.drain(..surplus);
    (sinks, past)
}

/// The driver's usual place, or a directory that nobody has.
fn free_place(new: &SinkFile, used: &[SinkFile]) -> String {
    if !used.iter().any(|other| (&other.driver, &other.dir) == (&new.driver, &new.dir)) {
        return new.dir.clone();
    }
    let mut names = (1..).map(|number| format!("log-{number}"));
    names.find(|name| !used.iter().any(|other| other.dir == *name)).unwrap_or_default()
}

/// The drivers a container has, with all their options.
fn present(file: &ContainerFile) -> Vec<LogConfig> {
    let options = |sink: &SinkFile| -> BTreeMap<String, String> {
        sink.options.iter().chain(&sink.engine).map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    let own = file.sinks.iter().filter(|sink| !sink.cache);
    own.map(|sink| LogConfig { r#type: sink.driver.clone(), config: options(sink) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sink(driver: &str, dir: &str) -> SinkFile {
        SinkFile { driver: driver.into(), dir: dir.into(), readable: driver != "remote", ..SinkFile::default() }
    }

    fn shown(sinks: &[SinkFile]) -> String {
        sinks.iter().map(|sink| format!("{}:{}", sink.driver, sink.dir)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn parts_of_a_log_never_share_a_place() {
        let mut file = ContainerFile { sinks: vec![sink("a", "")], ..ContainerFile::default() };
        for (new, want, past) in [
            (sink("a", ""), "a:", ""),
            (sink("b", ""), "b:", "a:"),
            (sink("a", ""), "a:log-1", "a: b:"),
            (sink("remote", ""), "remote:", "a: b: a:log-1"),
            (sink("a", ""), "a:log-2", "a: b: a:log-1"),
        ] {
            (file.sinks, file.past_sinks) = place(&file, vec![new]);
            assert_eq!((shown(&file.sinks).as_str(), shown(&file.past_sinks).as_str()), (want, past));
        }
        let both = vec![sink("a", ""), sink("b", "")];
        (file.sinks, file.past_sinks) = place(&file, both.clone());
        assert_eq!(shown(&file.sinks), "a:log-2 b:log-3");
        (file.sinks, file.past_sinks) = place(&file, both);
        assert_eq!(shown(&file.sinks), "a:log-2 b:log-3");
        (file.sinks, file.past_sinks) = place(&file, vec![sink("b", ""), sink("a", "")]);
        assert_eq!(shown(&file.sinks), "b:log-4 a:log-5");
        for round in 0..20 {
            let driver = if round % 2 == 0 { "b" } else { "a" };
            (file.sinks, file.past_sinks) = place(&file, vec![sink(driver, "")]);
        }
        assert_eq!(file.past_sinks.len(), MOST_PARTS);
    }
}
