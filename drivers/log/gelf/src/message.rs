//! A record as a message: JSON with Docker's fields. What does not change from record to record is written once.

use gantry_driver_shared::logfiles::stamp::Stamper;
use gantry_plugin_api::log::{LogContainer, LogRecord, Stream};
use serde_json::Value;
use std::io::Write;

/// Severities of syslog.
const ERROR: u8 = 3;
const WARNING: u8 = 4;
const INFO: u8 = 6;

/// Writes messages of one container.
pub struct Encoder {
    /// From the opening brace to where the message begins.
    head: Vec<u8>,
    /// The container's own fields and the closing brace.
    tail: Vec<u8>,
}

impl Encoder {
    /// For a container.
    pub fn new(container: &LogContainer) -> Encoder {
        let mut head = br#"{"version":"1.1","host":"#.to_vec();
        text(&mut head, &container.hostname);
        head.extend_from_slice(br#","short_message":"#);
        let mut tail = Vec::new();
        for (name, value) in fields(container) {
            tail.push(b',');
            text(&mut tail, &name);
            tail.push(b':');
            text(&mut tail, &value);
        }
        tail.push(b'}');
        Encoder { head, tail }
    }

    /// Adds the message of a record. Bytes that are no text are replaced: JSON knows text only.
    pub fn record(&self, out: &mut Vec<u8>, record: &LogRecord<'_>) {
        let level = if record.stream == Stream::STDERR { ERROR } else { INFO };
        self.message(out, &String::from_utf8_lossy(record.bytes()), record.timestamp_ns, level);
    }

    /// Adds a message of our own: records are missing here.
    pub fn missing(&self, out: &mut Vec<u8>, count: u64, before: &LogRecord<'_>) {
        self.message(out, &format!("gantry: {count} messages dropped"), before.timestamp_ns, WARNING);
    }

    fn message(&self, out: &mut Vec<u8>, line: &str, timestamp_ns: u64, level: u8) {
        out.extend_from_slice(&self.head);
        text(out, line);
        let (seconds, millis) = (timestamp_ns / 1_000_000_000, timestamp_ns / 1_000_000 % 1000);
        // A vector takes all that is written to it.
        let _ = write!(out, r#","timestamp":{seconds}.{millis:03},"level":{level}"#);
        out.extend_from_slice(&self.tail);
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    let _ = write!(out, "{}", Value::from(text));
}

/// Docker's fields, then the attributes. None comes twice, the first wins.
fn fields(container: &LogContainer) -> Vec<(String, String)> {
    let id: String = container.id.chars().take(12).collect();
    let tag = if container.tag.is_empty() { &id } else { &container.tag };
    let own = [
        ("_container_id", container.id.clone()),
        ("_container_name", container.name.clone()),
        ("_image_id", container.image_id.clone()),
        ("_image_name", container.image_name.clone()),
        ("_command", container.command.join(" ")),
        ("_tag", tag.clone()),
        ("_created", moment(container.created_ns)),
    ];
    let mut fields: Vec<_> = own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    for (key, value) in &container.attributes {
        let name = field_name(key);
        if !fields.iter().any(|(taken, _)| *taken == name) {
            fields.push((name, value.clone()));
        }
    }
    fields
}

/// The specification allows letters, digits, `_`, `.` and `-`, and keeps `_id` for servers.
fn field_name(key: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '_' };
    let name: String = std::iter::once('_').chain(key.chars().map(allowed)).collect();
    if name == "_id" { "__id".to_owned() } else { name }
}

fn moment(ns: u64) -> String {
    let mut text = Vec::new();
    Stamper::new().push(&mut text, ns);
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container() -> LogContainer {
        LogContainer {
            id: "0123456789abcdef".into(),
            name: "web".into(),
            image_id: "sha256:77".into(),
            image_name: "img:1".into(),
            command: vec!["sh".into(), "-c".into(), "echo \"x\"".into()],
            created_ns: 1_709_210_096_789_012_345,
            attributes: vec![
                ("a b/ü".into(), "1".into()),
                ("id".into(), "2".into()),
                ("image_name".into(), "lie".into()),
                ("tag".into(), "twice".into()),
            ],
            hostname: "host.example".into(),
            ..LogContainer::default()
        }
    }

    fn encoded(record: &LogRecord<'_>) -> Value {
        let mut out = Vec::new();
        Encoder::new(&container()).record(&mut out, record);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn docker_s_fields() {
        let record = LogRecord::line(1_709_210_096_009_999_999, 1, Stream::STDOUT, b"a \"line\" <\xff>\t");
        let want = serde_json::json!({
            "version": "1.1",
            "host": "host.example",
            "short_message": "a \"line\" <\u{fffd}>\t",
            "timestamp": 1_709_210_096.009,
            "level": 6,
            "_container_id": "0123456789abcdef",
            "_container_name": "web",
            "_image_id": "sha256:77",
            "_image_name": "img:1",
            "_command": "sh -c echo \"x\"",
            "_tag": "0123456789ab",
            "_created": "2024-02-29T12:34:56.789012345Z",
            "_a_b__": "1",
            "__id": "2",
        });
        assert_eq!(encoded(&record), want);
        assert_eq!(encoded(&LogRecord::line(0, 1, Stream::STDERR, b"e"))["level"], 3);
    }
}
