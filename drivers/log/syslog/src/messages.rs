//! Records become messages: one after another in one buffer, so that a stream is fed with one call and datagrams with
//! one call for many.

use crate::head::Heads;
use crate::link::Framing;
use gantry_plugin_api::log::LogRecord;
use std::time::Instant;

/// Filled so far before it is sent: large enough that the call costs nothing, small enough for the processor's cache.
const ENOUGH: usize = 64 * 1024;
const ELLIPSIS: &[u8] = "…".as_bytes();
/// As rsyslog and others write a line feed within a message.
const LINE_FEED: &[u8] = b"#012";

/// Some messages, framed as their link wants them.
#[derive(Clone, Default)]
pub struct Messages {
    pub bytes: Vec<u8>,
    /// One for each message, ascending.
    pub ends: Vec<End>,
    /// When they were queued.
    pub queued: Option<Instant>,
}

/// Where a message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Behind its last byte.
    pub byte: usize,
    /// The last record that needs no more than the messages so far.
    pub sequence: u64,
}

impl Messages {
    /// The index of the message that a byte belongs to.
    pub fn at(&self, byte: usize) -> usize {
        self.ends.partition_point(|end| end.byte <= byte)
    }

    /// Where a message begins.
    pub fn start(&self, index: usize) -> usize {
        if index == 0 { 0 } else { self.ends[index - 1].byte }
    }

    /// Forgets the messages from an index on.
    pub fn truncate(&mut self, index: usize) {
        self.bytes.truncate(self.start(index.min(self.ends.len())));
        self.ends.truncate(index);
    }

    /// Adds others behind them.
    pub fn append(&mut self, others: &Messages) {
        let before = self.bytes.len();
        self.bytes.extend_from_slice(&others.bytes);
        self.ends.extend(others.ends.iter().map(|end| End { byte: before + end.byte, ..*end }));
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.truncate(0);
    }
}

/// Makes messages.
pub struct Encoder {
    heads: Heads,
    framing: Framing,
}

impl Encoder {
    /// For a container; a link tells the framing.
    pub fn new(heads: Heads) -> Encoder {
        Encoder { heads, framing: Framing::default() }
    }

    /// Messages from now on are for a link with this framing.
    pub fn set_framing(&mut self, framing: Framing) {
        self.framing = framing;
    }

    /// Adds records until there are enough for one call; answers those left. A record without a byte is no message,
    /// as in Docker.
    pub fn fill<'b, 'r>(&mut self, messages: &mut Messages, batch: &'b [LogRecord<'r>]) -> &'b [LogRecord<'r>] {
        let mut left = batch;
        while let Some((record, rest)) = left.split_first() {
            if messages.bytes.len() >= ENOUGH {
                break;
            }
            left = rest;
            let line = record.bytes();
            if !line.is_empty() {
                let head = self.heads.of(record.stream, record.timestamp_ns);
                self.framing.push(&mut messages.bytes, head, line);
                messages.ends.push(End { byte: messages.bytes.len(), sequence: record.sequence });
            } else if let Some(end) = messages.ends.last_mut() {
                end.sequence = record.sequence;
            }
        }
        left
    }

    /// Adds a message of our own: records are missing here.
    pub fn note_missing(&mut self, messages: &mut Messages, count: u64, before: &LogRecord<'_>) {
        let text = format!("gantry: {count} messages dropped");
        self.note(messages, &text, before.timestamp_ns, before.sequence.saturating_sub(1));
    }

    /// Adds a message of our own: what comes next was sent before, and not even that of what came before it.
    pub fn note_doubt(&mut self, messages: &mut Messages, count: u64, timestamp_ns: u64) {
        let text = format!("gantry: connection lost, up to {count} messages may be missing");
        self.note(messages, &text, timestamp_ns, 0);
    }

    fn note(&mut self, messages: &mut Messages, text: &str, timestamp_ns: u64, sequence: u64) {
        let head = self.heads.of_warning(timestamp_ns);
        self.framing.push(&mut messages.bytes, head, text.as_bytes());
        messages.ends.push(End { byte: messages.bytes.len(), sequence });
    }
}

impl Framing {
    #[inline]
    fn push(&self, out: &mut Vec<u8>, head: &[u8], line: &[u8]) {
        let whole = head.len() + line.len() + 1;
        out.reserve(whole + 24);
        if self.longest > 0 && whole > self.longest {
            let line = shortened(line, self.longest.saturating_sub(head.len() + 1 + ELLIPSIS.len()));
            return out.extend(head.iter().chain(line).chain(ELLIPSIS).chain(b"\n"));
        }
        if self.counted {
            push_number(out, whole);
            out.push(b' ');
        }
        out.extend_from_slice(head);
        let ends_at_line_feed = self.longest == 0 && !self.counted;
        match ends_at_line_feed && line.contains(&b'\n') {
            true => push_on_one_line(out, line),
            false => out.extend_from_slice(line),
        }
        out.push(b'\n');
    }
}

/// Where a line feed ends the message, those within a record of several lines are written as syslog servers write them.
fn push_on_one_line(out: &mut Vec<u8>, line: &[u8]) {
    let mut parts = line.split(|byte| *byte == b'\n');
    out.extend_from_slice(parts.next().unwrap_or_default());
    for part in parts {
        out.extend_from_slice(LINE_FEED);
        out.extend_from_slice(part);
    }
}

fn push_number(out: &mut Vec<u8>, mut number: usize) {
    let start = out.len();
    while number > 0 {
        out.push(b'0' + (number % 10) as u8);
        number /= 10;
    }
    out[start..].reverse();
}

/// As much as fits, not cut within a character.
fn shortened(line: &[u8], room: usize) -> &[u8] {
    let within = |at: usize| line.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    let whole = (room.saturating_sub(3)..=room).rev().find(|at| !within(*at));
    &line[..whole.unwrap_or(room)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Settings;
    use gantry_plugin_api::log::{LogContainer, Stream};
    use gantry_plugin_api::options::Options;

    fn encoder(framing: Framing) -> Encoder {
        let settings = Settings::parse(&Options::default()).unwrap();
        let container = LogContainer { id: "a".repeat(64), ..LogContainer::default() };
        let mut encoder = Encoder::new(Heads::new(&container, &settings));
        encoder.set_framing(framing);
        encoder
    }

    fn record(sequence: u64, line: &[u8]) -> LogRecord<'_> {
        LogRecord::line(1, sequence, Stream::STDOUT, line)
    }

    fn parts(messages: &Messages) -> Vec<String> {
        let part = |i: usize| &messages.bytes[messages.start(i)..messages.ends[i].byte];
        (0..messages.ends.len()).map(|i| String::from_utf8_lossy(part(i)).into_owned()).collect()
    }

    #[test]
    fn empty_records_are_no_messages_but_count_as_done() {
        let mut messages = Messages::default();
        let batch = [record(1, b""), record(2, b"one"), record(3, b""), record(4, b"\xfftwo\0"), record(5, b"")];
        let left = encoder(Framing::default()).fill(&mut messages, &batch);
        assert!(left.is_empty());
        assert_eq!(messages.ends.iter().map(|end| end.sequence).collect::<Vec<_>>(), [3, 5]);
        assert!(messages.bytes.ends_with(b": \xfftwo\0\n"));
        assert_eq!((messages.at(0), messages.at(messages.ends[0].byte)), (0, 1));
        messages.truncate(1);
        assert_eq!(messages.bytes.len(), messages.ends[0].byte);
    }

    #[test]
    fn a_call_s_worth_at_a_time() {
        let line = vec![b'x'; 16_384];
        let batch: Vec<_> = (1..=9).map(|n| record(n, &line)).collect();
        let mut messages = Messages::default();
        let left = encoder(Framing::default()).fill(&mut messages, &batch);
        assert_eq!((left.len(), left[0].sequence), (5, 5));
    }

    #[test]
    fn octets_are_counted_with_the_line_feed() {
        let mut messages = Messages::default();
        encoder(Framing { counted: true, longest: 0 }).fill(&mut messages, &[record(1, b"abc"), record(2, b"de")]);
        for part in parts(&messages) {
            let (count, message) = part.split_once(' ').unwrap();
            assert_eq!(count.parse(), Ok(message.len()));
            assert!(message.starts_with("<30>") && message.ends_with('\n'), "{message}");
        }
    }

    #[test]
    fn several_lines_are_one_message() {
        let text = |framing| {
            let mut messages = Messages::default();
            encoder(framing).fill(&mut messages, &[record(1, b"a\n\tb\n")]);
            parts(&messages).remove(0)
        };
        let stream = text(Framing { counted: false, longest: 0 });
        assert!(stream.ends_with(": a#012\tb#012\n") && stream.matches('\n').count() == 1, "{stream}");
        assert!(text(Framing { counted: true, longest: 0 }).ends_with(": a\n\tb\n\n"));
        assert!(text(Framing { counted: false, longest: 500 }).ends_with(": a\n\tb\n\n"));
    }

    #[test]
    fn too_long_for_a_datagram_is_cut_between_characters() {
        let line = "ü".repeat(500);
        for longest in 300..304 {
            let mut messages = Messages::default();
            encoder(Framing { counted: false, longest }).fill(&mut messages, &[record(1, line.as_bytes())]);
            let text = String::from_utf8(messages.bytes).unwrap();
            assert!(text.len() <= longest && text.len() > longest - 2, "{longest}: {}", text.len());
            assert!(text.ends_with("ü…\n"), "{text}");
        }
        assert_eq!(shortened(b"\x80\x80\x80\x80\x80\x80", 4), b"\x80\x80\x80\x80");
    }

    #[test]
    fn a_hole_is_told_at_its_place() {
        let mut messages = Messages::default();
        encoder(Framing::default()).note_missing(&mut messages, 7, &record(12, b"x"));
        assert_eq!(messages.ends[0].sequence, 11);
        let text = parts(&messages).remove(0);
        assert!(text.starts_with("<28>") && text.ends_with(": gantry: 7 messages dropped\n"), "{text}");
    }
}
