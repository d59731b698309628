//! Cutting the new mount namespace off from the host's.

use super::Perform;
use crate::init::Context;
use crate::init::fault::{Act, During, Fault};
use nix::mount::{MsFlags, mount};
use serde::{Deserialize, Serialize};
use std::ffi::CStr;

/// Sets the propagation (`MS_*`) of every mount that was copied from the host.
///
/// The topmost mount becomes private in any case: `pivot_root` refuses a shared parent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Propagation {
    pub flags: u64,
}

impl Perform for Propagation {
    const NAME: &'static str = "mount propagation";

    fn perform(&self, _: &mut Context<'_>) -> Result<(), Fault> {
        set(MsFlags::from_bits_retain(self.flags as _))?;
        set(MsFlags::MS_PRIVATE)
    }
}

fn set(flags: MsFlags) -> Result<(), Fault> {
    let none = None::<&CStr>;
    mount(none, c"/", none, flags, none).during(Act::Set)
}
