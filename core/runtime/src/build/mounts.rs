//! The mounts of the spec, in its order.

use super::options::{self, Parsed};
use crate::cgroup::{Host, Layout};
use crate::error::Error;
use crate::init::steps::Step;
use crate::init::steps::link::Link;
use crate::init::steps::mount::{Attributes, Mount, MountOption, Source};
use crate::init::steps::seal::Seal;
use crate::plan_text::c_string;
use gantry_sys::mount as attr;
use oci_spec::runtime::{Mount as SpecMount, Spec};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub(super) fn steps(host: &Host, cgroup: &str, spec: &Spec) -> Result<Vec<Step>, Error> {
    let mut steps = Vec::new();
    for mount in spec.mounts().iter().flatten() {
        if matches!(mount.typ().as_deref(), Some("cgroup" | "cgroup2")) {
            steps.extend(cgroup_steps(host, cgroup, mount)?);
        } else {
            steps.push(Step::Mount(plain(mount)?));
        }
    }
    Ok(steps)
}

fn plain(mount: &SpecMount) -> Result<Mount, Error> {
    let target = target(mount.destination())?;
    let fstype = mount.typ().as_deref().unwrap_or("bind");
    let shown = mount.destination().display().to_string();
    let options = mount.options().clone().unwrap_or_default();
    let Parsed { bind, recursive, own, below, data } = options::parse(&shown, fstype, &options)?;
    let source_path = mount.source().as_deref().unwrap_or(Path::new(""));
    let source_text = c_string(&shown, source_path.as_os_str().as_bytes())?;
    let source = match bind {
        true if source_path.as_os_str().is_empty() => {
            return Err(Error::invalid(format!("mount on {shown}"), "a bind mount needs a source"));
        }
        true => Source::Bind { path: source_text, recursive, inside: inside(&data) },
        false => {
            let mut options = data;
            if !source_text.is_empty() {
                options.insert(0, (c"source".into(), Some(source_text)));
            }
            Source::New { fstype: c_string(&shown, fstype)?, options }
        }
    };
    Ok(Mount { source, target, own, below })
}

/// Ours: the part of a bind's source to mount, looked up when it is mounted.
fn inside(data: &[MountOption]) -> Option<std::ffi::CString> {
    data.iter().find(|(key, _)| key.as_c_str() == c"gantry-subpath").and_then(|(_, value)| value.clone())
}

fn target(path: &Path) -> Result<std::ffi::CString, Error> {
    let shown = path.display().to_string();
    if !path.is_absolute() {
        return Err(Error::invalid(format!("mount on {shown}"), "the target is not an absolute path"));
    }
    c_string(&shown, path.as_os_str().as_bytes())
}

/// Binds of the container's own cgroup directories. With a cgroup namespace they look like the whole
/// hierarchy from inside, and cost a third of what new superblocks would.
fn cgroup_steps(host: &Host, cgroup: &str, mount: &SpecMount) -> Result<Vec<Step>, Error> {
    let shown = mount.destination().display().to_string();
    let options = mount.options().clone().unwrap_or_default();
    let parsed = options::parse(&shown, "bind", &options)?;
    let safe = attr::MOUNT_ATTR_NOSUID | attr::MOUNT_ATTR_NODEV | attr::MOUNT_ATTR_NOEXEC;
    let own = Attributes { set: parsed.own.set | safe, ..Attributes::default() };
    if host.layout == Layout::V2 {
        let directory = host.hierarchies.iter().map(|hierarchy| hierarchy.mount.join(cgroup)).take(1);
        let binds = directory.map(|directory| bind(&directory, mount.destination(), own));
        return binds.collect();
    }
    let mut steps = vec![tmpfs(mount.destination(), own.set & !attr::MOUNT_ATTR_RDONLY)?];
    for hierarchy in &host.hierarchies {
        let name = hierarchy.mount.file_name().unwrap_or_default();
        let place = mount.destination().join(name);
        steps.push(bind(&hierarchy.mount.join(cgroup), &place, own)?);
        for alias in hierarchy.controllers.iter().filter(|_| hierarchy.controllers.len() > 1 && !hierarchy.unified) {
            let path = mount.destination().join(alias);
            steps.push(Step::Link(Link { path: target(&path)?, to: c_string(alias, name.as_bytes())? }));
        }
    }
    if own.set & attr::MOUNT_ATTR_RDONLY != 0 {
        let attributes = Attributes { set: attr::MOUNT_ATTR_RDONLY, ..Attributes::default() };
        steps.push(Step::Seal(Seal { path: target(mount.destination())?, attributes }));
    }
    Ok(steps)
}

fn bind(source: &Path, destination: &Path, own: Attributes) -> Result<Step, Error> {
    let path = c_string("cgroup", source.as_os_str().as_bytes())?;
    let source = Source::Bind { path, recursive: false, inside: None };
    let own = Attributes { propagation: nix::mount::MsFlags::MS_PRIVATE.bits(), ..own };
    Ok(Step::Mount(Mount { source, target: target(destination)?, own, below: Attributes::default() }))
}

fn tmpfs(destination: &Path, set: u64) -> Result<Step, Error> {
    let options = vec![(c"source".into(), Some(c"cgroup".into())), (c"mode".into(), Some(c"755".into()))];
    let source = Source::New { fstype: c"tmpfs".into(), options };
    let own = Attributes { set, ..Attributes::default() };
    Ok(Step::Mount(Mount { source, target: target(destination)?, own, below: Attributes::default() }))
}
