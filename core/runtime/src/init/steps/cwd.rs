//! The working directory.

use super::{Perform, shown};
use crate::init::Context;
use crate::init::fault::{Act, During, Fault};
use crate::init::path::{Target, open_target};
use gantry_sys::Errno;
use gantry_sys::path::cwd_is_reachable;
use nix::unistd::chdir;
use serde::{Deserialize, Serialize};
use std::ffi::CString;

/// Makes the directory if the image lacks it, as the convention is for a container's first process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct MakeCwd {
    pub path: CString,
}

impl Perform for MakeCwd {
    const NAME: &'static str = "cwd";

    fn perform(&self, context: &mut Context<'_>) -> Result<(), Fault> {
        open_target(context.root(), &self.path, Target::Directory).map(drop)
    }

    fn subject(&self) -> String {
        shown(&self.path)
    }
}

/// Changes to it with the rights of the container's user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cwd {
    pub path: CString,
}

impl Perform for Cwd {
    const NAME: &'static str = "cwd";

    fn perform(&self, _: &mut Context<'_>) -> Result<(), Fault> {
        chdir(self.path.as_c_str()).during(Act::ChangeDirectory)?;
        // The path may lead through /proc/self/fd to a directory of the host's.
        match cwd_is_reachable().during(Act::ChangeDirectory)? {
            true => Ok(()),
            false => Err(Fault::new(Act::CwdOutside, Errno::EPERM)),
        }
    }

    fn subject(&self) -> String {
        shown(&self.path)
    }
}
