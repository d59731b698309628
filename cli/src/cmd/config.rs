//! `config check`, `config diff`, `config show`: what is wrong with the configuration, and what it comes to.

use super::{Command, Context, Outcome, failed};
use crate::args::config::{self as args, CheckArgs, DiffArgs, ShowArgs};
use crate::args::{NO_FLAGS, NoArgs};
use crate::daemon_json::Import;
use crate::out;
use crate::out::failure::Failure;
use crate::out::template;
use crate::settings;
use gantry_config::{Config, Fault, Faults, Judge, Shown};
use gantry_engine::{Difference, Engine};
use serde_json::{Value, json};

pub static CHECK: Command<CheckArgs> = Command { info: args::CHECK, flags: &[args::CHECK_FLAGS], run: check };
pub static DIFF: Command<DiffArgs> = Command { info: args::DIFF, flags: &[args::DIFF_FLAGS], run: diff };
pub static IMPORT: Command<NoArgs> = Command { info: args::IMPORT, flags: &[NO_FLAGS], run: import };
pub static DEFAULT: Command<NoArgs> = Command { info: args::DEFAULT, flags: &[NO_FLAGS], run: default };
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

/// Exit codes as those of `diff`: 0 nothing differs, 1 something does.
fn diff(context: &Context, args: DiffArgs, _: Vec<String>) -> Outcome {
    let found = context.engine()?.config_diff().map_err(failed)?;
    let code = i32::from(!found.is_empty());
    match (args.format.as_deref(), code) {
        (None | Some(""), 0) => out::line("What runs is as the configuration has it.").map(|()| 0),
        (None | Some(""), code) => out::print(&found.iter().map(difference).collect::<String>()).map(|()| code),
        (Some("json"), code) => {
            let list: Vec<Value> = found.iter().map(told_difference).collect();
            out::line(&template::json(&Value::Array(list))).map(|()| code)
        }
        (Some(other), _) => Err(Failure::error(format!("unknown format {other:?}: only json is known"))),
    }
}

fn difference(found: &Difference) -> String {
    let value = |text: &str| if text.is_empty() { "(not given)".to_owned() } else { format!("{text:?}") };
    let (running, configured) = (value(&found.running), value(&found.configured));
    format!("{} {}: {}: {running} -> {configured} ({})\n", found.kind, found.name, found.key, found.remedy)
}

fn told_difference(found: &Difference) -> Value {
    json!({
        "Kind": found.kind,
        "Name": found.name,
        "Key": found.key,
        "Running": found.running,
        "Configured": found.configured,
        "Remedy": found.remedy,
    })
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

fn default(context: &Context, _: NoArgs, _: Vec<String>) -> Outcome {
    let engine = context.engine()?;
    let mut text = "# The defaults. What is to be different loses its `# `.\n\n".to_owned() + &Config::commented();
    for row in engine.plugins().iter().filter(|row| row["Status"] == "ok") {
        let name = format!("{}/{}", row["Kind"].as_str().unwrap_or_default(), row["Name"].as_str().unwrap_or_default());
        let told = engine.plugin_inspect(None, &name).map_err(failed)?;
        told.iter().take(1).for_each(|driver| text.push_str(&table(driver)));
    }
    out::print(&text).map(|()| 0)
}

/// The options of a driver as comments of a file.
fn table(driver: &Value) -> String {
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let mut table = format!("\n[{}.{}]\n", text(driver, "Kind"), text(driver, "Name"));
    for option in driver["Options"].as_array().into_iter().flatten() {
        let (key, help) = (text(option, "Key"), text(option, "Help"));
        let default = text(option, "Default");
        let value = if default.is_empty() { ": (not given)".to_owned() } else { format!(" = {default:?}") };
        table += &format!("# {help}\n# {key}{value}\n");
    }
    table
}

fn import(_: &Context, _: NoArgs, files: Vec<String>) -> Outcome {
    let read =
        if files[0] == "-" { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(&files[0]) };
    let text = read.map_err(|error| Failure::error(format!("cannot read {}: {error}", files[0])))?;
    let import = Import::of(&text).map_err(|error| Failure::error(format!("cannot import {}: {error}", files[0])))?;
    out::print(&import.to_toml()).map(|()| 0)
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
