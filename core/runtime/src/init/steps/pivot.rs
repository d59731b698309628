//! Exchanging the host's root for the container's.

use super::Perform;
use crate::init::Context;
use crate::init::fault::{Act, During, Fault};
use gantry_sys::Errno;
use nix::mount::{MntFlags, umount2};
use nix::unistd::{chdir, chroot, fchdir, pivot_root};
use serde::{Deserialize, Serialize};

/// `pivot_root(".", ".")`: the old root ends up over the new one and is detached from there, so no
/// directory is needed for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pivot {
    /// Where the old root cannot be pivoted (an initial ramfs): it stays below the new one, which lies on top already.
    pub chroot: bool,
}

impl Perform for Pivot {
    const NAME: &'static str = "pivot_root";

    fn perform(&self, context: &mut Context<'_>) -> Result<(), Fault> {
        let root = context.root.take().ok_or(Errno::ENOENT).during(Act::Pivot)?;
        fchdir(&root).during(Act::Pivot)?;
        if self.chroot {
            chroot(c".").during(Act::Pivot)?;
        } else {
            pivot_root(c".", c".").during(Act::Pivot)?;
            umount2(c".", MntFlags::MNT_DETACH).during(Act::Detach)?;
        }
        chdir(c"/").during(Act::ChangeDirectory)?;
        context.root = Some(root);
        Ok(())
    }
}
