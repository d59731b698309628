//! `load`.

use super::{Command, Context, Outcome, failed};
use crate::args::images::{LOAD, LOAD_FLAGS, LoadArgs};
use crate::out;
use crate::out::failure::Failure;
use std::io::{self, IsTerminal};
use std::path::Path;

pub static COMMAND: Command<LoadArgs> = Command { info: LOAD, flags: &[LOAD_FLAGS], run };

fn run(context: &Context, args: LoadArgs, _: Vec<String>) -> Outcome {
    let engine = context.engine()?;
    let loaded = match args.input.as_deref() {
        Some(path) if path != "-" => engine.load_path(Path::new(path)),
        _ if io::stdin().is_terminal() => {
            return Err(Failure::error("requested load from stdin, but stdin is empty"));
        }
        _ => engine.load(io::stdin()),
    };
    let lines = loaded.map_err(failed)?;
    out::print(&lines.iter().map(|line| format!("{line}\n")).collect::<String>()).map(|()| 0)
}
