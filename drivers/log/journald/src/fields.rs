//! A record as a message of journald's native protocol: a field a line, `NAME=value`, or, when the value holds a newline,
//! the name, its length as 64 bits (least significant byte first), and the value.
//!
//! What stays the same between the records of a container is put together once. Attributes never replace our own fields.

use gantry_driver_shared::logfiles::stamp::Stamper;
use gantry_plugin_api::log::{LAST, LogContainer, LogRecord, PARTIAL, Stream};
use std::io::Write as _;

/// Fields that are ours or the journal's own, and so never attributes.
pub const KNOWN: &[&str] = &[
    "CODE_FILE",
    "CODE_FUNC",
    "CODE_LINE",
    "CONTAINER_ID",
    "CONTAINER_ID_FULL",
    "CONTAINER_LOG_EPOCH",
    "CONTAINER_LOG_ORDINAL",
    "CONTAINER_NAME",
    "CONTAINER_PARTIAL_ID",
    "CONTAINER_PARTIAL_LAST",
    "CONTAINER_PARTIAL_MESSAGE",
    "CONTAINER_PARTIAL_ORDINAL",
    "CONTAINER_TAG",
    "DOCUMENTATION",
    "ERRNO",
    "IMAGE_NAME",
    "INVOCATION_ID",
    "MESSAGE",
    "MESSAGE_ID",
    "OBJECT_PID",
    "PRIORITY",
    "SYSLOG_FACILITY",
    "SYSLOG_IDENTIFIER",
    "SYSLOG_PID",
    "SYSLOG_RAW",
    "SYSLOG_TIMESTAMP",
    "TID",
    "UNIT",
    "USER_INVOCATION_ID",
    "USER_UNIT",
];

/// journald takes no longer names.
const LONGEST_NAME: usize = 64;
/// Digits shown of an id.
const SHORT_ID: usize = 12;
/// Digits of a partial id that come from the container's.
const PARTIAL_PREFIX: usize = 48;

/// Which messages belong to one logger, so that a reader can tell repetitions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Epoch(pub [u64; 2]);

/// Makes the messages of one container.
pub struct Message {
    /// Fields that are the same in all messages.
    fixed: Vec<u8>,
    partial_prefix: String,
    stamper: Stamper,
}

impl Message {
    /// For the records of this container.
    pub fn new(container: &LogContainer, epoch: Epoch) -> Self {
        let short = container.id.get(..SHORT_ID).unwrap_or(&container.id);
        let tag = if container.tag.is_empty() { short } else { &container.tag };
        let Epoch([high, low]) = epoch;
        let epoch = format!("{:.32}{high:016x}{low:016x}", container.id);
        let mut fixed = Vec::new();
        for (name, value) in [
            ("CONTAINER_ID", short),
            ("CONTAINER_ID_FULL", container.id.as_str()),
            ("CONTAINER_NAME", &container.name),
            ("CONTAINER_TAG", tag),
            ("SYSLOG_IDENTIFIER", tag),
            ("IMAGE_NAME", &container.image_name),
            ("CONTAINER_LOG_EPOCH", &epoch),
        ] {
            push(&mut fixed, name, value.as_bytes());
        }
        for (name, value) in attributes(container) {
            push(&mut fixed, &name, value.as_bytes());
        }
        let partial_prefix = format!("{:0<48.48}", container.id);
        debug_assert_eq!(partial_prefix.len(), PARTIAL_PREFIX);
        Message { fixed, partial_prefix, stamper: Stamper::new() }
    }

    /// What stands in every message.
    pub fn fixed(&self) -> &[u8] {
        &self.fixed
    }

    /// Appends the fields of one record.
    pub fn push(&mut self, out: &mut Vec<u8>, record: &LogRecord<'_>, ordinal: u64) {
        push(out, "MESSAGE", record.bytes());
        out.extend_from_slice(if record.stream == Stream::STDERR { b"PRIORITY=3\n" } else { b"PRIORITY=6\n" });
        out.extend_from_slice(b"SYSLOG_TIMESTAMP=");
        self.stamper.push(out, record.timestamp_ns);
        // Writing to a Vec cannot fail.
        let _ = writeln!(out, "\nCONTAINER_LOG_ORDINAL={ordinal}");
        if record.flags & PARTIAL != 0 {
            self.push_piece(out, record);
        }
    }

    fn push_piece(&self, out: &mut Vec<u8>, record: &LogRecord<'_>) {
        let last = record.flags & LAST != 0;
        if !last {
            out.extend_from_slice(b"CONTAINER_PARTIAL_MESSAGE=true\n");
        }
        let (prefix, id, ordinal) = (&self.partial_prefix, record.partial_id, record.partial_ordinal);
        let _ = writeln!(out, "CONTAINER_PARTIAL_ID={prefix}{id:016x}");
        let _ = writeln!(out, "CONTAINER_PARTIAL_ORDINAL={ordinal}\nCONTAINER_PARTIAL_LAST={last}");
    }
}

fn push(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// The attributes as fields. The tag has a field of its own.
fn attributes(container: &LogContainer) -> Vec<(String, &str)> {
    let mut fields: Vec<(String, &str)> = Vec::new();
    for (key, value) in &container.attributes {
        let Some(name) = field_name(key) else { continue };
        let is_tag = key == "tag" && *value == container.tag;
        if is_tag || KNOWN.contains(&name.as_str()) || fields.iter().any(|(other, _)| *other == name) {
            continue;
        }
        fields.push((name, value));
    }
    fields
}

/// Capital letters, digits and `_`, no `_` or digit first; `None` when nothing is left.
fn field_name(key: &str) -> Option<String> {
    let clean = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let name: String = key.chars().map(clean).collect();
    let name = name.trim_start_matches(|c: char| c == '_' || c.is_ascii_digit());
    let name = &name[..name.len().min(LONGEST_NAME)];
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(attributes: &[(&str, &str)]) -> LogContainer {
        LogContainer {
            id: "0123456789abcdef".repeat(4),
            name: "web".into(),
            image_name: "app:1".into(),
            attributes: attributes.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
            ..LogContainer::default()
        }
    }

    fn text(message: &mut Message, record: &LogRecord<'_>) -> String {
        let mut out = Vec::new();
        message.push(&mut out, record, 9);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_field_is_there() {
        let mut message = Message::new(&container(&[("app.name", "shop")]), Epoch([1, 2]));
        let id = "0123456789abcdef".repeat(4);
        let want = format!(
            "CONTAINER_ID=0123456789ab\nCONTAINER_ID_FULL={id}\nCONTAINER_NAME=web\nCONTAINER_TAG=0123456789ab\n\
             SYSLOG_IDENTIFIER=0123456789ab\nIMAGE_NAME=app:1\n\
             CONTAINER_LOG_EPOCH={}00000000000000010000000000000002\nAPP_NAME=shop\n",
            &id[..32]
        );
        assert_eq!(std::str::from_utf8(message.fixed()).unwrap(), want);
        let line = LogRecord::line(1_700_000_000_120_000_000, 1, Stream::STDERR, b"hello");
        let rest = "SYSLOG_TIMESTAMP=2023-11-14T22:13:20.12Z\nCONTAINER_LOG_ORDINAL=9\n";
        assert_eq!(text(&mut message, &line), format!("MESSAGE=hello\nPRIORITY=3\n{rest}"));
        let piece = LogRecord { partial_id: 0xab, partial_ordinal: 2, flags: PARTIAL, stream: Stream::STDOUT, ..line };
        let part = format!("CONTAINER_PARTIAL_ID={}00000000000000ab\nCONTAINER_PARTIAL_ORDINAL=2\n", &id[..48]);
        assert_eq!(
            text(&mut message, &piece),
            format!(
                "MESSAGE=hello\nPRIORITY=6\n{rest}CONTAINER_PARTIAL_MESSAGE=true\n{part}CONTAINER_PARTIAL_LAST=false\n"
            )
        );
        let last = LogRecord { flags: PARTIAL | LAST, ..piece };
        assert_eq!(
            text(&mut message, &last),
            format!("MESSAGE=hello\nPRIORITY=6\n{rest}{part}CONTAINER_PARTIAL_LAST=true\n")
        );
    }

    #[test]
    fn values_with_newlines_carry_their_length() {
        let message = Message::new(&container(&[("k", "a\nb")]), Epoch([1, 2]));
        assert!(message.fixed().ends_with(b"K\n\x03\0\0\0\0\0\0\0a\nb\n"));
    }

    #[test]
    fn attributes_become_names_that_journald_takes() {
        for (key, want) in [
            ("app.name", Some("APP_NAME")),
            ("_x", Some("X")),
            ("__9_a", Some("A")),
            ("é", None),
            ("___", None),
            ("", None),
            ("com.docker/compose-1", Some("COM_DOCKER_COMPOSE_1")),
        ] {
            assert_eq!(field_name(key).as_deref(), want, "{key}");
        }
        assert_eq!(field_name(&"x".repeat(99)).unwrap().len(), 64);
    }

    #[test]
    fn attributes_replace_nothing() {
        let mut container =
            container(&[("container.id", "evil"), ("a.b", "1"), ("a_b", "2"), ("priority", "0"), ("tag", "t")]);
        container.tag = "t".into();
        let names: Vec<_> = attributes(&container).into_iter().collect();
        assert_eq!(names, [("A_B".to_string(), "1")]);
    }
}
