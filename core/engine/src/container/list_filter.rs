//! Filters of `ps`: which there are, which values they may have, and those by ports.

use crate::error::{Error, Result};
use std::collections::BTreeMap;

const FILTERS: [&str; 15] = [
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
];
const STATUSES: [&str; 7] = ["created", "restarting", "running", "removing", "paused", "exited", "dead"];
const HEALTH: [&str; 4] = ["starting", "healthy", "unhealthy", "none"];

/// Refuses keys and values that no container could fit.
pub(super) fn check_filters(filters: &BTreeMap<String, Vec<String>>) -> Result<()> {
    for (key, values) in filters {
        if !FILTERS.contains(&key.as_str()) {
            return Err(Error::invalid(format!("invalid filter '{key}'"))
                .with_hint(format!("known filters: {}", FILTERS.join(", "))));
        }
        if let Some(bad) = values.iter().find(|value| !is_possible(key, value)) {
            return Err(Error::invalid(format!("invalid filter '{key}={bad}'")));
        }
    }
    Ok(())
}

fn is_possible(key: &str, value: &str) -> bool {
    match key {
        "status" => STATUSES.contains(&value),
        "health" => HEALTH.contains(&value),
        "exited" => value.parse::<i32>().is_ok(),
        "is-task" => matches!(value, "0" | "1" | "false" | "true"),
        "publish" | "expose" => Ports::parse(value).is_some(),
        _ => true,
    }
}

/// Ports of one protocol, first and last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ports<'a> {
    first: u16,
    last: u16,
    protocol: &'a str,
}

impl<'a> Ports<'a> {
    /// `80`, `80/udp`, `8000-8010/tcp`.
    fn parse(text: &'a str) -> Option<Ports<'a>> {
        let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(Ports { first: first.parse().ok()?, last: last.parse().ok()?, protocol })
    }

    fn meets(self, other: Ports<'_>) -> bool {
        self.protocol == other.protocol && self.first <= other.last && other.first <= self.last
    }
}

/// What `ps` shows of ports, taken apart: on the host, and in the container.
fn each(shown: &str) -> impl Iterator<Item = (Option<Ports<'_>>, Ports<'_>)> {
    shown.split(", ").filter_map(|text| {
        let Some((host, inside)) = text.split_once("->") else { return Some((None, Ports::parse(text)?)) };
        let inside = Ports::parse(inside)?;
        let host = host.rsplit_once(':').and_then(|(_, port)| Ports::parse(port));
        Some((host.map(|host| Ports { protocol: inside.protocol, ..host }), inside))
    })
}

/// True when one of the ports on the host is wanted.
pub(super) fn publishes(shown: &str, wanted: &str) -> bool {
    let Some(wanted) = Ports::parse(wanted) else { return false };
    each(shown).any(|(host, _)| host.is_some_and(|host| host.meets(wanted)))
}

/// True when one of the ports in the container is wanted.
pub(super) fn exposes(shown: &str, wanted: &str) -> bool {
    let Some(wanted) = Ports::parse(wanted) else { return false };
    each(shown).any(|(_, inside)| inside.meets(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports() {
        let shown = "443/tcp, 0.0.0.0:32780->80/tcp, [::]:5000-5003->53-56/udp";
        for (wanted, published, exposed) in [
            ("80", false, true),
            ("32780", true, false),
            ("3278", false, false),
            ("443/tcp", false, true),
            ("53/udp", false, true),
            ("53", false, false),
            ("5002/udp", true, false),
            ("5003-6000/udp", true, false),
            ("x", false, false),
        ] {
            assert_eq!((publishes(shown, wanted), exposes(shown, wanted)), (published, exposed), "{wanted}");
        }
        assert!(!publishes("", "80"));
    }

    #[test]
    fn values() {
        let one = |key: &str, value: &str| check_filters(&[(key.to_owned(), vec![value.to_owned()])].into());
        for (key, value) in
            [("status", "dead"), ("health", "none"), ("exited", "-1"), ("publish", "80-81"), ("isolation", "x")]
        {
            assert!(one(key, value).is_ok(), "{key}={value}");
        }
        for (key, value) in [
            ("status", "frob"),
            ("health", "well"),
            ("exited", "x"),
            ("expose", "http"),
            ("is-task", "x"),
            ("frob", ""),
        ] {
            assert!(one(key, value).is_err(), "{key}={value}");
        }
    }
}
