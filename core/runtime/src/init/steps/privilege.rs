//! The last privileges: what may be gained, and what is left.

use super::Perform;
use crate::init::Context;
use crate::init::fault::{Act, During, Fault};
use gantry_sys::cred::{self, CapSets};
use serde::{Deserialize, Serialize};

/// No exec from here on can gain privileges.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct NoNewPrivileges;

impl Perform for NoNewPrivileges {
    const NAME: &'static str = "no new privileges";

    fn perform(&self, _: &mut Context<'_>) -> Result<(), Fault> {
        cred::set_no_new_privs().during(Act::Set)
    }
}

/// The capability sets, one bit per capability.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Capabilities {
    pub effective: u64,
    pub permitted: u64,
    pub inheritable: u64,
    pub ambient: u64,
}

impl Perform for Capabilities {
    const NAME: &'static str = "capabilities";

    /// Runs last of all, since installing the filter may have needed `CAP_SYS_ADMIN`.
    fn perform(&self, _: &mut Context<'_>) -> Result<(), Fault> {
        let sets = CapSets { effective: self.effective, permitted: self.permitted, inheritable: self.inheritable };
        cred::capset(&sets).during(Act::SetCapabilities)?;
        for capability in bits(self.ambient) {
            cred::raise_ambient(capability).during(Act::RaiseAmbient)?;
        }
        Ok(())
    }
}

/// The numbers of the set bits.
pub(crate) fn bits(mask: u64) -> impl Iterator<Item = u32> {
    (0..u64::BITS).filter(move |bit| mask & (1 << bit) != 0)
}
