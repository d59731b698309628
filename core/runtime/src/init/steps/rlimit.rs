//! Resource limits of the process.

use super::Perform;
use crate::init::Context;
use crate::init::fault::{Act, During, Fault};
use gantry_sys::{Errno, limits};
use serde::{Deserialize, Serialize};

/// Sets one limit. Where raising the hard limit is not permitted, as much as possible is given and
/// the parent is warned: the start of a container does not hang on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rlimit {
    /// `RLIMIT_*`
    pub resource: u32,
    pub soft: u64,
    pub hard: u64,
    /// The name for messages.
    pub name: String,
}

impl Perform for Rlimit {
    const NAME: &'static str = "rlimit";

    fn perform(&self, context: &mut Context<'_>) -> Result<(), Fault> {
        match limits::set_rlimit(self.resource, self.soft, self.hard) {
            Err(errno @ Errno::EPERM) => {
                let (_, current) = limits::rlimit(self.resource).during(Act::Set)?;
                let hard = self.hard.min(current);
                limits::set_rlimit(self.resource, self.soft.min(hard), hard).during(Act::Set)?;
                context.warn(Fault::about(Act::Clamp, errno, &hard.to_ne_bytes()));
                Ok(())
            }
            other => other.during(Act::Set),
        }
    }

    fn subject(&self) -> String {
        self.name.clone()
    }
}
