//! A kernel parameter of the container's own namespaces.

use super::Perform;
use crate::init::Context;
use crate::init::fault::{Act, During, Fault};
use gantry_sys::path::{RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS, openat2};
use serde::{Deserialize, Serialize};
use std::ffi::CString;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sysctl {
    /// `proc/sys/net/...`
    pub path: CString,
    pub value: Vec<u8>,
}

impl Perform for Sysctl {
    const NAME: &'static str = "sysctl";

    fn perform(&self, context: &mut Context<'_>) -> Result<(), Fault> {
        let resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS;
        let file = openat2(context.root(), &self.path, libc::O_WRONLY, 0, resolve).during(Act::Open)?;
        nix::unistd::write(file, &self.value).about(Act::Write, &self.value).map(drop)
    }

    fn subject(&self) -> String {
        self.path.to_string_lossy().trim_start_matches("proc/sys/").replace('/', ".")
    }
}
