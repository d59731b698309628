//! Volumes: the engine keeps which driver a volume belongs to, who uses it, and mounts those that are file systems of
//! their own once per host; the data is the driver's.

pub(crate) mod borrowing;
pub(crate) mod copy;
pub(crate) mod mounting;
mod moving;
mod opening;
mod prune;
mod tree;
mod usage;

use crate::Engine;
use crate::container::mounts::MountRecord;
use crate::error::{Error, Result};
use gantry_host::Kind;
use gantry_host::api::options::Scope;
use gantry_host::api::volume::VolumeInfo;
use gantry_model::class::Class;
use gantry_store::atomic::{self, Durability};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// What the engine keeps of a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeRecord {
    /// Its name.
    pub name: String,
    /// Its driver.
    pub driver: String,
    /// Options as given.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Nanoseconds since 1970.
    pub created_ns: u64,
    /// The volume whose state at that moment this is, not to be written to; empty: it is no snapshot.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub snapshot_of: String,
}

impl VolumeRecord {
    /// Nobody writes to it.
    pub(crate) fn is_snapshot(&self) -> bool {
        !self.snapshot_of.is_empty()
    }
}

const ANONYMOUS: &str = "com.docker.volume.anonymous";

impl Engine {
    fn volume_path(&self, name: &str) -> PathBuf {
        self.layout.volumes().join(format!("{name}.json"))
    }

    /// Is there while an image's content is copied into the volume.
    fn volume_copying(&self, name: &str) -> PathBuf {
        self.layout.volumes().join(format!("{name}.copying"))
    }

    pub(crate) fn volume_record_of(&self, name: &str) -> Result<Option<VolumeRecord>> {
        if !gantry_model::ids::is_valid_name(name) {
            return Ok(None);
        }
        Ok(atomic::read_json_optional(&self.volume_path(name))?)
    }

    /// The driver of a volume that exists.
    pub(crate) fn volume_driver_of(&self, name: &str) -> Result<Option<String>> {
        Ok(self.volume_record_of(name)?.map(|r| r.driver))
    }

    /// Makes a volume; one with the same driver and options is no error. Answers its name.
    pub fn volume_create(
        &self,
        name: Option<String>,
        driver: Option<String>,
        options: BTreeMap<String, String>,
        labels: BTreeMap<String, String>,
    ) -> Result<String> {
        let mut labels = labels;
        let name = match name.filter(|n| !n.is_empty()) {
            Some(name) => name,
            None => {
                labels.insert(ANONYMOUS.to_owned(), String::new());
                crate::random_id()?
            }
        };
        check_volume_name(&name)?;
        let driver = driver.filter(|d| !d.is_empty()).unwrap_or_else(|| self.settings.config.volume_driver.clone());
        let created_ns = crate::now_ns();
        let record = VolumeRecord { name, driver, options, labels, created_ns, ..VolumeRecord::default() };
        self.ensure_volume(record)
    }

    fn ensure_volume(&self, record: VolumeRecord) -> Result<String> {
        if let Some(existing) = self.volume_record_of(&record.name)? {
            same_volume(&existing, &record)?;
            return Ok(record.name);
        }
        let driver = self.plugins.volume(&record.driver)?;
        let given: Vec<_> = record.options.clone().into_iter().collect();
        let options = self.plugins.check_options(Kind::Volume, &record.driver, Scope::OBJECT, &given)?;
        driver.validate(&record.name, &options)?;
        atomic::make_dir(&self.layout.volumes())?;
        driver.create(&record.name, &options, &self.driver_dirs("volume", &record.driver))?;
        atomic::write_json(&self.volume_path(&record.name), &record, Durability::Rename)?;
        self.tell_object("volume", "create", &record.name, &[("driver", &record.driver)]);
        Ok(record.name)
    }

    /// Makes the volumes of a container that do not exist yet; on failure those just made go again.
    pub(crate) fn ensure_volumes(&self, mounts: &[MountRecord]) -> Result<Vec<String>> {
        let mut made = Vec::new();
        for mount in mounts.iter().filter(|m| m.r#type == "volume") {
            if let Some(existing) = self.volume_record_of(&mount.name)? {
                agree(&existing, mount)?;
                continue;
            }
            match self.ensure_volume(record_for(mount)) {
                Ok(name) => made.push(name),
                Err(error) => {
                    let undone = made.iter().map(|n| self.volume_remove(n, true)).filter_map(Result::err).collect();
                    return Err(error.join(undone));
                }
            }
        }
        Ok(made)
    }

    /// Removes a volume that no container mounts.
    pub fn volume_remove(&self, name: &str, force: bool) -> Result<()> {
        let Some(record) = self.volume_record_of(name)? else {
            return if force { Ok(()) } else { Err(no_such_volume(name)) };
        };
        let users = self.volume_users(name)?;
        if !users.is_empty() {
            let message = format!("remove {name}: volume is in use - [{}]", users.join(", "));
            return Err(Error::request(Class::InUse, message));
        }
        let driver = self.plugins.volume(&record.driver)?;
        let removed = driver.remove(name, &self.driver_dirs("volume", &record.driver));
        if let Err(error) = removed {
            let missing = error.class() == gantry_host::Class::NOT_FOUND;
            if !missing && !force {
                return Err(error.into());
            }
        }
        let _ = fs::remove_file(self.volume_copying(name));
        fs::remove_file(self.volume_path(name)).map_err(Error::io(format!("remove record of volume {name}")))?;
        if let Err(error) = self.forget_usage(name) {
            tracing::warn!("volume {name} is removed, but not all that told of it: {error}");
        }
        self.tell_object("volume", "destroy", name, &[("driver", &record.driver)]);
        Ok(())
    }

    fn volume_users(&self, name: &str) -> Result<Vec<String>> {
        let ids = gantry_store::containers::ids(&self.layout)?;
        let mounted = |m: &MountRecord| m.r#type == "volume" && m.name == name;
        let uses = |id: &String| self.mounts(id).is_ok_and(|mounts| mounts.iter().any(mounted));
        Ok(ids.into_iter().filter(uses).collect())
    }

    /// Removes the anonymous volumes of a removed container that nobody else mounts.
    pub(crate) fn remove_anonymous_volumes(&self, mounts: &[MountRecord]) -> Result<()> {
        let anonymous = mounts.iter().filter(|m| m.anonymous && m.r#type == "volume");
        for mount in anonymous {
            if self.volume_users(&mount.name)?.is_empty() {
                self.volume_remove(&mount.name, true)?;
            }
        }
        Ok(())
    }

    /// All records that can be read, by name.
    pub(crate) fn volume_records(&self) -> Vec<VolumeRecord> {
        let names = fs::read_dir(self.layout.volumes()).into_iter().flatten().flatten();
        let names = names.filter_map(|e| Some(e.file_name().to_str()?.strip_suffix(".json")?.to_owned()));
        let mut records: Vec<_> = names.filter_map(|name| self.volume_record_of(&name).ok().flatten()).collect();
        records.sort_by(|a, b| a.name.cmp(&b.name));
        records
    }

    /// The volumes that a driver has.
    pub(crate) fn volumes_held(&self, driver: &str) -> Result<Vec<VolumeInfo>> {
        Ok(self.plugins.volume(driver)?.list(&self.driver_dirs("volume", driver))?)
    }

    /// Makes a record for a volume that a driver has.
    pub(crate) fn adopt_volume(&self, driver: &str, name: &str) -> Result<()> {
        check_volume_name(name)?;
        let record = VolumeRecord {
            name: name.to_owned(),
            driver: driver.to_owned(),
            created_ns: crate::now_ns(),
            ..VolumeRecord::default()
        };
        atomic::make_dir(&self.layout.volumes())?;
        Ok(atomic::write_json(&self.volume_path(name), &record, Durability::Rename)?)
    }

    /// All volumes in Docker's words.
    pub fn volumes(&self) -> Result<Vec<Value>> {
        let names = fs::read_dir(self.layout.volumes()).into_iter().flatten().flatten();
        let names = names.filter_map(|e| Some(e.file_name().to_str()?.strip_suffix(".json")?.to_owned()));
        let mut names: Vec<String> = names.collect();
        names.sort();
        names.iter().map(|n| self.volume_inspect(n)).collect()
    }

    /// The volumes that fit.
    pub fn volumes_that(&self, filters: &BTreeMap<String, Vec<String>>) -> Result<Vec<Value>> {
        crate::image::check_filters(filters, &["dangling", "driver", "label", "name"])?;
        let used = if filters.contains_key("dangling") { self.volumes_in_use()? } else { Default::default() };
        let mut volumes = self.volumes()?;
        volumes.retain(|volume| {
            let text = |key: &str| volume[key].as_str().unwrap_or_default();
            filters.iter().all(|(key, values)| {
                let fits = |value: &String| match key.as_str() {
                    "driver" => text("Driver") == value,
                    "name" => crate::pattern::fits(text("Name"), value),
                    "label" => crate::network::filter::label_fits(&volume["Labels"], value),
                    _ => matches!(value.as_str(), "1" | "true") != used.contains(text("Name")),
                };
                if key == "label" { values.iter().all(fits) } else { values.iter().any(fits) }
            })
        });
        Ok(volumes)
    }

    /// All volumes with their sizes and how many containers mount them: every file is looked at.
    pub fn volumes_measured(&self) -> Result<Vec<Value>> {
        let ids = gantry_store::containers::ids(&self.layout)?;
        let mounts: Vec<_> = ids.iter().flat_map(|id| self.mounts(id).unwrap_or_default()).collect();
        let (mut volumes, sizes) = (self.volumes()?, self.volume_sizes(&self.volume_records()));
        for volume in &mut volumes {
            let name = volume["Name"].as_str().unwrap_or_default().to_owned();
            let users = mounts.iter().filter(|mount| mount.r#type == "volume" && mount.name == name).count();
            let size = sizes.get(&name).copied().unwrap_or(0);
            volume["UsageData"] = json!({ "Size": size, "RefCount": users });
        }
        Ok(volumes)
    }

    /// One volume in Docker's words.
    pub fn volume_inspect(&self, name: &str) -> Result<Value> {
        let record = self.volume_record_of(name)?.ok_or_else(|| no_such_volume(name))?;
        let driver = self.plugins.volume(&record.driver)?;
        let info = driver.get(name, &self.driver_dirs("volume", &record.driver))?;
        let mut value = json!({
            "CreatedAt": crate::rfc3339(record.created_ns),
            "Driver": record.driver,
            "Labels": record.labels,
            "Mountpoint": self.opened_at(name).unwrap_or(info.mountpoint),
            "Name": record.name,
            "Options": record.options,
            "Scope": if driver.capabilities().global_scope { "global" } else { "local" },
        });
        let mut facts: BTreeMap<String, String> = info.status.into_iter().collect();
        if record.is_snapshot() {
            facts.insert("SnapshotOf".to_owned(), record.snapshot_of);
        }
        if !facts.is_empty() {
            value["Status"] = json!(facts);
        }
        Ok(value)
    }
}

fn record_for(mount: &MountRecord) -> VolumeRecord {
    let mut labels = mount.labels.clone();
    if mount.anonymous {
        labels.insert(ANONYMOUS.to_owned(), String::new());
    }
    VolumeRecord {
        name: mount.name.clone(),
        driver: mount.driver.clone(),
        options: mount.driver_options.clone(),
        labels,
        created_ns: crate::now_ns(),
        ..VolumeRecord::default()
    }
}

fn check_volume_name(name: &str) -> Result<()> {
    if name.len() < 2 {
        return Err(Error::invalid("volume name is too short, names should be at least two alphanumeric characters"));
    }
    if gantry_model::ids::is_valid_name(name) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "create {name}: \"{name}\" includes invalid characters for a local volume name, only \
         \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
    )))
}

/// Who asks for options, or to write, gets them or an error.
fn agree(existing: &VolumeRecord, mount: &MountRecord) -> Result<()> {
    if !mount.driver_options.is_empty() {
        same_volume(existing, &record_for(mount))?;
    }
    let writes = (mount.rw && !mount.overlay) || mount.chown;
    if writes && existing.is_snapshot() { Err(written_snapshot(existing)) } else { Ok(()) }
}

fn written_snapshot(record: &VolumeRecord) -> Error {
    let VolumeRecord { name, snapshot_of, .. } = record;
    let error = Error::invalid(format!("volume {name} is a snapshot of {snapshot_of} and cannot be written to"));
    error.with_hint(format!(
        "mount it read-only ({name}:/target:ro), or write to a copy: gantry volume clone {name} NEW"
    ))
}

fn same_volume(existing: &VolumeRecord, wanted: &VolumeRecord) -> Result<()> {
    let name = &existing.name;
    if existing.driver != wanted.driver {
        let message = format!("volume {name} already exists with driver {}, not {}", existing.driver, wanted.driver);
        return Err(Error::request(Class::Exists, message));
    }
    if existing.options == wanted.options {
        return Ok(());
    }
    let (old, new) = (pairs(&existing.options), pairs(&wanted.options));
    let message = format!("volume {name} already exists with other options: has [{old}], asked for [{new}]");
    Err(Error::request(Class::Exists, message).with_hint("choose another name, or remove the volume first"))
}

fn pairs(options: &BTreeMap<String, String>) -> String {
    options.iter().map(|(k, v)| format!("{k}={}", without_passwords(v))).collect::<Vec<_>>().join(" ")
}

/// A list of mount options as it may be shown.
fn without_passwords(text: &str) -> String {
    let word = |word: &str| match word.split_once('=') {
        Some((key @ ("password" | "pass"), _)) => format!("{key}=********"),
        _ => word.to_owned(),
    };
    text.split(',').map(word).collect::<Vec<_>>().join(",")
}

fn no_such_volume(name: &str) -> Error {
    Error::request(Class::NotFound, format!("get {name}: no such volume"))
}
