//! `events`: what happens, one line each, as it happens or as it happened.

use super::logs::point;
use super::{Command, Context, Outcome, failed, filters};
use crate::args::events::{EVENTS, EventsArgs, FLAGS};
use crate::out::failure::Failure;
use crate::out::template::{Template, json};
use crate::out::{self, list};
use gantry_engine::events::{EventsRequest, Polled};
use gantry_engine::model::event::Event;
use gantry_engine::model::time;
use serde_json::Value;
use std::time::Duration;

/// How long one wait for the next event may last.
const WAIT: Duration = Duration::from_secs(60);

pub static COMMAND: Command<EventsArgs> = Command { info: EVENTS, flags: &[FLAGS], run };

fn run(context: &Context, args: EventsArgs, _: Vec<String>) -> Outcome {
    let shape = shape(args.format.as_deref())?;
    let request = EventsRequest {
        since_ns: point("since", args.since.as_deref())?,
        until_ns: point("until", args.until.as_deref())?,
        filters: filters(&args.filters)?,
    };
    let engine = context.engine()?;
    let mut events = engine.events(request).map_err(failed)?;
    loop {
        match events.next(WAIT).map_err(failed)? {
            Polled::Event(event) => out::line(&text(&event, &shape)?)?,
            Polled::Idle => {}
            Polled::End => return Ok(0),
        }
    }
}

/// How an event is printed.
pub enum Shape {
    Text,
    Json,
    Template(Template),
}

/// By `--format`.
pub fn shape(format: Option<&str>) -> Result<Shape, Failure> {
    match format.map(str::trim) {
        None | Some("") => Ok(Shape::Text),
        Some("json" | "{{json .}}" | "{{ json . }}") => Ok(Shape::Json),
        Some(text) => list::parse(text).map(Shape::Template),
    }
}

/// One event.
pub fn text(event: &Event, shape: &Shape) -> Result<String, Failure> {
    match shape {
        Shape::Text => Ok(sentence(event)),
        Shape::Json => Ok(json(&serde_json::to_value(event).unwrap_or_default())),
        Shape::Template(template) => list::render(template, &fields(event)),
    }
}

/// `TIME TYPE ACTION ID (KEY=VALUE, …)`.
fn sentence(event: &Event) -> String {
    let mut text = format!("{} {} {}", time::in_local_zone(event.time_nano), event.kind, event.action);
    if !event.actor.id.is_empty() {
        text.push(' ');
        text.push_str(&event.actor.id);
    }
    let attributes: Vec<String> = event.actor.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if !attributes.is_empty() {
        text.push_str(&format!(" ({})", attributes.join(", ")));
    }
    text
}

/// As templates know them: by the names of Docker's fields.
fn fields(event: &Event) -> Value {
    let mut value = serde_json::to_value(event).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        object.insert("Scope".into(), event.scope.clone().into());
        object.insert("Time".into(), event.time.into());
        object.insert("TimeNano".into(), event.time_nano.into());
        object.insert("Status".into(), event.action.clone().into());
        object.insert("ID".into(), event.actor.id.clone().into());
        object.insert("From".into(), event.from.clone().into());
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn event() -> Event {
        let labels = BTreeMap::from([("tier".to_owned(), "web".to_owned())]);
        Event::container("start", ("abc", "web", "nginx"), &labels, &[], 1_357_133_017_000_000_042)
    }

    #[test]
    fn docker_s_shapes() {
        let template = shape(Some("{{.Type}} {{.Action}} {{.Actor.ID}} {{.Actor.Attributes.tier}} {{.Time}}")).unwrap();
        assert_eq!(text(&event(), &template).unwrap(), "container start abc web 1357133017");
        let plain = text(&event(), &Shape::Text).unwrap();
        assert!(plain.ends_with(" container start abc (image=nginx, name=web, tier=web)"), "{plain}");
        let json = text(&event(), &shape(Some("json")).unwrap()).unwrap();
        assert!(json.contains(r#""timeNano":1357133017000000042"#) && !json.contains("\"by\""), "{json}");
    }
}
