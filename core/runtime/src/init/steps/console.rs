//! The pseudo-terminal as /dev/console, so that `ttyname` finds it by its device number.

use super::Perform;
use crate::init::Context;
use crate::init::fault::{Act, During, Fault};
use crate::init::path::{Target, here, open_target};
use gantry_sys::mount;
use serde::{Deserialize, Serialize};
use std::os::fd::AsFd;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Console;

impl Perform for Console {
    const NAME: &'static str = "console";

    fn perform(&self, context: &mut Context<'_>) -> Result<(), Fault> {
        let Some(terminal) = &context.prepared.console else { return Ok(()) };
        let tree =
            mount::open_tree(here(), terminal, mount::OPEN_TREE_CLONE).about(Act::CloneMount, terminal.to_bytes())?;
        let target = open_target(context.root(), c"/dev/console", Target::File)?;
        mount::attach(tree.as_fd(), target.as_fd()).during(Act::Attach)
    }
}
