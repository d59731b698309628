//! `serve`: the server is a program of its own, so that what it needs makes no other command slower.

use super::{Command, Context, Outcome};
use crate::args::serve::{SERVE, SERVE_FLAGS, ServeArgs};
use crate::out::failure::Failure;
use std::os::unix::process::CommandExt;
use std::process;

pub static COMMAND: Command<ServeArgs> = Command { info: SERVE, flags: &[SERVE_FLAGS], run };

fn run(context: &Context, args: ServeArgs, _: Vec<String>) -> Outcome {
    let program = gantry_engine::find_program("gantry-api").map_err(super::failed)?;
    let mut command = process::Command::new(&program);
    command.args(words(context, &args));
    // Threads come and go with the load: two heaps are enough, one for each would keep what it once had.
    if std::env::var_os("MALLOC_ARENA_MAX").is_none() {
        command.env("MALLOC_ARENA_MAX", "2");
    }
    if !context.globals.faults.is_empty() {
        command.env("GANTRY_FAULT", context.globals.faults.join(" "));
    }
    let error = command.exec();
    Err(Failure::error(format!("cannot execute {}: {error}", program.display())))
}

/// The engine's own options as they were given, for another program.
pub fn globals(context: &Context) -> Vec<String> {
    let globals = &context.globals;
    let mut words = Vec::new();
    let mut add = |name: &str, value: &Option<String>| {
        words.extend(value.iter().map(|value| format!("--{name}={value}")));
    };
    add("root", &globals.root);
    add("state", &globals.state);
    add("config", &globals.config);
    add("storage-driver", &globals.storage_driver);
    for dir in &globals.plugin_dirs {
        add("plugin-dir", &Some(dir.clone()));
    }
    words
}

fn words(context: &Context, args: &ServeArgs) -> Vec<String> {
    let mut words = globals(context);
    let mut add = |name: &str, value: &Option<String>| {
        words.extend(value.iter().map(|value| format!("--{name}={value}")));
    };
    for host in &args.hosts {
        add("host", &Some(host.clone()));
    }
    add("group", &args.group);
    add("mode", &args.mode);
    add("tlscacert", &args.tls_ca);
    add("tlscert", &args.tls_cert);
    add("tlskey", &args.tls_key);
    let switches = [
        ("read-only", args.read_only),
        ("insecure-tcp", args.insecure),
        ("tls", args.tls),
        ("tlsverify", args.tls_verify),
    ];
    words.extend(switches.iter().filter(|(_, on)| *on).map(|(name, _)| format!("--{name}")));
    words
}
