//! Control groups: one trait over version 1, version 2, and machines that have both.
//!
//! The path of a container's cgroup is relative ("gantry/<id>") and the same in every hierarchy.
//! What a start needs is planned as plain writes (`plan`) and carried out with system calls
//! (`make`); what a running container needs is behind [`Manager`].

mod absent;
pub(crate) mod bpf;
mod detail;
pub(crate) mod files;
mod layout;
pub(crate) mod limits;
pub(crate) mod make;
pub(crate) mod plan;
mod rare;
mod scope;
mod usage;
mod v1;
mod v2;

pub use detail::{Detail, DeviceUse, detail};
pub use layout::{Hierarchy, Host, Layout, detect, look_from_outside, must_move};
pub use limits::Limits;
pub use rare::Rare;
pub use scope::{Scope, ScopeName, move_to_user_scope};

use crate::error::Error;

/// What a container uses, as far as its hierarchies tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub memory_usage: u64,
    /// `None` when there is no limit.
    pub memory_limit: Option<u64>,
    /// Reclaimable file cache (inactive), which `stats` subtracts from the usage.
    pub memory_cache: u64,
    pub cpu_nanoseconds: u64,
    pub cpu_user_nanoseconds: u64,
    pub cpu_system_nanoseconds: u64,
    pub throttled_periods: u64,
    pub pids: u64,
    /// `None` when there is no limit.
    pub pids_limit: Option<u64>,
    pub read_bytes: u64,
    pub write_bytes: u64,
}

/// One container's cgroup, in all hierarchies.
pub trait Manager: Send + Sync {
    /// Makes the cgroup; one that exists already is fine.
    fn create(&self) -> Result<(), Error>;
    /// Applies limits; what is `None` stays as it is.
    fn apply(&self, limits: &Limits) -> Result<(), Error>;
    /// Moves a process into it.
    fn add(&self, pid: i32) -> Result<(), Error>;
    /// Sends SIGKILL to every process in it, those in sub-groups included.
    fn kill_all(&self) -> Result<(), Error>;
    fn freeze(&self) -> Result<(), Error>;
    fn thaw(&self) -> Result<(), Error>;
    fn is_frozen(&self) -> bool;
    /// The processes in it and below it.
    fn procs(&self) -> Result<Vec<i32>, Error>;
    fn stats(&self) -> Result<Stats, Error>;
    /// How many processes the OOM killer has taken from it.
    fn oom_kills(&self) -> Result<u64, Error>;
    /// Removes it and everything below it; one that is gone already is fine.
    fn remove(&self) -> Result<(), Error>;
    fn exists(&self) -> bool;
}

/// How much of [`Stats`] is wanted: each number costs the reading of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// Processor time.
    Time,
    /// What a table shows: all but the parts of processor time and how often it was held back.
    Shown,
    #[default]
    All,
}

/// What the cgroup `path` uses, without a manager.
pub fn usage(host: &Host, path: &str, wanted: Wanted) -> Stats {
    usage::read(host, path, wanted)
}

/// The manager of the cgroup `path` on this machine.
pub fn manager(path: &str) -> Result<Box<dyn Manager>, Error> {
    Ok(manager_on(&detect()?, path))
}

/// [`manager`], when the layout is known already.
pub fn manager_on(host: &Host, path: &str) -> Box<dyn Manager> {
    match host.layout {
        _ if host.hierarchies.is_empty() => Box::new(absent::Absent),
        Layout::V2 => Box::new(v2::Unified::new(host, path)),
        Layout::V1 | Layout::Hybrid => Box::new(v1::Legacy::new(host, path)),
    }
}
