//! From the process' arguments to a command and its exit code. Only the command asked for looks at its tables.

use crate::args::globals::{self, Globals};
use crate::args::scan::{Fault, parse_leading};
use crate::cmd::{self, Context};
use crate::out::failure::Failure;
use crate::out::{self, help};
use crate::remote;
use std::ffi::OsString;

/// Runs what was asked for; gives the exit code.
pub fn run() -> i32 {
    let program = std::env::args_os().next().and_then(|name| name.into_string().ok());
    let outcome = words(std::env::args_os().skip(1)).and_then(|words| match words.split_first() {
        _ if cmd::runtime::is_called(program.as_deref()) => Ok(cmd::runtime::run(&words)),
        Some((first, rest)) if first == "runtime" => Ok(cmd::runtime::run(rest)),
        _ => dispatch(&words),
    });
    outcome.unwrap_or_else(|failure| {
        failure.report();
        failure.code()
    })
}

/// Everything of ours is text; what is not cannot be a name, a path in JSON or a flag.
fn words(arguments: impl Iterator<Item = OsString>) -> Result<Vec<String>, Failure> {
    let text = |word: OsString| {
        word.into_string().map_err(|word| Failure::Flag {
            info: None,
            message: format!("argument is not valid UTF-8: {}", word.to_string_lossy()),
        })
    };
    arguments.map(text).collect()
}

fn dispatch(words: &[String]) -> Result<i32, Failure> {
    let (mut globals, read) = match parse_leading(&[globals::FLAGS], Globals::default(), words) {
        Ok(found) => found,
        Err(Fault::Help) => return out::print(&help::root()).map(|()| 0),
        Err(Fault::Flag(message) | Fault::Count(message)) => return Err(Failure::Flag { info: None, message }),
    };
    if globals.version {
        return out::line(concat!("Gantry version ", env!("CARGO_PKG_VERSION"))).map(|()| 0);
    }
    globals.internal = words.get(read).is_some_and(|first| first == "internal");
    let context = Context::new(globals);
    match &words[read..] {
        [] => out::print(&help::root()).map(|()| 0),
        [help] if help == "help" => out::print(&help::root()).map(|()| 0),
        [help, asked @ ..] if help == "help" => help_for(asked),
        rest => command(&context, rest),
    }
}

fn command(context: &Context, words: &[String]) -> Result<i32, Failure> {
    let (first, rest) = (words[0].as_str(), &words[1..]);
    // A command may have commands of its own, such as `port explain`.
    let longer = rest.first().and_then(|second| cmd::find(&format!("{first} {second}")));
    if let Some(command) = longer.filter(|_| !cmd::is_group(first)) {
        return remote::perform(context, command, &rest[1..]);
    }
    if let Some(command) = cmd::find(first) {
        return remote::perform(context, command, rest);
    }
    if !cmd::is_group(first) {
        return Err(Failure::Command { words: first.to_owned(), group: None });
    }
    match rest.split_first() {
        None => out::print(&help::group(first)).map(|()| 0),
        Some((second, _)) if second == "--help" || second == "-h" => out::print(&help::group(first)).map(|()| 0),
        Some((second, rest)) => {
            let path = format!("{first} {second}");
            match (cmd::find(&path), second.starts_with('-')) {
                (Some(command), _) => remote::perform(context, command, rest),
                (_, true) => Err(Failure::Flag { info: None, message: format!("unknown flag: {second}") }),
                _ => Err(Failure::Command { words: path, group: group_name(first) }),
            }
        }
    }
}

fn group_name(name: &str) -> Option<&'static str> {
    cmd::GROUPS.iter().map(|(group, _)| *group).find(|group| *group == name)
}

fn help_for(words: &[String]) -> Result<i32, Failure> {
    let path = words.join(" ");
    if let Some(command) = cmd::find(&path) {
        return out::print(&help::command(command)).map(|()| 0);
    }
    match cmd::is_group(&path) {
        true => out::print(&help::group(&path)).map(|()| 0),
        false => Err(Failure::Command { words: path, group: None }),
    }
}
