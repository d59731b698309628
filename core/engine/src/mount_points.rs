//! A layer of empty mount points, shared by all containers of a copy-on-write storage driver.
//!
//! The files that the engine mounts over (`/etc/hosts` and its like) must exist. Making them in each container's own
//! layer would copy `/etc` up and make four inodes a start; as one more layer beneath they cost nothing, and they are
//! no change of the container.

use crate::Engine;
use crate::container::root_directories;
use crate::error::{Error, Result};
use gantry_host::Store;
use gantry_runtime::RootMount;
use std::ffi::CStr;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

const NAME: &[u8] = b"gantry mount points, first edition";
const DIRECTORIES: [&str; 4] = ["etc", "dev", "proc", "sys"];
const FILES: [&str; 3] = ["etc/hosts", "etc/hostname", "etc/resolv.conf"];

/// The layer's id, the same everywhere.
pub(crate) fn id() -> String {
    gantry_image::sha256(NAME).hex()
}

impl Engine {
    /// The mounts of a container's root over the mount points, when that changes nothing the container can see.
    pub(crate) fn root_plan(&self, store: &Store, id: &str, layers: &[String]) -> Result<Vec<RootMount>> {
        let plain = |layers: &[String]| Ok(crate::storage::root_mounts(store.mount_plan(id, layers, false)?));
        if layers.is_empty() || !store.capabilities()?.copy_on_write {
            return plain(layers);
        }
        let points = self::id();
        if !store.has_layer(&points)? {
            make(store, &points)?;
        }
        let mut with_points = vec![points];
        with_points.extend_from_slice(layers);
        match plain(&with_points) {
            Ok(plan) if shows_through(&plan) => Ok(plan),
            // An image may have as many layers as can be stacked, which leaves no room for ours.
            _ => plain(layers),
        }
    }
}

fn make(store: &Store, id: &str) -> Result<()> {
    let target = store.begin_layer(id, None)?;
    fill(&target.path).map_err(Error::io("make the layer of mount points"))?;
    Ok(store.commit_layer(id)?)
}

fn fill(root: &Path) -> std::io::Result<()> {
    fs::set_permissions(root, fs::Permissions::from_mode(0o755))?;
    for name in DIRECTORIES {
        fs::create_dir(root.join(name))?;
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(0o755))?;
    }
    for name in FILES {
        File::create(root.join(name))?.set_permissions(fs::Permissions::from_mode(0o644))?;
    }
    File::open(root)?.sync_all()
}

/// A directory takes owner and mode from its nearest layer: ours may be nearest only where the image's `/etc` is as
/// ours, owned by root and 0755.
fn shows_through(plan: &[RootMount]) -> bool {
    const ETC: &CStr = c"etc";
    // The container's own layer and ours come first.
    let mut image = root_directories(plan).skip(2);
    let found = image.find_map(|dir| {
        let root = File::open(dir).ok()?;
        let etc = gantry_sys::path::open_in_root(root.as_fd(), ETC, nix::libc::O_PATH).ok()?;
        File::from(etc).metadata().ok()
    });
    found.is_none_or(|etc| etc.is_dir() && (etc.uid(), etc.gid(), etc.mode() & 0o7777) == (0, 0, 0o755))
}
