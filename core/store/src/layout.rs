//! Where things lie: the persistent root and the state that dies with the boot.

use std::path::{Path, PathBuf};

/// The two top directories and the names below them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    root: PathBuf,
    state: PathBuf,
}

impl Layout {
    /// A layout below the two directories, which should be absolute.
    pub fn new(root: impl Into<PathBuf>, state: impl Into<PathBuf>) -> Layout {
        Layout { root: root.into(), state: state.into() }
    }

    /// `/var/lib/gantry` by default.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `/run/gantry` by default.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// All containers' directories.
    pub fn containers(&self) -> PathBuf {
        self.root.join("containers")
    }

    /// One container's persistent directory.
    pub fn container(&self, id: &str) -> PathBuf {
        self.root.join("containers").join(id)
    }

    /// One container's runtime directory.
    pub fn container_state(&self, id: &str) -> PathBuf {
        self.state.join("containers").join(id)
    }

    /// Notes of processes that are making containers, by id: a note whose process is gone names what it left.
    pub fn creating(&self) -> PathBuf {
        self.state.join("creating")
    }

    /// Names of containers: symbolic links to ids.
    pub fn names(&self) -> PathBuf {
        self.root.join("names")
    }

    /// One name.
    pub fn name(&self, name: &str) -> PathBuf {
        self.root.join("names").join(name)
    }

    /// A driver's persistent directory.
    pub fn driver_root(&self, kind: &str, name: &str) -> PathBuf {
        self.root.join("drivers").join(kind).join(name)
    }

    /// A driver's runtime directory.
    pub fn driver_state(&self, kind: &str, name: &str) -> PathBuf {
        self.state.join("drivers").join(kind).join(name)
    }

    /// Networks' records and leases.
    pub fn networks(&self) -> PathBuf {
        self.root.join("networks")
    }

    /// Which ids of the host containers have for themselves: symbolic links by container.
    pub fn user_ids(&self) -> PathBuf {
        self.root.join("userns")
    }

    /// Which pairs of SELinux's categories containers have for themselves: symbolic links by level.
    pub fn categories(&self) -> PathBuf {
        self.root.join("categories")
    }

    /// Volumes' records.
    pub fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    /// Where the calls of drivers are counted; the layout of the file is in its name.
    pub fn driver_metrics(&self) -> PathBuf {
        self.state.join("driver-metrics.1")
    }

    /// What may be deleted at any time.
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }
}
