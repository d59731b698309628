//! Volume drivers: data that outlives containers.
//!
//! The engine counts references and calls `mount` once per node for the first container and `unmount` once after the
//! last; a driver keeps no count. It returns mounts, it does not perform them.

use crate::error::{Error, Result};
use crate::host::Host;
use crate::options::{OptionSpec, Options};
use crate::types::{Dirs, Mount};

/// A volume as its driver knows it.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct VolumeInfo {
    /// Its name.
    pub name: String,
    /// Where its data lies on the host; empty when it has no lasting place.
    pub mountpoint: String,
    /// Nanoseconds since 1970; 0: unknown.
    pub created_ns: u64,
    /// Facts for `inspect`.
    pub status: Vec<(String, String)>,
}

/// How a volume is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum VolumeMount {
    /// A directory of the host: it is bound into containers.
    Directory(String),
    /// A file system of its own: the engine mounts it once, privately, and binds that.
    FileSystem(Mount),
}

/// What a volume driver can do.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct VolumeCapabilities {
    /// The same name is the same volume on every host.
    pub global_scope: bool,
    /// Size limits work here.
    pub quota: bool,
    /// `clone_volume` works.
    pub clone: bool,
    /// `rename` works.
    pub rename: bool,
}

/// A volume driver. A plugin's is made once per process with `Default`.
pub trait VolumeDriver: Send + Sync + 'static {
    /// The schema.
    const OPTIONS: &'static [OptionSpec];

    /// What this driver can do.
    fn capabilities(&self) -> VolumeCapabilities;

    /// Checks name and options. No I/O.
    fn validate(&self, _name: &str, _options: &Options) -> Result<()> {
        Ok(())
    }

    /// Makes a volume. One of the same name and options is no error; with other options an [`crate::Class::EXISTS`]
    /// error that shows the difference.
    fn create(&self, name: &str, options: &Options, dirs: &Dirs, host: &Host) -> Result<VolumeInfo>;

    /// Removes a volume and its data. One that does not exist is a [`crate::Class::NOT_FOUND`] error.
    fn remove(&self, name: &str, dirs: &Dirs, host: &Host) -> Result<()>;

    /// Looks at one volume.
    fn get(&self, name: &str, dirs: &Dirs) -> Result<VolumeInfo>;

    /// All volumes.
    fn list(&self, dirs: &Dirs) -> Result<Vec<VolumeInfo>>;

    /// Called before the first container of this node uses the volume.
    fn mount(&self, name: &str, dirs: &Dirs, host: &Host) -> Result<VolumeMount>;

    /// Called after the last container of this node left it and the engine's own mount is gone.
    fn unmount(&self, name: &str, dirs: &Dirs, host: &Host) -> Result<()>;

    /// A copy under a new name.
    fn clone_volume(&self, _from: &str, _to: &str, _dirs: &Dirs, _host: &Host) -> Result<VolumeInfo> {
        Err(Error::unsupported("this volume driver cannot clone"))
    }

    /// A new name for a volume nobody uses.
    fn rename(&self, _from: &str, _to: &str, _dirs: &Dirs, _host: &Host) -> Result<VolumeInfo> {
        Err(Error::unsupported("this volume driver cannot rename"))
    }
}
