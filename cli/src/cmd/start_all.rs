//! `system start-all` and `system stop-all`: what the service of a boot and of a shutdown calls.

use super::lifecycle::stop_request;
use super::{Command, Context, Outcome, failed};
use crate::args::lifecycle::{STOP_FLAGS, StopArgs};
use crate::args::watching::{START_ALL, STOP_ALL};
use crate::args::{NO_FLAGS, NoArgs};
use crate::out;
use gantry_engine::DoneToAll;

pub static COMMAND: Command<NoArgs> = Command { info: START_ALL, flags: &[NO_FLAGS], run };
pub static STOP: Command<StopArgs> = Command { info: STOP_ALL, flags: &[STOP_FLAGS], run: stop };

fn run(context: &Context, _: NoArgs, _: Vec<String>) -> Outcome {
    let engine = context.starting_engine()?;
    tell(engine.start_all().map_err(failed)?, "started")
}

fn stop(context: &Context, args: StopArgs, _: Vec<String>) -> Outcome {
    let engine = context.engine()?;
    tell(engine.stop_all(&stop_request(args)).map_err(failed)?, "stopped")
}

fn tell(all: DoneToAll, what: &str) -> Outcome {
    all.done.iter().try_for_each(|name| out::line(name))?;
    for (name, error) in &all.failed {
        out::note(&format!("container {name} is not {what}: {error}"));
    }
    Ok(i32::from(!all.failed.is_empty()))
}
