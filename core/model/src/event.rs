//! What happened to the engine's objects, in Docker's shape: the lines of `events`, of the Engine API, and of the log
//! that both are read from. Beside Docker's keys a line tells who did it, and the reason where there is one.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The type of records that only `why` reads: what was decided, and on what grounds.
pub const DECISION: &str = "decision";

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    /// The action again, for clients of old: containers and images only.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status: String,
    /// The id again.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// A container's image.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// `container`, `image`, `network`, `volume` …
    #[serde(rename = "Type")]
    pub kind: String,
    /// `start`, `die`, `exec_create: ls` …
    #[serde(rename = "Action")]
    pub action: String,
    /// To what.
    #[serde(rename = "Actor")]
    pub actor: Actor,
    /// Always `local`.
    pub scope: String,
    /// Seconds since 1970.
    pub time: u64,
    /// Nanoseconds since 1970.
    #[serde(rename = "timeNano")]
    pub time_nano: u64,
    /// Who; only in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Doer>,
}

/// The object of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Actor {
    /// A container's or network's id, an image's reference, a volume's name.
    #[serde(rename = "ID")]
    pub id: String,
    /// Name, image, labels, and what belongs to the action.
    #[serde(rename = "Attributes")]
    pub attributes: BTreeMap<String, String>,
}

/// The process that did it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Doer {
    /// Its number.
    pub pid: i32,
    /// Its user, or that of the login it came from.
    pub uid: u32,
    /// What it was called with, cut.
    pub command: String,
}

impl Event {
    /// An event of now.
    pub fn new(
        kind: &str,
        action: impl Into<String>,
        id: &str,
        attributes: BTreeMap<String, String>,
        ns: u64,
    ) -> Event {
        let action = action.into();
        let old = matches!(kind, "container" | "image");
        let from = attributes.get("image").filter(|_| kind == "container").cloned().unwrap_or_default();
        Event {
            status: if old { action.clone() } else { String::new() },
            id: if old { id.to_owned() } else { String::new() },
            from,
            kind: kind.to_owned(),
            action,
            actor: Actor { id: id.to_owned(), attributes },
            scope: "local".to_owned(),
            time: ns / 1_000_000_000,
            time_nano: ns,
            by: None,
        }
    }

    /// One of a container; its labels are attributes too, which its own never hide.
    pub fn container<'a>(
        action: impl Into<String>,
        (id, name, image): (&str, &str, &str),
        labels: impl IntoIterator<Item = (&'a String, &'a String)>,
        more: &[(&str, String)],
        ns: u64,
    ) -> Event {
        let mut attributes: BTreeMap<String, String> =
            labels.into_iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        attributes.insert("image".to_owned(), image.to_owned());
        attributes.insert("name".to_owned(), name.to_owned());
        attributes.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        Event::new("container", action, id, attributes, ns)
    }

    /// An attribute, or nothing.
    pub fn attribute(&self, key: &str) -> &str {
        self.actor.attributes.get(key).map_or("", String::as_str)
    }
}

/// Which events are wanted: `key → values` as in `--filter`. Several values of a key mean any of them, several labels
/// all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter(BTreeMap<String, Vec<String>>);

const FILTERS: [&str; 13] = [
    "config",
    "container",
    "daemon",
    "event",
    "image",
    "label",
    "network",
    "node",
    "plugin",
    "scope",
    "secret",
    "type",
    "volume",
];

impl EventFilter {
    /// Checks the keys.
    pub fn new(filters: BTreeMap<String, Vec<String>>) -> Result<EventFilter, String> {
        match filters.keys().find(|key| !FILTERS.contains(&key.as_str())) {
            Some(key) => Err(format!("invalid filter '{key}'")),
            None => Ok(EventFilter(filters)),
        }
    }

    /// True when somebody wants it. Decisions are shown only to those who ask for that type.
    pub fn fits(&self, event: &Event) -> bool {
        if event.kind == DECISION && !self.0.get("type").is_some_and(|types| types.iter().any(|t| t == DECISION)) {
            return false;
        }
        self.0.iter().all(|(key, values)| values.is_empty() || fits(event, key, values))
    }
}

fn fits(event: &Event, key: &str, values: &[String]) -> bool {
    let any = |test: &dyn Fn(&str) -> bool| values.iter().any(|value| test(value));
    match key {
        "type" => any(&|value| event.kind == value),
        "event" => any(&|value| event.action == value || begins(&event.action, value)),
        "scope" => any(&|value| event.scope == value),
        "label" => values.iter().all(|label| has_label(event, label)),
        "image" => any(&|value| is_image(event, value)),
        "container" | "network" | "volume" | "plugin" if event.kind == key => {
            any(&|value| event.actor.id.starts_with(value) || event.attribute("name").starts_with(value))
        }
        // This engine is the only one there is.
        "daemon" => true,
        _ => false,
    }
}

/// `exec_create` and `health_status` fit whatever follows their colon.
fn begins(action: &str, wanted: &str) -> bool {
    action.strip_prefix(wanted).is_some_and(|rest| rest.starts_with(':'))
}

fn has_label(event: &Event, wanted: &str) -> bool {
    let (key, value) = wanted.split_once('=').map_or((wanted, None), |(key, value)| (key, Some(value)));
    event.actor.attributes.get(key).is_some_and(|found| value.is_none_or(|value| value == found))
}

fn is_image(event: &Event, wanted: &str) -> bool {
    let name = event.attribute(if event.kind == "image" { "name" } else { "image" });
    let bare =
        |text: &str| text.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or(0, |(name, _)| name.len());
    [name, &event.actor.id].iter().any(|text| *text == wanted || text.get(..bare(text)) == Some(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> BTreeMap<String, String> {
        BTreeMap::from([("tier".to_owned(), "web".to_owned())])
    }

    fn filter(words: &[(&str, &str)]) -> EventFilter {
        let mut map: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (key, value) in words {
            map.entry((*key).to_owned()).or_default().push((*value).to_owned());
        }
        EventFilter::new(map).expect("known keys")
    }

    #[test]
    fn dockers_shape() {
        let event =
            Event::container("die", ("abc", "web", "nginx:1"), &labels(), &[("exitCode", "3".into())], 1_500_000_000);
        let text = serde_json::to_string(&event).expect("json");
        assert_eq!(
            text,
            r#"{"status":"die","id":"abc","from":"nginx:1","Type":"container","Action":"die","Actor":{"ID":"abc","Attributes":{"exitCode":"3","image":"nginx:1","name":"web","tier":"web"}},"scope":"local","time":1,"timeNano":1500000000}"#
        );
        assert_eq!(serde_json::from_str::<Event>(&text).expect("read"), event);
    }

    #[test]
    fn filters_fit_as_dockers_do() {
        let event = Event::container("exec_create: ls", ("abcdef", "web", "nginx:1"), &labels(), &[], 0);
        for (words, want) in [
            (&[][..], true),
            (&[("type", "container")], true),
            (&[("type", "image")], false),
            (&[("event", "exec_create")], true),
            (&[("event", "exec")], false),
            (&[("event", "die"), ("event", "exec_create: ls")], true),
            (&[("container", "abc")], true),
            (&[("container", "we")], true),
            (&[("container", "db")], false),
            (&[("image", "nginx")], true),
            (&[("image", "nginx:1")], true),
            (&[("image", "ngin")], false),
            (&[("label", "tier")], true),
            (&[("label", "tier=web"), ("label", "x")], false),
            (&[("daemon", "anything")], true),
            (&[("network", "web")], false),
        ] {
            assert_eq!(filter(words).fits(&event), want, "{words:?}");
        }
        assert!(EventFilter::new(BTreeMap::from([("colour".to_owned(), Vec::new())])).is_err());
    }

    #[test]
    fn decisions_are_shown_on_demand() {
        let event = Event::new(DECISION, "restart", "abc", BTreeMap::new(), 0);
        assert!(!EventFilter::default().fits(&event));
        assert!(filter(&[("type", DECISION)]).fits(&event));
    }
}
