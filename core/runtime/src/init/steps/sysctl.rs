//! A kernel parameter of the container's own namespaces.
//!
//! It is written through the host's /proc, which is still at hand: which namespace is meant depends on the process, and
//! what the image or a volume has put at the container's /proc cannot lead the write elsewhere (CVE-2025-52881).

use super::Perform;
use crate::init::Context;
use crate::init::fault::{Act, During, Fault};
use crate::init::path::here;
use gantry_sys::path::{RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, openat2};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use serde::{Deserialize, Serialize};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};

pub(crate) const PARAMETERS: &CStr = c"/proc/sys";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sysctl {
    /// Below /proc/sys.
    pub path: CString,
    pub value: Vec<u8>,
}

impl Perform for Sysctl {
    const NAME: &'static str = "sysctl";

    fn perform(&self, context: &mut Context<'_>) -> Result<(), Fault> {
        if let Some(parameters) = &context.parameters {
            return self.write(parameters.as_fd());
        }
        let directory = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let parameters = openat(here(), PARAMETERS, directory, Mode::empty()).during(Act::Open)?;
        self.write(parameters.as_fd())
    }

    fn subject(&self) -> String {
        self.path.to_string_lossy().replace('/', ".")
    }
}

impl Sysctl {
    fn write(&self, parameters: BorrowedFd<'_>) -> Result<(), Fault> {
        let resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
        let file = openat2(parameters, &self.path, libc::O_WRONLY, 0, resolve).during(Act::Open)?;
        nix::unistd::write(file, &self.value).about(Act::Write, &self.value).map(drop)
    }
}
