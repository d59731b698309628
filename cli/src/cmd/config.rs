//! `config check`, `config show`: what is wrong with the configuration, and what it comes to.

use super::{Command, Context, Outcome, failed};
use crate::args::config::{self as args, ShowArgs};
use crate::args::{NO_FLAGS, NoArgs};
use crate::out;
use crate::out::failure::Failure;
use crate::settings;
use gantry_config::Shown;
use gantry_engine::Engine;

pub static CHECK: Command<NoArgs> = Command { info: args::CHECK, flags: &[NO_FLAGS], run: check };
pub static SHOW: Command<ShowArgs> = Command { info: args::SHOW, flags: &[args::SHOW_FLAGS], run: show };

fn check(context: &Context, _: NoArgs, files: Vec<String>) -> Outcome {
    let mut globals = context.globals.clone();
    globals.config = files.into_iter().next().or(globals.config);
    let settings = settings::gather(&globals)?;
    let config = settings.config.clone();
    out::told::show_warnings();
    let engine = Engine::open(settings).map_err(failed)?;
    let judge = |kind: &str, name: &str, key: &str, value: &str| engine.check_driver_option(kind, name, key, value);
    config.check_with(&judge).map_err(|faults| Failure::error(faults.to_string()))?;
    out::line("The configuration has no faults.").map(|()| 0)
}

fn show(context: &Context, args: ShowArgs, _: Vec<String>) -> Outcome {
    let values = settings::load(&context.globals)?.show();
    let width = values.iter().map(|shown| written(shown).len()).filter(|len| *len <= 60).max().unwrap_or(0);
    let line = |shown: &Shown| match args.origin {
        true => format!("{:width$}  # {}\n", written(shown), shown.origin),
        false => format!("{}\n", written(shown)),
    };
    out::print(&values.iter().map(line).collect::<String>()).map(|()| 0)
}

fn written(shown: &Shown) -> String {
    format!("{} = {}", shown.key, shown.value)
}
