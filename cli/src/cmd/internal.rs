//! `internal finish` and `internal restart`: what a container's keeper executes when the engine is needed.

use super::{Command, Context, Outcome, failed};
use crate::args::system::{FINISH as FINISH_INFO, RESTART as RESTART_INFO};
use crate::args::{NO_FLAGS, NoArgs};

pub static FINISH: Command<NoArgs> = Command { info: FINISH_INFO, flags: &[NO_FLAGS], run: finish };
pub static RESTART: Command<NoArgs> = Command { info: RESTART_INFO, flags: &[NO_FLAGS], run: restart };

fn finish(context: &Context, _: NoArgs, names: Vec<String>) -> Outcome {
    context.engine()?.internal_finish(&names[0]).map(|()| 0).map_err(failed)
}

fn restart(context: &Context, _: NoArgs, names: Vec<String>) -> Outcome {
    context.engine()?.internal_restart(&names[0]).map(|()| 0).map_err(failed)
}
