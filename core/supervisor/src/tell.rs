//! What keeper and pump write into the log of events: starts, ends, health, what was done by way of their doors. An event
//! that cannot be written fails nothing.

use crate::launch::Launch;
use gantry_model::event::{DECISION, Event};
use gantry_store::events;

/// An event of the container under its present name.
pub fn event(launch: &Launch, action: &str, more: &[(&str, String)]) {
    let name = gantry_store::containers::read_in(&launch.container_dir).map(|record| record.name);
    event_named(launch, &name.unwrap_or_else(|_| launch.name.clone()), action, more);
}

/// The same, when the name is known.
pub fn event_named(launch: &Launch, name: &str, action: &str, more: &[(&str, String)]) {
    let who = (launch.id.as_str(), name, launch.log.image_name.as_str());
    let labels = launch.log.labels.iter().map(|(key, value)| (key, value));
    append(launch, &Event::container(action, who, labels, more, crate::clock::realtime_ns()));
}

/// What was decided or found out, and on what grounds.
pub fn decision(launch: &Launch, what: &str, grounds: &[(&str, String)]) {
    let grounds = grounds.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    append(launch, &Event::new(DECISION, what, &launch.id, grounds, crate::clock::realtime_ns()));
}

fn append(launch: &Launch, event: &Event) {
    if let Err(error) = events::append(&events::dir_beside(&launch.container_dir), event) {
        crate::note::note(&launch.state_dir, &format!("an event is not written: {error}"));
    }
}
