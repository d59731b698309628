//! One frame of the file into a record. Nothing is copied.

use crate::frame::{self, Frame, LENGTH, Value, field, number, tag};
use gantry_driver_shared::logfiles::format::{self, Found, Piece, Record, Start, Whole};
use gantry_plugin_api::log::Stream;
use std::ops::Range;

/// Takes frames apart.
#[derive(Clone, Copy, Default, Debug)]
pub struct Decoder;

impl format::Decoder for Decoder {
    type Body = Range<usize>;

    #[inline]
    fn next(&mut self, text: &mut [u8]) -> Found<Self::Body> {
        match frame::look(text) {
            Frame::Whole(length) => match message(&text[LENGTH..LENGTH + length]) {
                Some(record) => Found::Record(record),
                None => Found::Damaged(length + 2 * LENGTH),
            },
            Frame::Torn(_) => torn(text),
            Frame::Other => Found::Damaged(behind(text).unwrap_or_else(|none| none)),
        }
    }

    #[inline]
    fn bytes<'a>(record: &Record<Self::Body>, text: &'a mut [u8]) -> Option<&'a [u8]> {
        text.get(record.body.clone())
    }

    fn pairs(mut attributes: &[u8]) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        while let Some((tag, value, rest)) = field(attributes) {
            if let (tag::ATTRIBUTE, Value::Bytes(bytes)) = (tag, value) {
                pairs.push(pair(bytes));
            }
            attributes = rest;
        }
        pairs.sort();
        pairs
    }

    fn start(text: &[u8]) -> Start {
        frame::find(text).map_or_else(Start::Behind, Start::At)
    }

    fn whole(text: &[u8]) -> Whole {
        let (mut at, mut whole) = (0, Whole::default());
        while at < text.len() {
            match frame::look(&text[at..]) {
                Frame::Whole(length) => {
                    at += length + 2 * LENGTH;
                    whole = Whole { bytes: at, records: whole.records + 1 };
                }
                _ => match behind(&text[at..]) {
                    Ok(length) => at += length,
                    Err(_) => break,
                },
            }
        }
        whole
    }

    fn lacking(text: &[u8]) -> Option<Vec<u8>> {
        let Frame::Torn(Some(length)) = frame::look(text) else { return None };
        let (head, rest) = text.split_first_chunk::<LENGTH>()?;
        let (inside, tail) = rest.split_at_checked(length)?;
        (head.starts_with(tail) && message(inside).is_some()).then(|| head[tail.len()..].to_vec())
    }
}

/// The start of a frame is torn, unless frames come behind it: then its length is wrong.
#[inline(never)]
fn torn(text: &[u8]) -> Found<Range<usize>> {
    behind(text).map_or(Found::Torn, Found::Damaged)
}

/// Bytes up to the next frame behind the start of `text`; `Err`: up to where one might start, at least 1.
fn behind(text: &[u8]) -> Result<usize, usize> {
    let length = |found: usize| found + 1;
    frame::find(text.get(1..).unwrap_or_default()).map(length).map_err(length)
}

/// The record of a message, with places within its frame.
#[inline]
fn message(bytes: &[u8]) -> Option<Record<Range<usize>>> {
    let stream = match bytes.get(5..8)? {
        b"out" => Stream::STDOUT,
        b"err" => Stream::STDERR,
        _ => return None,
    };
    let (time, rest) = number(bytes.get(8..)?.strip_prefix(&[tag::TIME])?)?;
    let (length, rest) = number(rest.strip_prefix(&[tag::LINE])?)?;
    let start = LENGTH + bytes.len() - rest.len();
    let rest = rest.get(usize::try_from(length).ok()?..)?;
    let body = start..start + length as usize;
    let end = bytes.len() + 2 * LENGTH;
    let mut record = Record { end, time, stream, newline: true, attributes: 0..0, piece: None, body };
    if !rest.is_empty() {
        others(&mut record, rest)?;
    }
    Some(record)
}

/// The fields behind the line.
#[inline(never)]
fn others<B>(record: &mut Record<B>, mut rest: &[u8]) -> Option<()> {
    let message_end = record.end - LENGTH;
    while !rest.is_empty() {
        let start = message_end - rest.len();
        let (tag, value, behind) = field(rest)?;
        match (tag, value) {
            (tag::PARTIAL, Value::Number(partial)) => record.newline = partial == 0,
            (tag::PIECE, Value::Bytes(bytes)) => record.piece = Some(piece(bytes)?),
            (tag::ATTRIBUTE, _) if record.attributes.is_empty() => {
                record.attributes = start..message_end - behind.len()
            }
            (tag::ATTRIBUTE, _) => record.attributes.end = message_end - behind.len(),
            _ => {}
        }
        rest = behind;
    }
    record.newline |= record.piece.is_some_and(|piece| piece.last);
    Some(())
}

fn piece(mut bytes: &[u8]) -> Option<Piece> {
    let mut piece = Piece { id: 0, ordinal: 0, last: false };
    while !bytes.is_empty() {
        let (tag, value, rest) = field(bytes)?;
        match (tag, value) {
            (tag::LAST, Value::Number(last)) => piece.last = last != 0,
            (tag::ID, Value::Bytes(id)) => piece.id = number_of(id),
            (tag::ORDINAL, Value::Number(ordinal)) => piece.ordinal = ordinal as u32,
            _ => {}
        }
        bytes = rest;
    }
    Some(piece)
}

/// Ours are 16 hexadecimal digits; those of others are only ever compared.
fn number_of(id: &[u8]) -> u64 {
    let ours = std::str::from_utf8(id).ok().filter(|id| id.len() == 16).and_then(|id| u64::from_str_radix(id, 16).ok());
    let sum = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    ours.unwrap_or_else(|| id.iter().fold(0xcbf2_9ce4_8422_2325, sum))
}

fn pair(mut bytes: &[u8]) -> (String, String) {
    let mut pair = (String::new(), String::new());
    while let Some((tag, value, rest)) = field(bytes) {
        match (tag, value) {
            (tag::KEY, Value::Bytes(key)) => pair.0 = String::from_utf8_lossy(key).into_owned(),
            (tag::VALUE, Value::Bytes(value)) => pair.1 = String::from_utf8_lossy(value).into_owned(),
            _ => {}
        }
        bytes = rest;
    }
    pair
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::Encoder;
    use gantry_driver_shared::logfiles::format::{Decoder as _, Encoder as _};
    use gantry_plugin_api::log::{LAST, LogRecord, PARTIAL};

    fn frames(attributes: &[(String, String)], records: &[LogRecord<'_>]) -> Vec<u8> {
        let (mut out, mut encoder) = (Vec::new(), Encoder::new(attributes));
        records.iter().for_each(|record| encoder.push(&mut out, record));
        out
    }

    fn lines(count: u64) -> Vec<u8> {
        let line = |n| LogRecord::line(1_700_000_000_000_000_000 + n, n, Stream::STDOUT, b"some line");
        frames(&[], &(1..=count).map(line).collect::<Vec<_>>())
    }

    fn one(text: &mut [u8]) -> Record<Range<usize>> {
        match Decoder.next(text) {
            Found::Record(record) => record,
            _ => panic!("no record"),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let line = LogRecord::line(1_700_000_000_000_000_000, 1, Stream::STDERR, b"\0\xffraw");
        let piece = LogRecord { partial_id: 77, partial_ordinal: 300, flags: PARTIAL, ..line };
        let last = LogRecord { flags: PARTIAL | LAST, ..piece };
        let attributes = [("b".to_string(), "2".to_string()), ("a".to_string(), "\n\u{6}stdout".to_string())];
        for (record, newline, want) in [
            (line, true, None),
            (piece, false, Some(Piece { id: 77, ordinal: 300, last: false })),
            (last, true, Some(Piece { id: 77, ordinal: 300, last: true })),
        ] {
            let mut text = frames(&attributes, &[record]);
            let found = one(&mut text);
            assert_eq!((found.end, found.time, found.stream), (text.len(), record.timestamp_ns, Stream::STDERR));
            assert_eq!((found.newline, found.piece), (newline, want));
            assert_eq!(Decoder::pairs(&text[found.attributes.clone()]), [attributes[1].clone(), attributes[0].clone()]);
            assert_eq!(Decoder::bytes(&found, &mut text), Some(&b"\0\xffraw"[..]));
        }
    }

    #[test]
    fn a_start_is_found_from_anywhere() {
        let text = lines(3);
        let length = text.len() / 3;
        for at in 0..text.len() {
            let next = at.div_ceil(length) * length;
            match Decoder::start(&text[at..]) {
                Start::At(found) => assert_eq!(at + found, next),
                Start::Behind(nothing) => assert!(next == text.len() && at + nothing <= text.len(), "{at}"),
            }
        }
        // A torn frame may go on.
        assert_eq!(Decoder::start(&text[1..length + 20]), Start::Behind(length - 1));
    }

    #[test]
    fn whole_frames_are_counted_over_damage() {
        let text = lines(3);
        let length = text.len() / 3;
        assert_eq!(Decoder::whole(&text[..text.len() - 1]), Whole { bytes: 2 * length, records: 2 });
        let mut damaged = text.clone();
        damaged[length] = 0x01;
        assert_eq!(Decoder::whole(&damaged), Whole { bytes: 3 * length, records: 2 });
        match Decoder.next(&mut damaged[length..]) {
            Found::Damaged(bytes) => assert_eq!(bytes, length),
            _ => panic!("a wrong length is damage"),
        }
        assert_eq!(Decoder::whole(&[0; 50]), Whole::default());
    }

    #[test]
    fn only_the_second_length_may_be_missing() {
        let text = lines(1);
        for cut in 0..text.len() {
            let lacking = Decoder::lacking(&text[..cut]);
            let want = (cut >= text.len() - LENGTH).then(|| text[cut..].to_vec());
            assert_eq!(lacking, want, "{cut}");
        }
        assert_eq!(Decoder::lacking(&text), None);
    }

    #[test]
    fn damage_never_panics_and_always_moves_on() {
        let mut dice = 7u64;
        let mut roll = |sides: usize| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) as usize % sides
        };
        let whole = frames(&[("k".into(), "v".into())], &[LogRecord::line(5, 1, Stream::STDOUT, b"abc")]).repeat(4);
        for _ in 0..40_000 {
            let mut text = whole.clone();
            for _ in 0..=roll(3) {
                let place = roll(text.len().max(1));
                if text.len() < 2 {
                    break;
                }
                match roll(3) {
                    0 => text[place] = roll(256) as u8,
                    1 => drop(text.remove(place)),
                    _ => text.truncate(place.max(1)),
                }
            }
            let (mut rest, mut steps) = (&mut text[..], 0);
            while !rest.is_empty() {
                let length = match Decoder.next(rest) {
                    Found::Record(record) => {
                        Decoder::pairs(&rest[record.attributes.clone()]);
                        assert!(Decoder::bytes(&record, rest).is_some());
                        record.end
                    }
                    Found::Damaged(length) => length,
                    Found::Torn => break,
                };
                assert!(length > 0);
                let length = length.min(rest.len());
                rest = &mut rest[length..];
                steps += 1;
            }
            assert!(steps < 200);
            Decoder::whole(&text);
        }
    }
}
