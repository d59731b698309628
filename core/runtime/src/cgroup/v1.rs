//! Version 1: the same path in every controller's hierarchy. On a hybrid machine the version 2 tree
//! is one more hierarchy, which can kill all at once.

use super::files::{self, keyed, number};
use super::limits::Setting;
use super::{Host, Limits, Manager, Stats, make, plan};
use crate::error::Error;
use gantry_sys::Errno;
use std::path::{Path, PathBuf};

/// A limit at or above this is the kernel's "none" (the highest page-aligned signed number).
const UNLIMITED: u64 = 1 << 62;

pub(super) struct Legacy {
    host: Host,
    path: String,
}

impl Legacy {
    pub(super) fn new(host: &Host, path: &str) -> Legacy {
        Legacy { host: host.clone(), path: path.into() }
    }

    fn directory(&self, controller: &str) -> Option<PathBuf> {
        self.host.with(controller).map(|hierarchy| hierarchy.mount.join(&self.path))
    }

    fn directories(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.host.hierarchies.iter().map(|hierarchy| hierarchy.mount.join(&self.path))
    }

    fn file(&self, controller: &str, file: &str) -> PathBuf {
        self.directory(controller).unwrap_or_default().join(file)
    }

    /// The directory whose process list is taken for all: any hierarchy holds every process.
    fn reference(&self) -> PathBuf {
        let preferred = ["pids", "freezer", "memory"].iter().find_map(|name| self.directory(name));
        preferred.or_else(|| self.directories().next()).unwrap_or_default()
    }

    fn set_freezer(&self, state: &str) -> Result<(), Error> {
        files::write(&self.file("freezer", "freezer.state"), state)
    }

    fn write(&self, setting: &Setting) -> Result<(), Error> {
        let Some(directory) = self.directory(&setting.controller) else {
            let reason = format!("this machine has no {} controller", setting.controller);
            return Err(Error::invalid(setting.file.as_str(), reason));
        };
        match files::write(&directory.join(&setting.file), &setting.value) {
            Err(_) if !setting.required => Ok(()),
            other => other,
        }
    }
}

impl Manager for Legacy {
    fn create(&self) -> Result<(), Error> {
        make::create(&plan::plan_join(&self.host, &self.path)?).map(drop)
    }

    fn apply(&self, limits: &Limits) -> Result<(), Error> {
        let mut settings = limits.v1();
        if raises_memory(limits, &self.file("memory", "memory.memsw.limit_in_bytes")) {
            // Memory may not exceed memory plus swap, so the larger is raised first.
            settings[..2].swap(0, 1);
        }
        settings.iter().try_for_each(|setting| self.write(setting))
    }

    fn add(&self, pid: i32) -> Result<(), Error> {
        self.directories().try_for_each(|directory| files::write(&directory.join("cgroup.procs"), &pid.to_string()))
    }

    /// Version 1 delivers a SIGKILL only after the thaw.
    fn kill_all(&self) -> Result<(), Error> {
        files::kill_below(&self.reference())?;
        if self.directory("freezer").is_some() {
            // Whoever cleans up after the same container may have taken the cgroup away meanwhile.
            match self.set_freezer("THAWED") {
                Err(error) if !matches!(error.errno(), Some(Errno::ENOENT | Errno::ENODEV)) => return Err(error),
                _ => {}
            }
        }
        files::kill_below(&self.reference())
    }

    fn freeze(&self) -> Result<(), Error> {
        self.set_freezer("FROZEN")?;
        let state = self.file("freezer", "freezer.state");
        for _ in 0..1000 {
            if files::read(&state)?.trim() == "FROZEN" {
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
            // A task that was just being made may have been missed; say it again.
            self.set_freezer("FROZEN")?;
        }
        self.set_freezer("THAWED")?;
        Err(Error::Cgroup { act: "freeze", path: state, errno: gantry_sys::Errno::EBUSY })
    }

    fn thaw(&self) -> Result<(), Error> {
        self.set_freezer("THAWED")
    }

    fn procs(&self) -> Result<Vec<i32>, Error> {
        let mut found = Vec::new();
        files::procs_below(&self.reference(), &mut found)?;
        Ok(found)
    }

    fn stats(&self) -> Result<Stats, Error> {
        let memory = |file: &str| number(&self.file("memory", file));
        let ticks = |key| keyed(&self.file("cpuacct", "cpuacct.stat"), key).unwrap_or(0);
        let (read_bytes, write_bytes) = io_bytes(&self.file("blkio", "blkio.throttle.io_service_bytes"));
        Ok(Stats {
            memory_usage: memory("memory.usage_in_bytes").unwrap_or(0),
            memory_limit: memory("memory.limit_in_bytes").filter(|limit| *limit < UNLIMITED),
            memory_cache: keyed(&self.file("memory", "memory.stat"), "total_inactive_file").unwrap_or(0),
            cpu_nanoseconds: number(&self.file("cpuacct", "cpuacct.usage")).unwrap_or(0),
            cpu_user_nanoseconds: ticks("user") * NANOSECONDS_PER_TICK,
            cpu_system_nanoseconds: ticks("system") * NANOSECONDS_PER_TICK,
            throttled_periods: keyed(&self.file("cpu", "cpu.stat"), "nr_throttled").unwrap_or(0),
            pids: number(&self.file("pids", "pids.current")).unwrap_or(0),
            pids_limit: number(&self.file("pids", "pids.max")),
            read_bytes,
            write_bytes,
        })
    }

    fn oom_kills(&self) -> Result<u64, Error> {
        let path = self.file("memory", "memory.oom_control");
        Ok(keyed(&path, "oom_kill").unwrap_or(0))
    }

    fn remove(&self) -> Result<(), Error> {
        let mut first = Ok(());
        for directory in self.directories() {
            let removed = files::remove_tree(&directory);
            if first.is_ok() {
                first = removed;
            }
        }
        first
    }

    fn exists(&self) -> bool {
        self.reference().is_dir()
    }
}

/// USER_HZ is 100 on every architecture we build for.
const NANOSECONDS_PER_TICK: u64 = 10_000_000;

fn raises_memory(limits: &Limits, memsw: &Path) -> bool {
    let (Some(memory), Some(_), Some(current)) = (limits.memory, limits.memory_swap, number(memsw)) else {
        return false;
    };
    memory < 0 || memory as u64 > current
}

/// Sums the `major:minor Read|Write bytes` lines.
fn io_bytes(path: &Path) -> (u64, u64) {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let sum = |kind: &str| {
        let values = text.lines().filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            (words.next() == Some(kind)).then(|| words.next()?.parse::<u64>().ok()).flatten()
        });
        values.sum()
    };
    (sum("Read"), sum("Write"))
}
