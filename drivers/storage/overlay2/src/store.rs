//! The open store.

use crate::changes;
use crate::error::Error;
use crate::links;
use crate::mounts::{Plan, WORK, check_depth};
use crate::options::Settings;
use crate::place::{self, Place};
use crate::probe::{Backing, Kernel};
use gantry_driver_shared::disk;
use gantry_driver_shared::layers::{Layers, LayersError, Sort};
use gantry_driver_shared::quota;
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
    pub(crate) state: PathBuf,
    pub(crate) backing: Backing,
    pub(crate) kernel: Kernel,
    pub(crate) settings: Settings,
}

impl Store for OverlayStore {
    fn capabilities(&self) -> StorageCapabilities {
        StorageCapabilities {
            copy_on_write: true,
            native_diff: true,
            quota: quota::is_supported(self.layers.dir()) || disk::is_possible().is_ok(),
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

    fn image_plan(&self, layers: &[String]) -> Result<Vec<Mount>> {
        Ok(vec![self.planner(false).image(layers)?])
    }

    fn writable_dir(&self, id: &str) -> Result<Option<PathBuf>> {
        self.must_have(id)?;
        Ok(Some(self.place(id).upper))
    }

    fn changes(&self, id: &str, layers: &[String]) -> Result<Vec<Change>> {
        self.must_have(id)?;
        let below = layers.iter().map(|l| self.layers.path(Sort::Image, l)).collect();
        let upper = self.place(id).upper;
        Ok(changes::changes(&upper, below, self.kernel.user_xattr).map_err(Error::from)?)
    }

    fn usage(&self, id: &str) -> Result<Usage> {
        if let Some(bytes) = self.place(id).taken() {
            return Ok(Usage { bytes, inodes: 1 });
        }
        let usage = self.layers.usage(id).map_err(Error::from)?;
        Ok(Usage { bytes: usage.bytes, inodes: usage.inodes })
    }

    fn remove(&self, id: &str) -> Result<()> {
        Ok(self.delete(id)?)
    }

    fn list(&self) -> Result<Vec<(String, bool)>> {
        Ok(self.layers.list().map_err(Error::from)?)
    }

    fn collect(&self) -> Result<()> {
        Ok(self.sweep()?)
    }

    fn layer_dir(&self, id: &str) -> Result<Option<PathBuf>> {
        let there = self.layers.has(Sort::Image, id).map_err(Error::from)?;
        Ok(there.then(|| self.layers.path(Sort::Image, id)))
    }

    fn clone_container(&self, id: &str, from: &str) -> Result<()> {
        Ok(self.copy_container(id, from)?)
    }

    fn container_disk(&self, id: &str) -> Result<Option<Mount>> {
        Ok(self.place(id).mount())
    }

    fn trash(&self) -> Result<Usage> {
        let usage = self.layers.trash().map_err(Error::from)?;
        Ok(Usage { bytes: usage.bytes, inodes: usage.inodes })
    }
}

/// The file beside the kernel's work directory that says: volatile, and since which boot.
const VOLATILE: &str = "volatile";

impl OverlayStore {
    fn begin(&self, id: &str, parent: Option<&str>) -> Result<LayerTarget, Error> {
        let path = self.layers.begin(Sort::Image, id)?;
        self.dress_root(&path, parent)?;
        let whiteouts = if self.kernel.user_xattr { Whiteouts::OVERLAY_USER } else { Whiteouts::OVERLAY_TRUSTED };
        Ok(LayerTarget::new(path, whiteouts))
    }

    fn commit(&self, id: &str) -> Result<(), Error> {
        links::make(&self.layers, id)?;
        Ok(self.layers.commit(Sort::Image, id)?)
    }

    fn create(&self, id: &str, image: &[String], options: &Options) -> Result<(), Error> {
        check_depth(image.len())?;
        let settings = self.settings.with(options)?;
        self.layers.has(Sort::Container, id)?;
        let upper = self.layers.path(Sort::Container, id);
        // In this order: a sweep takes a work directory without a container for a leftover.
        self.make_dir(&format!("containers/{id}"))?;
        self.make_dir(&format!("{WORK}/{id}"))?;
        if let Some(size) = settings.size {
            self.limit(id, size, image).inspect_err(|_| {
                // Best effort: the engine removes what it could not make.
                let _ = self.delete(id);
            })?;
        }
        self.dress_root(&upper, image.first().map(String::as_str))?;
        if settings.volatile { self.mark_volatile(id) } else { Ok(()) }
    }

    fn limit(&self, id: &str, size: u64, image: &[String]) -> Result<(), Error> {
        if quota::is_supported(self.layers.dir()) {
            // The kernel moves files from the one to the other, which it only does inside one project.
            return Ok(quota::limit(&[&self.layers.path(Sort::Container, id), &self.work(id)], size)?);
        }
        if self.place(id).disk.is_some() {
            return Ok(());
        }
        place::make_disk(&self.work(id), size, |root| self.dress_root(root, image.first().map(String::as_str)))
    }

    fn place(&self, id: &str) -> Place {
        Place::of(&self.layers, &self.state, id)
    }

    fn planner(&self, volatile: bool) -> Plan<'_> {
        Plan { layers: &self.layers, state: &self.state, kernel: self.kernel, volatile }
    }

    fn delete(&self, id: &str) -> Result<(), Error> {
        quota::release(&self.work(id));
        links::delete(&self.layers, id)?;
        self.layers.remove(id)?;
        Ok(self.layers.throw_away(&format!("{WORK}/{id}"))?)
    }

    fn sweep(&self) -> Result<(), Error> {
        links::sweep(&self.layers)?;
        for name in self.layers.names(WORK)? {
            let id = name.to_string_lossy();
            if let Ok(false) = self.layers.has(Sort::Container, &id) {
                self.layers.throw_away(&format!("{WORK}/{id}"))?;
            }
        }
        Ok(self.layers.collect()?)
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
        let stat = below.map(|id| fstatat(self.layers.dir(), format!("layers/{id}").as_str(), AtFlags::empty()));
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
        self.planner(volatile).mount(id, image, read_only)
    }

    fn work(&self, id: &str) -> PathBuf {
        self.layers.root().join(WORK).join(id)
    }

    fn mark_volatile(&self, id: &str) -> Result<(), Error> {
        let path = self.work(id).join(VOLATILE);
        std::fs::write(&path, boot_id()).map_err(|e| TreeError::new("write", path, e).into())
    }

    /// The kernel leaves `work/incompat/volatile` in the work directory and mounts no layer that has it: its data may
    /// never have reached the disk. As long as the host runs the data is all there, and the mark may go.
    fn is_volatile(&self, id: &str) -> Result<bool, Error> {
        let work = self.work(id);
        let Ok(boot) = std::fs::read_to_string(work.join(VOLATILE)) else { return Ok(false) };
        let mark = self.place(id).work.join("work/incompat");
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
        if self.place(from).disk.is_some() {
            return Err(Error::CloneDisk(from.to_owned()));
        }
        let target = self.layers.begin(Sort::Container, id)?;
        if let Err(error) = copy_tree(&self.layers.path(Sort::Container, from), &target, CopyMode::Copy) {
            // Best effort: what stays is a leftover for the next collection.
            let _ = self.layers.discard(Sort::Container, id);
            return Err(error.into());
        }
        self.layers.commit(Sort::Container, id)?;
        self.make_dir(&format!("{WORK}/{id}"))?;
        if self.work(from).join(VOLATILE).exists() { self.mark_volatile(id) } else { Ok(()) }
    }
}

fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}
