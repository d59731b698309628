//! Facts about the engine and its host, and about plugins and networks, in Docker's words.

use crate::Engine;
use crate::error::{Error, Result};
use crate::features::Feature;
use gantry_config::Registry;
use gantry_host::api::options::OptionKind;
use gantry_host::{BOUNDS, CallMetric, Kind, Listed, Readings};
use gantry_model::class::Class;
use gantry_model::record::Status;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;

impl Engine {
    fn runtimes_shown(&self) -> Value {
        let own = (crate::container::foreign::OWN.to_owned(), "gantry-keeper".to_owned());
        let all = std::iter::once(own).chain(self.runtimes());
        all.map(|(name, path)| (name, json!({ "path": path }))).collect::<serde_json::Map<_, _>>().into()
    }

    /// What `info` shows.
    pub fn info(&self) -> Result<Value> {
        let records = gantry_store::containers::list(&self.layout)?;
        let states = records.into_iter().map(|r| crate::container::corrected(r).state.status);
        let states: Vec<Status> = states.collect();
        let count = |status: Status| states.iter().filter(|s| **s == status).count();
        let storage = self.storage();
        let mut status = storage.as_ref().ok().and_then(|s| s.store.status().ok()).unwrap_or_default();
        if storage.is_ok() {
            let lack = self.lacks_for_lazy();
            status.push((
                "Lazy pull".to_owned(),
                lack.map_or_else(|| "true".to_owned(), |lack| format!("false ({lack})")),
            ));
        }
        let kernel = nix::sys::utsname::uname().map(|u| u.release().to_string_lossy().into_owned()).unwrap_or_default();
        let layout = gantry_runtime::cgroup::detect().map(|h| format!("{:?}", h.layout)).unwrap_or_default();
        let mut warnings: Vec<String> = storage.as_ref().err().map(|e| format!("WARNING: {e}")).into_iter().collect();
        let features = self.cgroups().map(crate::features::all).unwrap_or_default();
        let missing = features.iter().filter(|feature| !feature.present && feature.name.starts_with("cgroup"));
        warnings.extend(missing.map(|f| format!("WARNING: no {}: without it there is no {}", f.name, f.without)));
        let mut info = json!({
            "ID": self.engine_id(),
            "Containers": states.len(),
            "ContainersRunning": count(Status::Running),
            "ContainersPaused": count(Status::Paused),
            "ContainersStopped": states.len() - count(Status::Running) - count(Status::Paused),
            "Images": self.images()?.list().map_or(0, |i| i.len()),
            "Driver": self.storage_driver(),
            "DriverStatus": status.into_iter().map(|(k, v)| json!([k, v])).collect::<Vec<_>>(),
            "Plugins": {
                "Volume": self.driver_names(Kind::Volume),
                "Network": self.driver_names(Kind::Network),
                "Storage": self.driver_names(Kind::Storage),
                "Log": self.driver_names(Kind::Log),
                "Authorization": Value::Null,
            },
            "IPv4Forwarding": read("/proc/sys/net/ipv4/ip_forward") == "1",
            "LoggingDriver": self.settings().config.log_drivers.first(),
            "CgroupDriver": self.settings().config.cgroup_manager,
            "CgroupVersion": if layout == "V2" { "2" } else { "1" },
            "CgroupLayout": layout.to_lowercase(),
            "KernelVersion": kernel,
            "OperatingSystem": os_name(),
            "OSType": "linux",
            "Architecture": std::env::consts::ARCH,
            "NCPU": std::thread::available_parallelism().map_or(1, usize::from),
            "MemTotal": memory_total(),
            "DockerRootDir": self.settings().root,
            "StateDir": self.settings().state,
            "Name": nix::unistd::gethostname().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
            "ServerVersion": env!("CARGO_PKG_VERSION"),
            "DefaultRuntime": self.settings().config.runtime,
            "Runtimes": self.runtimes_shown(),
            "RegistryConfig": registries_shown(&self.settings().config.registries),
            "SecurityOptions": security_options(),
            "LiveRestoreEnabled": true,
            "Warnings": warnings,
        });
        let more = host_facts(&features, layout == "V2");
        if let (Some(info), Value::Object(more)) = (info.as_object_mut(), more) {
            info.extend(more);
        }
        Ok(info)
    }

    /// A lasting id of this engine's root.
    pub(crate) fn engine_id(&self) -> String {
        let path = self.settings().root.join("engine-id");
        if let Ok(id) = fs::read_to_string(&path) {
            return id.trim().to_owned();
        }
        let id = crate::random_id().unwrap_or_default();
        let _ = gantry_store::atomic::make_dir(&self.settings().root);
        let _ = gantry_store::atomic::write(&path, id.as_bytes(), gantry_store::atomic::Durability::Sync);
        id
    }

    fn driver_names(&self, kind: Kind) -> Vec<String> {
        self.plugins.names(kind)
    }

    /// Every plugin file on the search path, without opening any.
    pub fn plugins(&self) -> Vec<Value> {
        self.plugins.list().iter().map(listed).collect()
    }

    /// One plugin: what its file says about itself.
    pub fn plugin_inspect(&self, kind: Option<&str>, name: &str) -> Result<Vec<Value>> {
        let (kind, name) = name.split_once('/').map_or((kind, name), |(k, n)| (Some(k), n));
        let fits = |p: &Listed| p.name == name && kind.is_none_or(|k| p.kind.to_string() == k);
        let readings = self.plugins.readings();
        let told = |plugin: &Listed| inspected(plugin, &readings);
        let found: Vec<Value> = self.plugins.list().iter().filter(|p| fits(p)).map(told).collect();
        if found.is_empty() {
            let known: Vec<String> = self.plugins.list().iter().map(|p| format!("{}/{}", p.kind, p.name)).collect();
            let error = Error::request(Class::NotFound, format!("No such plugin: {name}"));
            return Err(error.with_hint(format!("known plugins: {}", known.join(", "))));
        }
        Ok(found)
    }
}

/// What the host has, by Docker's keys and by ours; and what Docker's clients expect to be there.
fn host_facts(features: &[Feature], unified: bool) -> Value {
    let has = |name: &str| features.iter().any(|feature| feature.name == name && feature.present);
    json!({
        "MemoryLimit": has("cgroup memory"),
        "SwapLimit": has("swap accounting"),
        "CpuCfsPeriod": has("cgroup cpu"),
        "CpuCfsQuota": has("cgroup cpu"),
        "CPUShares": has("cgroup cpu"),
        "CPUSet": has("cgroup cpuset"),
        "PidsLimit": has("cgroup pids"),
        "OomKillDisable": !unified && has("cgroup memory"),
        "HostFeatures": features
            .iter()
            .map(|f| json!({ "Name": f.name, "Present": f.present, "Without": f.without }))
            .collect::<Vec<_>>(),
        "BridgeNfIptables": read("/proc/sys/net/bridge/bridge-nf-call-iptables") == "1",
        "BridgeNfIp6tables": read("/proc/sys/net/bridge/bridge-nf-call-ip6tables") == "1",
        "Debug": false,
        "NFd": fs::read_dir("/proc/self/fd").map_or(0, Iterator::count),
        "NGoroutines": 0,
        "NEventsListener": 0,
        "SystemTime": crate::rfc3339(crate::now_ns()),
        "KernelMemoryTCP": false,
        "IndexServerAddress": "https://index.docker.io/v1/",
        "InitBinary": "gantry-keeper",
        "Isolation": "",
        "HttpProxy": "",
        "HttpsProxy": "",
        "NoProxy": "",
        "Labels": [],
        "ExperimentalBuild": false,
        "Swarm": {
            "LocalNodeState": "inactive",
            "NodeID": "",
            "NodeAddr": "",
            "ControlAvailable": false,
            "Error": "",
            "RemoteManagers": null,
        },
    })
}

/// What is set up for registries; Docker Hub is always among them.
fn registries_shown(set_up: &BTreeMap<String, Registry>) -> Value {
    const HUB: &str = "docker.io";
    let hub = Registry::default();
    let hub = set_up.get(HUB).unwrap_or(&hub);
    let index = |name: &str, registry: &Registry| {
        let (mirrors, official, secure) = (&registry.mirrors, name == HUB, !registry.insecure);
        (name.to_owned(), json!({ "Name": name, "Mirrors": mirrors, "Official": official, "Secure": secure }))
    };
    let others = set_up.iter().filter(|(name, _)| *name != HUB).map(|(name, registry)| index(name, registry));
    let all: serde_json::Map<_, _> = std::iter::once(index(HUB, hub)).chain(others).collect();
    json!({ "IndexConfigs": all, "InsecureRegistryCIDRs": ["127.0.0.0/8", "::1/128"], "Mirrors": hub.mirrors })
}

fn listed(plugin: &Listed) -> Value {
    let manifest = plugin.manifest.as_ref();
    let status = match (&plugin.problem, &plugin.shadowed_by, &plugin.quarantine) {
        (Some(_), _, _) => "refused",
        (_, Some(_), _) => "shadowed",
        (_, _, Some(_)) => "quarantined",
        _ => "ok",
    };
    let shadow = plugin.shadowed_by.as_ref().map(|p| format!("{} is used instead", p.display()));
    let reason = plugin.problem.clone().or(shadow).or_else(|| plugin.quarantine.clone()).unwrap_or_default();
    json!({
        "Kind": plugin.kind.to_string(),
        "Name": plugin.name,
        "Version": manifest.map(|m| m.version.clone()).unwrap_or_default(),
        "License": manifest.map(|m| m.license.clone()).unwrap_or_default(),
        "API": manifest.map(|m| m.api.to_string()).unwrap_or_default(),
        "Status": status,
        "Reason": reason,
        "Path": plugin.path,
    })
}

fn inspected(plugin: &Listed, readings: &Readings) -> Value {
    let mut value = listed(plugin);
    let drivers = plugin.manifest.iter().flat_map(|m| &m.drivers).filter(|d| d.kind == plugin.kind);
    let options: Vec<Value> = drivers.flat_map(|d| &d.options).map(option).collect();
    if let Some(object) = value.as_object_mut() {
        object.insert("Options".into(), Value::Array(options));
        object.insert("Metrics".into(), counted(&format!("{}/{}", plugin.kind, plugin.name), readings));
    }
    value
}

/// What the driver of that name has done since the boot, in all processes.
fn counted(driver: &str, readings: &Readings) -> Value {
    let calls = readings.calls.iter().filter(|call| call.driver == driver).map(call_counts);
    let own = readings.own.iter().filter(|own| own.driver == driver);
    let own: serde_json::Map<String, Value> = own.map(|own| (own.name.clone(), own.value.into())).collect();
    json!({ "Calls": calls.collect::<Vec<_>>(), "Own": own })
}

fn call_counts(call: &CallMetric) -> Value {
    let bounds = BOUNDS.iter().map(|seconds| format!("{}ms", seconds * 1e3)).chain(["more".to_owned()]);
    let buckets: serde_json::Map<String, Value> = bounds.zip(call.buckets.map(Value::from)).collect();
    json!({
        "Call": call.call,
        "Calls": call.calls,
        "Errors": call.errors,
        "Timeouts": call.timeouts,
        "Seconds": call.seconds,
        "Buckets": buckets,
    })
}

fn option(option: &gantry_host::OptionInfo) -> Value {
    json!({
        "Key": option.key,
        "Aliases": option.aliases,
        "Kind": kind_name(option.kind),
        "Default": option.default,
        "Choices": option.choices,
        "Help": option.help,
        "Secret": option.secret,
        "Required": option.required,
    })
}

fn kind_name(kind: OptionKind) -> &'static str {
    match kind {
        OptionKind::BOOL => "bool",
        OptionKind::INT => "int",
        OptionKind::SIZE_DECIMAL => "size",
        OptionKind::SIZE_BINARY => "size (binary)",
        OptionKind::DURATION => "duration",
        OptionKind::CHOICE => "choice",
        OptionKind::LIST => "list",
        OptionKind::REGEX => "regex",
        OptionKind::TEMPLATE => "template",
        OptionKind::PATH => "path",
        OptionKind::IP => "ip",
        OptionKind::IFNAME => "interface",
        _ => "string",
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn security_options() -> Vec<&'static str> {
    let apparmor = crate::apparmor::is_on().then_some("name=apparmor");
    let selinux = crate::selinux::is_on().then_some("name=selinux");
    apparmor.into_iter().chain(["name=seccomp,profile=builtin"]).chain(selinux).collect()
}

fn os_name() -> String {
    let text = read("/etc/os-release");
    let line = text.lines().find_map(|l| l.strip_prefix("PRETTY_NAME="));
    line.map_or_else(|| "Linux".to_owned(), |l| l.trim_matches('"').to_owned())
}

fn memory_total() -> u64 {
    let text = read("/proc/meminfo");
    let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:"));
    line.and_then(|l| l.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()).map_or(0, |kb| kb * 1024)
}
