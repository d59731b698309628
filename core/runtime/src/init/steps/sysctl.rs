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
use std::ffi::CString;
use std::os::fd::AsFd;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sysctl {
    /// Below /proc/sys.
    pub path: CString,
    pub value: Vec<u8>,
}

impl Perform for Sysctl {
    const NAME: &'static str = "sysctl";

    fn perform(&self, _: &mut Context<'_>) -> Result<(), Fault> {
        let directory = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let all = openat(here(), c"/proc/sys", directory, Mode::empty()).during(Act::Open)?;
        let resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
        let file = openat2(all.as_fd(), &self.path, libc::O_WRONLY, 0, resolve).during(Act::Open)?;
        nix::unistd::write(file, &self.value).about(Act::Write, &self.value).map(drop)
    }

    fn subject(&self) -> String {
        self.path.to_string_lossy().replace('/', ".")
    }
}
