//! What takes space beside images, containers, volumes and logs: what was thrown away or belongs to nobody, and the engine's
//! own records. With these nothing below the root directory is left unexplained.

use super::prune::Space;
use super::tree_size;
use crate::Engine;
use crate::error::Result;
use gantry_model::record::Record;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What others count, or what is counted apart.
/// or links whose text fits into their inodes.
const COUNTED: [&str; 6] = ["containers", "content", "drivers", "names", "trash", "userns"];

impl Engine {
    /// What the next collection deletes: the trash, layers that no record names, containers that were never completed.
    pub(super) fn trash_space(&self, records: &[Record]) -> Result<Space> {
        let mut space = Space::default();
        let mut add = |number: usize, bytes: u64| {
            space.total += number;
            space.size += bytes;
            space.reclaimable += bytes;
        };
        let trash = self.layout.root().join("trash");
        add(fs::read_dir(&trash).map_or(0, Iterator::count), tree_size(&trash));
        add(0, tree_size(&self.layout.root().join("content/ingest")));
        let known: BTreeSet<&str> = records.iter().map(|record| record.id.as_str()).collect();
        for id in names_in(&self.layout.containers()).iter().filter(|id| !known.contains(id.as_str())) {
            add(1, tree_size(&self.layout.container(id)));
        }
        for driver in names_in(&self.layout.root().join("drivers/storage")) {
            let (number, bytes) = self.trash_of_driver(&driver, &known)?;
            add(number, bytes);
        }
        Ok(space)
    }

    /// Layers that nobody has, with what the driver has thrown away. A driver that is not installed any more cannot be asked.
    fn trash_of_driver(&self, driver: &str, containers: &BTreeSet<&str>) -> Result<(usize, u64)> {
        let (images, points) = (self.images()?, crate::mount_points::id());
        let asked = self.with_storage(driver, |store| {
            let held = store.list()?.into_iter().map(|(id, _)| id);
            let mut orphans: Vec<String> =
                held.filter(|id| !containers.contains(id.as_str()) && *id != points).collect();
            if orphans.len() == images.layer_count(driver)? {
                // As many as have records, which need not be read. Lost and nobody's ones at once are for `system check`.
                orphans.clear();
            } else {
                let named: BTreeSet<String> = images.layer_records(driver)?.into_iter().map(|r| r.id).collect();
                orphans.retain(|id| !named.contains(id));
            }
            let (number, trash) = (orphans.len(), store.trash()?.bytes);
            let sizes = store.usages(orphans)?.into_iter().flatten().map(|usage| usage.bytes);
            Ok((number, sizes.sum::<u64>() + trash))
        });
        Ok(asked.unwrap_or_else(|error| {
            tracing::debug!("storage driver {driver} does not tell what it has thrown away: {error}");
            (0, 0)
        }))
    }

    /// The engine's own: records, names, events, caches, and what drivers keep beside data.
    pub(super) fn record_space(&self, records: &[Record], of_containers: u64) -> Space {
        let root = self.layout.root();
        let mut space = Space { total: records.len(), active: records.len(), size: of_containers, ..Space::default() };
        for entry in fs::read_dir(root).into_iter().flatten().flatten() {
            let counted = entry.file_name().to_str().is_some_and(|name| COUNTED.contains(&name));
            space.size += if counted { 0 } else { size_of(&entry.path()) };
        }
        for kind in names_in(&root.join("drivers")).iter().filter(|kind| !matches!(kind.as_str(), "storage" | "volume"))
        {
            space.size += tree_size(&root.join("drivers").join(kind));
        }
        space.size += self.volume_bookkeeping();
        space
    }

    /// What volume drivers keep here that is no volume's data.
    fn volume_bookkeeping(&self) -> u64 {
        let dir = self.layout.root().join("drivers/volume");
        let mut size = 0;
        for driver in names_in(&dir) {
            let held = self.volumes_held(&driver).unwrap_or_default();
            let data: BTreeSet<PathBuf> = held.iter().flat_map(super::sizes::places).collect();
            size += size_without(&dir.join(&driver), &data);
        }
        size
    }
}

fn names_in(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

fn size_of(path: &Path) -> u64 {
    let meta = fs::symlink_metadata(path);
    meta.map_or(0, |meta| if meta.is_dir() { tree_size(path) } else { meta.len() })
}

fn size_without(dir: &Path, others: &BTreeSet<PathBuf>) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let own = entries.filter(|path| !others.contains(path));
    own.map(|path| if path.is_dir() && !path.is_symlink() { size_without(&path, others) } else { size_of(&path) }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_of_others_is_left_out() {
        let dir = tempfile::tempdir().expect("dir");
        let put = |path: &str, size: usize| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().expect("below")).expect("made");
            fs::write(path, vec![0; size]).expect("written");
        };
        put("one/_data/deep/x", 1000);
        put("one/opts.json", 10);
        put("two/_disk/ext4", 5000);
        put("two/other/y", 3);
        let others = ["one/_data", "two/_disk/ext4"].map(|path| dir.path().join(path));
        assert_eq!(size_without(dir.path(), &others.into()), 13);
        assert_eq!((size_of(&dir.path().join("one")), size_of(&dir.path().join("nosuch"))), (1010, 0));
    }
}
