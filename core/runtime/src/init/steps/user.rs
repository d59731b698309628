//! Becoming the root of a user namespace.

use super::Perform;
use crate::init::Context;
use crate::init::fault::{Act, During, Fault};
use gantry_sys::{Errno, cred};
use serde::{Deserialize, Serialize};

/// Waits until the parent has written the maps of a new one; before that no id means anything here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct UserNamespace;

impl Perform for UserNamespace {
    const NAME: &'static str = "user namespace";

    fn perform(&self, context: &mut Context<'_>) -> Result<(), Fault> {
        context.hear::<1>().during(Act::MapUser)?;
        become_root()
    }
}

/// User and group 0 of the namespace, no further groups. A namespace that maps no group 0, or where groups may not be
/// set, leaves them as they are.
pub(crate) fn become_root() -> Result<(), Fault> {
    match cred::set_groups(&[]) {
        Ok(()) | Err(Errno::EPERM) => {}
        Err(errno) => return Err(Fault::new(Act::SetGroups, errno)),
    }
    cred::set_gids(0).during(Act::SetGid)?;
    cred::set_uids(0).during(Act::SetUid)
}
