//! `network ls`.

use super::{Command, Context, Outcome, failed, filters};
use crate::args::networks::{FLAGS, LS, ListArgs};
use crate::out;
use crate::out::failure::Failure;
use crate::out::human::{local_time, parse_time, short_id};
use crate::out::list::{Column, Layout, Wish};
use serde_json::Value;
use std::collections::BTreeMap;

pub static COMMAND: Command<ListArgs> = Command { info: LS, flags: &[FLAGS], run };

const COLUMNS: &[Column] = &[
    ("ID", "NETWORK ID"),
    ("Name", "NAME"),
    ("Driver", "DRIVER"),
    ("Scope", "SCOPE"),
    ("IPv4", "IPV4"),
    ("IPv6", "IPV6"),
    ("Internal", "INTERNAL"),
    ("Labels", "LABELS"),
    ("CreatedAt", "CREATED AT"),
];

fn run(context: &Context, args: ListArgs, _: Vec<String>) -> Outcome {
    let filters = filters(&args.filters)?;
    check(&filters, &["driver", "id", "label", "name", "scope", "type", "dangling"])?;
    let mut rows = context.engine()?.networks().map_err(failed)?;
    rows.retain(|row| passes(row, &filters));
    rows.sort_by(|a, b| text(a, "Name").cmp(text(b, "Name")));
    let layout = Layout {
        columns: COLUMNS,
        default: &["ID", "Name", "Driver", "Scope"],
        quiet: "ID",
        cell: &|row: &Value, key| cell(row, key, args.no_trunc),
        labels: Some(&labels),
    };
    let wish = Wish { format: args.format.as_deref(), quiet: args.quiet };
    out::print(&layout.render(&rows, &wish)?).map(|()| 0)
}

/// Refuses keys nobody knows.
pub fn check(filters: &BTreeMap<String, Vec<String>>, known: &[&str]) -> Result<(), Failure> {
    let Some(key) = filters.keys().find(|key| !known.contains(&key.as_str())) else { return Ok(()) };
    Err(Failure::Error {
        message: format!("invalid filter '{key}'"),
        hint: Some(format!("known filters: {}", known.join(", "))),
        code: 1,
    })
}

/// A text of an object; empty when there is none.
pub fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The labels of an object.
pub fn labels(row: &Value) -> BTreeMap<String, String> {
    let map = row.get("Labels").and_then(Value::as_object);
    let pairs =
        map.into_iter().flatten().map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()));
    pairs.collect()
}

/// `a=b,c=d`.
pub fn joined(labels: &BTreeMap<String, String>) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// True when the labels hold what a filter wants: `key` or `key=value`.
pub fn label_fits(labels: &BTreeMap<String, String>, wanted: &str) -> bool {
    match wanted.split_once('=') {
        Some((key, value)) => labels.get(key).is_some_and(|found| found == value),
        None => labels.contains_key(wanted),
    }
}

fn passes(row: &Value, filters: &BTreeMap<String, Vec<String>>) -> bool {
    filters.iter().all(|(key, values)| {
        let fits = |value: &String| match key.as_str() {
            "driver" => text(row, "Driver") == value,
            "id" => text(row, "Id").starts_with(value.as_str()),
            "label" => label_fits(&labels(row), value),
            "name" => text(row, "Name").contains(value.as_str()),
            "scope" => text(row, "Scope") == value,
            "type" => (value == "builtin") == matches!(text(row, "Name"), "bridge" | "host" | "none"),
            _ => matches!(value.as_str(), "0" | "false"),
        };
        if key == "label" { values.iter().all(fits) } else { values.iter().any(fits) }
    })
}

fn cell(row: &Value, key: &str, full: bool) -> String {
    let switch = |key: &str| row.get(key).and_then(Value::as_bool).unwrap_or(false).to_string();
    match key {
        "ID" if full => text(row, "Id").to_owned(),
        "ID" => short_id(text(row, "Id")).to_owned(),
        "IPv4" => switch("EnableIPv4"),
        "IPv6" => switch("EnableIPv6"),
        "Internal" => switch("Internal"),
        "Labels" => joined(&labels(row)),
        "CreatedAt" => local_time(parse_time(text(row, "Created"))),
        other => text(row, other).to_owned(),
    }
}
