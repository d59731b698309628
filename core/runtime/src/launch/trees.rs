//! Mounts that the parent makes for init: those whose owners are mapped, and in a user namespace all that show something of
//! the host's, which a root of that namespace may not be able to reach. Also those of another process's mount namespace, which
//! nobody but a member of it can copy.

use crate::error::Error;
use crate::init::fault::{Act, During, Fault};
use crate::init::path::here;
use crate::init::steps::mount::{Mount, Source};
use crate::init::steps::root::Root;
use crate::init::steps::{Perform, Step};
use crate::launch::layers::{self, Owners};
use crate::launch::report;
use crate::plan::Plan;
use crate::user_map::UserMap;
use gantry_sys::pidfd::setns;
use gantry_sys::process::namespace::MOUNT as MOUNT_NAMESPACE;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

/// For each step the mount made for it; empty where none is.
pub(super) fn open(plan: &Plan) -> Result<Vec<Option<OwnedFd>>, Error> {
    if !are_needed(plan) {
        return Ok(Vec::new());
    }
    let map = |map: &UserMap| Ok(Owners { namespace: map.namespace()?, root: map.root() });
    let maps = plan.idmaps.iter().map(map).collect::<Result<Vec<_>, Error>>()?;
    let one = |(index, step): (usize, &Step)| {
        let made = tree(step, plan.user.is_some(), &maps);
        made.map_err(|fault| report::error(&plan.steps, &plan.program, index as u16, &fault))
    };
    plan.steps.iter().enumerate().map(one).collect()
}

/// Whether a plan has such mounts.
pub(super) fn are_needed(plan: &Plan) -> bool {
    let elsewhere = |step: &Step| matches!(step, Step::Mount(mount) if elsewhere(mount).is_some());
    plan.user.is_some() || !plan.idmaps.is_empty() || plan.steps.iter().any(elsewhere)
}

/// The process whose mount namespace a bind's source lies in, and the mount with its source as that process sees it.
fn elsewhere(mount: &Mount) -> Option<(CString, Mount)> {
    let Source::Bind { path, recursive, inside: None } = &mount.source else { return None };
    let (process, path) = path.to_str().ok()?.strip_prefix("/proc/")?.split_once("/root/")?;
    process.parse::<u32>().ok()?;
    let path = CString::new(format!("/{path}")).ok()?;
    let namespace = CString::new(format!("/proc/{process}/ns/mnt")).ok()?;
    let source = Source::Bind { path, recursive: *recursive, inside: None };
    Some((namespace, Mount { source, ..mount.clone() }))
}

/// Links on the way lead nowhere but where that process could go.
fn from_elsewhere(namespace: &CStr, mount: &Mount) -> Result<OwnedFd, Fault> {
    layers::by_child(0, || {
        let theirs = openat(here(), namespace, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).during(Act::Open)?;
        setns(theirs.as_fd(), MOUNT_NAMESPACE as i32).during(Act::Join)?;
        mount.whole().map(|(tree, _)| tree)
    })
}

fn tree(step: &Step, all: bool, maps: &[Owners]) -> Result<Option<OwnedFd>, Fault> {
    match step {
        Step::Root(root) if all => match root.idmap.and_then(|map| maps.get(usize::from(map))) {
            Some(owners) => mapped_root(root, owners).map(Some),
            None => root.detached().map(Some),
        },
        Step::Mount(mount) if mount.idmap.is_some() || all && matches!(mount.source, Source::Bind { .. }) => {
            bind(mount, maps).map(Some)
        }
        Step::Mount(mount) if elsewhere(mount).is_some() => bind(mount, maps).map(Some),
        _ => Ok(None),
    }
}

fn mapped_root(root: &Root, owners: &Owners) -> Result<OwnedFd, Fault> {
    match &root.source {
        Source::New { fstype, options } if fstype.as_c_str() == c"overlay" => {
            layers::overlay(options, owners, || layers::made(root))
        }
        _ => {
            let tree = root.detached()?;
            layers::map(tree.as_fd(), false, owners, root.subject().as_bytes())?;
            Ok(tree)
        }
    }
}

fn bind(mount: &Mount, maps: &[Owners]) -> Result<OwnedFd, Fault> {
    if let (Some((namespace, mount)), None) = (elsewhere(mount), mount.idmap) {
        return from_elsewhere(&namespace, &mount);
    }
    let Some((owners, recursive)) = mount.idmap.and_then(|(map, deep)| Some((maps.get(usize::from(map))?, deep)))
    else {
        return mount.whole().map(|(tree, _)| tree);
    };
    if let Source::New { fstype, options } = &mount.source
        && fstype.as_c_str() == c"overlay"
    {
        return layers::overlay(options, owners, || mount.whole().map(|(tree, _)| tree));
    }
    let (tree, _) = mount.whole()?;
    layers::map(tree.as_fd(), recursive, owners, mount.source.subject().as_bytes())?;
    Ok(tree)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_another_namespace() {
        let at = |path: &CStr| {
            let source = Source::Bind { path: path.into(), recursive: true, inside: None };
            elsewhere(&Mount { source, ..Mount::at(c"/dev/shm".into()) })
        };
        let (namespace, mount) = at(c"/proc/17/root/dev/shm").unwrap();
        assert_eq!(namespace.as_c_str(), c"/proc/17/ns/mnt");
        assert_eq!(mount.source.subject(), "/dev/shm");
        for here in [c"/dev/shm", c"/proc/self/root/x", c"/proc/17/cwd/x", c"/a/proc/17/root/x", c"/proc/17/root"] {
            assert!(at(here).is_none(), "{here:?}");
        }
    }
}
