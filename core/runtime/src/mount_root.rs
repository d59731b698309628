//! Mounting a storage driver's root in the caller's own (private) mount namespace: for `cp`,
//! `export` and `commit` of a stopped container, and for filling a new volume from the image.

use crate::build::root;
use crate::error::Error;
use crate::init::fault::Fault;
use crate::init::steps::Step;
use crate::init::steps::root::{Root, may_be_old_kernel};
use crate::plan_text::c_string;
use crate::request::RootMount;
use gantry_sys::mount;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Mounts one of the driver's mounts below `directory`; the caller has seen to it that nobody else
/// sees this mount namespace.
pub fn mount_root(mount: &RootMount, directory: &Path) -> Result<(), Error> {
    let target = directory.join(mount.target.trim_start_matches('/'));
    let whole = RootMount { target: String::new(), ..mount.clone() };
    match root::steps(&[whole], true)?.into_iter().next() {
        Some(Step::Root(step)) => mount_step(&step, &target),
        _ => Ok(()),
    }
}

/// The same for a step of a plan.
pub(crate) fn mount_step(step: &Root, target: &Path) -> Result<(), Error> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let shown = |act, errno| Error::Step {
        step: "root file system",
        path: target.display().to_string(),
        act,
        detail: String::new(),
        errno,
    };
    let place = open(target, flags, Mode::empty()).map_err(|errno| shown("open", errno))?;
    let tree = match (step.detached(), &step.classic) {
        (Ok(tree), _) => tree,
        (Err(fault), Some(classic)) if may_be_old_kernel(&fault) => {
            let place = c_string("root file system", target.as_os_str().as_bytes())?;
            return classic.mount_at(&place).map_err(|_| failed(target, &fault));
        }
        (Err(fault), _) => return Err(failed(target, &fault)),
    };
    mount::attach(tree.as_fd(), place.as_fd()).map_err(|errno| shown("attach mount", errno))
}

fn failed(target: &Path, fault: &Fault) -> Error {
    Error::Step {
        step: "root file system",
        path: target.display().to_string(),
        act: fault.act.text(),
        detail: String::from_utf8_lossy(fault.detail.as_bytes()).into_owned(),
        errno: fault.errno,
    }
}
