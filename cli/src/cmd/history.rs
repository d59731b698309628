//! `history`.

use super::{Command, Context, Outcome, failed};
use crate::args::images::{HISTORY, HISTORY_FLAGS, HistoryArgs};
use crate::out;
use crate::out::human::{ago, cut, now_ns, parse_time, short_id};
use crate::out::list::{Column, Layout, Wish};
use gantry_engine::model::size::human_decimal;

pub static COMMAND: Command<HistoryArgs> = Command { info: HISTORY, flags: &[HISTORY_FLAGS], run };

const COLUMNS: &[Column] = &[
    ("ID", "IMAGE"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedBy", "CREATED BY"),
    ("Size", "SIZE"),
    ("Comment", "COMMENT"),
];
const HUMAN: [&str; 5] = ["ID", "CreatedSince", "CreatedBy", "Size", "Comment"];
const EXACT: [&str; 5] = ["ID", "CreatedAt", "CreatedBy", "Size", "Comment"];
const MISSING: &str = "<missing>";

fn run(context: &Context, args: HistoryArgs, names: Vec<String>) -> Outcome {
    let lines = context.engine()?.image_history(&names[0]).map_err(failed)?;
    let now = now_ns();
    let cell = |row: &_, key: &str| cell(row, key, &args, now);
    let layout = Layout {
        columns: COLUMNS,
        default: if args.exact { &EXACT } else { &HUMAN },
        quiet: "ID",
        cell: &cell,
        labels: None,
    };
    let wish = Wish { format: args.format.as_deref(), quiet: args.quiet };
    out::print(&layout.render(&lines, &wish)?).map(|()| 0)
}

fn cell(row: &gantry_engine::HistoryLine, key: &str, args: &HistoryArgs, now: u64) -> String {
    let created = row.created.as_deref().unwrap_or_default();
    match key {
        "ID" => row.id.as_ref().map_or_else(|| MISSING.to_owned(), |id| shown_id(&id.to_string(), args.no_trunc)),
        "CreatedSince" if created.is_empty() => "N/A".to_owned(),
        "CreatedSince" => ago(parse_time(created), now),
        "CreatedAt" => seconds(created),
        "CreatedBy" if args.no_trunc => row.created_by.replace('\t', " "),
        "CreatedBy" => cut(&row.created_by.replace('\t', " "), 45),
        "Size" if args.exact => row.size.to_string(),
        "Size" => human_decimal(row.size, 3),
        _ => row.comment.clone(),
    }
}

/// As Docker shows it: in the local zone, without fractions.
fn seconds(created: &str) -> String {
    let parsed = created.parse::<jiff::Timestamp>();
    parsed.map_or_else(
        |_| created.to_owned(),
        |at| {
            let zoned = at.to_zoned(jiff::tz::TimeZone::system());
            if zoned.offset().is_zero() {
                zoned.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
            } else {
                zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
            }
        },
    )
}

fn shown_id(id: &str, full: bool) -> String {
    if full { id.to_owned() } else { short_id(id).to_owned() }
}
