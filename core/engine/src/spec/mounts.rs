//! Mounts beside the default ones: volumes, binds, tmpfs, and the files of `/etc` the engine writes.

use super::Parts;
use crate::container::foreign::is_own;
use crate::container::mounts::MountRecord;
use crate::error::{Error, Result};
use crate::userns;
use gantry_model::idmap::IdMaps;
use oci_spec::runtime::{Mount, Spec};
use std::path::Path;

const DEFAULT_SHM: i64 = 64 << 20;

pub(super) fn apply(spec: &mut Spec, parts: &Parts<'_>) -> Result<()> {
    let mut mounts = spec.mounts().clone().unwrap_or_default();
    shm(&mut mounts, parts)?;
    let taken = |target: &Path| parts.mounts.iter().any(|m| Path::new(&m.destination) == target);
    mounts.retain(|m| !taken(m.destination()));
    for (source, target) in parts.files.iter().filter(|(_, t)| !taken(Path::new(t))) {
        let mut options = vec!["rbind".into(), "rprivate".into()];
        if parts.host.readonly_rootfs {
            options.push("ro".into());
        }
        mounts.push(bind(source, target, options));
    }
    let maps = userns::maps_mounts(parts.host)?;
    for record in parts.mounts {
        let mut mount = from_record(record);
        if maps.is_some() && is_mapped(record) {
            add_option(&mut mount, "idmap");
        }
        if let Some(own) = record.options.iter().find_map(|option| option.strip_prefix("idmap=")) {
            let own = IdMaps::of_mount(own).map_err(|error| Error::invalid(error.to_string()))?;
            mount.set_uid_mappings(Some(super::mappings(&own.users)?));
            mount.set_gid_mappings(Some(super::mappings(&own.groups)?));
            add_option(&mut mount, "idmap");
        }
        mounts.push(mount);
    }
    spec.set_mounts(Some(mounts));
    Ok(())
}

/// Volumes, and layers over something, belong to whoever the container says, as its own layers do. A bind shows the host's
/// owners as they are, unless it asks for the same; an image is only read.
fn is_mapped(record: &MountRecord) -> bool {
    record.r#type == "volume" || record.overlay || record.options.iter().any(|option| option == "idmap")
}

fn add_option(mount: &mut Mount, option: &str) {
    let mut options = mount.options().clone().unwrap_or_default();
    options.push(option.to_owned());
    mount.set_options(Some(options));
}

/// Shared memory goes by the IPC namespace: POSIX has its objects in /dev/shm.
fn shm(mounts: &mut Vec<Mount>, parts: &Parts<'_>) -> Result<()> {
    const PLACE: &str = "/dev/shm";
    let mode = parts.host.ipc_mode.as_str();
    let source = match mode.strip_prefix("container:") {
        // Another runtime could not reach it.
        Some(other) if is_own(&parts.host.runtime) => {
            Some(format!("/proc/{}/root{PLACE}", (parts.join)(other, "ipc")?))
        }
        _ => (mode == "host" && Path::new(PLACE).is_dir()).then(|| PLACE.to_owned()),
    };
    let at = mounts.iter().position(|mount| mount.destination() == Path::new(PLACE));
    match (at, source) {
        (Some(at), _) if mode == "none" => drop(mounts.remove(at)),
        (Some(at), Some(source)) => {
            let options = ["bind", "rprivate", "nosuid", "nodev", "noexec"].map(str::to_owned);
            mounts[at] = bind(Path::new(&source), PLACE, options.to_vec());
        }
        (Some(at), None) => resize(&mut mounts[at], parts.host.shm_size),
        (None, _) => {}
    }
    Ok(())
}

fn resize(mount: &mut Mount, size: i64) {
    let size = if size > 0 { size } else { DEFAULT_SHM };
    let kept = mount.options().iter().flatten().filter(|o| !o.starts_with("size="));
    let options = kept.cloned().chain([format!("size={size}")]).collect();
    mount.set_options(Some(options));
}

fn from_record(record: &MountRecord) -> Mount {
    if record.r#type == "tmpfs" {
        return tmpfs(record);
    }
    if record.overlay {
        return overlay(record);
    }
    let recursive = !record.options.iter().any(|o| o == "bind");
    let mut options = vec![if recursive { "rbind" } else { "bind" }.to_owned()];
    let propagation = if record.propagation.is_empty() { "rprivate" } else { &record.propagation };
    options.push(propagation.to_owned());
    if !record.rw {
        let top_only = record.options.iter().any(|o| o == "ro-top") || !recursive;
        options.push(if top_only { "ro" } else { "rro" }.to_owned());
    }
    if !record.subpath.is_empty() {
        options.push(format!("gantry-subpath={}", record.subpath));
    }
    bind(Path::new(&record.source), &record.destination, options)
}

fn tmpfs(record: &MountRecord) -> Mount {
    let mut options = record.options.clone();
    for (on, off) in [("exec", "noexec"), ("suid", "nosuid"), ("dev", "nodev")] {
        if options.iter().any(|o| o == on) {
            options.retain(|o| o != off);
        }
    }
    if !record.rw {
        options.push("ro".into());
    }
    if !options.iter().any(|o| o.starts_with("mode=")) {
        options.push("mode=1777".into());
    }
    let mut mount = Mount::default();
    mount.set_destination(record.destination.clone().into());
    mount.set_typ(Some("tmpfs".into())).set_source(Some("tmpfs".into())).set_options(Some(options));
    mount
}

/// The source below, and above it what the engine made for this run.
fn overlay(record: &MountRecord) -> Mount {
    let mut options = vec![format!("lowerdir={}", record.source)];
    options.extend(record.options.iter().filter(|o| o.starts_with("upperdir=") || o.starts_with("workdir=")).cloned());
    if !record.rw {
        options.push("ro".into());
    }
    let mut mount = Mount::default();
    mount.set_destination(record.destination.clone().into());
    mount.set_typ(Some("overlay".into())).set_source(Some("overlay".into())).set_options(Some(options));
    mount
}

fn bind(source: &Path, target: &str, options: Vec<String>) -> Mount {
    let mut mount = Mount::default();
    mount.set_destination(target.into());
    mount.set_typ(Some("bind".into())).set_source(Some(source.to_owned())).set_options(Some(options));
    mount
}
