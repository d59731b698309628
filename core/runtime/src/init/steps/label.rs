//! The label of a security module that the program gets when it is executed.
//!
//! It is written to a file of /proc. That of the container may be a forgery of its image's or of a volume, so the host's is
//! opened while it is at hand, and written to last of all: what hooks execute before must not get the label.

use super::{Perform, shown};
use crate::init::Context;
use crate::init::fault::{Act, During, Fault};
use crate::init::path::here;
use gantry_sys::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use serde::{Deserialize, Serialize};
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;

/// Whose label it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Module {
    AppArmor,
    SeLinux,
}

impl Module {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Module::AppArmor => "AppArmor",
            Module::SeLinux => "SELinux",
        }
    }

    /// True when the kernel has it and it was not switched off at boot. For the planning side: it reads files.
    pub(crate) fn is_on(self) -> bool {
        match self {
            Module::AppArmor => {
                let enabled = std::fs::read("/sys/module/apparmor/parameters/enabled");
                enabled.is_ok_and(|text| text.starts_with(b"Y"))
            }
            Module::SeLinux => std::path::Path::new("/sys/fs/selinux/enforce").exists(),
        }
    }

    /// Where kernels have the file, newer ones first. The last name is shared by all modules: it belongs to the first that was
    /// enabled.
    fn doors(self) -> [&'static CStr; 2] {
        match self {
            Module::AppArmor => [c"/proc/thread-self/attr/apparmor/exec", c"/proc/thread-self/attr/exec"],
            Module::SeLinux => [c"/proc/thread-self/attr/selinux/exec", c"/proc/thread-self/attr/exec"],
        }
    }
}

/// Opens the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LabelDoor {
    pub module: Module,
}

impl Perform for LabelDoor {
    const NAME: &'static str = "security label";

    fn perform(&self, context: &mut Context<'_>) -> Result<(), Fault> {
        let doors = self.module.doors();
        let door = open(doors[0]).or_else(|_| open(doors[1])).about(Act::Open, doors[1].to_bytes())?;
        context.labels[self.module as usize] = Some(door);
        Ok(())
    }
}

fn open(path: &CStr) -> Result<OwnedFd, Errno> {
    openat(here(), path, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())
}

/// Writes to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Label {
    pub module: Module,
    /// As the module wants it.
    pub value: CString,
}

impl Perform for Label {
    const NAME: &'static str = "security label";

    fn perform(&self, context: &mut Context<'_>) -> Result<(), Fault> {
        let door = context.labels[self.module as usize].take();
        let door = door.ok_or_else(|| Fault::new(Act::Write, Errno::EBADF))?;
        nix::unistd::write(door, self.value.to_bytes()).during(Act::Write).map(drop)
    }

    fn subject(&self) -> String {
        let text = shown(&self.value);
        text.strip_prefix("exec ").map_or(text.clone(), str::to_owned)
    }
}
