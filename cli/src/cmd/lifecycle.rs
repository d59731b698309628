//! `stop`, `restart`, `kill`, `rm`, `pause`, `unpause`, `wait`, `rename`: one act for each name.

use super::{Command, Context, Outcome, each, each_at_once, failed, forgiving, tell_each};
use crate::args::lifecycle::{self as args, KillArgs, RmArgs, StopArgs};
use crate::args::{NO_FLAGS, NoArgs};
use gantry_engine::request::{RemoveRequest, StopRequest};
use gantry_engine::{Engine, Error};
use std::time::Duration;

pub static STOP: Command<StopArgs> = Command { info: args::STOP, flags: &[args::STOP_FLAGS], run: stop };
pub static RESTART: Command<StopArgs> = Command { info: args::RESTART, flags: &[args::STOP_FLAGS], run: restart };
pub static KILL: Command<KillArgs> = Command { info: args::KILL, flags: &[args::KILL_FLAGS], run: kill };
pub static RM: Command<RmArgs> = Command { info: args::RM, flags: &[args::RM_FLAGS], run: rm };
pub static PAUSE: Command<NoArgs> = Command { info: args::PAUSE, flags: &[NO_FLAGS], run: pause };
pub static UNPAUSE: Command<NoArgs> = Command { info: args::UNPAUSE, flags: &[NO_FLAGS], run: unpause };
pub static WAIT: Command<NoArgs> = Command { info: args::WAIT, flags: &[NO_FLAGS], run: wait };
pub static RENAME: Command<NoArgs> = Command { info: args::RENAME, flags: &[NO_FLAGS], run: rename };

/// So many at the same time of what is mostly waiting, and of what keeps a processor busy.
const WAITING: usize = 50;
const BUSY: usize = 4;

fn stop(context: &Context, args: StopArgs, names: Vec<String>) -> Outcome {
    let engine = context.engine()?;
    let request = stop_request(args);
    each_at_once(&engine, &names, WAITING, |engine, name| engine.stop(name, &request))
}

fn restart(context: &Context, args: StopArgs, names: Vec<String>) -> Outcome {
    let engine = context.starting_engine()?;
    let request = stop_request(args);
    each(&names, |name| engine.restart(name, &request).map(|()| Some(name.to_owned())).map_err(failed))
}

/// A negative time is no limit.
pub fn stop_request(args: StopArgs) -> StopRequest {
    let timeout = args.timeout.map(|seconds| u64::try_from(seconds).map_or(Duration::MAX, Duration::from_secs));
    StopRequest { signal: args.signal, timeout }
}

fn kill(context: &Context, args: KillArgs, names: Vec<String>) -> Outcome {
    let engine = context.engine()?;
    let signal = args.signal.unwrap_or_else(|| "KILL".to_owned());
    each_at_once(&engine, &names, BUSY, |engine, name| engine.kill(name, &signal))
}

fn rm(context: &Context, args: RmArgs, names: Vec<String>) -> Outcome {
    let engine = context.engine()?;
    let request = RemoveRequest { force: args.force, volumes: args.volumes, missing_ok: false };
    let remove = |engine: &Engine, name: &String| {
        if name.trim_matches('/').is_empty() {
            return Err(Error::invalid("container name cannot be empty"));
        }
        engine.remove(name, request)
    };
    let answers = engine.at_once(&names, BUSY, remove).map_err(failed)?;
    tell_each(names.iter().zip(answers).map(|(name, answer)| {
        let removed = forgiving(answer, args.force)?;
        Ok(removed.map(|()| name.clone()))
    }))
}

fn pause(context: &Context, _: NoArgs, names: Vec<String>) -> Outcome {
    let engine = context.engine()?;
    each_at_once(&engine, &names, BUSY, Engine::pause)
}

fn unpause(context: &Context, _: NoArgs, names: Vec<String>) -> Outcome {
    let engine = context.engine()?;
    each_at_once(&engine, &names, BUSY, Engine::unpause)
}

fn wait(context: &Context, _: NoArgs, names: Vec<String>) -> Outcome {
    let engine = context.engine()?;
    each(&names, |name| engine.wait(name).map(|code| Some(code.to_string())).map_err(failed))
}

fn rename(context: &Context, _: NoArgs, names: Vec<String>) -> Outcome {
    let engine = context.engine()?;
    engine.rename(&names[0], names[1].trim_start_matches('/')).map(|()| 0).map_err(failed)
}
