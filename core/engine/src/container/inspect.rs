//! One container in Docker's words: the 23 keys of `inspect`.

use super::file::ContainerFile;
use super::logs_cap::Trimmed;
use super::truth;
use crate::Engine;
use crate::error::Result;
use crate::network::endpoint::EndpointRecord;
use crate::network::ports::protocol_name;
use crate::spec;
use gantry_host::api::network::Protocol;
use gantry_model::health::Health;
use gantry_model::record::{Record, Status};
use gantry_store::containers;
use gantry_supervisor::SinkCounters;
use serde_json::{Map, Value, json};
use std::path::Path;

impl Engine {
    /// One container; with `size` also the sizes of its layers.
    pub fn inspect(&self, reference: &str, size: bool) -> Result<Value> {
        let id = self.resolve(reference)?;
        let record = truth::corrected(containers::read(&self.layout, &id)?);
        let file = self.container_file(&id)?;
        let dir = self.layout.container_state(&id);
        let path = |name: &str| if !record.state.status.is_live() { Value::from("") } else { json!(dir.join(name)) };
        let arguments = spec::arguments(&file.config);
        let (program, args) = arguments.split_first().map_or((String::new(), &[][..]), |(p, a)| (p.clone(), a));
        let mounts: Vec<Value> = self.mounts(&id)?.into_iter().filter(|m| !m.hidden).map(shown_mount).collect();
        let mut value = json!({
            "Id": id,
            "Created": crate::rfc3339(file.created_ns),
            "Path": program,
            "Args": args,
            "State": state(&record, self.log_counters(&record), self.health(&record)),
            "Image": file.image_id,
            "ResolvConfPath": path("resolv.conf"),
            "HostnamePath": path("hostname"),
            "HostsPath": path("hosts"),
            "LogPath": log_path(self, &file),
            "Name": format!("/{}", record.name),
            "RestartCount": record.state.restarts,
            "Driver": file.storage_driver,
            "Platform": file.platform,
            "MountLabel": file.mount_label,
            "ProcessLabel": file.process_label,
            "AppArmorProfile": crate::apparmor::shown(&file.host, self.layout.state()),
            "ExecIDs": Value::Null,
            "HostConfig": shown_host(&file),
            "GraphDriver": { "Name": file.storage_driver, "Data": { "ID": id, "Layers": file.layers.join(":") } },
            "Mounts": mounts,
            "Config": file.config,
            "NetworkSettings": self.network_settings(&record, &file)?,
        });
        if size {
            self.add_sizes(&mut value, &file)?;
        }
        Ok(value)
    }

    fn log_counters(&self, record: &Record) -> Vec<Value> {
        let (state, dir) = (self.layout.container_state(&record.id), self.layout.container(&record.id));
        sinks(record.state.status.is_live(), &state, &dir)
    }

    fn add_sizes(&self, value: &mut Value, file: &ContainerFile) -> Result<()> {
        let own = self.with_storage(&file.storage_driver, |s| Ok(s.usage(&file.id)?))?.bytes;
        let image = self.images()?.resolve(&file.image_id).map(|i| i.size).unwrap_or(0);
        if let Some(object) = value.as_object_mut() {
            object.insert("SizeRw".into(), own.into());
            object.insert("SizeRootFs".into(), (own + image).into());
        }
        Ok(())
    }

    fn network_settings(&self, record: &Record, file: &ContainerFile) -> Result<Value> {
        let live = record.state.status.is_live();
        let endpoints = self.endpoints(&record.id)?;
        let networks = networks(record, file, &endpoints);
        // Docker shows here what belongs to the predefined network alone.
        let predefined = |e: &&EndpointRecord| live && e.network == self.settings.config.network;
        let first = endpoints.iter().find(predefined).cloned().unwrap_or_default();
        let sandbox = if live { json!(format!("/proc/{}/ns/net", record.state.init.pid)) } else { json!("") };
        Ok(json!({
            "Bridge": "",
            "SandboxID": if live { record.id.as_str() } else { "" },
            "SandboxKey": sandbox,
            "Ports": if live { ports(&endpoints, file) } else { json!({}) },
            "HairpinMode": false,
            "LinkLocalIPv6Address": "",
            "LinkLocalIPv6PrefixLen": 0,
            "SecondaryIPAddresses": Value::Null,
            "SecondaryIPv6Addresses": Value::Null,
            "EndpointID": first.id,
            "Gateway": first.gateway,
            "GlobalIPv6Address": first.address6,
            "GlobalIPv6PrefixLen": first.prefix6,
            "IPAddress": first.address,
            "IPPrefixLen": first.prefix,
            "IPv6Gateway": first.gateway6,
            "MacAddress": first.mac,
            "Networks": networks,
        }))
    }
}

/// With the keys that Docker shows and that mean nothing here.
fn shown_host(file: &ContainerFile) -> Value {
    let mut value = serde_json::to_value(&file.host).unwrap_or_default();
    let without = json!({
        "DeviceRequests": Value::Null,
        "KernelMemory": 0,
        "KernelMemoryTCP": 0,
        "CpuCount": 0,
        "CpuPercent": 0,
        "IOMaximumIOps": 0,
        "IOMaximumBandwidth": 0,
    });
    // What LogConfig says was asked for or configured; this is in force.
    let first = file.sinks.iter().find(|sink| sink.driver == file.host.log_config.r#type);
    if let Some(sink) = first {
        let all: std::collections::BTreeMap<_, _> = sink.options.iter().chain(&sink.engine).collect();
        value["GantryLogOptions"] = json!(all);
    }
    if let (Some(host), Value::Object(without)) = (value.as_object_mut(), without) {
        for (key, value) in without {
            host.entry(key).or_insert(value);
        }
    }
    value
}

/// The networks of a container by name, those it will join at its next start included.
pub(super) fn networks(record: &Record, file: &ContainerFile, endpoints: &[EndpointRecord]) -> Map<String, Value> {
    let live = record.state.status.is_live();
    let mut networks = Map::new();
    for endpoint in endpoints {
        networks.insert(endpoint.network.clone(), endpoint_value(endpoint, live, file));
    }
    for name in record.networks.iter().filter(|n| !endpoints.iter().any(|e| e.network == **n)) {
        let endpoint = EndpointRecord { network: name.clone(), ..EndpointRecord::default() };
        networks.insert(name.clone(), endpoint_value(&endpoint, false, file));
    }
    networks.sort_keys();
    networks
}

/// What the log drivers have taken and lost, now or in the last run. A pump that does not answer is not waited for.
pub(super) fn sinks(live: bool, state_dir: &Path, container_dir: &Path) -> Vec<Value> {
    let counters = match live {
        true => gantry_supervisor::counters(state_dir).unwrap_or_default(),
        false => gantry_supervisor::last_counters(container_dir),
    };
    let trimmed = super::logs_cap::trimmed(container_dir);
    counters.into_iter().map(|sink| shown_sink(sink, &trimmed)).collect()
}

fn shown_sink(sink: SinkCounters, trimmed: &Trimmed) -> Value {
    let gone = trimmed.get(&sink.driver).copied().unwrap_or_default();
    json!({
        "Driver": sink.driver,
        "Cache": sink.cache,
        "Policy": sink.policy,
        "State": sink.state,
        "In": sink.records_in,
        "Out": sink.records_out,
        "OutBytes": sink.bytes_out,
        "Dropped": sink.dropped_slow + sink.dropped_error + sink.dropped_down + sink.dropped_killed
            + sink.dropped_rate,
        "DroppedSlow": sink.dropped_slow,
        "DroppedError": sink.dropped_error,
        "DroppedDown": sink.dropped_down,
        "DroppedKilled": sink.dropped_killed,
        "DroppedRate": sink.dropped_rate,
        "TrimmedRecords": gone.records,
        "TrimmedBytes": gone.bytes,
        "Waiting": sink.waiting,
        "SpoolBytes": sink.spooled_bytes,
        "LagMs": sink.lag_ms,
        "LastError": sink.last_error,
        "Metrics": sink.metrics,
    })
}

fn state(record: &Record, logs: Vec<Value>, health: Option<Health>) -> Value {
    let state = &record.state;
    let live = state.status.is_live();
    let mut value = json!({
        "Status": state.status.as_str(),
        "Running": live || state.status == Status::Restarting,
        "Paused": state.status == Status::Paused,
        "Restarting": state.status == Status::Restarting,
        "OOMKilled": state.oom_killed,
        "Dead": state.status == Status::Dead,
        "Pid": if live { state.init.pid } else { 0 },
        "LogPid": if live { state.pump.pid } else { 0 },
        "ExitCode": if live { 0 } else { state.exit_code },
        "Error": state.error,
        "StartedAt": crate::rfc3339(state.started_ns),
        "FinishedAt": crate::rfc3339(state.finished_ns),
        "Logs": logs,
    });
    if let (Some(health), Some(object)) = (health, value.as_object_mut()) {
        object.insert("Health".into(), serde_json::to_value(health).unwrap_or_default());
    }
    value
}

/// Docker shows the path for json-file alone; here any driver whose file has Docker's name has one.
fn log_path(engine: &Engine, file: &ContainerFile) -> Value {
    let dir = file.sinks.first().map_or("", |sink| sink.dir.as_str());
    let path = engine.layout.container(&file.id).join(dir).join(format!("{}-json.log", file.id));
    if path.exists() { json!(path) } else { json!("") }
}

pub(super) fn shown_mount(mount: super::mounts::MountRecord) -> Value {
    let mut value = serde_json::to_value(mount).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        object.retain(|key, _| !key.starts_with("Gantry"));
    }
    value
}

fn endpoint_value(endpoint: &EndpointRecord, live: bool, file: &ContainerFile) -> Value {
    let settings = file.networks.get(&endpoint.network).cloned().unwrap_or_default();
    let text = |value: &str| if live { value.to_owned() } else { String::new() };
    json!({
        "IPAMConfig": settings.ipam_config,
        "Links": settings.links,
        "Aliases": settings.aliases,
        "MacAddress": if live { &endpoint.mac } else { &settings.mac_address },
        "DriverOpts": settings.driver_opts,
        "GwPriority": settings.gw_priority,
        "NetworkID": endpoint.network_id,
        "EndpointID": text(&endpoint.id),
        "Gateway": text(&endpoint.gateway),
        "IPAddress": text(&endpoint.address),
        "IPPrefixLen": if live { endpoint.prefix } else { 0 },
        "IPv6Gateway": text(&endpoint.gateway6),
        "GlobalIPv6Address": text(&endpoint.address6),
        "GlobalIPv6PrefixLen": if live { endpoint.prefix6 } else { 0 },
        "DNSNames": if endpoint.names.is_empty() { Value::Null } else { json!(endpoint.names) },
    })
}

fn ports(endpoints: &[EndpointRecord], file: &ContainerFile) -> Value {
    let mut map = Map::new();
    for key in file.config.exposed_ports.iter().flat_map(|p| p.keys()) {
        map.insert(key.clone(), Value::Null);
    }
    for port in endpoints.iter().flat_map(|e| &e.ports) {
        for (inside, outside) in port.each() {
            let key = format!("{inside}/{}", protocol_name(Protocol(port.protocol)));
            let binding = json!({ "HostIp": port.host_ip.to_string(), "HostPort": outside.to_string() });
            match map.get_mut(&key) {
                Some(Value::Array(bindings)) => bindings.push(binding),
                _ => drop(map.insert(key, Value::Array(vec![binding]))),
            }
        }
    }
    map.sort_keys();
    Value::Object(map)
}
