//! Joining namespaces that exist already.

use super::{Perform, shown};
use crate::init::Context;
use crate::init::fault::{Act, During, Fault};
use crate::init::path::here;
use gantry_sys::Errno;
use gantry_sys::pidfd::setns;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{chroot, fchdir};
use serde::{Deserialize, Serialize};
use std::ffi::CString;
use std::os::fd::AsFd;

/// Joins the namespace a file stands for; `kind` is its `CLONE_NEW*` flag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct JoinNamespace {
    pub kind: u64,
    pub path: CString,
}

impl Perform for JoinNamespace {
    const NAME: &'static str = "namespace";

    fn perform(&self, _: &mut Context<'_>) -> Result<(), Fault> {
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let file = openat(here(), self.path.as_c_str(), flags, Mode::empty()).during(Act::Open)?;
        setns(file.as_fd(), self.kind as i32).during(Act::Join)
    }

    fn subject(&self) -> String {
        shown(&self.path)
    }
}

/// Joins namespaces of the target process of an `exec`, all at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct EnterTarget {
    pub kinds: u64,
}

impl Perform for EnterTarget {
    const NAME: &'static str = "enter container";

    fn perform(&self, context: &mut Context<'_>) -> Result<(), Fault> {
        let target = context.prepared.target.ok_or(Errno::ESRCH).during(Act::Join)?;
        setns(target.pidfd, self.kinds as i32).during(Act::Join)?;
        fchdir(target.root).during(Act::ChangeDirectory)?;
        chroot(c".").during(Act::ChangeDirectory)
    }
}
