//! A time namespace with its clocks set off.

use super::Perform;
use crate::init::Context;
use crate::init::fault::{Act, During, Fault};
use crate::init::path::here;
use gantry_sys::pidfd::setns;
use gantry_sys::process::namespace;
use nix::fcntl::{OFlag, openat};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use serde::{Deserialize, Serialize};
use std::os::fd::AsFd;

/// The offsets can only be set while nobody is in the namespace, so it is made for children, set, and then joined.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TimeNamespace {
    /// Lines of `clock seconds nanoseconds`.
    pub offsets: Vec<Vec<u8>>,
}

impl Perform for TimeNamespace {
    const NAME: &'static str = "time namespace";

    fn perform(&self, _: &mut Context<'_>) -> Result<(), Fault> {
        unshare(CloneFlags::from_bits_retain(namespace::TIME as i32)).during(Act::Unshare)?;
        for line in &self.offsets {
            let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC;
            let file = openat(here(), c"/proc/self/timens_offsets", flags, Mode::empty()).during(Act::Open)?;
            nix::unistd::write(file, line).about(Act::Write, line.trim_ascii_end())?;
        }
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let made = openat(here(), c"/proc/self/ns/time_for_children", flags, Mode::empty()).during(Act::Open)?;
        setns(made.as_fd(), namespace::TIME as i32).during(Act::Join)
    }
}
