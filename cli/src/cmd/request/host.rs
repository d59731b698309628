//! `HostConfig`: limits, rights, namespaces, logs, what happens at the end.

use super::process::read;
use super::{Refusal, Step, refuse};
use crate::args::container::ContainerArgs;
use crate::args::container::security::SecurityArgs;
use gantry_engine::model::container::HostConfig;
use gantry_engine::model::idmap::{IdMappings, parse_all};
use gantry_engine::model::userns::UsernsMode;
use gantry_engine::model::{device, logopt};

pub(super) fn apply(args: &ContainerArgs, host: &mut HostConfig) -> Step {
    end(args, host)?;
    limits(args, host)?;
    rights(&args.security, host)?;
    namespaces(&args.security, host)?;
    devices(args, host)?;
    logs(args, host)?;
    storage(args, host)?;
    host.readonly_rootfs = args.storage.read_only;
    host.annotations = args.process.annotations.iter().cloned().collect();
    host.secrets.clone_from(&args.storage.secrets);
    host.runtime = args.process.runtime.clone().unwrap_or_default();
    host.init = args.process.init.then_some(true);
    host.console_size = crate::terminal::size().map_or([0, 0], |(rows, columns)| [rows, columns]);
    Ok(())
}

fn end(args: &ContainerArgs, host: &mut HostConfig) -> Step {
    let process = &args.process;
    host.auto_remove = process.remove;
    host.timeout = process.timeout;
    host.health_on_failure = args.health.on_failure.clone().unwrap_or_default();
    host.restart_policy = process.restart.clone().unwrap_or_default();
    if host.restart_policy.name.is_empty() {
        host.restart_policy.name = "no".to_owned();
    }
    host.container_id_file = process.cidfile.clone().unwrap_or_default();
    match process.remove && host.restart_policy.name != "no" {
        true => refuse("conflicting options: cannot specify both --restart and --rm"),
        false => Ok(()),
    }
}

fn limits(args: &ContainerArgs, host: &mut HostConfig) -> Step {
    let limits = &args.resources;
    if let Some(value) = limits.memory_swappiness.filter(|value| !(-1..=100).contains(value)) {
        return refuse(format!("invalid value: {value}. Valid memory swappiness range is 0-100"));
    }
    if !(-1000..=1000).contains(&limits.oom_score_adj) {
        let value = limits.oom_score_adj;
        return refuse(format!("Invalid value {value}, range for oom score adj is [-1000, 1000]"));
    }
    host.memory = limits.memory;
    host.memory_reservation = limits.memory_reservation;
    host.memory_swap = limits.memory_swap;
    host.memory_swappiness = limits.memory_swappiness.filter(|value| *value >= 0);
    host.oom_kill_disable = limits.oom_kill_disable.then_some(true);
    host.oom_score_adj = limits.oom_score_adj;
    host.nano_cpus = limits.nano_cpus;
    host.cpu_shares = limits.cpu_shares;
    host.cpu_period = limits.cpu_period;
    host.cpu_quota = limits.cpu_quota;
    host.cpu_realtime_period = limits.cpu_rt_period;
    host.cpu_realtime_runtime = limits.cpu_rt_runtime;
    host.cpuset_cpus = limits.cpuset_cpus.clone().unwrap_or_default();
    host.cpuset_mems = limits.cpuset_mems.clone().unwrap_or_default();
    host.pids_limit = limits.pids_limit;
    host.blkio_weight = limits.blkio_weight;
    host.blkio_weight_device = limits.blkio_weight_device.clone();
    host.ulimits = limits.ulimits.clone();
    host.shm_size = limits.shm_size;
    host.cgroup_parent = limits.cgroup_parent.clone().unwrap_or_default();
    Ok(())
}

fn some(list: &[String]) -> Option<Vec<String>> {
    (!list.is_empty()).then(|| list.to_vec())
}

fn rights(args: &SecurityArgs, host: &mut HostConfig) -> Step {
    host.privileged = args.privileged;
    host.cap_add = some(&args.cap_add);
    host.cap_drop = some(&args.cap_drop);
    host.group_add = some(&args.group_add);
    host.sysctls = args.sysctls.iter().cloned().collect();
    let mut options = Vec::new();
    for option in &args.security_opt {
        if option == "systempaths=unconfined" {
            host.masked_paths = Some(Vec::new());
            host.readonly_paths = Some(Vec::new());
        } else {
            options.push(security_option(option)?);
        }
    }
    host.security_opt = some(&options);
    Ok(())
}

/// A seccomp profile is sent as its text.
fn security_option(option: &str) -> Step<String> {
    if option == "no-new-privileges" {
        return Ok(option.to_owned());
    }
    let (key, value) =
        option.split_once(['=', ':']).ok_or_else(|| Refusal(format!("Invalid --security-opt: {option:?}")))?;
    match (key, value) {
        ("seccomp", "unconfined" | "builtin") => Ok(format!("{key}={value}")),
        ("seccomp", path) => {
            let failed = |error: Refusal| Refusal(format!("opening seccomp profile ({path}) failed: {}", error.0));
            Ok(format!("seccomp={}", read(path).map_err(failed)?))
        }
        _ => Ok(option.to_owned()),
    }
}

fn namespaces(args: &SecurityArgs, host: &mut HostConfig) -> Step {
    let container = |mode: &str| mode.strip_prefix("container:").is_some_and(|name| !name.is_empty());
    host.pid_mode = mode("pid", "PID", &args.pid, |m| m == "host" || container(m))?;
    host.uts_mode = mode("uts", "UTS", &args.uts, |m| m == "host")?;
    users(args, host)?;
    host.cgroupns_mode = mode("cgroupns", "CGROUP", &args.cgroupns, |m| matches!(m, "host" | "private"))?;
    let ipc = |m: &str| matches!(m, "host" | "none" | "private" | "shareable") || container(m);
    host.ipc_mode = mode("ipc", "IPC", &args.ipc, ipc)?;
    match args.isolation.as_deref() {
        None | Some("" | "default") => Ok(()),
        Some(other) => refuse(format!("--isolation {other} is not supported on Linux: only \"default\" is")),
    }
}

/// Maps are judged by the engine, which knows the host.
fn users(args: &SecurityArgs, host: &mut HostConfig) -> Step {
    host.userns_mode = args.userns.clone().unwrap_or_default();
    if !host.userns_mode.is_empty() {
        UsernsMode::parse(&host.userns_mode).or_else(refuse)?;
    }
    let given = IdMappings {
        uid_map: args.uid_maps.clone(),
        gid_map: args.gid_maps.clone(),
        sub_uid_name: args.sub_uid_name.clone().unwrap_or_default(),
        sub_gid_name: args.sub_gid_name.clone().unwrap_or_default(),
    };
    parse_all(&given.uid_map).or_else(refuse)?;
    parse_all(&given.gid_map).or_else(refuse)?;
    host.id_mappings = Some(given).filter(|given| *given != IdMappings::default());
    Ok(())
}

fn mode(flag: &str, what: &str, given: &Option<String>, valid: impl Fn(&str) -> bool) -> Step<String> {
    let text = given.clone().unwrap_or_default();
    match text.is_empty() || valid(&text) {
        true => Ok(text),
        false => refuse(format!("--{flag}: invalid {what} mode")),
    }
}

fn devices(args: &ContainerArgs, host: &mut HostConfig) -> Step {
    for text in &args.devices.devices {
        host.devices.push(device::parse(text).or_else(refuse)?);
    }
    host.device_cgroup_rules = some(&args.devices.cgroup_rules);
    host.blkio_device_read_bps = args.devices.read_bps.clone();
    host.blkio_device_write_bps = args.devices.write_bps.clone();
    host.blkio_device_read_iops = args.devices.read_iops.clone();
    host.blkio_device_write_iops = args.devices.write_iops.clone();
    Ok(())
}

fn storage(args: &ContainerArgs, host: &mut HostConfig) -> Step {
    for option in &args.storage.storage_opts {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        if key.is_empty() || value.is_empty() {
            return refuse(format!("invalid storage option {option:?}: write KEY=VALUE"));
        }
        host.storage_opt.insert(key.to_owned(), value.to_owned());
    }
    Ok(())
}

fn logs(args: &ContainerArgs, host: &mut HostConfig) -> Step {
    let sinks = logopt::assign(&args.storage.log_drivers, &args.storage.log_opts).or_else(refuse)?;
    let mut sinks = sinks.into_iter();
    host.log_config = sinks.next().unwrap_or_default();
    host.log_sinks = sinks.collect();
    Ok(())
}
