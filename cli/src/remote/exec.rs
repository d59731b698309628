//! `exec` by an engine elsewhere.

use super::follow::Streams;
use super::{failed, start_code};
use crate::args::exec::{EXEC, ExecArgs, FLAGS};
use crate::cmd::attach::Following;
use crate::cmd::request::environment;
use crate::cmd::{Command, Context, Outcome};
use crate::out::failure::Failure;
use crate::terminal;
use gantry_client::{Error, segment};
use serde_json::json;

pub static COMMAND: Command<ExecArgs> = Command { info: EXEC, flags: &[FLAGS], run };

fn begun(error: Error) -> Failure {
    let code = start_code(&error);
    Failure::Error { message: error.sentence(), hint: None, code: if code == 125 { 1 } else { code } }
}

fn run(context: &Context, args: ExecArgs, words: Vec<String>) -> Outcome {
    if args.log {
        return Err(Failure::error("exec --log does not work with an engine elsewhere"));
    }
    let client = context.client()?;
    let (stdin, keys) = (args.interactive && !args.detach, args.detach_keys.as_deref());
    let following = Following::new(args.tty, stdin, keys, false).map_err(Failure::error)?;
    let mut body = json!({
        "AttachStdin": stdin,
        "AttachStdout": !args.detach,
        "AttachStderr": !args.detach,
        "DetachKeys": keys.unwrap_or_default(),
        "Tty": args.tty,
        "Env": environment(&args.env_files, &args.env).map_err(|refusal| Failure::error(refusal.0))?,
        "Cmd": &words[1..],
        "Privileged": args.privileged,
        "User": args.user.unwrap_or_default(),
        "WorkingDir": args.working_dir.unwrap_or_default(),
    });
    if let Some((rows, columns)) = terminal::size().filter(|_| args.tty) {
        body["ConsoleSize"] = json!([rows, columns]);
    }
    let made = client.call("POST", &format!("/containers/{}/exec", segment(&words[0])), &[], Some(&body));
    let made = made.map_err(begun)?;
    let path = format!("/exec/{}", made["Id"].as_str().unwrap_or_default());
    let start = json!({ "Detach": args.detach, "Tty": args.tty });
    if args.detach {
        return client.call("POST", &format!("{path}/start"), &[], Some(&start)).map(|_| 0).map_err(begun);
    }
    let raw = following.enter_raw();
    let line = client.take_over(&format!("{path}/start"), &[], Some(&start)).map_err(begun)?;
    let streams = Streams { client, path: path.clone(), tty: args.tty };
    let carried = streams.carry(line, &following);
    drop(raw);
    carried?;
    let ended = client.call("GET", &format!("{path}/json"), &[], None).map_err(failed)?;
    // One that still runs was left by its keys.
    Ok(ended["ExitCode"].as_i64().unwrap_or(0) as i32)
}
