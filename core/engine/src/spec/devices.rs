//! Devices of the host: their nodes in the container, and the rules that let it use them.

use crate::error::{Error, Result};
use gantry_model::container::{DeviceMapping, HostConfig};
use oci_spec::runtime::{
    LinuxDevice, LinuxDeviceBuilder, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType, LinuxResources, Spec,
};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A tree of devices deeper than this is none.
const DEEPEST: u32 = 16;
/// What every container has of its own.
const OWN: [&str; 9] = ["console", "ptmx", "null", "zero", "full", "random", "urandom", "tty", "core"];
/// Directories of `/dev` that are file systems of their own or links to processes.
const ELSEWHERE: [&str; 6] = ["pts", "shm", "fd", "mqueue", "hugepages", ".udev"];

pub(super) fn apply(spec: &mut Spec, host: &HostConfig) -> Result<()> {
    let mut nodes = Vec::new();
    let mut rules = Vec::new();
    for mapping in &host.devices {
        let found = mapped(mapping)?;
        let access = if mapping.cgroup_permissions.is_empty() { "rwm" } else { &mapping.cgroup_permissions };
        rules.extend(found.iter().filter_map(|node| allow(Some(node), access)));
        nodes.extend(found);
    }
    if host.privileged {
        nodes.extend(host_devices());
        rules.extend(allow(None, "rwm"));
    }
    let Some(linux) = spec.linux_mut() else { return Ok(()) };
    let mut all = linux.devices().clone().unwrap_or_default();
    all.extend(nodes);
    linux.set_devices(Some(all));
    let mut resources: LinuxResources = linux.resources().clone().unwrap_or_default();
    let known = resources.devices().clone().unwrap_or_default();
    resources.set_devices(Some(known.into_iter().chain(rules).collect()));
    linux.set_resources(Some(resources));
    Ok(())
}

/// Of one device, or of all that there are.
fn allow(node: Option<&LinuxDevice>, access: &str) -> Option<LinuxDeviceCgroup> {
    let kind = node.map_or(LinuxDeviceType::A, LinuxDevice::typ);
    let mut rule = LinuxDeviceCgroupBuilder::default().allow(true).typ(kind).access(access).build().ok()?;
    rule.set_major(node.map(LinuxDevice::major)).set_minor(node.map(LinuxDevice::minor));
    Some(rule)
}

/// A device, or all below a directory.
fn mapped(mapping: &DeviceMapping) -> Result<Vec<LinuxDevice>> {
    let host = Path::new(&mapping.path_on_host);
    let inside = if mapping.path_in_container.is_empty() { &mapping.path_on_host } else { &mapping.path_in_container };
    let refuse = |why: &str| {
        Err(Error::invalid(format!(
            "error gathering device information while adding custom device \"{}\": {why}",
            host.display()
        )))
    };
    if host.is_dir() {
        let mut found = Vec::new();
        below(host, Path::new(inside), DEEPEST, &mut found);
        return if found.is_empty() { refuse("no devices in it") } else { Ok(found) };
    }
    match node(host, inside) {
        Some(node) => Ok(vec![node]),
        None if host.exists() => refuse("not a device node"),
        None => refuse("no such file or directory"),
    }
}

fn below(host: &Path, inside: &Path, depth: u32, found: &mut Vec<LinuxDevice>) {
    let entries = std::fs::read_dir(host).into_iter().flatten().flatten();
    let mut entries: Vec<_> = entries.map(|entry| (entry.path(), inside.join(entry.file_name()))).collect();
    entries.sort();
    for (path, target) in entries {
        // Links lead to what has a name of its own.
        match std::fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() && depth > 0 => below(&path, &target, depth - 1, found),
            Ok(metadata) if !metadata.is_symlink() => {
                found.extend(target.to_str().and_then(|target| node(&path, target)));
            }
            _ => {}
        }
    }
}

fn node(host: &Path, inside: &str) -> Option<LinuxDevice> {
    let metadata = std::fs::metadata(host).ok()?;
    let kind = metadata.file_type();
    let typ = if kind.is_char_device() {
        LinuxDeviceType::C
    } else if kind.is_block_device() {
        LinuxDeviceType::B
    } else {
        return None;
    };
    let number = metadata.rdev();
    LinuxDeviceBuilder::default()
        .path(inside)
        .typ(typ)
        .major(i64::from(nix::libc::major(number)))
        .minor(i64::from(nix::libc::minor(number)))
        .file_mode(metadata.mode() & 0o7777)
        .uid(metadata.uid())
        .gid(metadata.gid())
        .build()
        .ok()
}

/// The host's devices, for `--privileged`.
fn host_devices() -> Vec<LinuxDevice> {
    let entries = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    let other = |name: &std::ffi::OsStr| !OWN.iter().chain(&ELSEWHERE).any(|known| name == *known);
    let mut found = Vec::new();
    for path in entries.filter(|entry| other(&entry.file_name())).map(|entry| entry.path()) {
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            below(&path, &PathBuf::from(&path), DEEPEST, &mut found);
        } else {
            found.extend(path.to_str().and_then(|inside| node(&path, inside)));
        }
    }
    found
}
