//! Containers as the Engine API lists them: Docker's keys over record, configuration, mounts and endpoints.

use super::file::ContainerFile;
use super::inspect::{networks, shown_mount};
use super::list::ContainerSummary;
use crate::Engine;
use crate::error::Result;
use crate::network::endpoint::EndpointRecord;
use crate::network::ports::protocol_name;
use crate::request::ListRequest;
use gantry_host::api::network::Protocol;
use serde_json::{Value, json};

impl Engine {
    /// Containers with all that a list can show. One that vanishes meanwhile is left out.
    pub fn list_values(&self, request: &ListRequest) -> Result<Vec<Value>> {
        let summaries = self.list(request, false)?;
        Ok(summaries.into_iter().filter_map(|summary| self.list_value(summary).ok()).collect())
    }

    pub(super) fn list_value(&self, summary: ContainerSummary) -> Result<Value> {
        let record = &summary.record;
        let file = self.container_file(&record.id)?;
        let endpoints = self.endpoints(&record.id)?;
        let mounts = self.mounts(&record.id)?.into_iter().filter(|mount| !mount.hidden);
        let mut value = json!({
            "Id": record.id,
            "Names": [format!("/{}", record.name)],
            "Image": record.image,
            "ImageID": record.image_id,
            "Command": record.command,
            "Created": record.created_ns / 1_000_000_000,
            "Ports": if record.state.status.is_live() { ports(&endpoints, &file) } else { Vec::new() },
            "Labels": file.config.labels,
            "State": record.state.status.as_str(),
            "Status": summary.status_text,
            "HostConfig": { "NetworkMode": file.host.network_mode },
            "NetworkSettings": { "Networks": networks(record, &file, &endpoints) },
            "Mounts": mounts.map(shown_mount).collect::<Vec<_>>(),
        });
        if let Some((own, total)) = summary.size {
            value["SizeRw"] = own.into();
            value["SizeRootFs"] = total.into();
        }
        Ok(value)
    }
}

/// Published ports, and those that are only exposed.
fn ports(endpoints: &[EndpointRecord], file: &ContainerFile) -> Vec<Value> {
    let mut shown = Vec::new();
    let mut published = Vec::new();
    for port in endpoints.iter().flat_map(|endpoint| &endpoint.ports) {
        let protocol = protocol_name(Protocol(port.protocol));
        for (inside, outside) in port.each() {
            published.push(format!("{inside}/{protocol}"));
            shown.push(json!({ "IP": port.host_ip.to_string(), "PrivatePort": inside, "PublicPort": outside, "Type": protocol }));
        }
    }
    for key in file.config.exposed_ports.iter().flat_map(|ports| ports.keys()).filter(|key| !published.contains(key)) {
        let (port, protocol) = key.split_once('/').unwrap_or((key, "tcp"));
        if let Ok(port) = port.parse::<u16>() {
            shown.push(json!({ "PrivatePort": port, "Type": protocol }));
        }
    }
    shown
}
