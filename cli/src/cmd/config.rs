//! `config check`, `config show`: what is wrong with the configuration, and what it comes to.

use super::{Command, Context, Outcome, failed};
use crate::args::config::{self as args, CheckArgs, ShowArgs};
use crate::out;
use crate::out::failure::Failure;
use crate::out::template;
use crate::settings;
use gantry_config::{Fault, Faults, Judge, Shown};
use gantry_engine::Engine;
use serde_json::{Value, json};

pub static CHECK: Command<CheckArgs> = Command { info: args::CHECK, flags: &[args::CHECK_FLAGS], run: check };
pub static SHOW: Command<ShowArgs> = Command { info: args::SHOW, flags: &[args::SHOW_FLAGS], run: show };

/// Exit codes: 0 no faults, 1 faults, 2 a file cannot be read.
fn check(context: &Context, args: CheckArgs, files: Vec<String>) -> Outcome {
    let mut globals = context.globals.clone();
    globals.config = files.into_iter().next().or(globals.config);
    let (settings, mut faults) = settings::gather_all(&globals);
    let unread = faults.iter().any(|fault| fault.file.is_some() && fault.line == 0);
    let config = settings.config.clone();
    out::told::show_warnings();
    let engine = Engine::open(settings).map_err(failed)?;
    faults.extend(config.check_with(&Drivers(&engine)));
    let faults = Faults(faults).sorted();
    let code = if unread { 2 } else { i32::from(!faults.0.is_empty()) };
    match (args.format.as_deref(), code) {
        (None | Some(""), 0) => out::line("The configuration has no faults.").map(|()| 0),
        (None | Some(""), code) => Err(Failure::Error { message: faults.to_string(), hint: None, code }),
        (Some("json"), code) => {
            let list: Vec<Value> = faults.0.iter().map(told).collect();
            out::line(&template::json(&Value::Array(list))).map(|()| code)
        }
        (Some(other), _) => Err(Failure::error(format!("unknown format {other:?}: only json is known"))),
    }
}

fn told(fault: &Fault) -> Value {
    json!({
        "File": fault.file.as_ref().map(|path| path.to_string_lossy()),
        "Line": fault.line,
        "Column": fault.column,
        "Message": fault.message,
        "Hint": fault.hint,
        "Text": fault.source_line,
    })
}

/// The drivers that the engine finds.
struct Drivers<'a>(&'a Engine);

impl Judge for Drivers<'_> {
    fn driver(&self, kind: &str, name: &str) -> Result<(), String> {
        self.0.check_driver(kind, name)
    }

    fn option(&self, kind: &str, driver: &str, key: &str, value: &str) -> Result<(), String> {
        self.0.check_driver_option(kind, driver, key, value)
    }

    fn table(&self, kind: &str, driver: &str) -> Result<(), String> {
        self.0.check_driver_table(kind, driver)
    }
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
