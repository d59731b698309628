//! `update` of limits and of the restart policy: checked together with what the container has, written to its cgroup if it
//! runs, kept for its next start.

use super::file::ContainerFile;
use crate::Engine;
use crate::error::{Error, Result};
use crate::request::LimitUpdate;
use crate::spec;
use gantry_model::container::HostConfig;
use gantry_runtime::cgroup::Limits;

impl Engine {
    /// What the container would have been made with.
    pub(super) fn plan_limits(&self, file: &ContainerFile, update: &LimitUpdate) -> Result<HostConfig> {
        let mut host = file.host.clone();
        check_processors(&host, update)?;
        merge(&mut host, update);
        if host.memory > 0 && host.memory_swap > 0 && host.memory > host.memory_swap {
            return Err(Error::invalid(match update.memory.and(update.memory_swap) {
                Some(_) => "Minimum memoryswap limit should be larger than memory limit, see usage",
                None => {
                    "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"
                }
            }));
        }
        if let Some(policy) = &update.restart {
            super::validity::check_policy(policy)?;
            if host.auto_remove && policy.name != "no" {
                return Err(Error::invalid(
                    "Restart policy cannot be updated because AutoRemove is enabled for the container",
                ));
            }
            host.restart_policy.clone_from(policy);
        }
        spec::limits(&host)?;
        Ok(host)
    }

    /// Gives a running container its new limits.
    pub(super) fn apply_limits(&self, id: &str, host: &HostConfig) -> Result<()> {
        let manager = self.cgroup(&super::start::cgroup_path(host, id))?;
        Ok(manager.apply(&Limits::from(&spec::limits(host)?))?)
    }
}

/// The two ways to limit processors exclude each other, in Docker's words.
fn check_processors(host: &HostConfig, update: &LimitUpdate) -> Result<()> {
    let refuse = |message: &str| Err(Error::invalid(format!("Conflicting options: {message}")));
    let old_quota = host.cpu_quota > 0 || host.cpu_period > 0;
    match () {
        () if update.nano_cpus.is_some_and(|n| n > 0)
            && (update.cpu_period.is_some() || update.cpu_quota.is_some()) =>
        {
            refuse("Nano CPUs and CPU Period or Quota cannot both be set.")
        }
        () if update.nano_cpus.is_some_and(|n| n > 0) && old_quota => {
            refuse("NanoCPUs cannot be set when CPU Period or Quota has already been set")
        }
        () if update.cpu_period.is_some_and(|n| n > 0) && host.nano_cpus > 0 => {
            refuse("CPU Period cannot be updated as NanoCPUs has already been set")
        }
        () if update.cpu_quota.is_some_and(|n| n > 0) && host.nano_cpus > 0 => {
            refuse("CPU Quota cannot be updated as NanoCPUs has already been set")
        }
        () => Ok(()),
    }
}

fn merge(host: &mut HostConfig, update: &LimitUpdate) {
    fn take<T: Clone>(place: &mut T, given: &Option<T>) {
        if let Some(value) = given {
            place.clone_from(value);
        }
    }
    take(&mut host.memory, &update.memory);
    take(&mut host.memory_reservation, &update.memory_reservation);
    take(&mut host.memory_swap, &update.memory_swap);
    take(&mut host.nano_cpus, &update.nano_cpus);
    take(&mut host.cpu_shares, &update.cpu_shares);
    take(&mut host.cpu_period, &update.cpu_period);
    take(&mut host.cpu_quota, &update.cpu_quota);
    take(&mut host.cpuset_cpus, &update.cpuset_cpus);
    take(&mut host.cpuset_mems, &update.cpuset_mems);
    take(&mut host.blkio_weight, &update.blkio_weight);
    if update.pids_limit.is_some() {
        host.pids_limit = update.pids_limit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_limited_one_way() {
        let with_quota = HostConfig { cpu_quota: 1000, ..HostConfig::default() };
        let with_cpus = HostConfig { nano_cpus: 1000, ..HostConfig::default() };
        let cpus = LimitUpdate { nano_cpus: Some(5), ..LimitUpdate::default() };
        let quota = LimitUpdate { cpu_quota: Some(5), ..LimitUpdate::default() };
        assert!(check_processors(&with_quota, &cpus).is_err());
        assert!(check_processors(&with_cpus, &quota).is_err());
        assert!(check_processors(&with_cpus, &cpus).is_ok());
        assert!(check_processors(&with_quota, &quota).is_ok());
        assert!(check_processors(&HostConfig::default(), &LimitUpdate { cpu_quota: Some(5), ..cpus }).is_err());
    }

    #[test]
    fn what_is_not_given_stays() {
        let mut host = HostConfig { memory: 10, cpu_shares: 3, ..HostConfig::default() };
        merge(&mut host, &LimitUpdate { memory: Some(20), pids_limit: Some(-1), ..LimitUpdate::default() });
        assert_eq!((host.memory, host.cpu_shares, host.pids_limit), (20, 3, Some(-1)));
    }
}
