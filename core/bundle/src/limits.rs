//! `pause`, `resume` and `update`: a running container is held, or given other limits.

use crate::Runtime;
use crate::error::{Error, Result, file};
use crate::state::Status;
use gantry_runtime::cgroup::Limits;
use oci_spec::runtime::LinuxResources;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Other limits: of a file (`-` is stdin), then those given one by one.
#[derive(Clone, Debug, Default)]
pub struct Update {
    pub resources: Option<PathBuf>,
    pub memory: Option<i64>,
    pub memory_swap: Option<i64>,
    pub memory_reservation: Option<i64>,
    pub cpu_quota: Option<i64>,
    pub cpu_period: Option<u64>,
    pub cpu_shares: Option<u64>,
    pub cpuset_cpus: Option<String>,
    pub cpuset_mems: Option<String>,
    pub pids: Option<i64>,
    pub io_weight: Option<u16>,
}

impl Runtime {
    pub fn pause(&self, id: &str) -> Result<()> {
        let container = self.open(id)?;
        container.require("pause", &[Status::Created, Status::Running])?;
        Ok(container.manager()?.freeze()?)
    }

    pub fn resume(&self, id: &str) -> Result<()> {
        let container = self.open(id)?;
        container.require("resume", &[Status::Paused])?;
        Ok(container.manager()?.thaw()?)
    }

    pub fn update(&self, id: &str, update: &Update) -> Result<()> {
        let container = self.open(id)?;
        container.require("update", &[Status::Created, Status::Running, Status::Paused])?;
        Ok(container.manager()?.apply(&limits(update)?)?)
    }
}

fn limits(update: &Update) -> Result<Limits> {
    let base = match &update.resources {
        Some(path) => Limits::from(&read(path)?),
        None => Limits::default(),
    };
    Ok(Limits {
        memory: update.memory.or(base.memory),
        memory_swap: update.memory_swap.or(base.memory_swap),
        memory_reservation: update.memory_reservation.or(base.memory_reservation),
        cpu_quota: update.cpu_quota.or(base.cpu_quota),
        cpu_period: update.cpu_period.or(base.cpu_period),
        cpu_shares: update.cpu_shares.or(base.cpu_shares),
        cpuset_cpus: update.cpuset_cpus.clone().or(base.cpuset_cpus.clone()),
        cpuset_mems: update.cpuset_mems.clone().or(base.cpuset_mems.clone()),
        pids: update.pids.or(base.pids),
        io_weight: update.io_weight.or(base.io_weight),
        ..base
    })
}

fn read(path: &Path) -> Result<LinuxResources> {
    let text = if path == Path::new("-") {
        let mut text = Vec::new();
        std::io::stdin().read_to_end(&mut text).map(|_| text)
    } else {
        fs::read(path)
    };
    let text = text.map_err(file("read", path))?;
    serde_json::from_slice(&text).map_err(|source| Error::Parse { path: path.into(), source })
}
