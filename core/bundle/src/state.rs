//! What is kept of a container in `<root>/<id>/`: `state.json`, a copy of its configuration, and the socket `start` at
//! which its init waits.

use crate::Runtime;
use crate::config::{self, Config};
use crate::error::{Error, Result, file};
use crate::outliving::Outliving;
use gantry_runtime::cgroup::{self, Manager};
use gantry_sys::proc;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The record of one container.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct State {
    pub oci_version: String,
    pub id: String,
    /// 0 until there is a process.
    pub pid: i32,
    /// In clock ticks since boot: a number that was given to another process later does not deceive us.
    pub start_time: u64,
    pub bundle: PathBuf,
    pub rootfs: PathBuf,
    /// Where mounts of its root do not end with it.
    #[serde(default)]
    pub outliving: Option<Outliving>,
    pub cgroup: String,
    /// RFC 3339.
    pub created: String,
    pub annotations: BTreeMap<String, String>,
    pub owner: String,
}

/// Where a container stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Creating,
    Created,
    Running,
    Paused,
    Stopped,
}

impl Status {
    pub fn word(self) -> &'static str {
        match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        }
    }
}

/// What `state` prints, and `list` of each.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    pub oci_version: String,
    pub id: String,
    pub pid: i32,
    pub status: &'static str,
    pub bundle: PathBuf,
    pub rootfs: PathBuf,
    pub created: String,
    pub annotations: BTreeMap<String, String>,
    pub owner: String,
}

/// One container: its directory and record.
pub(crate) struct Container {
    pub directory: PathBuf,
    pub state: State,
}

const STATE: &str = "state.json";
const CONFIG: &str = "config.json";

/// A name that is safe as a directory's.
pub(crate) fn check_id(id: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
    if id.is_empty() || id == "." || id == ".." || id.len() > 1024 || !id.chars().all(plain) {
        return Err(Error::Id(id.to_owned()));
    }
    Ok(())
}

impl Runtime {
    pub(crate) fn directory(&self, id: &str) -> Result<PathBuf> {
        check_id(id)?;
        Ok(self.root.join(id))
    }

    /// Makes the directory of a new container; whoever makes it owns the name.
    pub(crate) fn make_directory(&self, id: &str) -> Result<PathBuf> {
        let directory = self.directory(id)?;
        let mut builder = fs::DirBuilder::new();
        builder.mode(0o711);
        match builder.create(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o711)
                    .create(&self.root)
                    .map_err(file("make", &self.root))?;
                builder.create(&directory).map_err(file("make", &directory))?;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(Error::Exists(id.to_owned())),
            other => other.map_err(file("make", &directory))?,
        }
        Ok(directory)
    }

    pub(crate) fn open(&self, id: &str) -> Result<Container> {
        let directory = self.directory(id)?;
        let path = directory.join(STATE);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Error::NotFound(id.to_owned())),
            other => other.map_err(file("read", &path))?,
        };
        let state = serde_json::from_slice(&text).map_err(|source| Error::Parse { path, source })?;
        Ok(Container { directory, state })
    }

    /// What `state` tells.
    pub fn state(&self, id: &str) -> Result<Shown> {
        Ok(self.open(id)?.shown())
    }
}

impl Container {
    /// Replaces the record as a whole.
    pub fn save(&self) -> Result<()> {
        let path = self.directory.join(STATE);
        let text = serde_json::to_vec(&self.state).map_err(|source| Error::Parse { path: path.clone(), source })?;
        replace(&path, &text)
    }

    pub fn save_config(&self, config: &Config) -> Result<()> {
        let path = self.directory.join(CONFIG);
        fs::write(&path, &config.text).map_err(file("write", &path))
    }

    /// The configuration it was created with.
    pub fn spec(&self) -> Result<oci_spec::runtime::Spec> {
        let path = self.directory.join(CONFIG);
        config::parse(&path, &fs::read(&path).map_err(file("read", &path))?)
    }

    pub fn gate(&self) -> PathBuf {
        self.directory.join("start")
    }

    pub fn manager(&self) -> Result<Box<dyn Manager>> {
        Ok(cgroup::manager(&self.state.cgroup)?)
    }

    /// Whether its first process lives; one that only waits for its parent does not.
    pub fn is_alive(&self) -> bool {
        self.state.pid > 0 && proc::start_time(self.state.pid) == Ok(self.state.start_time)
    }

    pub fn status(&self) -> Status {
        if self.state.pid == 0 {
            return Status::Creating;
        }
        if !self.is_alive() {
            return Status::Stopped;
        }
        if self.manager().is_ok_and(|manager| manager.is_frozen()) {
            return Status::Paused;
        }
        if self.gate().exists() { Status::Created } else { Status::Running }
    }

    /// The container's first process, if the container is in one of `allowed`.
    pub fn require(&self, act: &'static str, allowed: &[Status]) -> Result<i32> {
        let status = self.status();
        if allowed.contains(&status) {
            return Ok(self.state.pid);
        }
        Err(Error::Status { act, id: self.state.id.clone(), status: status.word() })
    }

    pub fn shown(&self) -> Shown {
        let status = self.status();
        let state = self.state.clone();
        Shown {
            oci_version: state.oci_version,
            id: state.id,
            pid: if status == Status::Stopped { 0 } else { state.pid },
            status: status.word(),
            bundle: state.bundle,
            rootfs: state.rootfs,
            created: state.created,
            annotations: state.annotations,
            owner: state.owner,
        }
    }
}

/// Writes a file under another name and renames it: a reader sees the old one or the new one, whole.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = path.with_file_name(format!(".{name}.{}", std::process::id()));
    fs::write(&draft, bytes).and_then(|()| fs::rename(&draft, path)).map_err(file("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_plain_names() {
        for good in ["a", "web-1", "A_b+c.d"] {
            assert!(check_id(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "ä", "a\n"] {
            assert!(check_id(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_is_given_once() {
        let root = tempfile::tempdir().unwrap();
        let runtime = Runtime::new(&root.path().join("deep/er"));
        runtime.make_directory("a").unwrap();
        assert!(matches!(runtime.make_directory("a"), Err(Error::Exists(_))));
        assert!(matches!(runtime.state("a"), Err(Error::NotFound(_))));
    }
}
