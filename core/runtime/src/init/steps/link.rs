//! A symlink that programs expect, such as /dev/fd.

use super::{Perform, shown};
use crate::init::Context;
use crate::init::fault::{Act, During, Fault};
use crate::init::path::{ensure_directory, split, with_name};
use gantry_sys::Errno;
use nix::unistd::symlinkat;
use serde::{Deserialize, Serialize};
use std::ffi::CString;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Link {
    pub path: CString,
    pub to: CString,
}

impl Perform for Link {
    const NAME: &'static str = "symlink";

    fn perform(&self, context: &mut Context<'_>) -> Result<(), Fault> {
        let (parent, name) = split(self.path.to_bytes());
        let parent = ensure_directory(context.root(), parent, 0).during(Act::CreateDirectory)?;
        match with_name(name, |name| symlinkat(self.to.as_c_str(), &parent, name)) {
            Ok(()) | Err(Errno::EEXIST) => Ok(()),
            Err(errno) => Err(Fault::new(Act::CreateLink, errno)),
        }
    }

    fn subject(&self) -> String {
        shown(&self.path)
    }
}
