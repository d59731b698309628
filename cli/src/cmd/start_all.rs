//! `system start-all`: what a boot's service calls.

use super::{Command, Context, Outcome, failed};
use crate::args::watching::START_ALL;
use crate::args::{NO_FLAGS, NoArgs};
use crate::out;

pub static COMMAND: Command<NoArgs> = Command { info: START_ALL, flags: &[NO_FLAGS], run };

fn run(context: &Context, _: NoArgs, _: Vec<String>) -> Outcome {
    let done = context.engine()?.start_all().map_err(failed)?;
    done.started.iter().try_for_each(|name| out::line(name))?;
    for (name, error) in &done.failed {
        out::note(&format!("container {name} is not started: {error}"));
    }
    Ok(i32::from(!done.failed.is_empty()))
}
