//! Making one path of the container read-only where it stands.

use super::mount::Attributes;
use super::{Perform, shown};
use crate::init::Context;
use crate::init::fault::{Act, During, Fault};
use gantry_sys::Errno;
use gantry_sys::mount::{self, MOUNT_ATTR_RDONLY};
use gantry_sys::path::open_in_root;
use serde::{Deserialize, Serialize};
use std::ffi::CString;
use std::os::fd::AsFd;

/// Lays a read-only copy of the path over itself; a path that does not exist is left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ReadOnly {
    pub path: CString,
}

impl Perform for ReadOnly {
    const NAME: &'static str = "read-only path";

    fn perform(&self, context: &mut Context<'_>) -> Result<(), Fault> {
        let target = match open_in_root(context.root(), &self.path, libc::O_PATH) {
            Err(Errno::ENOENT) => return Ok(()),
            other => other.during(Act::Open)?,
        };
        let tree = mount::clone_tree(target.as_fd(), true).during(Act::CloneMount)?;
        let read_only = Attributes { set: MOUNT_ATTR_RDONLY, ..Attributes::default() };
        read_only.apply(tree.as_fd(), true)?;
        mount::attach(tree.as_fd(), target.as_fd()).during(Act::Attach)
    }

    fn subject(&self) -> String {
        shown(&self.path)
    }
}
