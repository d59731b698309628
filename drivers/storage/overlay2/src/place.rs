//! Where the files of a writable layer lie: beside those of other containers, or, where a limit can be kept in no other
//! way, in a file system of its own, which the engine mounts while it is used.
//!
//! ```text
//! containers/<id>      the files; empty for a layer with a disk
//! work/<id>            the kernel's work directory, and beside it
//! work/<id>/ext4       the disk, a file, in which lie `upper` and `work`
//! <state>/<id>         where the disk is to be mounted
//! ```

use crate::error::Error;
use crate::mounts::WORK;
use gantry_driver_shared::disk;
use gantry_driver_shared::layers::{Layers, Sort};
use gantry_driver_shared::tree::TreeError;
use gantry_plugin_api::types::Mount;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const DISK: &str = "ext4";
const UPPER: &str = "upper";

/// The directories of one writable layer.
pub struct Place {
    /// What the container has written.
    pub upper: PathBuf,
    /// The kernel's, on the same file system.
    pub work: PathBuf,
    /// The file that both lie in.
    pub disk: Option<PathBuf>,
}

impl Place {
    /// Looks where a layer lies.
    pub fn of(layers: &Layers, state: &Path, id: &str) -> Place {
        let work = layers.root().join(WORK).join(id);
        let disk = work.join(DISK);
        if !disk.is_file() {
            return Place { upper: layers.path(Sort::Container, id), work, disk: None };
        }
        let mounted = state.join(id);
        Place { upper: mounted.join(UPPER), work: mounted.join(WORK), disk: Some(disk) }
    }

    /// How the disk is mounted, for a layer that has one.
    pub fn mount(&self) -> Option<Mount> {
        let target = self.upper.parent()?.display().to_string();
        self.disk.as_ref().map(|disk| Mount { target, ..disk::mount(disk) })
    }

    /// Bytes that the disk takes on the host, for a layer that has one.
    pub fn taken(&self) -> Option<u64> {
        let taken = |disk: &PathBuf| fs::metadata(disk).map_or(0, |meta| meta.blocks() * 512);
        self.disk.as_ref().map(taken)
    }
}

/// Gives a new layer, whose work directory is there, a disk of so many bytes. `dress` gives its root owner and mode.
pub fn make_disk(work: &Path, bytes: u64, dress: impl FnOnce(&Path) -> Result<(), Error>) -> Result<(), Error> {
    let seed = work.join("seed");
    let failed = |act| {
        let seed = seed.clone();
        move |e: std::io::Error| Error::from(TreeError::new(act, seed, e))
    };
    for name in [UPPER, WORK] {
        fs::create_dir_all(seed.join(name)).map_err(failed("create"))?;
    }
    dress(&seed.join(UPPER))?;
    let half_made = work.join(format!("{DISK}.new"));
    disk::make(&half_made, bytes, Some(&seed))?;
    fs::remove_dir_all(&seed).map_err(failed("delete"))?;
    fs::rename(&half_made, work.join(DISK)).map_err(failed("name the disk beside"))
}
