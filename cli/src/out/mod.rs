//! The only module that prints. What a command has to say is gathered and written at once; a reader that went away
//! ends the command quietly.

pub mod complete;
pub mod failure;
pub mod help;
pub mod human;
pub mod json;
pub mod list;
pub mod live;
pub mod logs;
pub mod progress;
pub mod table;
pub mod told;
pub mod typed;

pub use gantry_engine::model::template;

use failure::Failure;
use std::io::{self, BufRead, Write};

/// Exit code of a process that a closed pipe ended.
const BROKEN_PIPE: i32 = 141;

/// Writes to stdout.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| written(&error))
}

/// Writes a line to stdout.
pub fn line(text: &str) -> Result<(), Failure> {
    print(&format!("{text}\n"))
}

/// What a failed write to stdout means.
pub fn written(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::Said(BROKEN_PIPE),
        _ => Failure::error(format!("cannot write standard output: {error}")),
    }
}

/// Writes a line to stderr, as well as it goes.
pub fn note(text: &str) {
    let _ = io::stderr().lock().write_all(format!("{text}\n").as_bytes());
}

/// Warnings of the engine.
pub fn warnings(list: &[String]) {
    for warning in list {
        note(&format!("WARNING: {warning}"));
    }
}

/// Asks before something is done that cannot be undone; true for a yes.
pub fn confirm(warning: &str) -> Result<bool, Failure> {
    print(&format!("{warning}\nAre you sure you want to continue? [y/N] "))?;
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.map_err(|error| Failure::error(format!("cannot read the answer: {error}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
