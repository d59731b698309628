//! Hiding one path of the container: a file behind /dev/null, a directory behind an empty one.

use super::mount::{MountOption, kind_of, make_file_system};
use super::{Perform, shown};
use crate::init::Context;
use crate::init::fault::{Act, During, Fault};
use crate::init::path::Target;
use gantry_sys::path::open_in_root;
use gantry_sys::{Errno, mount};
use nix::sys::stat::fstat;
use serde::{Deserialize, Serialize};
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A path that does not exist needs no mask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Mask {
    pub path: CString,
    /// Of the empty directory's file system, if this step comes to make it.
    pub options: Vec<MountOption>,
}

impl Perform for Mask {
    const NAME: &'static str = "masked path";

    fn perform(&self, context: &mut Context<'_>) -> Result<(), Fault> {
        let target = match open_in_root(context.root(), &self.path, libc::O_PATH) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(()),
            other => other.during(Act::Open)?,
        };
        let cover = match kind_of(target.as_fd()).during(Act::Open)? {
            Target::Directory => empty_directory(context, &self.options)?,
            Target::File => null_device(context.root())?,
        };
        mount::attach(cover.as_fd(), target.as_fd()).during(Act::Attach)
    }

    fn subject(&self) -> String {
        shown(&self.path)
    }
}

/// One empty read-only tmpfs, and copies of it; a superblock for each path would cost four times as much. The first is
/// attached itself: before Linux 6.15 only a mount that is attached can be copied.
fn empty_directory(context: &mut Context<'_>, options: &[MountOption]) -> Result<OwnedFd, Fault> {
    if let Some(empty) = &context.mask {
        return mount::clone_tree(empty.as_fd(), false).during(Act::CloneMount);
    }
    let attributes = mount::MOUNT_ATTR_RDONLY | mount::MOUNT_ATTR_NOSUID | mount::MOUNT_ATTR_NODEV;
    let first = make_file_system(c"tmpfs", options, attributes)?;
    context.mask = Some(gantry_sys::process::duplicate_from(first.as_fd(), 3).during(Act::CloneMount)?);
    Ok(first)
}

/// The container's own /dev/null, provided that it is one.
fn null_device(root: BorrowedFd<'_>) -> Result<OwnedFd, Fault> {
    let null = open_in_root(root, c"/dev/null", libc::O_PATH).about(Act::Open, b"/dev/null")?;
    let found = fstat(&null).about(Act::Open, b"/dev/null")?;
    let wanted = (libc::S_IFCHR, libc::makedev(1, 3));
    if (found.st_mode & libc::S_IFMT, found.st_rdev) != wanted {
        return Err(Fault::about(Act::Open, Errno::ENODEV, b"/dev/null"));
    }
    mount::clone_tree(null.as_fd(), false).during(Act::CloneMount)
}
