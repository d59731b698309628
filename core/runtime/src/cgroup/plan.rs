//! The cgroup part of a plan: directories to make, values to write, per hierarchy.

use super::limits::{Limits, Setting};
use super::{Hierarchy, Host, bpf};
use crate::error::Error;
use crate::plan_text::c_string;
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType, LinuxResources};
use serde::{Deserialize, Serialize};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct CgroupPlan {
    pub path: String,
    pub hierarchies: Vec<HierarchyPlan>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct HierarchyPlan {
    pub unified: bool,
    /// Whether new levels have to be given the CPUs and memory nodes of their parent (version 1).
    pub cpuset: bool,
    /// The mount point, then each level down to the container's own directory.
    pub levels: Vec<CString>,
    /// Controllers to hand down from level to level (version 2).
    pub enable: Vec<String>,
    pub writes: Vec<Write>,
    /// A device filter to attach (version 2).
    pub devices: Option<Vec<u64>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Write {
    pub file: CString,
    pub value: Vec<u8>,
    pub required: bool,
}

/// Plans the cgroup `path` with the limits and device rules of `resources`.
pub(crate) fn plan(host: &Host, path: &str, resources: Option<&LinuxResources>) -> Result<CgroupPlan, Error> {
    check_path(path)?;
    let limits = resources.map(Limits::from).unwrap_or_default();
    let rules = resources.and_then(|resources| resources.devices().clone()).unwrap_or_default();
    let mut hierarchies = Vec::new();
    for hierarchy in &host.hierarchies {
        let settings = if hierarchy.unified { limits.v2() } else { limits.v1() };
        let of_this = settings.iter().filter(|setting| hierarchy.has(&setting.controller));
        let mut writes = of_this.map(write).collect::<Result<Vec<_>, _>>()?;
        if hierarchy.has("devices") {
            writes.extend(device_writes(&rules)?);
        }
        // Who may not make device nodes needs no filter, and may not load one.
        let filter =
            !gantry_sys::userns::is_inner() && hierarchy.unified && host.with("devices").is_none() && !rules.is_empty();
        hierarchies.push(HierarchyPlan {
            unified: hierarchy.unified,
            cpuset: !hierarchy.unified && hierarchy.has("cpuset"),
            levels: levels(&hierarchy.mount, path)?,
            enable: if hierarchy.unified { hierarchy.controllers.clone() } else { Vec::new() },
            writes,
            devices: filter.then(|| bpf::device_filter(&rules)),
        });
    }
    require_controllers(host, &limits)?;
    Ok(CgroupPlan { path: path.into(), hierarchies })
}

/// The plan of a process that only joins: no limits, nothing made. `parts` are groups below, of all controllers or of some:
/// `[CONTROLLER,...:]PATH`.
pub(crate) fn plan_join(host: &Host, path: &str, parts: &[String]) -> Result<CgroupPlan, Error> {
    let mut plan = plan(host, path, None)?;
    for part in parts {
        let (controllers, below) = part.split_once(':').unwrap_or(("", part));
        let names: Vec<&str> = controllers.split(',').filter(|name| !name.is_empty()).collect();
        if let Some(name) = names.iter().find(|name| host.with(name).is_none()) {
            return Err(Error::invalid(format!("cgroup {part}"), format!("this machine has no {name} controller")));
        }
        let below = below.split('/').filter(|level| !level.is_empty() && *level != ".");
        let below: String = below.map(|level| format!("/{level}")).collect();
        for (hierarchy, planned) in host.hierarchies.iter().zip(&mut plan.hierarchies) {
            if names.is_empty() || names.iter().any(|name| hierarchy.has(name)) {
                planned.levels = existing(hierarchy, &format!("{path}{below}"))?;
            }
        }
    }
    Ok(plan)
}

fn existing(hierarchy: &Hierarchy, path: &str) -> Result<Vec<CString>, Error> {
    check_path(path)?;
    let directory = hierarchy.mount.join(path);
    if directory.is_dir() {
        return levels(&hierarchy.mount, path);
    }
    Err(Error::invalid(format!("cgroup {path}"), format!("there is no {}", directory.display())))
}

/// A limit that no hierarchy can hold must not be dropped in silence.
fn require_controllers(host: &Host, limits: &Limits) -> Result<(), Error> {
    let settings = if host.layout == super::Layout::V2 { limits.v2() } else { limits.v1() };
    // Files of version 2 are for a hierarchy of version 2.
    let held = |file: &str| {
        let controller = file.split('.').next().unwrap_or_default();
        host.hierarchies.iter().any(|h| h.unified && (h.has(controller) || controller == "cgroup"))
    };
    if let Some((file, _)) = limits.unified.iter().find(|(file, _)| !held(file)) {
        return Err(Error::invalid(file.as_str(), "no hierarchy of cgroup version 2 here has its controller"));
    }
    match settings.iter().find(|s| s.required && host.with(&s.controller).is_none()) {
        None => Ok(()),
        Some(setting) if gantry_sys::userns::is_inner() => {
            Err(Error::invalid(setting.file.as_str(), super::absent::NOT_DELEGATED))
        }
        Some(setting) => {
            Err(Error::invalid(setting.file.as_str(), format!("this machine has no {} controller", setting.controller)))
        }
    }
}

fn check_path(path: &str) -> Result<(), Error> {
    let good = |part: &str| !part.is_empty() && part != "." && part != "..";
    if path.split('/').all(good) {
        return Ok(());
    }
    Err(Error::invalid(format!("cgroup path {path}"), "it must be relative and plain, like gantry/abc"))
}

fn levels(mount: &Path, path: &str) -> Result<Vec<CString>, Error> {
    let mut here = mount.to_path_buf();
    let mut levels = vec![c_string("cgroup path", here.as_os_str().as_bytes())?];
    for part in path.split('/') {
        here.push(part);
        levels.push(c_string("cgroup path", here.as_os_str().as_bytes())?);
    }
    Ok(levels)
}

fn write(setting: &Setting) -> Result<Write, Error> {
    Ok(Write {
        file: c_string("cgroup file", setting.file.as_bytes())?,
        value: setting.value.as_bytes().to_vec(),
        required: setting.required,
    })
}

/// The device rules of version 1, in the order given: the last match wins, as in version 2.
fn device_writes(rules: &[LinuxDeviceCgroup]) -> Result<Vec<Write>, Error> {
    let write = |rule: &LinuxDeviceCgroup| {
        let file = if rule.allow() { "devices.allow" } else { "devices.deny" };
        Ok(Write {
            file: c_string("cgroup file", file.as_bytes())?,
            value: rule_text(rule).into_bytes(),
            required: true,
        })
    };
    rules.iter().map(write).collect()
}

fn rule_text(rule: &LinuxDeviceCgroup) -> String {
    let kind = match rule.typ() {
        Some(LinuxDeviceType::C | LinuxDeviceType::U) => "c",
        Some(LinuxDeviceType::B) => "b",
        _ => return "a *:* rwm".into(),
    };
    let number = |n: Option<i64>| n.filter(|n| *n >= 0).map_or("*".into(), |n| n.to_string());
    let access = rule.access().as_deref().filter(|access| !access.is_empty()).unwrap_or("rwm");
    format!("{kind} {}:{} {access}", number(rule.major()), number(rule.minor()))
}
