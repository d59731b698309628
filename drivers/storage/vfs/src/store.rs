//! The open store.

use crate::changes;
use crate::error::Error;
use crate::options::size;
use gantry_driver_shared::layers::{Layers, LayersError, Sort};
use gantry_driver_shared::quota;
use gantry_driver_shared::tree::{CopyMode, CopyReport, TreeError, copy_tree, shares_blocks};
use gantry_plugin_api::error::Result;
use gantry_plugin_api::host::Host;
use gantry_plugin_api::options::Options;
use gantry_plugin_api::storage::{Change, LayerTarget, StorageCapabilities, Store, Usage, Whiteouts};
use gantry_plugin_api::types::Mount;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A copy of this size that shares nothing is worth a line to the operator.
const WORTH_A_WARNING: u64 = 64 << 20;

/// An open store of full trees.
pub struct VfsStore {
    layers: Layers,
    layer_copy: CopyMode,
    host: Host,
    reflink: OnceLock<bool>,
}

impl Store for VfsStore {
    fn capabilities(&self) -> StorageCapabilities {
        StorageCapabilities {
            reflink: self.reflink(),
            rootless: true,
            quota: quota::is_supported(self.layers.dir()),
            ..StorageCapabilities::default()
        }
    }

    fn status(&self) -> Vec<(String, String)> {
        let copy = if self.reflink() { "reflink" } else { "full" };
        let link = if self.layer_copy == CopyMode::Link { "hard links" } else { copy };
        [("Container copies", copy), ("Layer copies", link)].map(|(k, v)| (k.to_owned(), v.to_owned())).to_vec()
    }

    fn begin_layer(&self, id: &str, parent: Option<&str>) -> Result<LayerTarget> {
        let path = self.begin(Sort::Image, id, parent, self.layer_copy)?;
        Ok(LayerTarget::new(path, Whiteouts::APPLY))
    }

    fn commit_layer(&self, id: &str) -> Result<()> {
        Ok(self.layers.commit(Sort::Image, id).map_err(Error::from)?)
    }

    fn has_layer(&self, id: &str) -> Result<bool> {
        Ok(self.layers.has(Sort::Image, id).map_err(Error::from)?)
    }

    fn create_container(&self, id: &str, layers: &[String], options: &Options) -> Result<()> {
        Ok(self.create(id, layers, options)?)
    }

    fn mount_plan(&self, id: &str, _layers: &[String], read_only: bool) -> Result<Vec<Mount>> {
        let tree = self.container(id)?;
        let flags = if read_only { libc::MS_RDONLY } else { 0 };
        Ok(vec![Mount { flags, ..Mount::bind(tree.display().to_string()) }])
    }

    fn image_plan(&self, layers: &[String]) -> Result<Vec<Mount>> {
        let nearest = layers.first().ok_or(Error::NoLayer)?;
        let tree = self.layer("the image", nearest)?;
        Ok(vec![Mount { flags: libc::MS_RDONLY, ..Mount::bind(tree.display().to_string()) }])
    }

    fn writable_dir(&self, id: &str) -> Result<Option<PathBuf>> {
        Ok(Some(self.container(id)?))
    }

    fn changes(&self, id: &str, layers: &[String]) -> Result<Vec<Change>> {
        let tree = self.container(id)?;
        let below = layers.first().map(|l| self.layer(id, l)).transpose()?;
        Ok(changes::changes(&tree, below.as_deref()).map_err(Error::from)?)
    }

    fn usage(&self, id: &str) -> Result<Usage> {
        let usage = self.layers.usage(id).map_err(Error::from)?;
        Ok(Usage { bytes: usage.bytes, inodes: usage.inodes })
    }

    fn remove(&self, id: &str) -> Result<()> {
        quota::release(&self.layers.path(Sort::Container, id));
        Ok(self.layers.remove(id).map_err(Error::from)?)
    }

    fn list(&self) -> Result<Vec<(String, bool)>> {
        Ok(self.layers.list().map_err(Error::from)?)
    }

    fn collect(&self) -> Result<()> {
        Ok(self.layers.collect().map_err(Error::from)?)
    }

    fn layer_dir(&self, id: &str) -> Result<Option<PathBuf>> {
        let there = self.layers.has(Sort::Image, id).map_err(Error::from)?;
        Ok(there.then(|| self.layers.path(Sort::Image, id)))
    }

    fn clone_container(&self, id: &str, from: &str) -> Result<()> {
        let source = self.container(from)?;
        self.grow(Sort::Container, id, Some(&source), CopyMode::Copy, None)?;
        Ok(self.layers.commit(Sort::Container, id).map_err(Error::from)?)
    }
}

impl VfsStore {
    /// A store over its directory.
    pub fn new(layers: Layers, layer_copy: CopyMode, host: Host) -> Self {
        VfsStore { layers, layer_copy, host, reflink: OnceLock::new() }
    }

    fn create(&self, id: &str, layers: &[String], options: &Options) -> Result<(), Error> {
        let limit = size(options)?;
        if limit.is_some() && !quota::is_supported(self.layers.dir()) {
            return Err(Error::Quota);
        }
        if self.layers.has(Sort::Container, id)? {
            return Ok(());
        }
        let parent = layers.first().map(|layer| self.layer(id, layer)).transpose()?;
        self.grow(Sort::Container, id, parent.as_deref(), CopyMode::Copy, limit)?;
        Ok(self.layers.commit(Sort::Container, id)?)
    }

    fn begin(&self, sort: Sort, id: &str, parent: Option<&str>, mode: CopyMode) -> Result<PathBuf, Error> {
        let parent = parent.map(|p| self.layer(id, p)).transpose()?;
        self.grow(sort, id, parent.as_deref(), mode, None)
    }

    /// A half-made layer with a copy of another's tree. A copy that fails is thrown away at once: the disk may be full.
    fn grow(
        &self,
        sort: Sort,
        id: &str,
        source: Option<&Path>,
        mode: CopyMode,
        limit: Option<u64>,
    ) -> Result<PathBuf, Error> {
        let tree = self.layers.begin(sort, id)?;
        let limited = limit.map_or(Ok(()), |bytes| Ok(quota::limit(&[&tree], bytes)?));
        let done = limited.and_then(|()| match source {
            Some(source) => Ok(self.fill(id, source, &tree, mode)?),
            None => Ok(open_to_all(&tree)?),
        });
        match done {
            Ok(()) => Ok(tree),
            Err(error) => {
                // Best effort: what stays is a leftover for the next collection.
                let _ = self.layers.discard(sort, id).and_then(|()| self.layers.collect());
                Err(error)
            }
        }
    }

    fn fill(&self, id: &str, source: &Path, tree: &Path, mode: CopyMode) -> Result<(), TreeError> {
        let report = copy_tree(source, tree, mode)?;
        self.tell(id, &report);
        Ok(())
    }

    fn tell(&self, id: &str, report: &CopyReport) {
        self.host.count("copied_bytes", report.copied_bytes);
        let id = &id[..12];
        if report.copied_bytes >= WORTH_A_WARNING {
            let (mib, files) = (report.copied_bytes >> 20, report.files);
            self.host
                .warn(&format!("vfs copied {mib} MiB in {files} files for {id}: this file system shares no blocks"));
        }
        for path in &report.skipped {
            self.host.warn(&format!("vfs left out the device {} for {id}: not permitted", path.display()));
        }
    }

    fn layer(&self, of: &str, id: &str) -> Result<PathBuf, Error> {
        if self.layers.has(Sort::Image, id)? {
            return Ok(self.layers.path(Sort::Image, id));
        }
        Err(Error::MissingLayer { of: of.to_owned(), layer: id.to_owned() })
    }

    fn container(&self, id: &str) -> Result<PathBuf, Error> {
        if self.layers.has(Sort::Container, id)? {
            return Ok(self.layers.path(Sort::Container, id));
        }
        Err(LayersError::Missing(id.to_owned()).into())
    }

    fn reflink(&self) -> bool {
        *self.reflink.get_or_init(|| shares_blocks(self.layers.dir()))
    }
}

/// The root of a tree without a parent.
fn open_to_all(tree: &Path) -> Result<(), TreeError> {
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(tree, mode).map_err(|e| TreeError::new("set the mode of", tree, e))
}
