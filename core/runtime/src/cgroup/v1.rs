//! Version 1: the same path in every controller's hierarchy. On a hybrid machine the version 2 tree
//! is one more hierarchy, which can kill all at once.

use super::files::{self, keyed, number};
use super::limits::Setting;
use super::{Host, Limits, Manager, Stats, Wanted, make, plan, usage};
use crate::error::Error;
use gantry_sys::Errno;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a group may take to stand still.
const FREEZING: Duration = Duration::from_secs(2);

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
        make::create(&plan::plan_join(&self.host, &self.path, &[])?).map(drop)
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
        // Mostly a process needs no more than to be woken.
        let mut pause = Duration::from_micros(50);
        let until = Instant::now() + FREEZING;
        while Instant::now() < until {
            if files::read(&state)?.trim() == "FROZEN" {
                return Ok(());
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(2));
            // A task that was just being made may have been missed; say it again.
            self.set_freezer("FROZEN")?;
        }
        self.set_freezer("THAWED")?;
        Err(Error::Cgroup { act: "freeze", path: state, errno: gantry_sys::Errno::EBUSY })
    }

    fn thaw(&self) -> Result<(), Error> {
        self.set_freezer("THAWED")
    }

    fn is_frozen(&self) -> bool {
        let state = files::read(&self.file("freezer", "freezer.state"));
        state.is_ok_and(|state| state.starts_with("FR"))
    }

    fn procs(&self) -> Result<Vec<i32>, Error> {
        let mut found = Vec::new();
        files::procs_below(&self.reference(), &mut found)?;
        Ok(found)
    }

    fn stats(&self) -> Result<Stats, Error> {
        Ok(usage::read(&self.host, &self.path, Wanted::All))
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

fn raises_memory(limits: &Limits, memsw: &Path) -> bool {
    let (Some(memory), Some(_), Some(current)) = (limits.memory, limits.memory_swap, number(memsw)) else {
        return false;
    };
    memory < 0 || memory as u64 > current
}
