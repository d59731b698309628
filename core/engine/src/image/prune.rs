//! What is not needed: `image prune`, `container prune`, `system prune`; and how much there is: `system df`.

use super::Containers;
use crate::Engine;
use crate::error::{Error, Result};
use crate::request::{ListRequest, RemoveRequest};
use gantry_image::{DeadLayer, ImageStore, ImageSummary, Removed};
use gantry_model::digest::ChainId;
use gantry_model::record::Record;
use gantry_store::containers;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What a pruning removed.
#[derive(Clone, Debug, Default)]
pub struct Pruned {
    /// As Docker prints them.
    pub lines: Vec<String>,
    /// Bytes that are free now.
    pub reclaimed: u64,
}

/// One sort of thing that takes space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    pub total: usize,
    /// In use.
    pub active: usize,
    pub size: u64,
    /// What pruning would free.
    pub reclaimable: u64,
}

/// All that takes space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub images: Space,
    /// Blobs as registries have them, kept so that nothing is packed again when it is pushed.
    pub content: Space,
    pub containers: Space,
    pub volumes: Space,
    pub logs: Space,
    /// What was thrown away or belongs to nobody, and is deleted by the next collection.
    pub trash: Space,
    /// The engine's own records, names, events and caches.
    pub records: Space,
}

impl Engine {
    /// Removes images without a tag that no container uses; with `all`, tagged ones too.
    pub fn prune_images(&self, all: bool, filters: &BTreeMap<String, Vec<String>>) -> Result<Pruned> {
        check_filters(filters, &["dangling", "label", "label!", "until"])?;
        limits(filters)?;
        let all = all || filters.get("dangling").is_some_and(|values| values.iter().any(|v| v == "false" || v == "0"));
        let used = self.image_users()?;
        let mut pruned = Pruned::default();
        for summary in self.images()?.list()? {
            let wanted = all || summary.tags.is_empty();
            let created = summary.created().map_or(0, |time| time.as_nanosecond());
            if wanted
                && !used.contains_key(&summary.image.id.to_string())
                && fits(filters, created, &summary.image.labels)?
            {
                self.prune_image(&summary, &mut pruned);
            }
        }
        if filters.is_empty() {
            pruned.reclaimed += self.images()?.forget_downloads()?;
        }
        self.collect_images()?;
        self.empty_trash();
        self.tell_pruned("image", pruned.reclaimed);
        Ok(pruned)
    }

    /// One that somebody began to use meanwhile stays.
    pub(super) fn prune_image(&self, summary: &ImageSummary, pruned: &mut Pruned) {
        let delete = |dead: &DeadLayer| -> std::result::Result<(), gantry_image::BoxError> {
            Ok(self.with_storage(&dead.driver, |store| Ok(store.remove(&dead.layer)?))?)
        };
        let id = summary.image.id.to_string();
        let names: Vec<String> = summary.tags.iter().chain(&summary.digests).map(ToString::to_string).collect();
        let alone = names.len() < 2;
        let words: Vec<&str> = if alone { vec![&id] } else { names.iter().map(String::as_str).collect() };
        for name in words {
            let removed =
                self.images().and_then(|images| Ok(images.remove(name, false, &Containers(self), &delete)?));
            match removed {
                Ok(removal) => {
                    self.tell_removed(&id, &removal.removed);
                    for removed in &removal.removed {
                        pruned.reclaimed += freed(summary, removed);
                        pruned.lines.push(lower(&removed.to_string()));
                    }
                }
                Err(error) if error.class() == gantry_model::class::Class::NotFound => {}
                Err(error) => tracing::warn!("image {id} stays: {error}"),
            }
        }
    }

    /// Removes all containers that do not run.
    pub fn prune_containers(&self, filters: &BTreeMap<String, Vec<String>>) -> Result<Pruned> {
        check_filters(filters, &["label", "label!", "until"])?;
        limits(filters)?;
        let mut pruned = Pruned::default();
        for summary in self.list(&ListRequest { all: true, ..ListRequest::default() }, false)? {
            let record = &summary.record;
            let labels = self.container_file(&record.id).map(|file| file.config.labels).unwrap_or_default();
            if record.state.status.is_live()
                || record.busy.is_some()
                || !fits(filters, record.created_ns.into(), &labels)?
            {
                continue;
            }
            let size = self.writable_sizes(std::slice::from_ref(record)).remove(&record.id).unwrap_or(0);
            match self.remove(&record.id, RemoveRequest::default()) {
                Ok(()) => {
                    pruned.reclaimed += size;
                    pruned.lines.push(record.id.clone());
                }
                Err(error) => tracing::warn!("container {} stays: {error}", record.id),
            }
        }
        self.tell_pruned("container", pruned.reclaimed);
        Ok(pruned)
    }

    /// How much there is, and how much of it is needed.
    pub fn usage(&self) -> Result<Usage> {
        let records: Vec<Record> =
            containers::list(&self.layout)?.into_iter().map(crate::container::corrected).collect();
        let store = self.images()?;
        std::thread::scope(|scope| {
            let images = scope.spawn(|| Ok((image_space(store, &records)?, content_space(store)?)));
            let (containers, (logs, of_containers)) = (self.container_space(&records), self.log_space(&records));
            let volumes = self.volume_space(&records);
            let (trash, own) = (self.trash_space(&records)?, self.record_space(&records, of_containers));
            let panicked = |_| Err(Error::io("count images")(std::io::Error::other("a thread panicked")));
            let (mut images, content) = images.join().unwrap_or_else(panicked)?;
            images.size = self.layers_held()?.unwrap_or(0).max(images.size);
            Ok(Usage { images, content, containers, volumes, logs, trash, records: own })
        })
    }

    /// Bytes of layers, each as often as it is there; `None` where one driver has each once.
    fn layers_held(&self) -> Result<Option<u64>> {
        let drivers = self.images()?.layer_drivers()?;
        let alone = drivers.iter().all(|driver| driver == self.storage_driver());
        if alone && self.storage()?.store.capabilities()?.copy_on_write {
            return Ok(None);
        }
        let held = drivers.into_iter().map(|driver| self.driver_detail(driver).map(|detail| detail.size));
        held.sum::<Result<u64>>().map(Some)
    }

    fn container_space(&self, records: &[Record]) -> Space {
        let mut space = Space { total: records.len(), ..Space::default() };
        let sizes = self.writable_sizes(records);
        for record in records {
            let (size, live) = (sizes.get(&record.id).copied().unwrap_or(0), record.state.status.is_live());
            space.active += usize::from(live);
            space.size += size;
            space.reclaimable += if live { 0 } else { size };
        }
        space
    }

    fn volume_space(&self, records: &[Record]) -> Space {
        let mut used = BTreeSet::new();
        for record in records {
            used.extend(self.mounts(&record.id).unwrap_or_default().into_iter().map(|mount| mount.name));
        }
        let volumes = self.volume_records();
        let sizes = self.volume_sizes(&volumes);
        let mut space = Space::default();
        for volume in volumes {
            let (size, active) = (sizes.get(&volume.name).copied().unwrap_or(0), used.contains(&volume.name));
            space.total += 1;
            space.active += usize::from(active);
            space.size += size;
            space.reclaimable += if active { 0 } else { size };
        }
        space
    }

    /// What lies in the containers' own directories beside their records, and the bytes of these.
    fn log_space(&self, records: &[Record]) -> (Space, u64) {
        let (mut space, mut own) = (Space::default(), 0);
        for record in records {
            let (size, records) = logs_and_records(&self.layout.container(&record.id));
            own += records;
            let live = record.state.status.is_live();
            space.total += 1;
            space.active += usize::from(live);
            space.size += size;
            space.reclaimable += if live { 0 } else { size };
        }
        (space, own)
    }
}

/// Layers that several images share count once.
fn image_space(images: &ImageStore, records: &[Record]) -> Result<Space> {
    let used: BTreeSet<&str> = records.iter().map(|record| record.image_id.as_str()).collect();
    let mut layers: BTreeMap<ChainId, (u64, bool)> = BTreeMap::new();
    let mut space = Space::default();
    for summary in images.list()? {
        let active = used.contains(summary.image.id.to_string().as_str());
        space.total += 1;
        space.active += usize::from(active);
        for layer in &summary.image.layers {
            let known = layers.entry(layer.chain).or_insert((layer.size, false));
            known.1 |= active;
        }
    }
    space.size = layers.values().map(|(size, _)| size).sum();
    space.reclaimable = layers.values().filter(|(_, active)| !active).map(|(size, _)| size).sum();
    Ok(space)
}

/// Collection takes blobs with their image; what pruning frees is what downloads left that were cut off.
fn content_space(images: &ImageStore) -> Result<Space> {
    let (total, size, reclaimable) = images.kept_content()?;
    Ok(Space { total, active: total, size: size + reclaimable, reclaimable })
}

/// Only what layers held is counted: names and configurations are next to nothing.
fn freed(summary: &ImageSummary, removed: &Removed) -> u64 {
    match removed {
        Removed::Deleted(digest) => {
            summary.image.layers.iter().filter(|layer| layer.chain.0 == *digest).map(|layer| layer.size).sum()
        }
        Removed::Untagged(_) => 0,
    }
}

fn lower(line: &str) -> String {
    let mut chars = line.chars();
    chars.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(chars).collect()
}

pub(crate) fn check_filters(filters: &BTreeMap<String, Vec<String>>, known: &[&str]) -> Result<()> {
    let switches = filters.get("dangling").into_iter().flatten();
    if let Some(bad) = switches.into_iter().find(|value| !matches!(value.as_str(), "0" | "1" | "false" | "true")) {
        return Err(Error::invalid(format!("invalid filter 'dangling={bad}'")).with_hint("choose true or false"));
    }
    match filters.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(bad) => {
            Err(Error::invalid(format!("invalid filter '{bad}'"))
                .with_hint(format!("known filters: {}", known.join(", "))))
        }
    }?;
    // Also when there is nothing to which it could apply.
    limits(filters).map(drop)
}

fn fits(filters: &BTreeMap<String, Vec<String>>, created_ns: i128, labels: &BTreeMap<String, String>) -> Result<bool> {
    let limits = limits(filters)?;
    Ok(labels_fit(filters, labels) && limits.iter().all(|limit| created_ns < *limit))
}

/// The points in time before which something must have been made.
pub(super) fn limits(filters: &BTreeMap<String, Vec<String>>) -> Result<Vec<i128>> {
    filters.get("until").into_iter().flatten().map(|value| until(value)).collect()
}

/// The filters by labels alone.
pub(crate) fn labels_fit(filters: &BTreeMap<String, Vec<String>>, labels: &BTreeMap<String, String>) -> bool {
    let wanted = |key: &str| filters.get(key).into_iter().flatten();
    wanted("label").all(|value| crate::container::label_fits(labels, value))
        && !wanted("label!").any(|value| crate::container::label_fits(labels, value))
}

/// A point in time in nanoseconds: an age, a date, or seconds since 1970.
fn until(text: &str) -> Result<i128> {
    let now = i64::try_from(crate::now_ns()).unwrap_or(i64::MAX);
    gantry_model::time::parse(text, now).map(i128::from).map_err(|error| Error::invalid(error.to_string()))
}

/// Apparent bytes of all files below, hard links once; what cannot be read counts nothing.
pub(crate) fn tree_size(dir: &Path) -> u64 {
    sum(dir, |_, _| ())
}

/// Bytes of the logs in a container's directory, where the engine's own records are files of JSON.
pub(crate) fn logs_size(container: &Path) -> u64 {
    logs_and_records(container).0
}

fn logs_and_records(container: &Path) -> (u64, u64) {
    let is_record = |path: &Path| path.parent() == Some(container) && path.extension().is_some_and(|end| end == "json");
    let mut records = 0;
    let all = sum(container, |path, size| records += if is_record(path) { size } else { 0 });
    (all - records, records)
}

fn sum(dir: &Path, mut found: impl FnMut(&Path, u64)) -> u64 {
    let (mut size, mut seen, mut open) = (0_u64, BTreeSet::new(), vec![dir.to_owned()]);
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                open.push(entry.path());
            } else if meta.nlink() < 2 || seen.insert((meta.dev(), meta.ino())) {
                found(&entry.path(), meta.len());
                size = size.saturating_add(meta.len());
            }
        }
    }
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(until("100").expect("seconds"), 100_000_000_000);
        assert_eq!(until("2024-01-01T00:00:00Z").expect("date"), 1_704_067_200_000_000_000);
        assert!(until("24h").expect("age") < i128::from(crate::now_ns()));
        assert!(until("soon").is_err());
        assert_eq!(lower("Untagged: A"), "untagged: A");
    }

    #[test]
    fn trees_are_measured() {
        let dir = tempfile::tempdir().expect("dir");
        fs::create_dir(dir.path().join("a")).expect("dir");
        fs::write(dir.path().join("a/x"), "12345").expect("file");
        fs::hard_link(dir.path().join("a/x"), dir.path().join("y")).expect("link");
        assert_eq!(tree_size(dir.path()), 5);
        assert_eq!(tree_size(&dir.path().join("nosuch")), 0);
    }
}
