//! Records as messages of the Forward protocol: `[tag, entries, options]`, where the entries stand packed in one binary,
//! each an array of time and record; and the server's acknowledgements.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gantry_plugin_api::log::{LAST, LogContainer, LogRecord, PARTIAL};
use rmp::{decode, encode};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// The extension type of a time with nanoseconds.
const EVENT_TIME: i8 = 0;

/// Writes the entries of one container.
pub struct Encoder {
    tag: String,
    nanoseconds: bool,
    /// The container's own keys, encoded, and how many.
    own: Vec<u8>,
    own_count: u32,
}

/// A vector takes all that is written to it.
const FITS: &str = "a vector grows";

impl Encoder {
    /// For a container.
    pub fn new(container: &LogContainer, nanoseconds: bool) -> Encoder {
        let id: String = container.id.chars().take(12).collect();
        let tag = if container.tag.is_empty() { id } else { container.tag.clone() };
        let pairs = pairs(container);
        let mut own = Vec::new();
        for (key, value) in &pairs {
            text(&mut own, key.as_bytes());
            text(&mut own, value.as_bytes());
        }
        Encoder { tag, nanoseconds, own, own_count: pairs.len() as u32 }
    }

    /// Adds the entry of a record.
    pub fn entry(&self, out: &mut Vec<u8>, record: &LogRecord<'_>) {
        let partial = record.flags & PARTIAL != 0;
        self.begin(out, record.timestamp_ns, if partial { 6 } else { 2 });
        text(out, b"source");
        text(out, record.stream.name().as_bytes());
        text(out, b"log");
        text(out, record.bytes());
        if partial {
            let last = if record.flags & LAST != 0 { "true" } else { "false" };
            let id = format!("{:016x}", record.partial_id);
            let ordinal = record.partial_ordinal.to_string();
            let said = [("message", "true"), ("id", &id), ("ordinal", &ordinal), ("last", last)];
            for (key, value) in said {
                text(out, format!("partial_{key}").as_bytes());
                text(out, value.as_bytes());
            }
        }
    }

    /// Adds an entry of our own: records are missing here.
    pub fn missing(&self, out: &mut Vec<u8>, count: u64, before: &LogRecord<'_>) {
        self.begin(out, before.timestamp_ns, 2);
        text(out, b"source");
        text(out, b"gantry");
        text(out, b"log");
        text(out, format!("{count} messages dropped").as_bytes());
    }

    fn begin(&self, out: &mut Vec<u8>, timestamp_ns: u64, more: u32) {
        encode::write_array_len(out, 2).expect(FITS);
        let (seconds, nanos) = (timestamp_ns / 1_000_000_000, timestamp_ns % 1_000_000_000);
        if self.nanoseconds {
            encode::write_ext_meta(out, 8, EVENT_TIME).expect(FITS);
            // Both fit their 32 bits, seconds until 2106.
            out.extend_from_slice(&(seconds as u32).to_be_bytes());
            out.extend_from_slice(&(nanos as u32).to_be_bytes());
        } else {
            encode::write_uint(out, seconds).expect(FITS);
        }
        encode::write_map_len(out, self.own_count + more).expect(FITS);
        out.extend_from_slice(&self.own);
    }

    /// Adds a message of packed entries.
    pub fn message(&self, out: &mut Vec<u8>, entries: &[u8], count: u64, chunk: Option<&str>) {
        encode::write_array_len(out, 3).expect(FITS);
        text(out, self.tag.as_bytes());
        encode::write_bin(out, entries).expect(FITS);
        encode::write_map_len(out, 1 + u32::from(chunk.is_some())).expect(FITS);
        text(out, b"size");
        encode::write_uint(out, count).expect(FITS);
        if let Some(chunk) = chunk {
            text(out, b"chunk");
            text(out, chunk.as_bytes());
        }
    }
}

/// A line may be any bytes: they go out as they are, as in Docker.
fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    encode::write_str_len(out, bytes.len() as u32).expect(FITS);
    out.extend_from_slice(bytes);
}

/// Docker's keys, then the attributes. None comes twice, the first wins.
fn pairs(container: &LogContainer) -> Vec<(String, String)> {
    let mut pairs = vec![
        ("container_id".to_owned(), container.id.clone()),
        ("container_name".to_owned(), format!("/{}", container.name)),
    ];
    const TAKEN: [&str; 6] = ["source", "log", "partial_message", "partial_id", "partial_ordinal", "partial_last"];
    for (key, value) in &container.attributes {
        if !TAKEN.contains(&key.as_str()) && !pairs.iter().any(|(taken, _)| taken == key) {
            pairs.push((key.clone(), value.clone()));
        }
    }
    pairs
}

/// A name for a message, unlike any other's: 128 bits in base64, as the protocol asks for.
pub fn chunk_id() -> String {
    let random = || RandomState::new().hash_one(std::time::Instant::now()).to_be_bytes();
    STANDARD.encode([random(), random()].concat())
}

/// What the bytes of a server say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    /// It has this chunk.
    Has(String),
    /// Not all of it is there yet.
    Unfinished,
    /// Something else.
    Nonsense,
}

/// Reads an acknowledgement: a map with `ack`.
pub fn acknowledged(bytes: &[u8]) -> Heard {
    let mut rest = bytes;
    let Ok(count) = decode::read_map_len(&mut rest) else {
        return if bytes.len() < 5 && bytes.first().is_none_or(|b| *b >= 0x80) {
            Heard::Unfinished
        } else {
            Heard::Nonsense
        };
    };
    for _ in 0..count {
        let (key, value);
        match (string(rest), string(rest).and_then(|(_, rest)| string(rest))) {
            (Some((found, _)), Some((said, after))) => (key, value, rest) = (found, said, after),
            _ if bytes.len() < 1024 => return Heard::Unfinished,
            _ => return Heard::Nonsense,
        }
        if key == "ack" {
            return Heard::Has(value.to_owned());
        }
    }
    Heard::Nonsense
}

fn string(bytes: &[u8]) -> Option<(&str, &[u8])> {
    decode::read_str_from_slice(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_plugin_api::log::Stream;
    use rmpv::Value;

    fn container() -> LogContainer {
        let attributes = [("log", "lie"), ("app", "web"), ("container_id", "lie")];
        LogContainer {
            id: "0123456789abcdef".into(),
            name: "web".into(),
            attributes: attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            ..LogContainer::default()
        }
    }

    fn read(bytes: &[u8]) -> Value {
        rmpv::decode::read_value(&mut &bytes[..]).unwrap()
    }

    #[test]
    fn entries_have_docker_s_keys() {
        let mut out = Vec::new();
        let encoder = Encoder::new(&container(), true);
        encoder.entry(&mut out, &LogRecord::line(5_000_000_007, 1, Stream::STDERR, b"bad \xff"));
        let Value::Array(entry) = read(&out) else { panic!() };
        assert_eq!(entry[0], Value::Ext(0, vec![0, 0, 0, 5, 0, 0, 0, 7]));
        let map = entry[1].as_map().unwrap();
        let keys: Vec<_> = map.iter().map(|(key, _)| key.as_str().unwrap()).collect();
        assert_eq!(keys, ["container_id", "container_name", "app", "source", "log"]);
        assert_eq!(entry[1]["container_name"], Value::from("/web"));
        assert_eq!(entry[1]["source"], Value::from("stderr"));
        assert_eq!(map[4].1.as_slice(), Some(&b"bad \xff"[..]));
    }

    #[test]
    fn pieces_and_whole_seconds() {
        let mut out = Vec::new();
        let mut record = LogRecord::line(5_900_000_000, 1, Stream::STDOUT, b"x");
        (record.flags, record.partial_id, record.partial_ordinal) = (PARTIAL | LAST, 0xab, 3);
        Encoder::new(&container(), false).entry(&mut out, &record);
        let entry = read(&out);
        assert_eq!(entry[0], Value::from(5));
        for (key, want) in [("message", "true"), ("id", "00000000000000ab"), ("ordinal", "3"), ("last", "true")] {
            assert_eq!(entry[1][format!("partial_{key}").as_str()], Value::from(want), "{key}");
        }
    }

    #[test]
    fn messages_name_their_chunk() {
        let mut out = Vec::new();
        Encoder::new(&container(), false).message(&mut out, b"abc", 2, Some("id"));
        let message = read(&out);
        assert_eq!((message[0].as_str(), message[1].as_slice()), (Some("0123456789ab"), Some(&b"abc"[..])));
        assert_eq!((message[2]["size"].as_u64(), message[2]["chunk"].as_str()), (Some(2), Some("id")));
        assert_ne!(chunk_id(), chunk_id());
    }

    #[test]
    fn acknowledgements_are_read_in_pieces() {
        let whole = [&[0x81, 0xa3][..], b"ack", &[0xa4], b"chnk"].concat();
        for cut in 0..whole.len() {
            assert_eq!(acknowledged(&whole[..cut]), Heard::Unfinished, "{cut}");
        }
        assert_eq!(acknowledged(&whole), Heard::Has("chnk".into()));
        assert_eq!(acknowledged(b"HTTP/1.1"), Heard::Nonsense);
        assert_eq!(acknowledged(&[0x80]), Heard::Nonsense);
    }
}
