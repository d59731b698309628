//! Device nodes below one directory.

use super::{Perform, shown};
use crate::init::Context;
use crate::init::fault::{Act, During, Fault};
use crate::init::path::{ensure_directory, with_name};
use gantry_sys::{Errno, Result as SysResult};
use nix::fcntl::AtFlags;
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, fstatat, mknodat};
use nix::unistd::{Gid, Uid, fchownat};
use serde::{Deserialize, Serialize};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Devices {
    pub directory: CString,
    pub nodes: Vec<Node>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Node {
    pub name: CString,
    /// `S_IFCHR`, `S_IFBLK` or `S_IFIFO`.
    pub kind: u32,
    pub mode: u32,
    pub device: u64,
    pub uid: u32,
    pub gid: u32,
}

impl Perform for Devices {
    const NAME: &'static str = "devices";

    fn perform(&self, context: &mut Context<'_>) -> Result<(), Fault> {
        let directory = ensure_directory(context.root(), self.directory.to_bytes(), 0).during(Act::CreateDirectory)?;
        for node in &self.nodes {
            node.create(directory.as_fd()).about(Act::CreateNode, node.name.to_bytes())?;
        }
        Ok(())
    }

    fn subject(&self) -> String {
        shown(&self.directory)
    }
}

impl Node {
    fn create(&self, directory: BorrowedFd<'_>) -> SysResult<()> {
        with_name(self.name.to_bytes(), |name| self.create_named(directory, name))
    }

    fn create_named(&self, directory: BorrowedFd<'_>, name: &CStr) -> SysResult<()> {
        let kind = SFlag::from_bits_truncate(self.kind);
        let mode = Mode::from_bits_truncate(self.mode);
        match mknodat(directory, name, kind, mode, self.device) {
            Err(Errno::EEXIST) => return self.check_existing(directory, name),
            other => other?,
        }
        if self.uid != 0 || self.gid != 0 {
            let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
            fchownat(directory, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)?;
        }
        // The umask is 0 by now, so mknod has set all but the set-id bits.
        if self.mode & 0o7000 != 0 {
            fchmodat(directory, name, mode, FchmodatFlags::FollowSymlink)?;
        }
        Ok(())
    }

    /// The image, or a bind mount of the host's /dev, may have it already.
    fn check_existing(&self, directory: BorrowedFd<'_>, name: &CStr) -> SysResult<()> {
        let found = fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let same = found.st_mode & libc::S_IFMT == self.kind && found.st_rdev == self.device;
        if same { Ok(()) } else { Err(Errno::EEXIST) }
    }
}
