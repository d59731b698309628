//! A session of its own, and its terminal.

use super::Perform;
use crate::init::Context;
use crate::init::fault::{Act, During, Fault};
use gantry_sys::process::set_controlling_terminal;
use serde::{Deserialize, Serialize};
use std::os::fd::AsFd;

/// Makes the process a session leader; with a terminal, stdin becomes the controlling one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Session;

impl Perform for Session {
    const NAME: &'static str = "session";

    fn perform(&self, context: &mut Context<'_>) -> Result<(), Fault> {
        nix::unistd::setsid().during(Act::StartSession)?;
        if context.prepared.terminal {
            set_controlling_terminal(std::io::stdin().as_fd()).during(Act::TakeTerminal)?;
        }
        Ok(())
    }
}
