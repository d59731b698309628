//! The file mode creation mask.

use super::Perform;
use crate::init::Context;
use crate::init::fault::Fault;
use nix::sys::stat::{Mode, umask};
use serde::{Deserialize, Serialize};

/// Sets the mask: 0 while the set-up makes files, then what the program is to have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Umask {
    pub mask: u32,
}

impl Perform for Umask {
    const NAME: &'static str = "umask";

    fn perform(&self, _: &mut Context<'_>) -> Result<(), Fault> {
        umask(Mode::from_bits_truncate(self.mask));
        Ok(())
    }
}
