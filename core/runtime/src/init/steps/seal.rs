//! Changing a mount of the container after everything in it has been made.

use super::mount::Attributes;
use super::{Perform, shown};
use crate::init::Context;
use crate::init::fault::{Act, During, Fault};
use gantry_sys::path::open_in_root;
use serde::{Deserialize, Serialize};
use std::ffi::CString;
use std::os::fd::AsFd;

/// Sets attributes of the mount at `path`, for instance read-only for the root.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seal {
    pub path: CString,
    pub attributes: Attributes,
}

impl Perform for Seal {
    const NAME: &'static str = "mount attributes";

    fn perform(&self, context: &mut Context<'_>) -> Result<(), Fault> {
        let target = open_in_root(context.root(), &self.path, libc::O_PATH).during(Act::Open)?;
        self.attributes.apply(target.as_fd(), false)
    }

    fn subject(&self) -> String {
        shown(&self.path)
    }
}
