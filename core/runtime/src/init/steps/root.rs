//! The container's root file system, mounted in its own mount namespace.

use super::Perform;
use super::mount::{Source, make_file_system};
use crate::init::Context;
use crate::init::fault::{Act, During, Fault};
use crate::init::path::here;
use gantry_sys::Errno;
use gantry_sys::mount::{self, MOVE_MOUNT_F_EMPTY_PATH, MountAttr};
use nix::fcntl::{OFlag, openat};
use nix::mount::MsFlags;
use nix::sys::stat::Mode;
use nix::unistd::{chdir, fchdir};
use serde::{Deserialize, Serialize};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

/// Makes the root and puts it over the old one at "/".
///
/// Path lookups of this process still start at the old root below it, so bind sources stay
/// reachable until `pivot_root`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Root {
    pub source: Source,
    /// `MOUNT_ATTR_*`
    pub set: u64,
    /// The same overlay for `mount(2)`, used where the kernel does not know `lowerdir+`.
    pub classic: Option<Classic>,
    /// Which of the plan's identity maps the owners of its files are seen through.
    pub idmap: Option<u16>,
    /// The directory that it goes over instead of "/", where the mount namespace is not the container's own: who else is there
    /// must keep his root. Unmounted from there, it takes along what was mounted in it.
    pub place: Option<CString>,
}

/// The arguments of `mount(2)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Classic {
    pub fstype: CString,
    pub flags: u64,
    pub data: CString,
    /// Where relative paths of `data` begin; `None` when all are absolute.
    pub directory: Option<CString>,
}

impl Perform for Root {
    const NAME: &'static str = "root file system";

    fn perform(&self, context: &mut Context<'_>) -> Result<(), Fault> {
        if let Some(place) = &self.place {
            context.root = Some(self.attach_at(place)?);
            return Ok(());
        }
        if let Some(tree) = context.tree() {
            let tree = gantry_sys::process::duplicate_from(tree, 3).during(Act::CloneMount)?;
            context.root = Some(attach_over_root(tree)?);
            return Ok(());
        }
        let root = match (self.detached(), &self.classic) {
            (Err(fault), Some(classic)) if may_be_old_kernel(&fault) => classic.mount().map_err(|_| fault)?,
            (made, _) => attach_over_root(made?)?,
        };
        context.root = Some(root);
        Ok(())
    }

    fn subject(&self) -> String {
        self.source.subject()
    }
}

/// Linux 6.5 and 6.6 refuse `lowerdir+` as it is set; before, overlay takes any words and refuses them all at the end, so
/// that the cause may be another one; before 5.2 there is no `fsopen`.
pub(crate) fn may_be_old_kernel(fault: &Fault) -> bool {
    matches!(
        (fault.act, fault.errno),
        (Act::SetLowerDir | Act::CreateSuperblock, Errno::EINVAL) | (Act::OpenFileSystem, Errno::ENOSYS)
    )
}

impl Root {
    fn attach_at(&self, place: &CStr) -> Result<OwnedFd, Fault> {
        let tree = self.detached()?;
        let how = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let place = openat(here(), place, how, Mode::empty()).during(Act::Open)?;
        mount::attach(tree.as_fd(), place.as_fd()).during(Act::Attach)?;
        // A shared parent made it shared: what is mounted in it would reach everybody whom the parent's mounts reach.
        let private = MountAttr { propagation: MsFlags::MS_PRIVATE.bits(), ..MountAttr::default() };
        mount::set_attributes(&tree, true, &private).during(Act::SetAttributes)?;
        Ok(tree)
    }

    pub(crate) fn detached(&self) -> Result<OwnedFd, Fault> {
        match &self.source {
            Source::New { fstype, options } => make_file_system(fstype, options, self.set),
            Source::Bind { path, recursive, .. } => {
                let recurse = if *recursive { mount::AT_RECURSIVE } else { 0 };
                let tree = mount::open_tree(here(), path, mount::OPEN_TREE_CLONE | recurse).during(Act::CloneMount)?;
                let attributes =
                    MountAttr { set: self.set, propagation: MsFlags::MS_PRIVATE.bits(), ..MountAttr::default() };
                mount::set_attributes(&tree, *recursive, &attributes).during(Act::SetAttributes)?;
                Ok(tree)
            }
        }
    }
}

fn attach_over_root(tree: OwnedFd) -> Result<OwnedFd, Fault> {
    mount::move_mount(tree.as_fd(), c"", here(), c"/", MOVE_MOUNT_F_EMPTY_PATH).during(Act::Attach)?;
    Ok(tree)
}

impl Classic {
    /// The same on a directory, named absolutely.
    pub(crate) fn mount_at(&self, target: &CStr) -> Result<(), Errno> {
        let Some(directory) = &self.directory else { return self.mount_from_here(target) };
        let back = openat(here(), c".", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        chdir(directory.as_c_str())?;
        let mounted = self.mount_from_here(target);
        fchdir(back)?;
        mounted
    }

    fn mount_from_here(&self, target: &CStr) -> Result<(), Errno> {
        let flags = MsFlags::from_bits_retain(self.flags as _);
        let fstype = self.fstype.as_c_str();
        nix::mount::mount(Some(fstype), target, Some(fstype), flags, Some(self.data.as_c_str()))
    }

    /// Mounts over "/" too; ".." of our root is then what lies on top of it.
    pub(crate) fn mount(&self) -> Result<OwnedFd, Fault> {
        self.mount_at(c"/").during(Act::ClassicMount)?;
        let how = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        openat(here(), c"/..", how, Mode::empty()).during(Act::Open)
    }
}
