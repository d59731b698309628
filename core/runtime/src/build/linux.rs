//! The `linux` part of the spec: namespaces, devices, sysctls, hidden paths, names.

use super::options;
use crate::error::Error;
use crate::init::steps::Step;
use crate::init::steps::device::{Devices, Node};
use crate::init::steps::hostname::{Domainname, Hostname};
use crate::init::steps::link::Link;
use crate::init::steps::mask::Mask;
use crate::init::steps::mount::{Attributes, Mount, Source};
use crate::init::steps::namespace::{JoinMounts, JoinNamespace};
use crate::init::steps::propagation::Propagation;
use crate::init::steps::readonly::ReadOnly;
use crate::init::steps::seal::Seal;
use crate::init::steps::sysctl::Sysctl;
use crate::init::steps::time::TimeNamespace;
use crate::plan::UserNamespace;
use crate::plan_text::c_string;
use crate::user_map::UserMap;
use nix::mount::MsFlags;
use oci_spec::runtime::{Linux, LinuxDevice, LinuxDeviceType, LinuxNamespaceType as Kind, LinuxTimeOffset, Spec};
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The namespaces a container makes or joins; what is not listed stays the host's.
pub(super) struct Namespaces {
    listed: Vec<(Kind, Option<PathBuf>)>,
}

impl Namespaces {
    pub(super) fn of(linux: &Linux) -> Result<Namespaces, Error> {
        let mut listed = Vec::new();
        for namespace in linux.namespaces().iter().flatten() {
            let kind = namespace.typ();
            if listed.iter().any(|(known, _)| *known == kind) {
                return Err(Error::invalid("spec", format!("the {kind} namespace is listed twice")));
            }
            let path = namespace.path().clone().filter(|path| !path.as_os_str().is_empty());
            if let Some(path) = &path {
                check_kind(kind, path)?;
            }
            // Nobody joins the user namespace he is in (setns(2), EINVAL).
            let joined = |path: &PathBuf| kind != Kind::User || !same_file(path, Path::new("/proc/self/ns/user"));
            if path.as_ref().is_none_or(joined) {
                listed.push((kind, path));
            }
        }
        let all = Namespaces { listed };
        all.check()?;
        Ok(all)
    }

    fn check(&self) -> Result<(), Error> {
        // Mounts of an outer user namespace are not for the root of an inner one to change.
        if self.is_new(Kind::User) && !self.is_new(Kind::Mount) {
            return Err(Error::invalid("spec", "a new user namespace needs a new mount namespace"));
        }
        if self.has_own_user() && !self.is_listed(Kind::Mount) {
            return Err(Error::invalid("spec", "a joined user namespace needs a mount namespace, new or joined"));
        }
        Ok(())
    }

    /// Whether the container is in another user namespace than this process.
    pub(super) fn has_own_user(&self) -> bool {
        self.is_listed(Kind::User)
    }

    /// The user namespace to be joined.
    pub(super) fn joined_user(&self) -> Option<&Path> {
        self.joined().find(|(kind, _)| *kind == Kind::User).map(|(_, path)| path.as_path())
    }

    /// What is done about the user namespace; `map` has the maps of a new one.
    pub(super) fn user(&self, map: Option<UserMap>) -> Result<Option<UserNamespace>, Error> {
        match self.joined_user() {
            Some(path) => Ok(Some(UserNamespace::Joined(c_string("namespace", path.as_os_str().as_bytes())?))),
            None => Ok(map.map(UserNamespace::New)),
        }
    }

    pub(super) fn is_new(&self, kind: Kind) -> bool {
        self.listed.contains(&(kind, None))
    }

    /// Made for the container or joined, but not that of this process.
    fn is_own(&self, kind: Kind) -> bool {
        let file = match kind {
            Kind::Network => "/proc/self/ns/net",
            Kind::Ipc => "/proc/self/ns/ipc",
            _ => "/proc/self/ns/uts",
        };
        match self.listed.iter().find(|(known, _)| *known == kind) {
            None => false,
            Some((_, None)) => true,
            Some((_, Some(path))) => !same_file(path, Path::new(file)),
        }
    }

    pub(super) fn is_listed(&self, kind: Kind) -> bool {
        self.listed.iter().any(|(known, _)| *known == kind)
    }

    /// The flags of clone3; the cgroup namespace comes later, when the cgroup has been joined.
    pub(super) fn at_clone(&self) -> u64 {
        let later = [Kind::Cgroup, Kind::Time];
        let new = self.listed.iter().filter(|(kind, path)| path.is_none() && !later.contains(kind));
        new.fold(0, |flags, (kind, _)| flags | *kind as u64)
    }

    /// A pid namespace can only be entered by being born in it; and from within another user namespace none can be joined
    /// that it does not own. One of mounts is joined late, when what the host's paths lead to is open.
    pub(super) fn born_in(&self) -> Result<Vec<(u64, CString)>, Error> {
        let joined = self.joined().filter(|(kind, _)| self.is_born_in(*kind));
        joined.map(|(kind, path)| Ok((kind as u64, c_string("namespace", path.as_os_str().as_bytes())?))).collect()
    }

    fn is_born_in(&self, kind: Kind) -> bool {
        kind == Kind::Pid || self.has_own_user() && kind != Kind::User && kind != Kind::Mount
    }

    fn joined(&self) -> impl Iterator<Item = (Kind, &PathBuf)> {
        self.listed.iter().filter_map(|(kind, path)| Some((*kind, path.as_ref()?)))
    }

    pub(super) fn join_steps(&self) -> Result<Vec<Step>, Error> {
        let elsewhere = |kind| self.is_born_in(kind) || kind == Kind::Mount || kind == Kind::User;
        let joined = self.joined().filter(|(kind, _)| !elsewhere(*kind));
        joined.map(|(kind, path)| join_step(kind, path)).collect()
    }

    /// What becomes of the mounts: cut off from the host's, or those of the joined namespace, or left as they are. Whatever is
    /// needed of the host's by its path is opened before.
    pub(super) fn mounts_step(&self, linux: &Linux) -> Result<Option<Step>, Error> {
        if self.is_new(Kind::Mount) {
            return propagation_step(linux).map(Some);
        }
        let path = self.joined().find(|(kind, _)| *kind == Kind::Mount).map(|(_, path)| path);
        let path = path.map(|path| c_string("namespace", path.as_os_str().as_bytes())).transpose()?;
        Ok(path.map(|path| Step::JoinMounts(JoinMounts { path })))
    }
}

/// A namespace of another kind would be joined just as well, and be none of what was asked for.
fn check_kind(kind: Kind, path: &Path) -> Result<(), Error> {
    let Ok(target) = std::fs::read_link(path) else { return Ok(()) };
    let word = match kind {
        Kind::Mount => "mnt",
        Kind::Cgroup => "cgroup",
        Kind::Uts => "uts",
        Kind::Ipc => "ipc",
        Kind::User => "user",
        Kind::Pid => "pid",
        Kind::Network => "net",
        Kind::Time => "time",
    };
    let found = target.to_string_lossy();
    match found.split_once(":[") {
        Some((found, _)) if found != word && !(found == "pid_for_children" || found == "time_for_children") => {
            Err(Error::invalid("spec", format!("{} is a {found} namespace, not a {word} one", path.display())))
        }
        _ => Ok(()),
    }
}

fn same_file(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (std::fs::metadata(one), std::fs::metadata(other)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

fn join_step(kind: Kind, path: &Path) -> Result<Step, Error> {
    let path = c_string("namespace", path.as_os_str().as_bytes())?;
    Ok(Step::JoinNamespace(JoinNamespace { kind: kind as u64, path }))
}

/// Docker's default is "rslave": the container sees new mounts of the host, never the reverse.
fn propagation_step(linux: &Linux) -> Result<Step, Error> {
    let word = linux.rootfs_propagation().as_deref().filter(|word| !word.is_empty());
    let (flag, recursive) = match word {
        None => (MsFlags::MS_SLAVE.bits(), true),
        Some(word) => options::propagation(word)
            .ok_or_else(|| Error::invalid("rootfsPropagation", format!("unknown word {word}")))?,
    };
    let recursive = if recursive { MsFlags::MS_REC.bits() } else { 0 };
    Ok(Step::Propagation(Propagation { flags: flag | recursive }))
}

/// A new time namespace, its clocks set off.
pub(super) fn time_step(linux: &Linux, namespaces: &Namespaces) -> Result<Option<Step>, Error> {
    let given = linux.time_offsets().iter().flatten();
    let line = |(clock, offset): (&String, &LinuxTimeOffset)| {
        format!("{clock} {} {}\n", offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0)).into_bytes()
    };
    let offsets: Vec<Vec<u8>> = given.map(line).collect();
    match (namespaces.is_new(Kind::Time), offsets.is_empty()) {
        (true, _) => Ok(Some(Step::TimeNamespace(TimeNamespace { offsets }))),
        (false, false) => Err(Error::invalid("spec", "time offsets need a new time namespace")),
        (false, true) => Ok(None),
    }
}

/// The propagation of the container's own root, once everything in it is made; that of a private one needs no word. A
/// shared one cannot be pivoted to (pivot_root(2), EINVAL), so this comes after that.
pub(super) fn root_propagation_step(linux: &Linux) -> Option<Step> {
    let (propagation, _) = options::propagation(linux.rootfs_propagation().as_deref()?)?;
    let wanted = propagation == MsFlags::MS_SHARED.bits() || propagation == MsFlags::MS_UNBINDABLE.bits();
    let attributes = Attributes { propagation, ..Attributes::default() };
    wanted.then(|| Step::Seal(Seal { path: c"/".into(), attributes }))
}

/// Every container has these.
const STANDARD: [(&str, u64, u64); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

const LINKS: [(&str, &str); 6] = [
    ("/dev/ptmx", "pts/ptmx"),
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/core", "/proc/kcore"),
];

/// Device nodes and links of /dev, unless the host's own /dev is bound there.
/// `bound`: as binds of the host's.
pub(super) fn device_steps(linux: &Linux, spec: &Spec, bound: bool) -> Result<Vec<Step>, Error> {
    if binds_dev(spec) {
        return Ok(Vec::new());
    }
    let standard =
        STANDARD.map(|(name, major, minor)| (PathBuf::from("/dev").join(name), standard_node(name, major, minor)));
    let mut all: Vec<(PathBuf, Node)> = Vec::from(standard);
    for device in linux.devices().iter().flatten() {
        let node = node(device)?;
        all.retain(|(path, _)| path != device.path());
        all.push((device.path().clone(), node));
    }
    let mut groups: Vec<Devices> = Vec::new();
    for (path, node) in all {
        let parent = c_string("device", path.parent().unwrap_or(Path::new("/")).as_os_str().as_bytes())?;
        match groups.iter_mut().find(|group| group.directory == parent) {
            Some(group) => group.nodes.push(node),
            None => groups.push(Devices { directory: parent, nodes: vec![node] }),
        }
    }
    let links = LINKS.into_iter().filter(|(path, _)| *path != "/dev/core" || Path::new("/proc/kcore").exists());
    let links = links.map(|(path, to)| Ok(Step::Link(Link { path: c_string(path, path)?, to: c_string(to, to)? })));
    if bound {
        let binds = groups.iter().flat_map(|group| group.nodes.iter().map(|node| bound_node(&group.directory, node)));
        return binds.chain(links).collect();
    }
    let nodes = groups.into_iter().map(|group| Ok(Step::Devices(group)));
    nodes.chain(links).collect()
}

/// In a user namespace no node can be made; the host's is shown instead.
fn bound_node(directory: &CString, node: &Node) -> Result<Step, Error> {
    let path = Path::new(OsStr::from_bytes(directory.to_bytes())).join(OsStr::from_bytes(node.name.to_bytes()));
    let path = c_string("device", path.as_os_str().as_bytes())?;
    let source = Source::Bind { path: path.clone(), recursive: false, inside: None };
    let own = Attributes { propagation: MsFlags::MS_PRIVATE.bits(), ..Attributes::default() };
    Ok(Step::Mount(Mount { source, own, ..Mount::at(path) }))
}

fn binds_dev(spec: &Spec) -> bool {
    let mounts = spec.mounts().iter().flatten();
    let mut on_dev = mounts.filter(|mount| mount.destination() == Path::new("/dev"));
    on_dev.any(|mount| mount.typ().as_deref().is_none_or(|fstype| fstype == "bind"))
}

fn standard_node(name: &str, major: u64, minor: u64) -> Node {
    Node {
        name: CString::new(name).unwrap_or_default(),
        kind: libc::S_IFCHR,
        mode: 0o666,
        device: libc::makedev(major as u32, minor as u32),
        uid: 0,
        gid: 0,
    }
}

fn node(device: &LinuxDevice) -> Result<Node, Error> {
    let shown = device.path().display().to_string();
    let name = device.path().file_name().ok_or_else(|| Error::invalid("device", format!("{shown} has no name")))?;
    let kind = match device.typ() {
        LinuxDeviceType::B => libc::S_IFBLK,
        LinuxDeviceType::C | LinuxDeviceType::U => libc::S_IFCHR,
        LinuxDeviceType::P => libc::S_IFIFO,
        LinuxDeviceType::A => return Err(Error::invalid(format!("device {shown}"), "its type cannot be \"all\"")),
    };
    Ok(Node {
        name: c_string(&shown, name.as_bytes())?,
        kind,
        mode: device.file_mode().unwrap_or(0o666) & 0o7777,
        device: libc::makedev(device.major() as u32, device.minor() as u32),
        uid: device.uid().unwrap_or(0),
        gid: device.gid().unwrap_or(0),
    })
}

/// In the order of their names, so that a plan is the same every time.
pub(super) fn sysctl_steps(linux: &Linux, namespaces: &Namespaces) -> Result<Vec<Step>, Error> {
    let mut all: Vec<_> = linux.sysctl().iter().flatten().collect();
    all.sort();
    let step = |(key, value): (&String, &String)| {
        let path = sysctl_path(key);
        check_sysctl(key, &path, namespaces)?;
        let path = c_string(key, path)?;
        Ok(Step::Sysctl(Sysctl { path, value: value.as_bytes().to_vec() }))
    };
    all.into_iter().map(step).collect()
}

const IPC_SYSCTLS: [&str; 8] = ["msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced"];

/// Only what belongs to a namespace of the container's own: anything else would change the host (CVE-2022-0811).
fn check_sysctl(key: &str, path: &str, namespaces: &Namespaces) -> Result<(), Error> {
    let refuse = |reason: &str| Err(Error::invalid(format!("sysctl {key}"), reason));
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) || path.contains(['+', '\n', '\0']) {
        return refuse("this is no name of a kernel parameter");
    }
    let needed = match path.split_once('/') {
        Some(("net", _)) => Kind::Network,
        Some(("fs", rest)) if rest.starts_with("mqueue/") => Kind::Ipc,
        Some(("kernel", name)) if IPC_SYSCTLS.contains(&name) => Kind::Ipc,
        Some(("kernel", "domainname")) => Kind::Uts,
        Some(("kernel", "hostname")) => return refuse("set the hostname instead"),
        _ => return refuse("it belongs to no namespace, so it would change the host"),
    };
    if namespaces.is_own(needed) {
        return Ok(());
    }
    refuse(&format!("it is only allowed with a {needed} namespace of the container's own"))
}

/// Dots separate; a name that holds a dot (an interface) is written with slashes and keeps its dots.
fn sysctl_path(key: &str) -> String {
    let slash_first = key.find(['.', '/']).is_some_and(|at| key.as_bytes()[at] == b'/');
    if slash_first {
        return key.to_owned();
    }
    key.chars()
        .map(|c| {
            if c == '.' {
                '/'
            } else if c == '/' {
                '.'
            } else {
                c
            }
        })
        .collect()
}

pub(super) fn hidden_path_steps(linux: &Linux) -> Result<Vec<Step>, Error> {
    let read_only = linux.readonly_paths().iter().flatten();
    let read_only = read_only.map(|path| Ok(Step::ReadOnly(ReadOnly { path: c_string(path, path.as_str())? })));
    let masked = linux.masked_paths().iter().flatten();
    let masked = masked.map(|path| Ok(Step::Mask(Mask { path: c_string(path, path.as_str())?, options: Vec::new() })));
    read_only.chain(masked).collect()
}

/// Setting a name in the host's UTS namespace would rename the host.
pub(super) fn name_steps(spec: &Spec, namespaces: &Namespaces) -> Result<Vec<Step>, Error> {
    let mut steps = Vec::new();
    if let Some(name) = spec.hostname().clone().filter(|name| !name.is_empty()) {
        steps.push(Step::Hostname(Hostname { name }));
    }
    if let Some(name) = spec.domainname().clone().filter(|name| !name.is_empty()) {
        steps.push(Step::Domainname(Domainname { name }));
    }
    if !steps.is_empty() && !namespaces.is_listed(Kind::Uts) {
        return Err(Error::invalid("spec", "a hostname needs a UTS namespace of the container's own"));
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sysctl_names_become_paths() {
        let cases = [
            ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
            ("net/ipv4/conf/eth0.1/forwarding", "net/ipv4/conf/eth0.1/forwarding"),
            ("net.ipv4.conf.eth0/1.forwarding", "net/ipv4/conf/eth0.1/forwarding"),
        ];
        for (key, path) in cases {
            assert_eq!(sysctl_path(key), path);
        }
    }
}
