//! Version 2: one directory for everything.

use super::files::{self, keyed, number};
use super::{Host, Limits, Manager, Stats, make, plan};
use crate::error::Error;
use std::path::{Path, PathBuf};

pub(super) struct Unified {
    host: Host,
    path: String,
    directory: PathBuf,
}

impl Unified {
    pub(super) fn new(host: &Host, path: &str) -> Unified {
        let mount = host.hierarchies.iter().find(|hierarchy| hierarchy.unified);
        let directory = mount.map(|hierarchy| hierarchy.mount.join(path)).unwrap_or_default();
        Unified { host: host.clone(), path: path.into(), directory }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn set_frozen(&self, frozen: bool) -> Result<(), Error> {
        let (value, wanted) = if frozen { ("1", 1) } else { ("0", 0) };
        files::write(&self.file("cgroup.freeze"), value)?;
        for _ in 0..2000 {
            if keyed(&self.file("cgroup.events"), "frozen") == Some(wanted) {
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_micros(500));
        }
        let act = if frozen { "freeze" } else { "thaw" };
        Err(Error::Cgroup { act, path: self.directory.clone(), errno: gantry_sys::Errno::EBUSY })
    }
}

impl Manager for Unified {
    fn create(&self) -> Result<(), Error> {
        make::create(&plan::plan_join(&self.host, &self.path)?).map(drop)
    }

    fn apply(&self, limits: &Limits) -> Result<(), Error> {
        for setting in limits.v2() {
            match files::write(&self.file(&setting.file), &setting.value) {
                Err(error) if setting.required => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn add(&self, pid: i32) -> Result<(), Error> {
        files::write(&self.file("cgroup.procs"), &pid.to_string())
    }

    /// `cgroup.kill` (Linux 5.14) is atomic, against forks too.
    fn kill_all(&self) -> Result<(), Error> {
        if std::fs::write(self.file("cgroup.kill"), "1").is_ok() {
            return Ok(());
        }
        files::kill_below(&self.directory)
    }

    fn freeze(&self) -> Result<(), Error> {
        self.set_frozen(true)
    }

    fn thaw(&self) -> Result<(), Error> {
        self.set_frozen(false)
    }

    fn procs(&self) -> Result<Vec<i32>, Error> {
        let mut found = Vec::new();
        files::procs_below(&self.directory, &mut found)?;
        Ok(found)
    }

    fn stats(&self) -> Result<Stats, Error> {
        let micros = |key| keyed(&self.file("cpu.stat"), key).unwrap_or(0) * 1000;
        let (read_bytes, write_bytes) = io_bytes(&self.file("io.stat"));
        Ok(Stats {
            memory_usage: number(&self.file("memory.current")).unwrap_or(0),
            memory_limit: number(&self.file("memory.max")),
            memory_cache: keyed(&self.file("memory.stat"), "inactive_file").unwrap_or(0),
            cpu_nanoseconds: micros("usage_usec"),
            cpu_user_nanoseconds: micros("user_usec"),
            cpu_system_nanoseconds: micros("system_usec"),
            throttled_periods: keyed(&self.file("cpu.stat"), "nr_throttled").unwrap_or(0),
            pids: number(&self.file("pids.current")).unwrap_or(0),
            pids_limit: number(&self.file("pids.max")),
            read_bytes,
            write_bytes,
        })
    }

    fn oom_kills(&self) -> Result<u64, Error> {
        Ok(keyed(&self.file("memory.events"), "oom_kill").unwrap_or(0))
    }

    fn remove(&self) -> Result<(), Error> {
        files::remove_tree(&self.directory)
    }

    fn exists(&self) -> bool {
        self.directory.is_dir()
    }
}

/// Sums `rbytes=` and `wbytes=` over the devices.
fn io_bytes(path: &Path) -> (u64, u64) {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let sum = |key: &str| text.split_whitespace().filter_map(|word| word.strip_prefix(key)?.parse::<u64>().ok()).sum();
    (sum("rbytes="), sum("wbytes="))
}
