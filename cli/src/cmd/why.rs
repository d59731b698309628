//! `why`: the chain of causes that led a container to where it is.

use super::{Command, Context, Outcome, failed};
use crate::args::watching::{WHY, WHY_FLAGS, WhyArgs};
use crate::out::human::short_id;
use crate::out::template::json as json_text;
use crate::out::{self, list};
use gantry_engine::model::time;
use gantry_engine::why::{Cause, Why, doer};
use serde_json::{Value, json};

pub static COMMAND: Command<WhyArgs> = Command { info: WHY, flags: &[WHY_FLAGS], run };

fn run(context: &Context, args: WhyArgs, names: Vec<String>) -> Outcome {
    let why = context.engine()?.why(&names[0]).map_err(failed)?;
    match args.format.as_deref() {
        None | Some("") => out::print(&text(&why)),
        Some("json") => out::line(&json_text(&value(&why))),
        Some(template) => out::line(&list::render(&list::parse(template)?, &value(&why))?),
    }
    .map(|()| 0)
}

fn text(why: &Why) -> String {
    let mut text = format!("{} ({}), {}: {}\n\n", why.name, short_id(&why.id), why.status, why.because);
    for cause in &why.chain {
        let by = cause.by.as_ref().map(|by| format!(", by {}", doer(by))).unwrap_or_default();
        text.push_str(&format!("{}  {}{by}\n", time::in_local_zone(cause.at_ns), cause.text));
    }
    text
}

fn value(why: &Why) -> Value {
    json!({
        "ID": why.id,
        "Name": why.name,
        "Status": why.status,
        "Because": why.because,
        "Chain": why.chain.iter().map(step).collect::<Vec<_>>(),
    })
}

fn step(cause: &Cause) -> Value {
    let by = cause.by.as_ref().map(|by| json!({ "Pid": by.pid, "Uid": by.uid, "Command": by.command }));
    json!({
        "Time": time::rfc3339(cause.at_ns),
        "What": cause.what,
        "Text": cause.text,
        "By": by,
        "Facts": cause.facts,
    })
}
