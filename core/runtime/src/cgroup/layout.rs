//! Which hierarchies this machine has mounted, and where.

use crate::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One hierarchy per controller.
    V1,
    /// One for all.
    V2,
    /// Version 1 for the controllers, with a version 2 tree beside it.
    Hybrid,
}

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    pub mount: PathBuf,
    /// The controllers of version 1, or `name=...`; of version 2, what its root offers.
    pub controllers: Vec<String>,
    pub unified: bool,
}

impl Hierarchy {
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|known| known == controller)
    }
}

/// The cgroups of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    pub layout: Layout,
    pub hierarchies: Vec<Hierarchy>,
}

impl Host {
    pub(crate) fn with(&self, controller: &str) -> Option<&Hierarchy> {
        self.hierarchies.iter().find(|hierarchy| hierarchy.has(controller))
    }
}

/// Reads the mounts of this process.
pub fn detect() -> Result<Host, Error> {
    let path = Path::new("/proc/self/mountinfo");
    let text = fs::read_to_string(path).map_err(|source| Error::File { act: "read", path: path.into(), source })?;
    let mut host =
        parse(&text).ok_or_else(|| Error::invalid("host", "no cgroup file system is mounted below /sys/fs/cgroup"))?;
    for hierarchy in host.hierarchies.iter_mut().filter(|hierarchy| hierarchy.unified) {
        let offered = fs::read_to_string(hierarchy.mount.join("cgroup.controllers"));
        hierarchy.controllers = offered.unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    }
    if gantry_sys::userns::is_inner() {
        let owner = gantry_sys::userns::owner().filter(|_| LOOKS_FROM_OUTSIDE.load(Ordering::Relaxed));
        keep_delegated(&mut host, &own_groups(), owner.map(managed_by_user).as_deref());
    }
    Ok(host)
}

fn own_groups() -> String {
    fs::read_to_string("/proc/self/cgroup").unwrap_or_default()
}

/// See [`look_from_outside`].
static LOOKS_FROM_OUTSIDE: AtomicBool = AtomicBool::new(false);

/// From now on this process sees the groups below its user's manager, wherever it is itself. It may look at containers there,
/// and change and end them, but bring nothing there: the kernel wants to see the way between two groups.
pub fn look_from_outside() {
    LOOKS_FROM_OUTSIDE.store(true, Ordering::Relaxed);
}

/// Where systemd leaves the groups of a user to his own manager.
fn managed_by_user(user: u32) -> String {
    format!("/user.slice/user-{user}.slice/user@{user}.service")
}

/// Whether this process of `user`'s, outside of any namespace of his, has to come below his manager before its containers
/// can have limits: where it is nothing is delegated, and there something is.
pub fn must_move(user: u32) -> bool {
    let Some(host) = fs::read_to_string("/proc/self/mountinfo").ok().and_then(|text| parse(&text)) else {
        return false;
    };
    let whole = host.hierarchies.iter().find(|hierarchy| hierarchy.unified && host.layout == Layout::V2);
    let (own, managed) = (own_groups(), managed_by_user(user));
    whole.is_some_and(|whole| {
        let here = group_of(&own, whole).and_then(|group| delegated(whole, group));
        here.is_none() && delegated(whole, &managed).is_some()
    })
}

/// In a user namespace only what was delegated can be used: of each hierarchy the highest group above this process that
/// it may write to; or else, of version 2, what the user's manager has.
fn keep_delegated(host: &mut Host, own: &str, managed: Option<&str>) {
    host.hierarchies.retain_mut(|hierarchy| {
        let own = group_of(own, hierarchy).and_then(|group| delegated(hierarchy, group));
        let managed = managed.filter(|_| hierarchy.unified);
        let Some(highest) = own.or_else(|| delegated(hierarchy, managed?)) else { return false };
        if hierarchy.unified {
            let offered = fs::read_to_string(highest.join("cgroup.controllers")).unwrap_or_default();
            hierarchy.controllers = offered.split_whitespace().map(str::to_owned).collect();
        }
        hierarchy.mount = highest;
        true
    });
}

/// The highest group from `group` upwards that this process may write to.
fn delegated(hierarchy: &Hierarchy, group: &str) -> Option<PathBuf> {
    let may_write = |path: &Path| {
        let allowed = |path: &Path| nix::unistd::access(path, nix::unistd::AccessFlags::W_OK).is_ok();
        allowed(path) && allowed(&path.join("cgroup.procs"))
    };
    let whole = hierarchy.mount.join(group.trim_start_matches('/'));
    let above = whole.ancestors().take_while(|path| path.starts_with(&hierarchy.mount));
    above.take_while(|path| may_write(path)).last().map(Path::to_owned)
}

/// This process's group in a hierarchy, by the lines `number:controllers:group`.
fn group_of<'a>(own: &'a str, hierarchy: &Hierarchy) -> Option<&'a str> {
    own.lines().find_map(|line| {
        let (controllers, group) = line.split_once(':')?.1.split_once(':')?;
        let theirs = match hierarchy.unified {
            true => controllers.is_empty(),
            false => controllers.split(',').any(|name| hierarchy.has(name)),
        };
        theirs.then_some(group)
    })
}

fn parse(mountinfo: &str) -> Option<Host> {
    let mut hierarchies: Vec<Hierarchy> = Vec::new();
    for found in mountinfo.lines().filter_map(parse_line) {
        let known = |one: &Hierarchy| one.unified == found.unified && one.controllers == found.controllers;
        if !hierarchies.iter().any(known) {
            hierarchies.push(found);
        }
    }
    let legacy = hierarchies.iter().any(|hierarchy| !hierarchy.unified);
    let unified = hierarchies.iter().any(|hierarchy| hierarchy.unified);
    let layout = match (legacy, unified) {
        (true, true) => Layout::Hybrid,
        (true, false) => Layout::V1,
        (false, true) => Layout::V2,
        (false, false) => return None,
    };
    Some(Host { layout, hierarchies })
}

/// `id parent major:minor root mountpoint options [tags] - type source superoptions`
fn parse_line(line: &str) -> Option<Hierarchy> {
    let (mount, kind) = line.split_once(" - ")?;
    let mut kind = kind.split(' ');
    let fstype = kind.next()?;
    let options = kind.nth(1)?;
    let mount = PathBuf::from(mount.split(' ').nth(4)?);
    if !mount.starts_with("/sys/fs/cgroup") {
        return None;
    }
    match fstype {
        "cgroup2" => Some(Hierarchy { mount, controllers: Vec::new(), unified: true }),
        "cgroup" => {
            let controllers = options.split(',').filter(|word| is_controller(word));
            let controllers = controllers.map(str::to_owned).collect();
            Some(Hierarchy { mount, controllers, unified: false })
        }
        _ => None,
    }
}

/// The other super options of a version 1 mount.
fn is_controller(option: &str) -> bool {
    const OTHER: [&str; 8] =
        ["rw", "ro", "xattr", "noprefix", "clone_children", "none", "cpuset_v2_mode", "favordynmods"];
    !OTHER.contains(&option) && !option.starts_with("release_agent=")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEGACY: &str = "\
30 24 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/lib/x,name=systemd
33 30 0:28 / /mnt/elsewhere rw - cgroup cgroup rw,memory
";

    #[test]
    fn version_1_lists_controllers() {
        let host = parse(LEGACY).unwrap();
        assert_eq!(host.layout, Layout::V1);
        assert_eq!(host.hierarchies.len(), 2);
        assert_eq!(host.with("cpuacct").unwrap().mount, Path::new("/sys/fs/cgroup/cpu,cpuacct"));
        assert!(host.hierarchies[1].has("name=systemd"));
        assert!(host.with("memory").is_none());
    }

    #[test]
    fn version_2_and_both() {
        let line = "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(parse(line).unwrap().layout, Layout::V2);
        let both = format!("{LEGACY}{}", line.replace("cgroup rw", "cgroup/unified rw"));
        assert_eq!(parse(&both).unwrap().layout, Layout::Hybrid);
        assert!(parse("30 24 0:26 / / rw - ext4 /dev/x rw\n").is_none());
    }

    #[test]
    fn a_process_finds_its_groups() {
        let own = "5:cpu,cpuacct:/a\n1:name=systemd:/b/c\n0::/user.slice\n";
        let host = parse(&format!("{LEGACY}34 24 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n")).unwrap();
        let found: Vec<_> = host.hierarchies.iter().map(|hierarchy| group_of(own, hierarchy)).collect();
        assert_eq!(found, [Some("/a"), Some("/b/c"), Some("/user.slice")]);
        let mut host = host;
        keep_delegated(&mut host, "", None);
        assert!(host.hierarchies.is_empty());
    }

    #[test]
    fn this_machine_has_cgroups() {
        match detect() {
            Ok(host) => assert!(!host.hierarchies.is_empty()),
            Err(error) => eprintln!("skipped: {error}"),
        }
    }
}
