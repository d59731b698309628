//! `events`.

use super::values::{push, put};
use super::{Choices, Flag, Info};

/// See the table.
#[derive(Debug, Default)]
pub struct EventsArgs {
    pub filters: Vec<String>,
    pub format: Option<String>,
    pub since: Option<String>,
    pub until: Option<String>,
}

/// The flags.
pub const FLAGS: &[Flag<EventsArgs>] = &[
    Flag::<EventsArgs>::value(
        "filter",
        "filter",
        "Only these: type, event, container, image, label, network, volume, as KEY=VALUE",
        |a, v| push(&mut a.filters, v),
    )
    .short('f'),
    Flag::<EventsArgs>::value("format", "string", "How to print: 'json' or a Go template", |a, v| {
        put(&mut a.format, v)
    })
    .choices(Choices::Words(&["json"])),
    Flag::<EventsArgs>::value(
        "since",
        "string",
        "Begin with those from a time (\"2013-01-02T13:23:37Z\") or an age (\"42m\")",
        |a, v| put(&mut a.since, v),
    ),
    Flag::<EventsArgs>::value("until", "string", "End at a time or an age", |a, v| put(&mut a.until, v)),
];

/// `gantry events`.
pub const EVENTS: Info = Info::new(&["events", "system events"], "[OPTIONS]", "Show what happens, as it happens");
