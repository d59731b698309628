//! `run`: make, start, follow, and end as the container ended.

use super::request::build;
use super::{Command, Context, Outcome};
use crate::args::container::{ContainerArgs, RUN_TABLES};
use crate::args::run::RUN;
use crate::cmd::attach::{self, Following};
use crate::cmd::create::IdFile;
use crate::cmd::registry::Fetcher;
use crate::out;
use crate::out::failure::Failure;
use crate::terminal;
use gantry_engine::request::AttachRequest;

pub static COMMAND: Command<ContainerArgs> = Command { info: RUN, flags: RUN_TABLES, run };

fn run(context: &Context, args: ContainerArgs, arguments: Vec<String>) -> Outcome {
    let request = build(&args, &arguments).map_err(|refusal| refused(refusal.0))?;
    let following = Following::new(
        request.config.tty,
        request.config.attach_stdin,
        args.run.detach_keys.as_deref(),
        !args.run.no_sig_proxy,
    )
    .map_err(refused)?;
    let config = &request.config;
    let attach = AttachRequest {
        stdin: config.attach_stdin,
        stdout: config.attach_stdout,
        stderr: config.attach_stderr,
        size: config.tty.then(terminal::size).flatten(),
    };
    let id_file = IdFile::create(args.process.cidfile.as_deref()).map_err(refused)?;
    let engine = context.starting_engine().map_err(|failure| failure.refusal("run"))?;
    let fetcher = Fetcher::new(&args).map_err(|refusal| refused(refusal.0))?;
    let start = |request| {
        // Only a container that starts gets the terminal: progress of fetching and errors are for the user's own.
        let raw = following.enter_raw();
        engine.run(request, attach, args.run.detach).map(|running| (running, raw))
    };
    let (running, raw) = fetcher.with(&engine, request, start).map_err(|error| Failure::run(&error))?;
    id_file.write(&running.id).map_err(refused)?;
    out::warnings(&running.warnings);
    if args.run.detach {
        return out::line(&engine.leave(running)).map(|()| 0);
    }
    attach::follow(&engine, running, &following, raw).map_err(|error| Failure::run(&error))
}

fn refused(message: String) -> Failure {
    Failure::Refused { command: "run", message, hint: None, code: 125 }
}
