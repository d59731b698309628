//! `exec`.

use super::request::environment;
use super::{Command, Context, Outcome};
use crate::args::exec::{EXEC, ExecArgs, FLAGS};
use crate::cmd::attach::{self, Following};
use crate::out::failure::Failure;
use crate::terminal;
use gantry_engine::container::Exec;
use gantry_engine::request::ExecRequest;
use gantry_engine::{End, Error};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;

pub static COMMAND: Command<ExecArgs> = Command { info: EXEC, flags: &[FLAGS], run };

fn run(context: &Context, args: ExecArgs, words: Vec<String>) -> Outcome {
    let (name, command) = (&words[0], &words[1..]);
    let keys = args.detach_keys.as_deref();
    let following = Following::new(args.tty, args.interactive && !args.detach, keys, false).map_err(Failure::error)?;
    let request = ExecRequest {
        cmd: command.to_vec(),
        tty: args.tty,
        stdin: args.interactive,
        detach: args.detach,
        env: environment(&args.env_files, &args.env).map_err(|refusal| Failure::error(refusal.0))?,
        user: args.user.clone().unwrap_or_default(),
        working_dir: args.working_dir.clone().unwrap_or_default(),
        privileged: args.privileged,
        log: args.log,
        size: args.tty.then(terminal::size).flatten(),
    };
    let exec = context.starting_engine()?.exec(name, &request).map_err(|error| Failure::exec(&error))?;
    if args.detach {
        return exec.detach().map(|()| 0).map_err(|error| Failure::exec(&error));
    }
    let ended = if args.tty { on_terminal(exec, &following) } else { plain(exec, args.interactive) };
    ended.map_err(|error| Failure::exec(&error))
}

fn on_terminal(exec: Exec, following: &Following) -> Result<i32, Error> {
    let raw = following.enter_raw();
    let mut exec = Some(exec);
    let end = following.with_io(&mut |io, keys, on_signal| match exec.take() {
        Some(exec) => exec.run_on_terminal(io, keys, on_signal),
        None => Ok(End::Detached),
    });
    drop(raw);
    end.map(|end| attach::exit_code(&end))
}

fn plain(exec: Exec, interactive: bool) -> Result<i32, Error> {
    let nothing = File::open("/dev/null").map_err(Error::io("open /dev/null"))?;
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    let input = if interactive { stdin.as_fd() } else { nothing.as_fd() };
    exec.run([input, stdout.as_fd(), stderr.as_fd()])
}
