//! A session keyring of the container's own.

use super::Perform;
use crate::init::Context;
use crate::init::fault::{Act, Fault};
use gantry_sys::{Errno, process};
use serde::{Deserialize, Serialize};

/// Leaves the caller's keys behind. A kernel without keyrings, or a full quota, is no reason not to start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Keyring;

impl Perform for Keyring {
    const NAME: &'static str = "session keyring";

    fn perform(&self, context: &mut Context<'_>) -> Result<(), Fault> {
        match process::new_session_keyring() {
            Ok(()) | Err(Errno::ENOSYS) => {}
            Err(errno) => context.warn(Fault::new(Act::Set, errno)),
        }
        Ok(())
    }
}
