//! One record into one line of the file.
//!
//! All that stays the same between the records of a container (keys, stream, attributes) is put together once.

use crate::decode::Decoder;
use crate::escape;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gantry_driver_shared::logfiles::format;
use gantry_driver_shared::logfiles::stamp::Stamper;
use gantry_plugin_api::log::{LogRecord, PARTIAL, Stream};
use std::io::Write as _;

/// Encodes the records of one container.
pub struct Encoder {
    /// What stands between the bytes and the time, by [`middle_index`].
    middles: [Vec<u8>; 4],
    stamper: Stamper,
    partial_metadata: bool,
}

impl Encoder {
    /// An encoder that gives every record these attributes.
    pub fn new(attributes: &[(String, String)], partial_metadata: bool) -> Self {
        let attributes = attributes_text(attributes);
        let middle = |stream, ends_line| middle(stream, ends_line, &attributes);
        let middles = [
            middle(Stream::STDOUT, false),
            middle(Stream::STDOUT, true),
            middle(Stream::STDERR, false),
            middle(Stream::STDERR, true),
        ];
        Encoder { middles, stamper: Stamper::new(), partial_metadata }
    }
}

impl format::Encoder for Encoder {
    type Decoder = Decoder;

    #[inline]
    fn push(&mut self, out: &mut Vec<u8>, record: &LogRecord<'_>) {
        out.extend_from_slice(b"{\"log\":\"");
        let lossless = escape::push(out, record.bytes());
        out.extend_from_slice(&self.middles[middle_index(record.stream, record.ends_line())]);
        self.stamper.push(out, record.timestamp_ns);
        out.push(b'"');
        let numbered = self.partial_metadata && record.flags & PARTIAL != 0;
        if !lossless || numbered {
            push_extras(out, record, lossless, numbered);
        }
        out.extend_from_slice(b"}\n");
    }
}

#[inline(never)]
fn push_extras(out: &mut Vec<u8>, record: &LogRecord<'_>, lossless: bool, numbered: bool) {
    if !lossless {
        push_base64(out, record.bytes());
    }
    if numbered {
        push_partial(out, record);
    }
}

fn middle_index(stream: Stream, ends_line: bool) -> usize {
    usize::from(stream == Stream::STDERR) * 2 + usize::from(ends_line)
}

fn middle(stream: Stream, ends_line: bool, attributes: &[u8]) -> Vec<u8> {
    let newline: &[u8] = if ends_line { b"\\n" } else { b"" };
    [newline, b"\",\"stream\":\"", stream.name().as_bytes(), b"\"", attributes, b",\"time\":\""].concat()
}

/// `,"attrs":{"k":"v"}` with sorted keys, or nothing.
fn attributes_text(attributes: &[(String, String)]) -> Vec<u8> {
    if attributes.is_empty() {
        return Vec::new();
    }
    let mut sorted: Vec<_> = attributes.iter().collect();
    sorted.sort();
    let mut out = b",\"attrs\":{".to_vec();
    for (index, (key, value)) in sorted.into_iter().enumerate() {
        out.extend_from_slice(if index == 0 { b"\"" } else { b",\"" });
        escape::push(&mut out, key.as_bytes());
        out.extend_from_slice(b"\":\"");
        escape::push(&mut out, value.as_bytes());
        out.push(b'"');
    }
    out.push(b'}');
    out
}

fn push_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(b",\"b64\":\"");
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, b'=');
    // Cannot fail: the room just made is the length of padded base64.
    let written = STANDARD.encode_slice(bytes, &mut out[start..]).unwrap_or(0);
    out.truncate(start + written);
    out.push(b'"');
}

fn push_partial(out: &mut Vec<u8>, record: &LogRecord<'_>) {
    let last = u8::from(record.ends_line());
    // Writing to a Vec cannot fail.
    let _ = write!(out, ",\"p\":\"{}/{}/{last}\"", record.partial_id, record.partial_ordinal);
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_driver_shared::logfiles::format::Encoder as _;
    use gantry_plugin_api::log::LAST;

    const NS: u64 = 1_700_000_000_120_000_000;

    fn line(encoder: &mut Encoder, record: &LogRecord<'_>) -> String {
        let mut out = Vec::new();
        encoder.push(&mut out, record);
        String::from_utf8(out).unwrap()
    }

    fn piece(bytes: &[u8], ordinal: u32, flags: u8) -> LogRecord<'_> {
        LogRecord { partial_id: 7, partial_ordinal: ordinal, flags, ..LogRecord::line(NS, 1, Stream::STDOUT, bytes) }
    }

    #[test]
    fn lines_are_dockers_byte_for_byte() {
        let mut encoder = Encoder::new(&[], false);
        let plain = LogRecord::line(NS, 1, Stream::STDOUT, b"a<b");
        assert_eq!(
            line(&mut encoder, &plain),
            "{\"log\":\"a\\u003cb\\n\",\"stream\":\"stdout\",\"time\":\"2023-11-14T22:13:20.12Z\"}\n"
        );
        assert_eq!(
            line(&mut encoder, &piece(b"x", 1, PARTIAL)),
            "{\"log\":\"x\",\"stream\":\"stdout\",\"time\":\"2023-11-14T22:13:20.12Z\"}\n"
        );
        assert_eq!(
            line(&mut encoder, &piece(b"", 2, PARTIAL | LAST)),
            "{\"log\":\"\\n\",\"stream\":\"stdout\",\"time\":\"2023-11-14T22:13:20.12Z\"}\n"
        );
    }

    #[test]
    fn attributes_are_sorted_and_escaped() {
        let attributes = [("b".into(), "2\"".into()), ("a".into(), "<1>".into())];
        let record = LogRecord::line(NS, 1, Stream::STDERR, b"x");
        assert_eq!(
            line(&mut Encoder::new(&attributes, false), &record),
            "{\"log\":\"x\\n\",\"stream\":\"stderr\",\"attrs\":{\"a\":\"\\u003c1\\u003e\",\"b\":\"2\\\"\"},\
             \"time\":\"2023-11-14T22:13:20.12Z\"}\n"
        );
    }

    #[test]
    fn our_keys_come_last_and_only_when_needed() {
        let time = "\"time\":\"2023-11-14T22:13:20.12Z\"";
        let mut encoder = Encoder::new(&[], true);
        for (record, want) in [
            (piece(b"x", 1, PARTIAL), format!("{{\"log\":\"x\",\"stream\":\"stdout\",{time},\"p\":\"7/1/0\"}}\n")),
            (
                piece(b"\xff\xfe", 2, PARTIAL | LAST),
                format!(
                    "{{\"log\":\"\\ufffd\\ufffd\\n\",\"stream\":\"stdout\",{time},\"b64\":\"//4=\",\"p\":\"7/2/1\"}}\n"
                ),
            ),
            (piece(b"x", 0, 0), format!("{{\"log\":\"x\\n\",\"stream\":\"stdout\",{time}}}\n")),
        ] {
            assert_eq!(line(&mut encoder, &record), want);
        }
    }
}
