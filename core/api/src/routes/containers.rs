//! Lists of containers, and looks at one.

use crate::app::{App, locked};
use crate::ask::{Ask, Call};
use crate::fault::Fault;
use crate::query::Query;
use crate::reply::{Outcome, Reply, json};
use crate::route::Answer;
use crate::version::Version;
use gantry_engine::Engine;
use gantry_engine::request::ListRequest;
use serde_json::{Value, json};
use std::sync::Arc;

/// `GET /containers/json`.
pub fn list(app: Arc<App>, ask: Ask) -> Answer {
    Box::pin(async move {
        let request = list_request(&ask.call.query)?;
        let own = Arc::clone(&app);
        let look = move |engine: &Engine| {
            if request.size || !request.filters.is_empty() {
                return json(engine.list_values(&request)?);
            }
            Ok(Reply::Text(engine.list_text(&request, &mut locked(&own.listing))?))
        };
        app.quick(look).await
    })
}

fn list_request(query: &Query) -> Result<ListRequest, Fault> {
    let last = query.number("limit")?.filter(|limit| *limit > 0).and_then(|limit| usize::try_from(limit).ok());
    Ok(ListRequest { all: query.switch("all"), last, size: query.switch("size"), filters: query.filters()? })
}

/// `GET /containers/{}/json`.
pub fn inspect(app: Arc<App>, ask: Ask) -> Answer {
    Box::pin(async move {
        let (name, size) = (ask.call.name().to_owned(), ask.call.query.switch("size"));
        let (own, version) = (Arc::clone(&app), ask.call.version);
        let look = move |engine: &Engine| {
            let mut value = engine.inspect(&name, size)?;
            let execs = own.execs.of(value["Id"].as_str().unwrap_or_default());
            if !execs.is_empty() {
                value["ExecIDs"] = execs.into();
            }
            if version < NAMES_APART {
                add_short_id(&mut value);
            }
            Ok(value)
        };
        json(app.quick(look).await?)
    })
}

/// From here on all names are in `DNSNames`, and `Aliases` are those that were asked for.
const NAMES_APART: Version = Version(45);

/// Older clients find the short id among the aliases, on networks that have names.
fn add_short_id(container: &mut Value) {
    let short = container["Id"].as_str().unwrap_or_default().chars().take(12).collect::<String>();
    let networks = container["NetworkSettings"]["Networks"].as_object_mut().into_iter().flatten();
    for (_, endpoint) in networks.filter(|(name, _)| !matches!(name.as_str(), "bridge" | "host" | "none")) {
        match endpoint["Aliases"].as_array_mut() {
            Some(aliases) => aliases.push(short.clone().into()),
            None => endpoint["Aliases"] = json!([short]),
        }
    }
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
