//! What a container mounts beside its root: `-v`, `--mount`, `--tmpfs`, `--volumes-from` and the image's volumes,
//! resolved when the container is created and kept in `<container>/mounts.json`.

use super::image_mounts::MountedImage;
use super::propagation;
use crate::Engine;
use crate::error::{Error, Result};
use gantry_model::class::Class;
use gantry_model::container::{Config, HostConfig, Mount};
use gantry_model::idmap::IdMaps;
use gantry_store::atomic::{self, Durability};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One resolved mount; serialised in the words of `inspect`'s `Mounts`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MountRecord {
    /// `bind`, `volume`, `tmpfs`, `image`.
    pub r#type: String,
    /// A volume's name, or an image as it was called.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Where the data lies on the host; for a volume filled in at start when its driver says so then.
    pub source: String,
    /// Where it appears in the container.
    pub destination: String,
    /// A volume's driver.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// The mode as the user wrote it.
    pub mode: String,
    /// Writable.
    #[serde(rename = "RW")]
    pub rw: bool,
    /// Propagation of a bind.
    pub propagation: String,
    /// Options of a tmpfs, or of a bind beyond the ones above.
    #[serde(rename = "GantryOptions", skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// The volume got a generated name.
    #[serde(rename = "GantryAnonymous", skip_serializing_if = "std::ops::Not::not")]
    pub anonymous: bool,
    /// Do not copy the image's content into an empty volume.
    #[serde(rename = "GantryNoCopy", skip_serializing_if = "std::ops::Not::not")]
    pub no_copy: bool,
    /// Part of the volume to mount.
    #[serde(rename = "GantrySubpath", skip_serializing_if = "String::is_empty")]
    pub subpath: String,
    /// Missing source of a `-v` bind is made.
    #[serde(rename = "GantryCreate", skip_serializing_if = "std::ops::Not::not")]
    pub create_source: bool,
    /// From `--tmpfs`: not shown in `inspect`'s `Mounts`.
    #[serde(rename = "GantryHidden", skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
    /// Which image is mounted.
    #[serde(rename = "GantryImage", skip_serializing_if = "Option::is_none")]
    pub image: Option<MountedImage>,
    /// What is mounted is given to the container's user.
    #[serde(rename = "GantryChown", skip_serializing_if = "std::ops::Not::not")]
    pub chown: bool,
    /// Changes go to a layer that is thrown away.
    #[serde(rename = "GantryOverlay", skip_serializing_if = "std::ops::Not::not")]
    pub overlay: bool,
    /// Labels for a volume made here.
    #[serde(rename = "GantryLabels", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Options for a volume made here.
    #[serde(rename = "GantryDriverOptions", skip_serializing_if = "BTreeMap::is_empty")]
    pub driver_options: BTreeMap<String, String>,
}

const PROPAGATIONS: [&str; 6] = ["shared", "rshared", "slave", "rslave", "private", "rprivate"];

impl Engine {
    /// Resolves all mounts of a new container, in the order in which they are to be made.
    pub(crate) fn resolve_mounts(&self, config: &Config, host: &HostConfig) -> Result<Vec<MountRecord>> {
        let mut mounts: BTreeMap<String, MountRecord> = BTreeMap::new();
        let mut explicit: BTreeMap<String, MountRecord> = BTreeMap::new();
        for from in host.volumes_from.iter().flatten() {
            mounts.extend(self.volumes_from(from)?.into_iter().map(|m| (m.destination.clone(), m)));
        }
        for text in host.binds.iter().flatten() {
            add(&mut explicit, self.parse_bind(text, host)?)?;
        }
        for mount in &host.mounts {
            add(&mut explicit, self.mount_record(mount, host)?)?;
        }
        for (target, options) in &host.tmpfs {
            add(&mut explicit, tmpfs_record(target, options)?)?;
        }
        mounts.extend(explicit);
        for target in config.volumes.iter().flat_map(|v| v.keys()) {
            let target = clean_target(target)?;
            if !mounts.contains_key(&target) {
                mounts.insert(target.clone(), self.volume_record("", &target, host)?);
            }
        }
        let mut mounts: Vec<MountRecord> = mounts.into_values().collect();
        mounts.sort_by_key(|m| Path::new(&m.destination).components().count());
        mounts.iter().try_for_each(propagation::check)?;
        if !self.wants_userns(host) && mounts.iter().any(|mount| mount.options.iter().any(|o| o == "idmap")) {
            return Err(Error::invalid("idmap needs a user namespace of the container's own").with_hint("add --userns"));
        }
        if self.wants_userns(host) && mounts.iter().any(|mount| mount.options.iter().any(|o| is_map(o))) {
            let error = Error::invalid("a mount with a map of its own needs a container without a user namespace");
            return Err(error.with_hint("write idmap alone for the container's map"));
        }
        Ok(mounts)
    }

    fn volumes_from(&self, text: &str) -> Result<Vec<MountRecord>> {
        let (reference, mode) = text.split_once(':').unwrap_or((text, ""));
        if reference.is_empty() {
            return Err(Error::invalid("invalid empty volumes-from specification"));
        }
        if !matches!(mode, "" | "ro" | "rw" | "z" | "Z") {
            return Err(Error::invalid(format!("invalid mode: {mode}")));
        }
        let id = gantry_store::containers::resolve(&self.layout, reference)?;
        let mut mounts = self.mounts(&id)?;
        mounts.retain(|m| m.r#type != "tmpfs");
        for mount in &mut mounts {
            mount.no_copy = true;
            mount.rw &= mode != "ro";
        }
        Ok(mounts)
    }

    /// Parses `[SOURCE:]TARGET[:OPTIONS]`.
    fn parse_bind(&self, text: &str, host: &HostConfig) -> Result<MountRecord> {
        let parts: Vec<&str> = text.split(':').collect();
        let (source, target, options) = match parts.as_slice() {
            [target] => ("", *target, ""),
            [source, target] => (*source, *target, ""),
            [source, target, options] => (*source, *target, *options),
            _ => return Err(Error::invalid(format!("invalid volume specification: '{text}': too many colons"))),
        };
        let target = clean_target(target)?;
        let mut mount = if source.starts_with('/') {
            bind_record(source, &target, true)
        } else {
            self.volume_record(source, &target, host)?
        };
        options.split(',').filter(|o| !o.is_empty()).try_for_each(|o| apply_mode(&mut mount, o))?;
        options.clone_into(&mut mount.mode);
        Ok(mount)
    }

    fn mount_record(&self, mount: &Mount, host: &HostConfig) -> Result<MountRecord> {
        let target = clean_target(&mount.target)?;
        let mut record = match mount.r#type.as_str() {
            "bind" => self.bind_mount_record(mount, &target)?,
            "volume" | "" => self.volume_mount_record(mount, &target, host)?,
            "tmpfs" => from_tmpfs_mount(mount, &target)?,
            "image" => return self.image_mount_record(mount, &target),
            other => return Err(Error::invalid(format!("mount type unknown: \"{other}\""))),
        };
        record.rw = !mount.read_only;
        Ok(record)
    }

    fn bind_mount_record(&self, mount: &Mount, target: &str) -> Result<MountRecord> {
        let options = mount.bind_options.clone().unwrap_or_default();
        if !mount.source.starts_with('/') {
            return Err(Error::invalid(format!(
                "invalid mount config for type \"bind\": invalid mount path: '{}' mount path must be absolute",
                mount.source
            )));
        }
        if !options.create_mountpoint && !Path::new(&mount.source).exists() {
            return Err(Error::invalid(format!(
                "invalid mount config for type \"bind\": bind source path does not exist: {}",
                mount.source
            )));
        }
        let mut record = bind_record(&mount.source, target, options.create_mountpoint);
        if !options.propagation.is_empty() {
            record.propagation.clone_from(&options.propagation);
        }
        if options.non_recursive {
            record.options.push("bind".into());
        }
        if options.read_only_non_recursive {
            record.options.push("ro-top".into());
        }
        Ok(record)
    }

    fn volume_mount_record(&self, mount: &Mount, target: &str, host: &HostConfig) -> Result<MountRecord> {
        let options = mount.volume_options.clone().unwrap_or_default();
        let mut record = self.volume_record(&mount.source, target, host)?;
        if !options.driver_config.name.is_empty() {
            let recorded = self.volume_driver_of(&record.name)?;
            agree(&record.name, recorded.as_deref(), &options.driver_config.name)?;
            record.driver = options.driver_config.name;
        }
        if !options.subpath.is_empty() && record.anonymous {
            return Err(Error::invalid("must not set Subpath when using anonymous volumes"));
        }
        record.driver_options = options.driver_config.options;
        record.labels = options.labels;
        record.no_copy = options.no_copy;
        record.subpath = options.subpath;
        Ok(record)
    }

    fn volume_record(&self, name: &str, target: &str, host: &HostConfig) -> Result<MountRecord> {
        let anonymous = name.is_empty();
        let name = if anonymous { crate::random_id()? } else { name.to_owned() };
        if !gantry_model::ids::is_valid_name(&name) {
            return Err(Error::invalid(format!(
                "\"{name}\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are \
                 allowed. If you intended to pass a host directory, use absolute path"
            )));
        }
        let default = &self.settings.config.volume_driver;
        let driver = if host.volume_driver.is_empty() { default.clone() } else { host.volume_driver.clone() };
        let recorded = self.volume_driver_of(&name)?;
        agree(&name, recorded.as_deref(), &host.volume_driver)?;
        Ok(MountRecord {
            r#type: "volume".into(),
            driver: recorded.unwrap_or(driver),
            name,
            destination: target.to_owned(),
            rw: true,
            mode: "z".into(),
            anonymous,
            ..MountRecord::default()
        })
    }

    /// The mounts kept for a container.
    pub(crate) fn mounts(&self, id: &str) -> Result<Vec<MountRecord>> {
        Ok(atomic::read_json_optional(&self.mounts_path(id))?.unwrap_or_default())
    }

    pub(crate) fn write_mounts(&self, id: &str, mounts: &[MountRecord]) -> Result<()> {
        Ok(atomic::write_json(&self.mounts_path(id), &mounts, Durability::Rename)?)
    }

    fn mounts_path(&self, id: &str) -> PathBuf {
        self.layout.container(id).join("mounts.json")
    }
}

fn add(mounts: &mut BTreeMap<String, MountRecord>, mount: MountRecord) -> Result<()> {
    match mounts.insert(mount.destination.clone(), mount) {
        None => Ok(()),
        Some(old) => Err(Error::invalid(format!("Duplicate mount point: {}", old.destination))),
    }
}

fn bind_record(source: &str, target: &str, create: bool) -> MountRecord {
    MountRecord {
        r#type: "bind".into(),
        source: source.to_owned(),
        destination: target.to_owned(),
        rw: true,
        propagation: "rprivate".into(),
        create_source: create,
        ..MountRecord::default()
    }
}

fn tmpfs_record(target: &str, options: &str) -> Result<MountRecord> {
    let given: Vec<String> = options.split(',').filter(|o| !o.is_empty()).map(str::to_owned).collect();
    if let Some(bad) = given.iter().find(|o| !is_tmpfs_option(o)) {
        return Err(Error::invalid(format!("invalid tmpfs option \"{bad}\"")));
    }
    let mut record = tmpfs(&clean_target(target)?);
    record.options.extend(given);
    record.hidden = true;
    Ok(record)
}

fn from_tmpfs_mount(mount: &Mount, target: &str) -> Result<MountRecord> {
    if !mount.source.is_empty() {
        return Err(Error::invalid("invalid mount config for type \"tmpfs\": field Source must not be specified"));
    }
    let options = mount.tmpfs_options.clone().unwrap_or_default();
    let mut record = tmpfs(target);
    if options.size_bytes > 0 {
        record.options.push(format!("size={}", options.size_bytes));
    }
    if options.mode > 0 {
        record.options.push(format!("mode={:o}", options.mode));
    }
    Ok(record)
}

fn tmpfs(target: &str) -> MountRecord {
    let options = ["nosuid", "nodev", "noexec"].map(str::to_owned).to_vec();
    MountRecord { r#type: "tmpfs".into(), destination: target.to_owned(), rw: true, options, ..MountRecord::default() }
}

fn is_tmpfs_option(option: &str) -> bool {
    const KEYS: [&str; 8] = ["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol", "huge"];
    const FLAGS: [&str; 16] = [
        "ro",
        "rw",
        "exec",
        "noexec",
        "suid",
        "nosuid",
        "dev",
        "nodev",
        "sync",
        "async",
        "atime",
        "noatime",
        "diratime",
        "nodiratime",
        "relatime",
        "strictatime",
    ];
    match option.split_once('=') {
        Some((key, value)) => KEYS.contains(&key) && !value.is_empty(),
        None => FLAGS.contains(&option),
    }
}

/// One word after the second colon of `-v`.
fn apply_mode(mount: &mut MountRecord, word: &str) -> Result<()> {
    let bind = mount.r#type == "bind";
    match word {
        "ro" | "rro" => mount.rw = false,
        "rw" | "z" | "Z" | "consistent" | "cached" | "delegated" | "rbind" => {}
        "nocopy" if !bind => mount.no_copy = true,
        "U" => mount.chown = true,
        "O" => mount.overlay = true,
        "idmap" => mount.options.push("idmap".into()),
        map if bind && is_map(map) => mount.options.push(map.to_owned()),
        "nocreate" if bind => mount.create_source = false,
        word if bind && PROPAGATIONS.contains(&word) => word.clone_into(&mut mount.propagation),
        other => return Err(Error::invalid(format!("invalid mode: {other}"))),
    }
    Ok(())
}

/// A map of owners for one mount, checked.
pub(crate) fn is_map(option: &str) -> bool {
    option.strip_prefix("idmap=").is_some_and(|map| IdMaps::of_mount(map).is_ok())
}

fn clean_target(target: &str) -> Result<String> {
    if !target.starts_with('/') {
        let message = format!("invalid mount path: '{target}' mount path must be absolute");
        return Err(Error::invalid(message));
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in target.split('/').filter(|p| !p.is_empty() && *p != ".") {
        if part == ".." { parts.pop().map_or((), drop) } else { parts.push(part) }
    }
    if parts.is_empty() {
        return Err(Error::invalid("invalid specification: destination can't be '/'"));
    }
    Ok(format!("/{}", parts.join("/")))
}

/// Makes the missing source of a `-v` bind, as Docker does.
pub(crate) fn ensure_bind_source(mount: &MountRecord, autocreate: bool) -> Result<()> {
    let path = Path::new(&mount.source);
    if mount.r#type != "bind" || path.exists() {
        return Ok(());
    }
    if mount.create_source && autocreate {
        return std::fs::create_dir_all(path).map_err(Error::io(format!("create bind source {}", path.display())));
    }
    Err(Error::request(Class::Invalid, format!("bind source path does not exist: {}", path.display())))
}

/// A volume that is there has the driver that is asked for, if one is.
fn agree(name: &str, recorded: Option<&str>, wanted: &str) -> Result<()> {
    match recorded.filter(|driver| !wanted.is_empty() && *driver != wanted) {
        None => Ok(()),
        Some(driver) => {
            let message = format!("volume {name} already exists with driver {driver}, not {wanted}");
            Err(Error::request(Class::Exists, message).with_hint("choose another name, or leave the driver away"))
        }
    }
}
