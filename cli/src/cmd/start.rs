//! `start`: several in the background, or one that is followed.

use super::{Command, Context, Outcome, each, failed};
use crate::args::lifecycle::{START, START_FLAGS, StartArgs};
use crate::cmd::attach::{self, Following};
use crate::out;
use crate::out::failure::Failure;
use crate::terminal;
use gantry_engine::request::AttachRequest;

pub static COMMAND: Command<StartArgs> = Command { info: START, flags: &[START_FLAGS], run };

fn run(context: &Context, args: StartArgs, names: Vec<String>) -> Outcome {
    if args.attach || args.interactive {
        return match &names[..] {
            [name] => start_attached(context, &args, name),
            _ => Err(Failure::error("you cannot start and attach multiple containers at once")),
        };
    }
    let engine = context.starting_engine()?;
    each(&names, |name| {
        let started = engine.start(name, AttachRequest::default()).map_err(failed)?;
        if let Some(running) = started {
            out::warnings(&running.warnings);
            engine.leave(running);
        }
        Ok(Some(name.to_owned()))
    })
}

fn start_attached(context: &Context, args: &StartArgs, name: &str) -> Outcome {
    let engine = context.starting_engine()?;
    let tty = engine.is_tty(name).map_err(failed)?;
    let keys = args.detach_keys.as_deref();
    let following = Following::new(tty, args.interactive, keys, true).map_err(Failure::error)?;
    let size = tty.then(terminal::size).flatten();
    let request = AttachRequest { stdin: args.interactive, stdout: true, stderr: true, size };
    let raw = following.enter_raw();
    let started = engine.start(name, request);
    match started {
        Ok(Some(running)) => {
            out::warnings(&running.warnings);
            attach::follow(&engine, running, &following, raw).map_err(failed)
        }
        Ok(None) => {
            drop(raw);
            attach::attach(&engine, name, request, &following)
        }
        Err(error) => {
            drop(raw);
            Err(failed(error))
        }
    }
}
