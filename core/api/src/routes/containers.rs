//! Lists of containers, and looks at one.

use crate::app::App;
use crate::ask::{Ask, Call};
use crate::fault::Fault;
use crate::reply::{Outcome, json};
use crate::route::Answer;
use gantry_engine::Engine;
use gantry_engine::request::ListRequest;
use serde_json::{Value, json};
use std::sync::Arc;

/// `GET /containers/json`.
pub fn list(engine: &Engine, call: &Call) -> Outcome {
    let query = &call.query;
    let last = query.number("limit")?.filter(|limit| *limit > 0).and_then(|limit| usize::try_from(limit).ok());
    let request = ListRequest { all: query.switch("all"), last, size: query.switch("size"), filters: query.filters()? };
    json(engine.list_values(&request)?)
}

/// `GET /containers/{}/json`.
pub fn inspect(app: Arc<App>, ask: Ask) -> Answer {
    Box::pin(async move {
        let (name, size) = (ask.call.name().to_owned(), ask.call.query.switch("size"));
        let own = Arc::clone(&app);
        let look = move |engine: &Engine| {
            let mut value = engine.inspect(&name, size)?;
            let execs = own.execs.of(value["Id"].as_str().unwrap_or_default());
            if !execs.is_empty() {
                value["ExecIDs"] = execs.into();
            }
            Ok(value)
        };
        json(app.quick(look).await?)
    })
}

/// `GET /containers/{}/top`.
pub fn top(engine: &Engine, call: &Call) -> Outcome {
    let args: Vec<String> =
        call.query.text("ps_args").unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let top = engine.top(call.name(), &args)?;
    json(json!({ "Titles": top.titles, "Processes": top.processes }))
}

/// `GET /containers/{}/changes`.
pub fn changes(engine: &Engine, call: &Call) -> Outcome {
    let kind = |kind: char| match kind {
        'C' => 0,
        'A' => 1,
        _ => 2,
    };
    let changes = engine.diff(call.name())?;
    let shown: Vec<Value> = changes
        .iter()
        .map(|change| json!({ "Path": change.path.to_string_lossy(), "Kind": kind(change.kind) }))
        .collect();
    if shown.is_empty() { json(Value::Null) } else { json(shown) }
}

/// `POST /containers/prune`.
pub fn prune(engine: &Engine, call: &Call) -> Outcome {
    let pruned = engine.prune_containers(&call.query.filters()?).map_err(Fault::from)?;
    json(json!({ "ContainersDeleted": pruned.lines, "SpaceReclaimed": pruned.reclaimed }))
}
