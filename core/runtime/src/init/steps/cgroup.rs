//! Entering the container's cgroups, and hiding what is above them.

use super::Perform;
use crate::init::Context;
use crate::init::fault::{Act, During, Fault};
use nix::sched::{CloneFlags, unshare};
use serde::{Deserialize, Serialize};

/// Moves this process into every cgroup whose `tasks` the parent has opened. It has one thread.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct JoinCgroup;

impl Perform for JoinCgroup {
    const NAME: &'static str = "cgroup";

    fn perform(&self, context: &mut Context<'_>) -> Result<(), Fault> {
        for procs in context.prepared.cgroups {
            // "0" is the writer, whatever its number in which pid namespace.
            nix::unistd::write(procs, b"0").during(Act::Join)?;
        }
        Ok(())
    }
}

/// A cgroup namespace rooted where we are now; hence made after joining, never by clone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CgroupNamespace;

impl Perform for CgroupNamespace {
    const NAME: &'static str = "cgroup namespace";

    fn perform(&self, _: &mut Context<'_>) -> Result<(), Fault> {
        unshare(CloneFlags::CLONE_NEWCGROUP).during(Act::Unshare)
    }
}
