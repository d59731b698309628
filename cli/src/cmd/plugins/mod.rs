//! `plugin ls`: every file on the search path, and why one cannot be used.

pub mod author;
pub mod operator;

use crate::args::networks::{FLAGS, ListArgs};
use crate::args::system::PLUGIN_LS;
use crate::cmd::networks::{check, text};
use crate::cmd::{Command, Context, Outcome, filters};
use crate::out;
use crate::out::human::cut;
use crate::out::list::{Column, Layout, Wish};
use serde_json::Value;

pub static COMMAND: Command<ListArgs> = Command { info: PLUGIN_LS, flags: &[FLAGS], run };

const COLUMNS: &[Column] = &[
    ("Kind", "KIND"),
    ("Name", "NAME"),
    ("Version", "VERSION"),
    ("License", "LICENSE"),
    ("API", "API"),
    ("Status", "STATUS"),
    ("Reason", "REASON"),
    ("Path", "PATH"),
    ("ID", "ID"),
];

fn run(context: &Context, args: ListArgs, _: Vec<String>) -> Outcome {
    let filters = filters(&args.filters)?;
    check(&filters, &["kind", "name", "status"])?;
    let mut rows = context.engine()?.plugins();
    rows.retain(|row| {
        filters.iter().all(|(key, values)| {
            let found = ["Kind", "Name", "Status"].iter().find(|known| known.eq_ignore_ascii_case(key));
            found.is_none_or(|known| values.iter().any(|value| text(row, known) == value))
        })
    });
    let layout = Layout {
        columns: COLUMNS,
        default: &["Kind", "Name", "Version", "License", "Status", "Path", "Reason"],
        quiet: "ID",
        cell: &|row: &Value, key| cell(row, key, args.no_trunc),
        labels: None,
    };
    let wish = Wish { format: args.format.as_deref(), quiet: args.quiet };
    out::print(&layout.render(&rows, &wish)?).map(|()| 0)
}

fn cell(row: &Value, key: &str, full: bool) -> String {
    match key {
        "ID" => format!("{}/{}", text(row, "Kind"), text(row, "Name")),
        "Reason" if !full => cut(text(row, "Reason"), 60),
        other => text(row, other).to_owned(),
    }
}
