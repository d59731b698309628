//! One record into one frame of the file.
//!
//! What stays the same between the records of a container is put together once.

use crate::decode::Decoder;
use crate::frame::{LENGTH, push_bytes, push_number, tag};
use gantry_driver_shared::logfiles::format;
use gantry_plugin_api::log::{LAST, LogRecord, PARTIAL, Stream};

/// Source, and the tag of the time.
const OUT: &[u8; 9] = b"\n\x06stdout\x10";
const ERR: &[u8; 9] = b"\n\x06stderr\x10";

/// Encodes the records of one container.
pub struct Encoder {
    attributes: Vec<u8>,
}

impl Encoder {
    /// An encoder that gives every record these attributes.
    pub fn new(attributes: &[(String, String)]) -> Self {
        let mut sorted: Vec<_> = attributes.iter().collect();
        sorted.sort();
        let mut out = Vec::new();
        for (key, value) in sorted {
            let mut pair = Vec::new();
            push_bytes(&mut pair, tag::KEY, key.as_bytes());
            push_bytes(&mut pair, tag::VALUE, value.as_bytes());
            push_bytes(&mut out, tag::ATTRIBUTE, &pair);
        }
        Encoder { attributes: out }
    }
}

impl format::Encoder for Encoder {
    type Decoder = Decoder;

    #[inline]
    fn push(&mut self, out: &mut Vec<u8>, record: &LogRecord<'_>) {
        let start = out.len();
        out.extend_from_slice(&[0; LENGTH]);
        out.extend_from_slice(if record.stream == Stream::STDERR { ERR } else { OUT });
        push_number(out, record.timestamp_ns);
        push_bytes(out, tag::LINE, record.bytes());
        if record.flags & PARTIAL != 0 {
            push_piece(out, record);
        }
        out.extend_from_slice(&self.attributes);
        let length = ((out.len() - start - LENGTH) as u32).to_be_bytes();
        out[start..start + LENGTH].copy_from_slice(&length);
        out.extend_from_slice(&length);
    }
}

#[inline(never)]
fn push_piece(out: &mut Vec<u8>, record: &LogRecord<'_>) {
    let mut piece = Vec::with_capacity(32);
    if record.flags & LAST != 0 {
        piece.extend_from_slice(&[tag::LAST, 1]);
    }
    push_bytes(&mut piece, tag::ID, format!("{:016x}", record.partial_id).as_bytes());
    piece.push(tag::ORDINAL);
    push_number(&mut piece, u64::from(record.partial_ordinal));
    out.extend_from_slice(&[tag::PARTIAL, 1]);
    push_bytes(out, tag::PIECE, &piece);
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_driver_shared::logfiles::format::Encoder as _;

    fn frame(attributes: &[(&str, &str)], record: &LogRecord<'_>) -> Vec<u8> {
        let attributes: Vec<_> = attributes.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let mut out = b"before".to_vec();
        Encoder::new(&attributes).push(&mut out, record);
        out[6..].to_vec()
    }

    #[test]
    fn frames_are_dockers_byte_for_byte() {
        let line = LogRecord::line(300, 1, Stream::STDOUT, b"hi");
        assert_eq!(frame(&[], &line), b"\0\0\0\x0f\n\x06stdout\x10\xac\x02\x1a\x02hi\0\0\0\x0f");
        let piece = LogRecord { partial_id: 0xab, partial_ordinal: 2, flags: PARTIAL | LAST, ..line };
        let want = b"\0\0\0\x29\n\x06stdout\x10\xac\x02\x1a\x02hi\x20\x01\x2a\x16\x08\x01\x12\x1000000000000000ab\x18\x02\0\0\0\x29";
        assert_eq!(frame(&[], &piece), want);
        let error = LogRecord::line(1, 1, Stream::STDERR, b"");
        let want = b"\0\0\0\x1b\n\x06stderr\x10\x01\x1a\x002\x06\n\x01a\x12\x01b2\x05\n\x01k\x12\0\0\0\0\x1b";
        assert_eq!(frame(&[("k", ""), ("a", "b")], &error), want);
    }
}
