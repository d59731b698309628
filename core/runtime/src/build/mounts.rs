//! The mounts of the spec, in its order.

use super::options::{self, Parsed};
use crate::cgroup::{Host, Layout};
use crate::error::Error;
use crate::init::steps::Step;
use crate::init::steps::link::Link;
use crate::init::steps::mount::{Attributes, Mount, MountOption, Source};
use crate::init::steps::seal::Seal;
use crate::plan_text::c_string;
use crate::user_map::UserMap;
use gantry_sys::mount as attr;
use oci_spec::runtime::{Mount as SpecMount, Spec};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What the mounts of a spec become.
pub(super) struct Built {
    pub steps: Vec<Step>,
    /// Maps that the mounts refer to by their place here.
    pub idmaps: Vec<UserMap>,
    /// Whether /sys is the host's: a user namespace can only mount the one of a network namespace of its own.
    bind_sys: bool,
}

/// `user`: the maps of a new user namespace; `own_network`: whether the container has a new network namespace.
pub(super) fn build(
    host: &Host,
    cgroup: &str,
    spec: &Spec,
    user: Option<&UserMap>,
    own_network: bool,
) -> Result<Built, Error> {
    let bind_sys = (user.is_some() || gantry_sys::userns::is_inner()) && !own_network;
    let mut built = Built { steps: Vec::new(), idmaps: Vec::new(), bind_sys };
    for mount in spec.mounts().iter().flatten() {
        if matches!(mount.typ().as_deref(), Some("cgroup" | "cgroup2")) {
            built.steps.extend(cgroup_steps(host, cgroup, mount)?);
        } else {
            built.take(mount, user)?;
        }
    }
    Ok(built)
}

impl Built {
    fn take(&mut self, mount: &SpecMount, user: Option<&UserMap>) -> Result<(), Error> {
        let shown = mount.destination().display().to_string();
        let fstype = mount.typ().as_deref().unwrap_or("bind");
        let options = mount.options().clone().unwrap_or_default();
        let mut parsed = options::parse(&shown, fstype, &options)?;
        if fstype == "sysfs" && self.bind_sys {
            (parsed.bind, parsed.recursive) = (true, true);
            parsed.below.propagation = nix::mount::MsFlags::MS_PRIVATE.bits();
            let mut host = mount.clone();
            host.set_source(Some("/sys".into()));
            self.steps.push(Step::Mount(plain(&host, &shown, fstype, parsed)?));
            return Ok(());
        }
        if parsed.remount {
            let attributes = Attributes { propagation: parsed.own.propagation, ..parsed.own };
            self.steps.push(Step::Seal(Seal { path: target(mount.destination())?, attributes }));
            return Ok(());
        }
        if fstype == "devpts" && gantry_sys::userns::is_alone() {
            // There is no group "tty".
            parsed.data.retain(|(key, _)| key.as_c_str() != c"gid");
        }
        let mut step = plain(mount, &shown, fstype, parsed.clone())?;
        step.idmap = self.idmap(mount, &shown, &parsed, user)?;
        step.copy_up = parsed.copy_up;
        self.steps.push(Step::Mount(step));
        Ok(())
    }

    /// The map that a mount names, or else that of the container.
    fn idmap(
        &mut self,
        mount: &SpecMount,
        shown: &str,
        parsed: &Parsed,
        user: Option<&UserMap>,
    ) -> Result<Option<(u16, bool)>, Error> {
        let given = UserMap::of(mount.uid_mappings().as_ref(), mount.gid_mappings().as_ref())?;
        if given.is_none() && parsed.idmap.is_none() {
            return Ok(None);
        }
        let refuse = |reason: &str| Error::invalid(format!("mount on {shown}"), reason);
        if !parsed.bind && mount.typ().as_deref() != Some("overlay") {
            return Err(refuse("only a bind mount or an overlay can map the owners of its files"));
        }
        let map = given.or_else(|| user.cloned()).ok_or_else(|| refuse("idmap needs mappings"))?;
        Ok(Some((self.place_of(map), parsed.idmap.unwrap_or(parsed.recursive))))
    }

    /// Where a map is among those that mounts refer to.
    pub(super) fn place_of(&mut self, map: UserMap) -> u16 {
        let place = self.idmaps.iter().position(|known| *known == map).unwrap_or_else(|| {
            self.idmaps.push(map);
            self.idmaps.len() - 1
        });
        place as u16
    }
}

fn plain(mount: &SpecMount, shown: &str, fstype: &str, parsed: Parsed) -> Result<Mount, Error> {
    let target = target(mount.destination())?;
    let Parsed { bind, recursive, own, below, data, .. } = parsed;
    let source_path = mount.source().as_deref().unwrap_or(Path::new(""));
    let source_text = c_string(shown, source_path.as_os_str().as_bytes())?;
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
            Source::New { fstype: c_string(shown, fstype)?, options }
        }
    };
    Ok(Mount { source, own, below, ..Mount::at(target) })
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
    Ok(Step::Mount(Mount { source, own, ..Mount::at(target(destination)?) }))
}

fn tmpfs(destination: &Path, set: u64) -> Result<Step, Error> {
    let options = vec![(c"source".into(), Some(c"cgroup".into())), (c"mode".into(), Some(c"755".into()))];
    let source = Source::New { fstype: c"tmpfs".into(), options };
    let own = Attributes { set, ..Attributes::default() };
    Ok(Step::Mount(Mount { source, own, ..Mount::at(target(destination)?) }))
}
