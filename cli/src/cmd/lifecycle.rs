//! `stop`, `restart`, `kill`, `rm`, `pause`, `unpause`, `wait`, `rename`: one act for each name.

use super::{Command, Context, Outcome, each, failed};
use crate::args::lifecycle::{self as args, KillArgs, RmArgs, StopArgs};
use crate::args::{NO_FLAGS, NoArgs};
use crate::out::failure::Failure;
use gantry_engine::request::{RemoveRequest, StopRequest};
use std::time::Duration;

pub static STOP: Command<StopArgs> = Command { info: args::STOP, flags: &[args::STOP_FLAGS], run: stop };
pub static RESTART: Command<StopArgs> = Command { info: args::RESTART, flags: &[args::STOP_FLAGS], run: restart };
pub static KILL: Command<KillArgs> = Command { info: args::KILL, flags: &[args::KILL_FLAGS], run: kill };
pub static RM: Command<RmArgs> = Command { info: args::RM, flags: &[args::RM_FLAGS], run: rm };
pub static PAUSE: Command<NoArgs> = Command { info: args::PAUSE, flags: &[NO_FLAGS], run: pause };
pub static UNPAUSE: Command<NoArgs> = Command { info: args::UNPAUSE, flags: &[NO_FLAGS], run: unpause };
pub static WAIT: Command<NoArgs> = Command { info: args::WAIT, flags: &[NO_FLAGS], run: wait };
pub static RENAME: Command<NoArgs> = Command { info: args::RENAME, flags: &[NO_FLAGS], run: rename };

fn stop(context: &Context, args: StopArgs, names: Vec<String>) -> Outcome {
    let engine = context.engine()?;
    let request = stop_request(args);
    each(&names, |name| engine.stop(name, &request).map(|()| Some(name.to_owned())).map_err(failed))
}

fn restart(context: &Context, args: StopArgs, names: Vec<String>) -> Outcome {
    let engine = context.engine()?;
    let request = stop_request(args);
    each(&names, |name| engine.restart(name, &request).map(|()| Some(name.to_owned())).map_err(failed))
}

/// A negative time is no limit.
fn stop_request(args: StopArgs) -> StopRequest {
    let timeout = args.timeout.map(|seconds| u64::try_from(seconds).map_or(Duration::MAX, Duration::from_secs));
    StopRequest { signal: args.signal, timeout }
}

fn kill(context: &Context, args: KillArgs, names: Vec<String>) -> Outcome {
    let engine = context.engine()?;
    let signal = args.signal.unwrap_or_else(|| "KILL".to_owned());
    each(&names, |name| engine.kill(name, &signal).map(|()| Some(name.to_owned())).map_err(failed))
}

fn rm(context: &Context, args: RmArgs, names: Vec<String>) -> Outcome {
    let engine = context.engine()?;
    let request = RemoveRequest { force: args.force, volumes: args.volumes, missing_ok: args.force };
    each(&names, |name| {
        if name.trim_matches('/').is_empty() {
            return Err(Failure::error("container name cannot be empty"));
        }
        engine.remove(name, request).map(|()| Some(name.to_owned())).map_err(failed)
    })
}

fn pause(context: &Context, _: NoArgs, names: Vec<String>) -> Outcome {
    let engine = context.engine()?;
    each(&names, |name| engine.pause(name).map(|()| Some(name.to_owned())).map_err(failed))
}

fn unpause(context: &Context, _: NoArgs, names: Vec<String>) -> Outcome {
    let engine = context.engine()?;
    each(&names, |name| engine.unpause(name).map(|()| Some(name.to_owned())).map_err(failed))
}

fn wait(context: &Context, _: NoArgs, names: Vec<String>) -> Outcome {
    let engine = context.engine()?;
    each(&names, |name| engine.wait(name).map(|code| Some(code.to_string())).map_err(failed))
}

fn rename(context: &Context, _: NoArgs, names: Vec<String>) -> Outcome {
    let engine = context.engine()?;
    engine.rename(&names[0], names[1].trim_start_matches('/')).map(|()| 0).map_err(failed)
}
