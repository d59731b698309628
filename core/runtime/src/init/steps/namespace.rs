//! Joining namespaces that exist already.

use super::sysctl::PARAMETERS;
use super::{Perform, shown};
use crate::init::Context;
use crate::init::fault::{Act, During, Fault};
use crate::init::path::here;
use gantry_sys::Errno;
use gantry_sys::pidfd::setns;
use gantry_sys::process::namespace;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{chroot, fchdir};
use serde::{Deserialize, Serialize};
use std::ffi::{CStr, CString};
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
        join(&self.path, self.kind)
    }

    fn subject(&self) -> String {
        shown(&self.path)
    }
}

fn join(path: &CStr, kind: u64) -> Result<(), Fault> {
    let file = openat(here(), path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).during(Act::Open)?;
    setns(file.as_fd(), kind as i32).during(Act::Join)
}

/// Joins a mount namespace: from here on all paths are those of it, and its /proc may be of another namespace of pids.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct JoinMounts {
    pub path: CString,
}

impl Perform for JoinMounts {
    const NAME: &'static str = "mount namespace";

    fn perform(&self, context: &mut Context<'_>) -> Result<(), Fault> {
        let directory = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let parameters = openat(here(), PARAMETERS, directory, Mode::empty());
        context.parameters = Some(parameters.about(Act::Open, PARAMETERS.to_bytes())?);
        join(&self.path, namespace::MOUNT)
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
