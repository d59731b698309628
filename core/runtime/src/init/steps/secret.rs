//! Secrets: files in a small tmpfs of the container's own, written by init, so that they never touch a disk and end with
//! the container.

use super::mount::{MountOption, attach_at, make_file_system};
use super::{Perform, shown};
use crate::error::Error;
use crate::init::Context;
use crate::init::fault::{Act, During, Fault};
use crate::init::path::Target;
use crate::plan_text::c_string;
use gantry_sys::Errno;
use gantry_sys::mount::{self, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY, MountAttr};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, unlinkat, write};
use serde::{Deserialize, Serialize};
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd};

const ATTRIBUTES: u64 = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

/// Makes the directory of secrets and fills it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Secrets {
    /// Where the directory is.
    pub directory: CString,
    /// Of its file system.
    pub options: Vec<MountOption>,
    pub files: Vec<SecretFile>,
}

/// One of them.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct SecretFile {
    /// In the directory.
    pub(crate) name: CString,
    /// Where else in the container it is shown instead.
    pub(crate) target: Option<CString>,
    pub(crate) data: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
}

impl std::fmt::Debug for SecretFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretFile").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Perform for Secrets {
    const NAME: &'static str = "secrets";

    fn perform(&self, context: &mut Context<'_>) -> Result<(), Fault> {
        let tree = make_file_system(c"tmpfs", &self.options, ATTRIBUTES)?;
        attach_at(context.root(), &self.directory, tree.as_fd(), Target::Directory)?;
        for file in &self.files {
            file.make(tree.as_fd(), context.root())?;
        }
        make_read_only(tree.as_fd())
    }

    fn subject(&self) -> String {
        shown(&self.directory)
    }
}

impl SecretFile {
    /// A file of this name in the directory, or, with a target, there instead.
    pub fn new(name: &str, target: Option<&str>, data: Vec<u8>, mode: u32, owner: (u32, u32)) -> Result<Self, Error> {
        let target = target.map(|target| c_string("secret", target)).transpose()?;
        Ok(SecretFile { name: c_string("secret", name)?, target, data, mode, owner })
    }

    fn make(&self, directory: BorrowedFd<'_>, root: BorrowedFd<'_>) -> Result<(), Fault> {
        let name = self.name.as_c_str();
        let how = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(directory, name, how, Mode::empty()).about(Act::CreateFile, name.to_bytes())?;
        let mut left = self.data.as_slice();
        while !left.is_empty() {
            match write(&file, left) {
                Ok(count) => left = &left[count..],
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(Fault::about(Act::Write, errno, name.to_bytes())),
            }
        }
        let owner = (Some(Uid::from_raw(self.owner.0)), Some(Gid::from_raw(self.owner.1)));
        fchown(&file, owner.0, owner.1).about(Act::ChangeOwner, name.to_bytes())?;
        fchmod(&file, Mode::from_bits_truncate(self.mode)).about(Act::Set, name.to_bytes())?;
        let Some(target) = &self.target else { return Ok(()) };
        let shown = mount::open_tree(directory, name, mount::OPEN_TREE_CLONE).during(Act::CloneMount)?;
        make_read_only(shown.as_fd())?;
        attach_at(root, target, shown.as_fd(), Target::File)?;
        unlinkat(directory, name, UnlinkatFlags::NoRemoveDir).during(Act::Write)
    }
}

fn make_read_only(tree: BorrowedFd<'_>) -> Result<(), Fault> {
    let read_only = MountAttr { set: MOUNT_ATTR_RDONLY, ..MountAttr::default() };
    mount::set_attributes(tree, false, &read_only).during(Act::SetAttributes)
}
