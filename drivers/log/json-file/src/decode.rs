//! One line of the file into a record.
//!
//! Lines written by this driver or by Docker have one exact order of keys; [`fast`] takes them apart with one search and a
//! few comparisons, and copies nothing. Whatever it does not recognise is left to [`slow`], a real JSON parser.

use crate::escape;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gantry_driver_shared::logfiles::format::{self, Found, Piece, Start, Whole};
use gantry_driver_shared::logfiles::stamp::Clock;
use gantry_plugin_api::log::Stream;
use serde_json::{Map, Value};
use std::ops::Range;

/// A record of this format.
pub type Record = format::Record<Body>;

/// Where the bytes of a record are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Body {
    text: Range<usize>,
    escaped: bool,
    base64: Range<usize>,
}

/// Takes lines apart; remembers the last second.
#[derive(Default)]
pub struct Decoder(Clock);

impl format::Decoder for Decoder {
    type Body = Body;

    #[inline]
    fn next(&mut self, text: &mut [u8]) -> Found<Body> {
        if let Some(record) = fast(text, &mut self.0) {
            return Found::Record(record);
        }
        foreign_line(text, &mut self.0)
    }

    #[inline]
    fn bytes<'a>(record: &Record, line: &'a mut [u8]) -> Option<&'a [u8]> {
        let Body { text, escaped, base64 } = &record.body;
        if !base64.is_empty()
            && let Ok(raw) = STANDARD.decode(&line[base64.clone()])
        {
            let place = &mut line[base64.clone()][..raw.len()];
            place.copy_from_slice(&raw);
            return Some(place);
        }
        let body = &mut line[text.clone()];
        let length = if *escaped { escape::undo(body)? } else { body.len() };
        Some(&body[..length])
    }

    fn pairs(attributes: &[u8]) -> Vec<(String, String)> {
        pairs(attributes)
    }

    fn start(text: &[u8]) -> Start {
        memchr::memchr(b'\n', text).map_or(Start::Behind(text.len()), |newline| Start::At(newline + 1))
    }

    fn whole(text: &[u8]) -> Whole {
        let bytes = memchr::memrchr(b'\n', text).map_or(0, |newline| newline + 1);
        Whole { bytes, records: memchr::memchr_iter(b'\n', &text[..bytes]).count() as u64 }
    }

    fn lacking(text: &[u8]) -> Option<Vec<u8>> {
        is_record(&mut text.to_vec()).then(|| b"\n".to_vec())
    }
}

#[inline(never)]
fn foreign_line(text: &mut [u8], clock: &mut Clock) -> Found<Body> {
    let Some(newline) = memchr::memchr(b'\n', text) else { return Found::Torn };
    match slow(&mut text[..newline], clock) {
        Some(record) => Found::Record(record),
        None => Found::Damaged(newline + 1),
    }
}

const HEAD: &[u8] = b"{\"log\":\"";
const STREAM: &[u8] = b",\"stream\":\"std";
const TIME: &[u8] = b",\"time\":\"";
const ATTRIBUTES: &[u8] = b",\"attrs\":";

/// Reads the line at the start of `text`, which may go on behind it; `None`: not one of ours, or not all there.
#[inline]
fn fast(text: &[u8], clock: &mut Clock) -> Option<Record> {
    text.strip_prefix(HEAD)?;
    let (body, quote, escaped) = body(text)?;
    let rest = text[quote + 1..].strip_prefix(STREAM)?;
    let (stream, rest) = match rest.split_first_chunk::<4>()? {
        (b"out\"", rest) => (Stream::STDOUT, rest),
        (b"err\"", rest) => (Stream::STDERR, rest),
        _ => return None,
    };
    let (attributes, rest) = match rest.strip_prefix(TIME) {
        Some(rest) => (0..0, rest),
        None => attributes(text, rest)?,
    };
    let (time, used) = clock.utc(rest)?;
    let rest = rest[used..].strip_prefix(b"\"")?;
    let newline = quote > body.end;
    let body = Body { text: body, escaped, base64: 0..0 };
    let mut record = Record { end: 0, time, stream, newline, attributes, piece: None, body };
    let rest = if rest.starts_with(b"}\n") { rest } else { extras(&mut record, text, rest)? };
    record.end = text.len() - rest.strip_prefix(b"}\n")?.len();
    Some(record)
}

/// The inside of the string that begins behind [`HEAD`], without a newline at its end, the place of the closing quote, and
/// whether there are escapes inside.
#[inline]
fn body(text: &[u8]) -> Option<(Range<usize>, usize, bool)> {
    let (mut at, mut escaped) = (HEAD.len(), false);
    let mut hit = at + memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
    loop {
        if text[hit] == b'"' {
            return Some((HEAD.len()..hit, hit, escaped));
        }
        if text.get(hit + 1..hit + 3)? == b"n\"" {
            return Some((HEAD.len()..hit, hit + 2, escaped));
        }
        at = hit + 2;
        escaped = true;
        // Where there was one there are more, near by.
        hit = at + escape::quote_or_backslash(text.get(at..)?)?;
    }
}

/// Range of the attributes' object, and what comes behind the start of the time.
fn attributes<'a>(text: &[u8], rest: &'a [u8]) -> Option<(Range<usize>, &'a [u8])> {
    let object = rest.strip_prefix(ATTRIBUTES)?;
    let start = text.len() - object.len();
    let length = object_length(object)?;
    Some((start..start + length, object[length..].strip_prefix(TIME)?))
}

/// Length of the flat object at the start of `text`.
fn object_length(text: &[u8]) -> Option<usize> {
    let mut at = text.strip_prefix(b"{").map(|_| 1)?;
    loop {
        match text.get(at)? {
            b'"' => at += string_length(&text[at..])?,
            b'}' => return Some(at + 1),
            b':' | b',' => at += 1,
            _ => return None,
        }
    }
}

/// Length of the string at the start of `text`, quotes included.
fn string_length(text: &[u8]) -> Option<usize> {
    let mut at = text.strip_prefix(b"\"").map(|_| 1)?;
    loop {
        let hit = at + memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[hit] == b'"' {
            return Some(hit + 1);
        }
        at = hit + 2;
    }
}

/// Our keys behind the time; answers what comes behind them.
#[inline(never)]
fn extras<'a>(record: &mut Record, text: &[u8], mut rest: &'a [u8]) -> Option<&'a [u8]> {
    if let Some(value) = rest.strip_prefix(b",\"b64\":") {
        let (start, length) = (text.len() - value.len(), string_length(value)?);
        record.body.base64 = start + 1..start + length - 1;
        rest = &value[length..];
    }
    if let Some(value) = rest.strip_prefix(b",\"p\":") {
        let length = string_length(value)?;
        record.piece = Some(piece(&value[1..length - 1])?);
        rest = &value[length..];
    }
    Some(rest)
}

/// `7/2/1`.
fn piece(text: &[u8]) -> Option<Piece> {
    let mut parts = std::str::from_utf8(text).ok()?.split('/');
    let (id, ordinal) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let last = parts.next()? == "1";
    parts.next().is_none().then_some(Piece { id, ordinal, last })
}

/// Reads any JSON object with the keys `log` and `time`. The line is without its newline and is rewritten: the bytes to its
/// start, the attributes to its end, where they always find room.
#[inline(never)]
fn slow(line: &mut [u8], clock: &mut Clock) -> Option<Record> {
    let Value::Object(keys) = serde_json::from_slice(line).ok()? else { return None };
    let text = |key| keys.get(key).and_then(Value::as_str);
    let log = text("log")?;
    let time = clock.any_zone(text("time")?.as_bytes())?;
    let raw = text("b64").and_then(|raw| STANDARD.decode(raw).ok());
    let bytes = raw.as_deref().unwrap_or(log.strip_suffix('\n').unwrap_or(log).as_bytes());
    let attributes = keys.get("attrs").and_then(Value::as_object).map_or(Vec::new(), object_text);
    let behind = line.len().checked_sub(attributes.len()).filter(|start| *start >= bytes.len())?;
    line[..bytes.len()].copy_from_slice(bytes);
    line[behind..].copy_from_slice(&attributes);
    Some(Record {
        end: line.len() + 1,
        time,
        stream: if text("stream") == Some("stderr") { Stream::STDERR } else { Stream::STDOUT },
        newline: log.ends_with('\n'),
        attributes: if attributes.is_empty() { 0..0 } else { behind..line.len() },
        piece: text("p").and_then(|text| piece(text.as_bytes())),
        body: Body { text: 0..bytes.len(), escaped: false, base64: 0..0 },
    })
}

fn object_text(object: &Map<String, Value>) -> Vec<u8> {
    if object.is_empty() { Vec::new() } else { serde_json::to_vec(object).unwrap_or_default() }
}

/// True when the line, without newline, is a whole record.
fn is_record(line: &mut [u8]) -> bool {
    slow(line, &mut Clock::new()).is_some()
}

/// The pairs of the attributes' object, sorted by key.
fn pairs(object: &[u8]) -> Vec<(String, String)> {
    let Ok(Value::Object(object)) = serde_json::from_slice(object) else { return Vec::new() };
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    let mut pairs: Vec<_> = object.into_iter().map(|(key, value)| (key, text(value))).collect();
    pairs.sort();
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_driver_shared::logfiles::format::Decoder as _;

    /// Bytes, stream, newline, attributes, piece.
    type Seen = (Vec<u8>, &'static str, bool, Vec<(String, String)>, Option<Piece>);

    fn seen(record: &Record, line: &mut [u8]) -> Seen {
        let attributes = pairs(&line[record.attributes.clone()]);
        let bytes = Decoder::bytes(record, line).unwrap().to_vec();
        (bytes, record.stream.name(), record.newline, attributes, record.piece)
    }

    fn both(line: &str) -> (Option<Seen>, Option<Seen>) {
        let mut behind = format!("{line}\nmore").into_bytes();
        let quick = fast(&behind, &mut Clock::new());
        let quick = quick.inspect(|record| assert_eq!(record.end, line.len() + 1)).map(|r| seen(&r, &mut behind));
        let mut alone = line.as_bytes().to_vec();
        let thorough = slow(&mut alone, &mut Clock::new());
        (quick, thorough.map(|record| seen(&record, &mut alone)))
    }

    #[test]
    fn own_lines_take_the_fast_way_and_both_agree() {
        let time = "\"time\":\"2023-11-14T22:13:20.12Z\"";
        for (line, want) in [
            (format!(r#"{{"log":"a\n","stream":"stdout",{time}}}"#), "a"),
            (format!(r#"{{"log":"","stream":"stderr",{time}}}"#), ""),
            (format!(r#"{{"log":"\n","stream":"stderr",{time}}}"#), ""),
            (format!(r#"{{"log":"a\"b\\n","stream":"stdout",{time}}}"#), "a\"b\\n"),
            (format!(r#"{{"log":"\\\n","stream":"stdout",{time}}}"#), "\\"),
            (format!(r#"{{"log":"x\n\n","stream":"stdout",{time}}}"#), "x\n"),
            (format!(r#"{{"log":"a\n","stream":"stdout","attrs":{{"k":"}}\"","l":""}},{time}}}"#), "a"),
            (format!(r#"{{"log":"\ufffd\n","stream":"stdout",{time},"b64":"YWI="}}"#), "ab"),
            (format!(r#"{{"log":"q","stream":"stdout",{time},"b64":"YWI=","p":"3/1/0"}}"#), "ab"),
            (format!(r#"{{"log":"q","stream":"stdout",{time},"p":"3/2/0"}}"#), "q"),
        ] {
            let (quick, thorough) = both(&line);
            assert_eq!(quick.as_ref().map(|seen| seen.0.clone()), Some(want.as_bytes().to_vec()), "{line}");
            assert_eq!(quick, thorough, "{line}");
        }
    }

    #[test]
    fn foreign_lines_take_the_slow_way() {
        for line in [
            r#"{"time":"1970-01-01T00:00:00Z","log":"a\n","stream":"stdout"}"#,
            r#"{ "log": "a\n", "stream": "stdout", "time": "1970-01-01T00:00:00Z" }"#,
            r#"{"log":"a\n","stream":"stdout","time":"1970-01-01T02:00:00+02:00"}"#,
            r#"{"log":"a\n","stream":"stdout","time":"1970-01-01T00:00:00Z","new":{"x":[1]}}"#,
        ] {
            let (quick, thorough) = both(line);
            assert_eq!(quick, None, "{line}");
            assert_eq!(thorough, Some((b"a".to_vec(), "stdout", true, vec![], None)), "{line}");
        }
    }

    #[test]
    fn torn_and_damaged_lines_are_no_records() {
        let line = r#"{"log":"a\n","stream":"stdout","attrs":{"k":"v"},"time":"2023-11-14T22:13:20.12Z","p":"1/1/0"}"#;
        for length in 0..line.len() {
            assert_eq!(both(&line[..length]), (None, None), "{}", &line[..length]);
        }
        assert_eq!(both("\0\0\0\0"), (None, None));
        assert_eq!(both(r#"{"log":"a\n","stream":"stdout","time":"yesterday"}"#), (None, None));
    }

    #[test]
    fn damage_never_panics_and_never_makes_the_ways_disagree() {
        let time = "\"time\":\"2023-11-14T22:13:20.123456789Z\"";
        let attributes = r#""attrs":{"k":"v\"}","l":"w"}"#;
        let lines = [
            format!(r#"{{"log":"a\u003cb\"\\\ud83c\udf89 é\n","stream":"stdout",{time}}}"#),
            format!(r#"{{"log":"abc","stream":"stderr",{attributes},{time},"b64":"YWI=","p":"3/1/0"}}"#),
        ];
        let pool = b"\"\\{}:,nu0/Zb-.4 ";
        let mut dice = 1u64;
        let mut roll = |sides: usize| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) as usize % sides
        };
        for round in 0..40_000 {
            let mut line = lines[round % 2].clone().into_bytes();
            for _ in 0..=roll(2) {
                let place = roll(line.len());
                match roll(3) {
                    0 => line[place] = pool[roll(pool.len())],
                    1 => drop(line.remove(place)),
                    _ => line.insert(place, pool[roll(pool.len())]),
                }
            }
            let mut behind = [&line[..], b"\n"].concat();
            let Some(quick) = fast(&behind, &mut Clock::new()) else { continue };
            let text = String::from_utf8_lossy(&line).into_owned();
            let attributes = pairs(&behind[quick.attributes.clone()]);
            let Some(bytes) = Decoder::bytes(&quick, &mut behind).map(<[u8]>::to_vec) else { continue };
            // What only the fast way takes (half a surrogate pair, attributes with a comma too many) does not matter.
            if let Some(thorough) = slow(&mut line, &mut Clock::new()) {
                assert_eq!(attributes, pairs(&line[thorough.attributes.clone()]), "{text}");
                assert_eq!(Some(&bytes[..]), Decoder::bytes(&thorough, &mut line), "{text}");
                assert_eq!((quick.time, quick.stream), (thorough.time, thorough.stream), "{text}");
                assert_eq!((quick.newline, quick.piece), (thorough.newline, thorough.piece), "{text}");
            }
        }
    }
}
