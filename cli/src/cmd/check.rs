//! `system check`.

use super::{Command, Context, Outcome, failed};
use crate::args::system::{CHECK, CHECK_FLAGS, CheckArgs};
use crate::out;
use crate::out::list::{Column, Layout, Wish};
use gantry_engine::check::{CheckRequest, Problem};

pub static COMMAND: Command<CheckArgs> = Command { info: CHECK, flags: &[CHECK_FLAGS], run };

const COLUMNS: &[Column] = &[("Kind", "KIND"), ("State", "STATE"), ("Problem", "PROBLEM")];

/// 1 when something is damaged and was not mended; what killed commands left is no damage.
fn run(context: &Context, args: CheckArgs, _: Vec<String>) -> Outcome {
    let request = CheckRequest { quick: args.quick, repair: args.repair };
    let problems = context.engine()?.check(request).map_err(failed)?;
    let code = i32::from(problems.iter().any(|problem| !problem.leftover && !problem.mended));
    if problems.is_empty() && args.format.is_none() {
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
    out::print(&layout.render(&problems, &wish)?)?;
    if code != 0 && !args.repair {
        out::note("`gantry system check --repair` mends what can be mended.");
    }
    Ok(code)
}

fn cell(problem: &Problem, key: &str) -> String {
    let text = match (key, problem.leftover, problem.mended) {
        ("Kind", true, _) => "leftover",
        ("Kind", ..) => "damage",
        ("State", _, true) => "mended",
        ("State", ..) => "found",
        _ => &problem.text,
    };
    text.to_owned()
}
