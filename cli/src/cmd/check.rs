//! `system check`.

use super::{Command, Context, Outcome, failed};
use crate::args::system::{CHECK, CHECK_FLAGS, CheckArgs};
use crate::out;
use crate::out::list::{Column, Layout, Wish};
use gantry_engine::check::{CheckRequest, Problem};

pub static COMMAND: Command<CheckArgs> = Command { info: CHECK, flags: &[CHECK_FLAGS], run };

const COLUMNS: &[Column] = &[("Kind", "KIND"), ("State", "STATE"), ("Problem", "PROBLEM")];

/// What is told: a problem, or a layer whose files are still to come.
enum Row {
    Problem(Problem),
    Awaited(String),
}

/// 1 when something is damaged and was not mended; what killed commands left is no damage.
fn run(context: &Context, args: CheckArgs, _: Vec<String>) -> Outcome {
    let request = CheckRequest { quick: args.quick, repair: args.repair };
    let engine = context.engine()?;
    let problems = engine.check(request).map_err(failed)?;
    let awaited = engine.awaited_layers().map_err(failed)?;
    let code = i32::from(problems.iter().any(|problem| !problem.leftover && !problem.mended));
    let problems = problems.into_iter().map(Row::Problem);
    let rows: Vec<Row> = problems.chain(awaited.into_iter().map(Row::Awaited)).collect();
    if rows.is_empty() && args.format.is_none() {
        return out::line("Everything is as it should be.").map(|()| 0);
    }
    let layout = Layout {
        columns: COLUMNS,
        default: &["Kind", "State", "Problem"],
        quiet: "Problem",
        cell: &cell,
        labels: None,
    };
    let wish = Wish { format: args.format.as_deref(), quiet: false };
    out::print(&layout.render(&rows, &wish)?)?;
    if code != 0 && !args.repair {
        out::note("`gantry system check --repair` mends what can be mended.");
    }
    Ok(code)
}

fn cell(row: &Row, key: &str) -> String {
    let problem = match row {
        Row::Problem(problem) => problem,
        Row::Awaited(text) => {
            return match key {
                "Kind" => "incomplete".to_owned(),
                "State" => "awaited".to_owned(),
                _ => text.clone(),
            };
        }
    };
    let text = match (key, problem.leftover, problem.mended) {
        ("Kind", true, _) => "leftover",
        ("Kind", ..) => "damage",
        ("State", _, true) => "mended",
        ("State", ..) => "found",
        _ => &problem.text,
    };
    text.to_owned()
}
