//! Limits: memory, processor, processes, block devices.

use crate::error::{Error, Result};
use gantry_model::container::{HostConfig, ThrottleDevice};
use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxDeviceCgroup, LinuxDeviceType, LinuxMemory, LinuxPids, LinuxResources,
    LinuxThrottleDevice, LinuxThrottleDeviceBuilder, LinuxWeightDeviceBuilder, Spec,
};
use std::ops::RangeInclusive;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

const LEAST_MEMORY: i64 = 6 * 1024 * 1024;

pub(super) fn apply(spec: &mut Spec, host: &HostConfig) -> Result<()> {
    check(host)?;
    let Some(linux) = spec.linux_mut() else { return Ok(()) };
    let mut resources: LinuxResources = linux.resources().clone().unwrap_or_default();
    if let Some(memory) = memory(host) {
        resources.set_memory(Some(memory));
    }
    if let Some(cpu) = cpu(host) {
        resources.set_cpu(Some(cpu));
    }
    if let Some(limit) = host.pids_limit.filter(|l| *l != 0) {
        let mut pids = LinuxPids::default();
        pids.set_limit(limit);
        resources.set_pids(Some(pids));
    }
    if let Some(io) = block_io(host)? {
        resources.set_block_io(Some(io));
    }
    let mut rules = resources.devices().clone().unwrap_or_default();
    for rule in host.device_cgroup_rules.iter().flatten() {
        rules.push(device_rule(rule)?);
    }
    resources.set_devices(Some(rules));
    linux.set_resources(Some(resources));
    Ok(())
}

/// The limits of a running container as `update` sets them anew.
pub(crate) fn limits(host: &HostConfig) -> Result<LinuxResources> {
    check(host)?;
    let mut resources = LinuxResources::default();
    resources.set_memory(memory(host)).set_cpu(cpu(host)).set_block_io(block_io(host)?);
    if let Some(limit) = host.pids_limit.filter(|l| *l != 0) {
        let mut pids = LinuxPids::default();
        pids.set_limit(limit);
        resources.set_pids(Some(pids));
    }
    Ok(resources)
}

fn block_io(host: &HostConfig) -> Result<Option<LinuxBlockIo>> {
    let mut io = LinuxBlockIo::default();
    io.set_weight(Some(host.blkio_weight).filter(|weight| *weight != 0));
    let mut weights = Vec::new();
    for device in &host.blkio_weight_device {
        let (major, minor) = block_device(&device.path)?;
        let weight = LinuxWeightDeviceBuilder::default().major(major).minor(minor).weight(device.weight).build();
        weights.push(weight.map_err(|e| Error::invalid(e.to_string()))?);
    }
    let some = |list: Vec<LinuxThrottleDevice>| Some(list).filter(|list| !list.is_empty());
    io.set_weight_device(Some(weights).filter(|list| !list.is_empty()));
    io.set_throttle_read_bps_device(some(throttles(&host.blkio_device_read_bps)?));
    io.set_throttle_write_bps_device(some(throttles(&host.blkio_device_write_bps)?));
    io.set_throttle_read_iops_device(some(throttles(&host.blkio_device_read_iops)?));
    io.set_throttle_write_iops_device(some(throttles(&host.blkio_device_write_iops)?));
    Ok((io != LinuxBlockIo::default()).then_some(io))
}

fn throttles(devices: &[ThrottleDevice]) -> Result<Vec<LinuxThrottleDevice>> {
    let throttle = |device: &ThrottleDevice| {
        let (major, minor) = block_device(&device.path)?;
        let throttle = LinuxThrottleDeviceBuilder::default().major(major).minor(minor).rate(device.rate).build();
        throttle.map_err(|e| Error::invalid(e.to_string()))
    };
    devices.iter().map(throttle).collect()
}

fn block_device(path: &str) -> Result<(i64, i64)> {
    let metadata = std::fs::metadata(path).map_err(Error::io(format!("look at the device {path}")))?;
    if !metadata.file_type().is_block_device() {
        return Err(Error::invalid(format!("{path} is no block device")));
    }
    let number = metadata.rdev();
    Ok((i64::from(nix::libc::major(number)), i64::from(nix::libc::minor(number))))
}

/// `c 1:3 rwm`, as parsed when it was given.
fn device_rule(text: &str) -> Result<LinuxDeviceCgroup> {
    let wrong = || Error::invalid(format!("invalid device cgroup rule format: '{text}'"));
    if !gantry_model::device::is_cgroup_rule(text) {
        return Err(wrong());
    }
    let mut words = text.split(' ');
    let (kind, numbers, access) = (words.next(), words.next(), words.next());
    let (major, minor) = numbers.and_then(|numbers| numbers.split_once(':')).ok_or_else(wrong)?;
    let mut rule = LinuxDeviceCgroup::default();
    let kind = match kind {
        Some("c") => LinuxDeviceType::C,
        Some("b") => LinuxDeviceType::B,
        _ => LinuxDeviceType::A,
    };
    rule.set_allow(true).set_typ(Some(kind)).set_access(access.map(str::to_owned));
    rule.set_major(major.parse().ok()).set_minor(minor.parse().ok());
    Ok(rule)
}

/// What Docker refuses too, in its words.
pub(crate) fn check(host: &HostConfig) -> Result<()> {
    let refuse = |message: String| Err(Error::invalid(message));
    if host.memory != 0 && host.memory < LEAST_MEMORY {
        return refuse("Minimum memory limit allowed is 6MB".into());
    }
    if host.memory_swap > 0 && host.memory == 0 {
        return refuse("You should always set the Memory limit when using Memoryswap limit, see usage".into());
    }
    if host.memory_swap > 0 && host.memory_swap < host.memory {
        return refuse("Minimum memoryswap limit should be larger than memory limit, see usage".into());
    }
    if host.blkio_weight != 0 && !(10..=1000).contains(&host.blkio_weight) {
        return refuse("Range of blkio weight is from 10 to 1000".into());
    }
    check_processors(host)?;
    if host.nano_cpus == 0 {
        return Ok(());
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let most = processors as i64 * 1_000_000_000;
    if host.nano_cpus < 0 || host.nano_cpus > most {
        return refuse(format!(
            "range of CPUs is from 0.01 to {processors}.00, as there are only {processors} CPUs available"
        ));
    }
    if host.nano_cpus > 0 && (host.cpu_quota > 0 || host.cpu_period > 0) {
        return refuse("conflicting options: Nano CPUs and CPU Period or Quota cannot both be set.".into());
    }
    Ok(())
}

/// Shares, the quota's period in microseconds, and processors and memory nodes that exist.
fn check_processors(host: &HostConfig) -> Result<()> {
    let refuse = |message: String| Err(Error::invalid(message));
    if host.cpu_shares < 0 {
        return refuse(format!("invalid CPU shares ({}): value must be a positive integer", host.cpu_shares));
    }
    if host.cpu_period != 0 && !(1000..=1_000_000).contains(&host.cpu_period) {
        let message = "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)";
        return refuse(message.into());
    }
    if host.cpu_quota > 0 && host.cpu_quota < 1000 {
        return refuse("CPU cfs quota can not be less than 1ms (i.e. 1000)".into());
    }
    let sets = [
        ("cpuset cpus", &host.cpuset_cpus, "CPUs", "/sys/devices/system/cpu/online"),
        ("cpuset mems", &host.cpuset_mems, "memory nodes", "/sys/devices/system/node/online"),
    ];
    for (option, wanted, things, file) in sets.into_iter().filter(|(_, wanted, ..)| !wanted.is_empty()) {
        let Some(numbers) = ranges(wanted) else {
            return refuse(format!("Invalid value {wanted} for {option}: invalid format: {wanted}"));
        };
        // Where the kernel does not tell what there is, it tells at the start what there is not.
        let Ok(text) = std::fs::read_to_string(file) else { continue };
        let available = ranges(text.trim()).unwrap_or_default();
        let there = |number: &u32| available.iter().any(|range| range.contains(number));
        if !numbers.iter().all(|range| there(range.start()) && there(range.end())) {
            let available = text.trim();
            return refuse(format!(
                "Requested {things} are not available - requested {wanted}, available: {available}"
            ));
        }
    }
    Ok(())
}

/// `0-2,5`.
fn ranges(text: &str) -> Option<Vec<RangeInclusive<u32>>> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (first <= last).then_some(first..=last)
    };
    text.split(',').map(range).collect()
}

fn memory(host: &HostConfig) -> Option<LinuxMemory> {
    let own = host.memory_swappiness.is_some() || host.oom_kill_disable == Some(true);
    if host.memory == 0 && host.memory_reservation == 0 && !own {
        return None;
    }
    let mut memory = LinuxMemory::default();
    if host.memory > 0 {
        memory.set_limit(Some(host.memory));
        // Docker's rule: without a swap limit a container may swap as much as it has memory.
        let swap = if host.memory_swap == 0 { host.memory.saturating_mul(2) } else { host.memory_swap };
        memory.set_swap(Some(swap));
    }
    if host.memory_reservation > 0 {
        memory.set_reservation(Some(host.memory_reservation));
    }
    let swappiness = host.memory_swappiness.and_then(|s| u64::try_from(s).ok());
    memory.set_swappiness(swappiness);
    memory.set_disable_oom_killer(host.oom_kill_disable);
    Some(memory)
}

fn cpu(host: &HostConfig) -> Option<LinuxCpu> {
    let mut cpu = LinuxCpu::default();
    let set = |value: i64| u64::try_from(value).ok().filter(|v| *v > 0);
    cpu.set_shares(set(host.cpu_shares));
    if host.nano_cpus > 0 {
        cpu.set_period(Some(100_000)).set_quota(Some(host.nano_cpus / 10_000));
    } else {
        cpu.set_period(set(host.cpu_period)).set_quota(Some(host.cpu_quota).filter(|q| *q != 0));
    }
    let text = |value: &String| Some(value.clone()).filter(|v| !v.is_empty());
    cpu.set_cpus(text(&host.cpuset_cpus)).set_mems(text(&host.cpuset_mems));
    (cpu != LinuxCpu::default()).then_some(cpu)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swap_defaults_to_as_much_again() {
        let host = HostConfig { memory: 64 << 20, ..HostConfig::default() };
        assert_eq!(memory(&host).expect("limits").swap(), Some(128 << 20));
        assert!(check(&HostConfig { memory: 1 << 20, ..HostConfig::default() }).is_err());
        assert!(check(&HostConfig { nano_cpus: 4096 * 1_000_000_000, ..HostConfig::default() }).is_err());
    }

    #[test]
    fn processors_that_exist() {
        let of = |cpus: &str| check(&HostConfig { cpuset_cpus: cpus.to_owned(), ..HostConfig::default() });
        assert!(of("0").is_ok() && of("0-0,0").is_ok() && of("").is_ok());
        for (cpus, words) in [("x", "invalid format"), ("1-0", "invalid format"), ("0,99999", "not available")] {
            assert!(of(cpus).is_err_and(|error| error.to_string().contains(words)), "{cpus}");
        }
        assert!(check(&HostConfig { cpu_period: 1, ..HostConfig::default() }).is_err());
        assert!(check(&HostConfig { cpu_quota: 10, ..HostConfig::default() }).is_err());
        assert!(check(&HostConfig { cpu_period: 1000, cpu_quota: -1, ..HostConfig::default() }).is_ok());
    }
}
