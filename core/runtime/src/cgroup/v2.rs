//! Version 2: one directory for everything.

use super::files::{self, keyed};
use super::{Host, Limits, Manager, Stats, Wanted, make, plan, usage};
use crate::error::Error;
use std::path::PathBuf;

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
        make::create(&plan::plan_join(&self.host, &self.path, &[])?).map(drop)
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

    fn is_frozen(&self) -> bool {
        keyed(&self.file("cgroup.events"), "frozen") == Some(1)
    }

    fn procs(&self) -> Result<Vec<i32>, Error> {
        let mut found = Vec::new();
        files::procs_below(&self.directory, &mut found)?;
        Ok(found)
    }

    fn stats(&self) -> Result<Stats, Error> {
        Ok(usage::read(&self.host, &self.path, Wanted::All))
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
