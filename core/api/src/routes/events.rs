//! `GET /events`.

use crate::app::App;
use crate::ask::Ask;
use crate::body::Out;
use crate::fault::Fault;
use crate::query::timestamp;
use crate::route::Answer;
use crate::schema::Kind;
use crate::schema::system::EVENT;
use crate::schema::trim::trim;
use crate::version::Version;
use gantry_engine::Engine;
use gantry_engine::events::{EventsRequest, Polled};
use std::sync::Arc;
use std::time::Duration;

/// How often a client that hears nothing is looked for.
const LOOK: Duration = Duration::from_secs(1);

pub fn events(app: Arc<App>, ask: Ask) -> Answer {
    Box::pin(async move {
        let (query, version) = (&ask.call.query, ask.call.version);
        let request = EventsRequest {
            since_ns: timestamp("since", query.text("since"))?,
            until_ns: timestamp("until", query.text("until"))?,
            filters: query.filters()?,
        };
        if request.until_ns > 0 && request.since_ns > request.until_ns {
            return Err(Fault::bad("`since` time cannot be after `until` time"));
        }
        let work = move |engine: &Engine, out: &mut Out| follow(engine, request, version, out);
        let late = |_: &mut Out, fault: &Fault| tracing::warn!("events ended early: {fault}");
        app.stream(&[("content-type", "application/json")], work, late).await
    })
}

fn follow(engine: &Engine, request: EventsRequest, version: Version, out: &mut Out) -> Result<(), Fault> {
    let mut events = engine.events(request)?;
    out.begin();
    while !out.is_closed() {
        match events.next(LOOK)? {
            Polled::End => return Ok(()),
            Polled::Idle => {}
            Polled::Event(event) => {
                let mut value = serde_json::to_value(event).map_err(|error| Fault::internal(error.to_string()))?;
                trim(&mut value, &Kind::Object(&EVENT), version);
                if out.json(&value).is_err() {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}
