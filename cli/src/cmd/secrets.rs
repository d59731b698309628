//! The commands about secrets.

use super::networks::{check, text};
use super::{Command, Context, Outcome, each, failed, filters, inspect};
use crate::args::networks::ListArgs;
use crate::args::secrets::{self as args, CreateArgs, InspectArgs, RmArgs};
use crate::out;
use crate::out::failure::Failure;
use crate::out::list::{Column, Layout, Wish};
use gantry_engine::model::class::Class;
use gantry_engine::secret::SecretRequest;
use serde_json::{Value, json};
use std::io::Read;

pub static CREATE: Command<CreateArgs> = Command { info: args::CREATE, flags: &[args::CREATE_FLAGS], run: create };
pub static LS: Command<ListArgs> = Command { info: args::LS, flags: &[args::LS_FLAGS], run: list };
pub static INSPECT: Command<InspectArgs> = Command { info: args::INSPECT, flags: &[args::INSPECT_FLAGS], run: show };
pub static RM: Command<RmArgs> = Command { info: args::RM, flags: &[args::RM_FLAGS], run: remove };

/// More than any secret may have: the engine says so.
const MOST: u64 = 1 << 20;

const COLUMNS: &[Column] = &[
    ("ID", "ID"),
    ("Name", "NAME"),
    ("Driver", "DRIVER"),
    ("CreatedAt", "CREATED"),
    ("UpdatedAt", "UPDATED"),
    ("Labels", "LABELS"),
];

fn create(context: &Context, args: CreateArgs, words: Vec<String>) -> Outcome {
    let data = if args.env { variable(&words[1])? } else { content(&words[1])? };
    let labels = args.labels.into_iter().collect();
    let request = SecretRequest { name: words[0].clone(), labels, data, replace: args.replace };
    let id = context.engine()?.secret_create(request).map_err(failed)?;
    out::line(&id).map(|()| 0)
}

fn variable(name: &str) -> Result<Vec<u8>, Failure> {
    use std::os::unix::ffi::OsStringExt;
    let value = std::env::var_os(name).ok_or_else(|| Failure::error(format!("the variable {name} is not set")))?;
    Ok(value.into_vec())
}

fn content(path: &str) -> Result<Vec<u8>, Failure> {
    let mut data = Vec::new();
    let read = match path {
        "-" => std::io::stdin().take(MOST).read_to_end(&mut data),
        path => std::fs::File::open(path).and_then(|file| file.take(MOST).read_to_end(&mut data)),
    };
    read.map(|_| data).map_err(|error| Failure::error(format!("cannot read {path}: {error}")))
}

fn list(context: &Context, args: ListArgs, _: Vec<String>) -> Outcome {
    let filters = filters(&args.filters)?;
    check(&filters, &["name", "id"])?;
    let mut rows: Vec<Value> = context.engine()?.secrets().iter().map(row).collect();
    let begins =
        |row: &Value, key: &str, values: &[String]| values.iter().any(|v| text(row, key).starts_with(v.as_str()));
    rows.retain(|row| filters.iter().all(|(key, values)| begins(row, if key == "id" { "ID" } else { "Name" }, values)));
    let default = &["ID", "Name", "Driver", "CreatedAt", "UpdatedAt"];
    let cell = |row: &Value, key: &str| text(row, key).to_owned();
    let layout = Layout { columns: COLUMNS, default, quiet: "ID", cell: &cell, labels: None };
    let wish = Wish { format: args.format.as_deref(), quiet: args.quiet };
    out::print(&layout.render(&rows, &wish)?).map(|()| 0)
}

fn row(secret: &Value) -> Value {
    let spec = &secret["Spec"];
    let labels = spec["Labels"].as_object().into_iter().flatten();
    let labels: Vec<_> = labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    json!({
        "ID": secret["ID"],
        "Name": spec["Name"],
        "Driver": spec["Driver"]["Name"],
        "CreatedAt": secret["CreatedAt"],
        "UpdatedAt": secret["UpdatedAt"],
        "Labels": labels.join(","),
    })
}

fn show(context: &Context, args: InspectArgs, names: Vec<String>) -> Outcome {
    inspect::show(context, args.format.as_deref(), &names, |engine, name| {
        engine.secret_inspect(name, args.show).map(|value| vec![value])
    })
}

fn remove(context: &Context, args: RmArgs, names: Vec<String>) -> Outcome {
    let engine = context.engine()?;
    each(&names, |name| match engine.secret_remove(name) {
        Err(error) if args.ignore && error.class() == Class::NotFound => Ok(None),
        removed => removed.map(Some).map_err(failed),
    })
}
