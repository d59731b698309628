//! How much containers have written and volumes hold.
//!
//! A container that does not run is measured once: its size is kept in the cache with inode and time of its record,
//! which every act on a container writes. Times may be coarser than changes, so what was changed a moment ago is
//! measured again.

use super::tree_size;
use crate::Engine;
use crate::volume::VolumeRecord;
use gantry_host::api::volume::VolumeInfo;
use gantry_model::record::Record;
use gantry_store::atomic::{self, Durability};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Changes as close as this to a look may hide behind the same time.
const MOMENT_NS: u64 = 100_000_000;

/// The fact by which a driver tells which file holds a volume's data.
const BACKING_FILE: &str = "Backing File";

/// A container's size as it was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Measured {
    inode: u64,
    changed_ns: u64,
    bytes: u64,
}

impl Engine {
    /// What containers have written, by their ids; those whose driver does not answer are missing.
    pub(crate) fn writable_sizes(&self, records: &[Record]) -> HashMap<String, u64> {
        let (now, mut known) = (crate::now_ns(), self.known_sizes());
        let (mut sizes, mut stamps) = (HashMap::new(), Vec::new());
        for record in records {
            let stamp = self.stamp_of(record, now);
            match known.get(&record.id).filter(|size| stamp == Some((size.inode, size.changed_ns))) {
                Some(size) => drop(sizes.insert(record.id.clone(), size.bytes)),
                None => stamps.push((record.id.clone(), stamp)),
            }
        }
        let measured = self.measured_now(stamps.iter().map(|(id, _)| id));
        let lasting = stamps.into_iter().filter_map(|(id, stamp)| {
            let ((inode, changed_ns), bytes) = (stamp?, *measured.get(&id)?);
            Some((id, Measured { inode, changed_ns, bytes }))
        });
        let lasting: Vec<_> = lasting.collect();
        if !lasting.is_empty() {
            known.extend(lasting);
            known.retain(|id, _| self.layout.container(id).is_dir());
            self.keep_sizes(&known);
        }
        sizes.extend(measured);
        sizes
    }

    /// Asks each driver once.
    fn measured_now<'i>(&self, ids: impl Iterator<Item = &'i String>) -> HashMap<String, u64> {
        let mut drivers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for id in ids {
            let driver = self.container_file(id).map(|file| file.storage_driver).unwrap_or_default();
            drivers.entry(driver).or_default().push(id.clone());
        }
        let mut sizes = HashMap::new();
        for (driver, ids) in drivers {
            let usages = self.with_storage(&driver, |store| Ok(store.usages(ids.clone())?)).unwrap_or_default();
            sizes.extend(ids.into_iter().zip(usages).filter_map(|(id, usage)| Some((id, usage.ok()?.bytes))));
        }
        sizes
    }

    /// Inode and time of the record of a container that nobody changes now.
    fn stamp_of(&self, record: &Record, now: u64) -> Option<(u64, u64)> {
        if record.state.status.is_live() || record.busy.is_some() {
            return None;
        }
        let meta = fs::metadata(self.layout.container(&record.id).join("record.json")).ok()?;
        let changed = u64::try_from(meta.mtime()).ok()? * 1_000_000_000 + u64::try_from(meta.mtime_nsec()).ok()?;
        (changed + MOMENT_NS < now).then_some((meta.ino(), changed))
    }

    fn sizes_path(&self) -> PathBuf {
        self.layout.cache().join("sizes.json")
    }

    fn known_sizes(&self) -> HashMap<String, Measured> {
        atomic::read_json_optional(&self.sizes_path()).ok().flatten().unwrap_or_default()
    }

    /// What cannot be kept is measured again.
    fn keep_sizes(&self, sizes: &HashMap<String, Measured>) {
        let kept = atomic::make_dir(&self.layout.cache())
            .and_then(|()| atomic::write_json(&self.sizes_path(), sizes, Durability::Rename));
        if let Err(error) = kept {
            tracing::debug!("sizes of containers are not kept: {error}");
        }
    }

    /// Bytes of each volume, by its name; each driver is asked once.
    pub(crate) fn volume_sizes(&self, records: &[VolumeRecord]) -> HashMap<String, u64> {
        let mut drivers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for record in records {
            drivers.entry(&record.driver).or_default().push(&record.name);
        }
        let mut sizes = HashMap::new();
        for (driver, names) in drivers {
            let held = self.volumes_held(driver).unwrap_or_default().into_iter();
            sizes
                .extend(held.filter(|info| names.contains(&&*info.name)).map(|info| (info.name.clone(), bytes(&info))));
        }
        sizes
    }

    /// Bytes of a volume's files; 0 when they do not lie on this host.
    pub(crate) fn volume_size(&self, record: &VolumeRecord) -> u64 {
        let found = self
            .plugins
            .volume(&record.driver)
            .map(|driver| driver.get(&record.name, &self.driver_dirs("volume", &record.driver)));
        match found {
            Ok(Ok(info)) => bytes(&info),
            _ => 0,
        }
    }
}

/// Where a volume's data lies: its files, and the file that holds them.
pub(super) fn places(info: &VolumeInfo) -> impl Iterator<Item = PathBuf> {
    let file = info.status.iter().find(|(key, _)| key == BACKING_FILE).map(|(_, path)| PathBuf::from(path));
    file.into_iter().chain((!info.mountpoint.is_empty()).then(|| PathBuf::from(&info.mountpoint)))
}

/// What a volume takes: the blocks of the file that holds it, or the bytes of its files.
fn bytes(info: &VolumeInfo) -> u64 {
    let file = info.status.iter().find(|(key, _)| key == BACKING_FILE);
    match file {
        Some((_, path)) => fs::metadata(path).map_or(0, |meta| meta.blocks() * 512),
        None if info.mountpoint.is_empty() => 0,
        None => tree_size(Path::new(&info.mountpoint)),
    }
}
