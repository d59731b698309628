//! Volumes.

use crate::ask::Call;
use crate::fault::Fault;
use crate::reply::{Outcome, done, json, json_as};
use crate::types::VolumeCreate;
use gantry_engine::Engine;
use hyper::StatusCode;
use serde_json::{Value, json};

/// `GET /volumes`.
pub fn list(engine: &Engine, call: &Call) -> Outcome {
    let volumes = engine.volumes_that(&call.query.filters()?)?;
    json(json!({ "Volumes": volumes, "Warnings": null }))
}

/// `GET /volumes/{}`.
pub fn inspect(engine: &Engine, call: &Call) -> Outcome {
    json(engine.volume_inspect(call.name())?)
}

/// `POST /volumes/create`.
pub fn create(engine: &Engine, call: &Call) -> Outcome {
    let wish: VolumeCreate = call.json_or_default()?;
    let text = |text: String| Some(text).filter(|text| !text.is_empty());
    let name = engine
        .volume_create(text(wish.name), text(wish.driver), wish.driver_opts, wish.labels)
        .map_err(Fault::of_request)?;
    json_as(StatusCode::CREATED, engine.volume_inspect(&name)?)
}

/// `DELETE /volumes/{}`.
pub fn remove(engine: &Engine, call: &Call) -> Outcome {
    engine.volume_remove(call.name(), call.query.switch("force"))?;
    done()
}

/// `POST /volumes/prune`: until 1.42 named volumes went, too.
pub fn prune(engine: &Engine, call: &Call) -> Outcome {
    let pruned = engine.prune_volumes(call.version.0 < 42, &call.query.filters()?)?;
    let names = if pruned.lines.is_empty() { Value::Null } else { json!(pruned.lines) };
    json(json!({ "VolumesDeleted": names, "SpaceReclaimed": pruned.reclaimed }))
}
