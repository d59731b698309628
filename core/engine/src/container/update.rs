//! Changing a container that exists: each part of the request in a step of its own. What is wrong with any part is found
//! before the first is made.

use super::file::ContainerFile;
use crate::Engine;
use crate::error::{Error, Result};
use crate::request::{LogUpdate, UpdateRequest};
use gantry_model::class::Class;
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
        let logs = request.logs.as_ref().map(|logs| self.plan_logs(&file, logs)).transpose()?;
        let ports = request.ports.as_ref().map(|ports| self.plan_port_update(&file, ports)).transpose()?;
        if let Some(host) = logs {
            self.update_logs(&mut file, host)?;
        }
        let mut shown = None;
        if let Some(plan) = ports {
            shown = self.update_ports(&act.record, &plan)?;
            file.host.port_bindings = plan.file.host.port_bindings;
            file.config.exposed_ports = plan.file.config.exposed_ports;
        }
        self.replace_container_file(&file)?;
        act.finish(|r| r.ports = shown.unwrap_or_else(|| std::mem::take(&mut r.ports))).map(|_| ())
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

    fn update_logs(&self, file: &mut ContainerFile, mut host: HostConfig) -> Result<()> {
        let sinks = self.resolve_sinks(&mut host)?;
        if containers::read(&self.layout, &file.id)?.state.status.is_live() {
            let message = "the log drivers of a running container cannot be changed yet";
            return Err(Error::request(Class::Unsupported, message).with_hint("stop it first"));
        }
        (file.host, file.sinks) = (host, sinks);
        Ok(())
    }
}

/// The drivers a container has, with all their options.
fn present(file: &ContainerFile) -> Vec<LogConfig> {
    let options = |sink: &super::file::SinkFile| -> BTreeMap<String, String> {
        sink.options.iter().chain(&sink.engine).map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    file.sinks.iter().map(|sink| LogConfig { r#type: sink.driver.clone(), config: options(sink) }).collect()
}
