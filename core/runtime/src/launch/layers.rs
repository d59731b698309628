//! An overlay whose layers are seen through a map of owners.
//!
//! The kernel maps owners by mount, and an overlay takes its layers by path, from mounts that are attached (before
//! Linux 6.15) in the namespace of whoever makes it. So a child with a mount namespace of its own covers the layers'
//! directories with mapped mounts, makes the overlay there and sends it back; its namespace goes with it. On the disk
//! owners stay what they are in the image.

use crate::init::fault::{Act, During, Fault, MESSAGE_SIZE, Message};
use crate::init::path::here;
use crate::init::steps::mount::MountOption;
use crate::init::steps::root::{Root, may_be_old_kernel};
use crate::launch::kill_and_reap;

use gantry_sys::mount::{self, MOUNT_ATTR_IDMAP, MountAttr};
use gantry_sys::process::{self, Forked, namespace};
use gantry_sys::{Errno, cred, passing};
use nix::fcntl::{OFlag, openat};
use nix::mount::MsFlags;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::stat::Mode;
use std::ffi::{CStr, CString, OsStr};
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A map of owners.
pub(super) struct Owners {
    /// A user namespace that has it.
    pub namespace: OwnedFd,
    /// Who is root in it.
    pub root: (u32, u32),
}

/// Has the owners of a detached mount, that of `subject`, seen through a map.
pub(super) fn map(tree: BorrowedFd<'_>, recursive: bool, owners: &Owners, subject: &[u8]) -> Result<(), Fault> {
    let userns_fd = owners.namespace.as_raw_fd() as u64;
    let attributes = MountAttr { set: MOUNT_ATTR_IDMAP, userns_fd, ..MountAttr::default() };
    mount::set_attributes(tree, recursive, &attributes).about(Act::MapOwners, subject)
}

/// The overlay of a root, by whichever way this kernel knows.
pub(super) fn made(root: &Root) -> Result<OwnedFd, Fault> {
    match (root.detached(), &root.classic) {
        (Err(fault), Some(classic)) if may_be_old_kernel(&fault) => {
            let mounted = classic.mount().map_err(|_| fault)?;
            mount::clone_tree(mounted.as_fd(), false).during(Act::CloneMount)
        }
        (made, _) => made,
    }
}

/// What `make` makes where the layers that `options` name are mapped.
pub(super) fn overlay(
    options: &[MountOption],
    owners: &Owners,
    make: impl FnOnce() -> Result<OwnedFd, Fault>,
) -> Result<OwnedFd, Fault> {
    by_child(namespace::MOUNT, || {
        cover(options, owners)?;
        become_root(owners.root)?;
        make()
    })
}

/// A mount that a child makes where it would not do for us to be.
pub(super) fn by_child(namespaces: u64, make: impl FnOnce() -> Result<OwnedFd, Fault>) -> Result<OwnedFd, Fault> {
    let pair = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC);
    let (ours, theirs) = pair.during(Act::CloneMount)?;
    match process::clone3(namespaces, None).during(Act::Unshare)? {
        Forked::Child => {
            let _ = cred::set_parent_death_signal(libc::SIGKILL);
            answer(theirs.as_fd(), make());
            process::exit(0)
        }
        Forked::Parent { pidfd, .. } => {
            drop(theirs);
            let answered = hear(ours.as_fd());
            kill_and_reap(pidfd.as_fd());
            answered
        }
    }
}

fn answer(socket: BorrowedFd<'_>, made: Result<OwnedFd, Fault>) {
    let _ = match made {
        Ok(tree) => passing::send(socket, &[IoSlice::new(b"!")], &[tree.as_raw_fd()], true),
        Err(fault) => passing::send(socket, &[IoSlice::new(&Message::Failed { step: 0, fault }.encode())], &[], true),
    };
}

fn hear(socket: BorrowedFd<'_>) -> Result<OwnedFd, Fault> {
    let mut bytes = [0; MESSAGE_SIZE];
    let (length, fds) = loop {
        match passing::receive(socket, &mut bytes, true) {
            Err(Errno::EINTR) => {}
            other => break other.during(Act::CloneMount)?,
        }
    };
    if let Some(tree) = fds.into_iter().next() {
        return Ok(tree);
    }
    match Message::decode(&bytes) {
        Some(Message::Failed { fault, .. }) if length == MESSAGE_SIZE => Err(fault),
        _ => Err(Fault::new(Act::CloneMount, Errno::ECHILD)),
    }
}

/// Puts mapped mounts over the layers in this namespace. What is written to and its work directory must be on one
/// mount, so that covers what both lie in, which in most stores is all there is.
fn cover(options: &[MountOption], owners: &Owners) -> Result<(), Fault> {
    let none = None::<&CStr>;
    nix::mount::mount(none, c"/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).during(Act::Unshare)?;
    let mut covered = Vec::new();
    let all = written(options).into_iter().chain(lowers(options));
    for path in all {
        let place = open(&path)?;
        if covered.contains(&mount_of(place.as_fd())?) {
            continue;
        }
        let tree = mount::clone_tree(place.as_fd(), false).about(Act::CloneMount, path.to_bytes())?;
        map(tree.as_fd(), false, owners, path.to_bytes())?;
        mount::attach(tree.as_fd(), place.as_fd()).about(Act::Attach, path.to_bytes())?;
        covered.push(mount_of(tree.as_fd())?);
    }
    Ok(())
}

/// What overlay makes itself, in its work directory, belongs to whoever mounts it; the map has no place for our root.
fn become_root((user, group): (u32, u32)) -> Result<(), Fault> {
    cred::make_files_as(user, group).during(Act::SetCapabilities)
}

fn value<'a>(options: &'a [MountOption], key: &CStr) -> Option<&'a CStr> {
    options.iter().find(|(name, _)| name.as_c_str() == key).and_then(|(_, value)| value.as_deref())
}

/// What the upper and the work directory lie in.
fn written(options: &[MountOption]) -> Option<CString> {
    let path = |key| value(options, key).map(|path| Path::new(OsStr::from_bytes(path.to_bytes())));
    let (upper, work) = (path(c"upperdir")?, path(c"workdir")?);
    let common: PathBuf =
        upper.components().zip(work.components()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect();
    CString::new(common.into_os_string().as_bytes()).ok().filter(|common| common.to_bytes().len() > 1)
}

fn lowers(options: &[MountOption]) -> Vec<CString> {
    let named = |name: &CStr| name == c"lowerdir+" || name == c"lowerdir";
    options.iter().filter(|(name, _)| named(name)).filter_map(|(_, value)| value.clone()).collect()
}

fn open(path: &CStr) -> Result<OwnedFd, Fault> {
    openat(here(), path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).about(Act::Open, path.to_bytes())
}

/// The number of the mount that a file is on.
fn mount_of(fd: BorrowedFd<'_>) -> Result<u64, Fault> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).unwrap_or_default();
    let number = info.lines().find_map(|line| line.strip_prefix("mnt_id:")).and_then(|text| text.trim().parse().ok());
    number.ok_or_else(|| Fault::new(Act::Read, Errno::ENOENT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_covered() {
        let option = |key: &CStr, value: &CStr| (key.into(), Some(value.into()));
        let options = [
            option(c"lowerdir+", c"/s/l/a"),
            option(c"lowerdir+", c"/elsewhere/b"),
            option(c"upperdir", c"/s/containers/x"),
            option(c"workdir", c"/s/work/x"),
        ];
        assert_eq!(written(&options).as_deref(), Some(c"/s"));
        assert_eq!(lowers(&options), [CString::from(c"/s/l/a"), c"/elsewhere/b".into()]);
        assert_eq!(written(&[option(c"upperdir", c"/a"), option(c"workdir", c"/b")]), None);
    }
}
