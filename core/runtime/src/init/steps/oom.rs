//! How eager the kernel is to kill this container when memory runs out.

use super::Perform;
use crate::init::Context;
use crate::init::fault::{Act, Fault};
use crate::init::path::here;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use serde::{Deserialize, Serialize};

/// Writes `oom_score_adj`; lowering it without the privilege is a warning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Oom {
    pub value: Vec<u8>,
}

impl Perform for Oom {
    const NAME: &'static str = "oom_score_adj";

    fn perform(&self, context: &mut Context<'_>) -> Result<(), Fault> {
        let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC;
        let written = openat(here(), c"/proc/self/oom_score_adj", flags, Mode::empty())
            .and_then(|file| nix::unistd::write(file, &self.value));
        if let Err(errno) = written {
            context.warn(Fault::about(Act::Set, errno, &self.value));
        }
        Ok(())
    }
}
