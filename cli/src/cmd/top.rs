//! `top`.

use super::{Command, Context, Outcome, failed};
use crate::args::lifecycle::TOP;
use crate::args::{NO_FLAGS, NoArgs};
use crate::out::{self, table};

pub static COMMAND: Command<NoArgs> = Command { info: TOP, flags: &[NO_FLAGS], run };

/// Docker's narrowest column of this command.
const NARROWEST: usize = 20;

fn run(context: &Context, _: NoArgs, words: Vec<String>) -> Outcome {
    let top = context.engine()?.top(&words[0], &words[1..]).map_err(failed)?;
    let rows = std::iter::once(&top.titles).chain(&top.processes);
    let lines: Vec<String> = rows.map(|row| row.join("\t")).collect();
    out::print(&table::align(&lines, NARROWEST)).map(|()| 0)
}
