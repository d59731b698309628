//! `config check`, `config show`.

use super::{Command, Context, Outcome};
use crate::args::config::{self as args, ShowArgs};
use crate::args::{NO_FLAGS, NoArgs};
use crate::out;
use crate::settings;

pub static CHECK: Command<NoArgs> = Command { info: args::CHECK, flags: &[NO_FLAGS], run: check };
pub static SHOW: Command<ShowArgs> = Command { info: args::SHOW, flags: &[args::SHOW_FLAGS], run: show };

fn check(context: &Context, _: NoArgs, _files: Vec<String>) -> Outcome {
    settings::load(&context.globals)?;
    out::line("The configuration has no faults.").map(|()| 0)
}

fn show(context: &Context, args: ShowArgs, _: Vec<String>) -> Outcome {
    let config = settings::load(&context.globals)?;
    let _ = args.origin;
    out::print(&format!("{config:#?}\n")).map(|()| 0)
}
