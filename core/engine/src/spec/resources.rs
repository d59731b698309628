//! Limits: memory, processor, processes.

use crate::error::{Error, Result};
use gantry_model::container::HostConfig;
use oci_spec::runtime::{LinuxCpu, LinuxMemory, LinuxPids, LinuxResources, Spec};

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
    linux.set_resources(Some(resources));
    Ok(())
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

fn memory(host: &HostConfig) -> Option<LinuxMemory> {
    if host.memory == 0 && host.memory_reservation == 0 && host.memory_swappiness.is_none() {
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
}
