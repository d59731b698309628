//! The open store.

use crate::changes;
use crate::error::Error;
use crate::links;
use crate::mounts::{Plan, check_depth};
use crate::options::Settings;
use crate::probe::{Backing, Kernel};
use gantry_driver_shared::layers::{Layers, LayersError, Sort};
use gantry_driver_shared::tree::{CopyMode, TreeError, copy_tree};
use gantry_plugin_api::error::Result;
use gantry_plugin_api::options::Options;
use gantry_plugin_api::storage::{Change, LayerTarget, StorageCapabilities, Store, Usage, Whiteouts};
use gantry_plugin_api::types::Mount;
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat, fstatat, mkdirat};
use nix::unistd::{Gid, Uid, fchownat};
use std::path::{Path, PathBuf};

/// An open store of overlay layers.
pub struct OverlayStore {
    pub(crate) layers: Layers,
    pub(crate) backing: Backing,
    pub(crate) kernel: Kernel,
    pub(crate) settings: Settings,
}

impl Store for OverlayStore {
    fn capabilities(&self) -> StorageCapabilities {
        StorageCapabilities {
            copy_on_write: true,
            native_diff: true,
            quota: false,
            idmap: !self.kernel.user_xattr,
            reflink: false,
            rootless: true,
            independent_layers: true,
        }
    }

    fn status(&self) -> Vec<(String, String)> {
        let facts = [
            ("Backing Filesystem", self.backing.filesystem.to_owned()),
            ("Supports d_type", "true".to_owned()),
            ("Using metacopy", "false".to_owned()),
            ("Native Overlay Diff", "true".to_owned()),
            ("userxattr", self.kernel.user_xattr.to_string()),
        ];
        facts.map(|(key, value)| (key.to_owned(), value)).to_vec()
    }

    fn begin_layer(&self, id: &str, parent: Option<&str>) -> Result<LayerTarget> {
        Ok(self.begin(id, parent)?)
    }

    fn commit_layer(&self, id: &str) -> Result<()> {
        Ok(self.commit(id)?)
    }

    fn has_layer(&self, id: &str) -> Result<bool> {
        Ok(self.layers.has(Sort::Image, id).map_err(Error::from)?)
    }

    fn create_container(&self, id: &str, layers: &[String], options: &Options) -> Result<()> {
        Ok(self.create(id, layers, options)?)
    }

    fn mount_plan(&self, id: &str, layers: &[String], read_only: bool) -> Result<Vec<Mount>> {
        Ok(vec![self.plan(id, layers, read_only)?])
    }

    fn writable_dir(&self, id: &str) -> Result<Option<PathBuf>> {
        self.must_have(id)?;
        Ok(Some(self.layers.path(Sort::Container, id).join("diff")))
    }

    fn changes(&self, id: &str, layers: &[String]) -> Result<Vec<Change>> {
        self.must_have(id)?;
        let below = layers.iter().map(|l| self.layers.path(Sort::Image, l).join("diff")).collect();
        let upper = self.layers.path(Sort::Container, id).join("diff");
        Ok(changes::changes(&upper, below, self.kernel.user_xattr).map_err(Error::from)?)
    }

    fn usage(&self, id: &str) -> Result<Usage> {
        let usage = self.layers.usage(id, "diff").map_err(Error::from)?;
        Ok(Usage { bytes: usage.bytes, inodes: usage.inodes })
    }

    fn remove(&self, id: &str) -> Result<()> {
        links::delete(&self.layers, id)?;
        Ok(self.layers.remove(id).map_err(Error::from)?)
    }

    fn list(&self) -> Result<Vec<(String, bool)>> {
        Ok(self.layers.list().map_err(Error::from)?)
    }

    fn collect(&self) -> Result<()> {
        links::sweep(&self.layers)?;
        Ok(self.layers.collect().map_err(Error::from)?)
    }

    fn clone_container(&self, id: &str, from: &str) -> Result<()> {
        Ok(self.copy_container(id, from)?)
    }
}

/// The file in a container's directory that says: volatile, and since which boot.
const VOLATILE: &str = "volatile";

impl OverlayStore {
    fn begin(&self, id: &str, parent: Option<&str>) -> Result<LayerTarget, Error> {
        let path = self.layers.begin(Sort::Image, id)?.join("diff");
        std::fs::create_dir(&path).map_err(|e| TreeError::new("create", &path, e))?;
        self.dress_root(&path, parent)?;
        let whiteouts = if self.kernel.user_xattr { Whiteouts::OVERLAY_USER } else { Whiteouts::OVERLAY_TRUSTED };
        Ok(LayerTarget { path, whiteouts })
    }

    fn commit(&self, id: &str) -> Result<(), Error> {
        links::make(&self.layers, id)?;
        Ok(self.layers.commit(Sort::Image, id)?)
    }

    fn create(&self, id: &str, image: &[String], options: &Options) -> Result<(), Error> {
        check_depth(image.len())?;
        let settings = self.settings.with(options)?;
        if settings.size.is_some() {
            return Err(Error::Quota);
        }
        self.layers.has(Sort::Container, id)?;
        let base = format!("containers/{id}");
        for name in [base.clone(), format!("{base}/diff"), format!("{base}/work")] {
            self.make_dir(&name)?;
        }
        self.dress_root(&self.layers.path(Sort::Container, id).join("diff"), image.first().map(String::as_str))?;
        if settings.volatile { self.mark_volatile(id) } else { Ok(()) }
    }

    fn make_dir(&self, name: &str) -> Result<(), Error> {
        match mkdirat(self.layers.dir(), name, Mode::S_IRWXU) {
            Ok(()) | Err(Errno::EEXIST) => Ok(()),
            Err(error) => Err(TreeError::new("create", self.layers.root().join(name), error).into()),
        }
    }

    /// In the union the topmost layer's root shows: it gets owner and mode of the layer below, or 0755.
    fn dress_root(&self, root: &Path, below: Option<&str>) -> Result<(), Error> {
        let failed = |e| Error::from(TreeError::new("set owner and mode of", root, e));
        let stat = below.map(|id| fstatat(self.layers.dir(), format!("layers/{id}/diff").as_str(), AtFlags::empty()));
        let (mode, uid, gid) = match stat {
            Some(Ok(stat)) => (stat.st_mode & 0o7777, stat.st_uid, stat.st_gid),
            _ => (0o755, 0, 0),
        };
        if (uid, gid) != (0, 0) {
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
            fchownat(self.layers.dir(), root, Some(uid), Some(gid), AtFlags::empty()).map_err(failed)?;
        }
        let mode = Mode::from_bits_truncate(mode);
        fchmodat(self.layers.dir(), root, mode, FchmodatFlags::FollowSymlink).map_err(failed)
    }

    fn must_have(&self, id: &str) -> Result<(), Error> {
        if self.layers.has(Sort::Container, id)? { Ok(()) } else { Err(LayersError::Missing(id.to_owned()).into()) }
    }

    fn plan(&self, id: &str, image: &[String], read_only: bool) -> Result<Mount, Error> {
        self.must_have(id)?;
        let volatile = !read_only && self.is_volatile(id)?;
        Plan { layers: &self.layers, kernel: self.kernel, volatile }.mount(id, image, read_only)
    }

    fn mark_volatile(&self, id: &str) -> Result<(), Error> {
        let path = self.layers.path(Sort::Container, id).join(VOLATILE);
        std::fs::write(&path, boot_id()).map_err(|e| TreeError::new("write", path, e).into())
    }

    /// The kernel leaves `work/incompat/volatile` in the work directory and mounts no layer that has it: its data may
    /// never have reached the disk. As long as the host runs the data is all there, and the mark may go.
    fn is_volatile(&self, id: &str) -> Result<bool, Error> {
        let base = self.layers.path(Sort::Container, id);
        let Ok(boot) = std::fs::read_to_string(base.join(VOLATILE)) else { return Ok(false) };
        let mark = base.join("work/work/incompat");
        if mark.exists() {
            if boot != boot_id() {
                return Err(Error::Volatile(id.to_owned()));
            }
            std::fs::remove_dir_all(&mark).map_err(|e| TreeError::new("delete", mark, e))?;
        }
        self.mark_volatile(id)?;
        Ok(true)
    }

    fn copy_container(&self, id: &str, from: &str) -> Result<(), Error> {
        self.must_have(from)?;
        let (source, target) = (self.layers.path(Sort::Container, from), self.layers.begin(Sort::Container, id)?);
        let done = fill_copy(&source, &target);
        match done {
            Ok(()) => Ok(self.layers.commit(Sort::Container, id)?),
            Err(error) => {
                let _ = self.layers.discard(Sort::Container, id);
                Err(error.into())
            }
        }
    }
}

fn fill_copy(source: &Path, target: &Path) -> Result<(), TreeError> {
    for name in ["diff", "work"] {
        let path = target.join(name);
        std::fs::create_dir(&path).map_err(|e| TreeError::new("create", path, e))?;
    }
    copy_tree(&source.join("diff"), &target.join("diff"), CopyMode::Copy)?;
    match std::fs::copy(source.join(VOLATILE), target.join(VOLATILE)) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(TreeError::new("copy", source.join(VOLATILE), e)),
        _ => Ok(()),
    }
}

fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}
