//! One entry of a journal into one record.
//!
//! Most fields of a container's entries are the same objects again and again; what they mean is remembered by their offset.

use crate::fields::KNOWN;
use crate::journal::{EntryHead, JournalFile};
use gantry_driver_shared::logfiles::stamp::Clock;
use gantry_plugin_api::log::{LAST, LogRecord, PARTIAL, Stream};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::sync::Arc;

/// Fields remembered; then all are looked at anew.
const MOST_KNOWN: usize = 4096;

/// What an entry says.
#[derive(Clone, Default, Debug)]
pub struct Entry {
    /// Of the record, nanoseconds; what the journal says when the record's own time is not there.
    pub time: u64,
    /// By priority; `None`: it is no line of the container.
    pub stream: Option<Stream>,
    /// The bytes.
    pub message: Vec<u8>,
    /// The logger, 0 when it is not named, and the number of the record there.
    pub place: (u64, u64),
    /// Number of the line, and of the piece within it, 0 for a whole line.
    pub piece: (u64, u32),
    /// [`PARTIAL`], [`LAST`].
    pub flags: u8,
    /// Sorted by key.
    pub attributes: Vec<Arc<(String, String)>>,
    /// Another user's process wrote it.
    pub foreign: bool,
}

impl Entry {
    /// As the engine sees it.
    pub fn record(&self, sequence: u64) -> LogRecord<'_> {
        let stream = self.stream.unwrap_or(Stream::STDOUT);
        LogRecord {
            partial_id: self.piece.0,
            partial_ordinal: self.piece.1,
            flags: self.flags,
            ..LogRecord::line(self.time, sequence, stream, &self.message)
        }
    }

    /// False for the second and later pieces of a line.
    pub fn begins_line(&self) -> bool {
        self.piece.1 <= 1
    }
}

/// What a field means.
#[derive(Clone, Debug)]
enum Meaning {
    Nothing,
    Priority(Option<Stream>),
    Partial,
    Last(bool),
    Epoch(u64),
    Foreign,
    Attribute(Arc<(String, String)>),
    /// Those below are different in every entry.
    Message,
    Time(u64),
    Ordinal(u64),
    PieceId(u64),
    PieceOrdinal(u32),
}

/// Decodes the entries of one file.
pub struct Decoder {
    /// Only what this user wrote is believed.
    owner: Option<u32>,
    clock: Clock,
    known: HashMap<u64, Meaning>,
}

impl Decoder {
    /// For entries written by processes of one user.
    pub fn new(owner: Option<u32>) -> Self {
        Decoder { owner, clock: Clock::new(), known: HashMap::new() }
    }

    /// Decodes an entry; without its message when it is not wanted.
    pub fn decode(&mut self, file: &mut JournalFile, head: &EntryHead, message: bool) -> io::Result<Entry> {
        let mut entry = Entry { time: head.realtime_us.saturating_mul(1000), ..Entry::default() };
        let mut last = None;
        for offset in &head.fields {
            if let Some(meaning) = self.known.get(offset) {
                apply(&mut entry, &mut last, meaning);
                continue;
            }
            let mut field = file.field(*offset)?;
            let meaning = self.meaning(&field);
            match meaning {
                Meaning::Message if message => entry.message = field.split_off(b"MESSAGE=".len()),
                Meaning::Message => {}
                meaning => {
                    apply(&mut entry, &mut last, &meaning);
                    self.remember(*offset, meaning);
                }
            }
        }
        finish(&mut entry, last);
        Ok(entry)
    }

    fn remember(&mut self, offset: u64, meaning: Meaning) {
        use Meaning::{Ordinal, PieceId, PieceOrdinal, Time};
        if matches!(meaning, Time(_) | Ordinal(_) | PieceId(_) | PieceOrdinal(_)) {
            return;
        }
        if self.known.len() >= MOST_KNOWN {
            self.known.clear();
        }
        self.known.insert(offset, meaning);
    }

    fn meaning(&mut self, field: &[u8]) -> Meaning {
        let Some(equals) = field.iter().position(|byte| *byte == b'=') else { return Meaning::Nothing };
        let Ok(name) = std::str::from_utf8(&field[..equals]) else { return Meaning::Nothing };
        let bytes = &field[equals + 1..];
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        match name {
            "MESSAGE" => Meaning::Message,
            "PRIORITY" => Meaning::Priority(stream(text)),
            "SYSLOG_TIMESTAMP" => self.clock.any_zone(bytes).map_or(Meaning::Nothing, Meaning::Time),
            "CONTAINER_LOG_EPOCH" => Meaning::Epoch(hash(bytes)),
            "CONTAINER_LOG_ORDINAL" => text.parse().map_or(Meaning::Nothing, Meaning::Ordinal),
            "CONTAINER_PARTIAL_MESSAGE" if text == "true" => Meaning::Partial,
            "CONTAINER_PARTIAL_ID" => Meaning::PieceId(piece_id(text)),
            "CONTAINER_PARTIAL_ORDINAL" => text.parse().map_or(Meaning::Nothing, Meaning::PieceOrdinal),
            "CONTAINER_PARTIAL_LAST" => Meaning::Last(text == "true"),
            "_UID" if self.owner.is_some_and(|owner| text != owner.to_string()) => Meaning::Foreign,
            name if name.starts_with('_') || KNOWN.contains(&name) => Meaning::Nothing,
            name => Meaning::Attribute(Arc::new((name.to_owned(), String::from_utf8_lossy(bytes).into_owned()))),
        }
    }
}

fn apply(entry: &mut Entry, last: &mut Option<bool>, meaning: &Meaning) {
    match meaning {
        Meaning::Nothing | Meaning::Message => {}
        Meaning::Priority(stream) => entry.stream = *stream,
        Meaning::Partial => entry.flags |= PARTIAL,
        Meaning::Last(is_last) => *last = Some(*is_last),
        Meaning::Epoch(epoch) => entry.place.0 = *epoch,
        Meaning::Foreign => entry.foreign = true,
        Meaning::Attribute(pair) => entry.attributes.push(Arc::clone(pair)),
        Meaning::Time(time) => entry.time = *time,
        Meaning::Ordinal(ordinal) => entry.place.1 = *ordinal,
        Meaning::PieceId(id) => entry.piece.0 = *id,
        Meaning::PieceOrdinal(ordinal) => entry.piece.1 = *ordinal,
    }
}

fn finish(entry: &mut Entry, last: Option<bool>) {
    if let Some(last) = last {
        entry.flags = if last { PARTIAL | LAST } else { PARTIAL };
    }
    entry.attributes.sort();
}

/// 3 is what stderr is logged with, 6 stdout.
fn stream(priority: &str) -> Option<Stream> {
    match priority {
        "3" => Some(Stream::STDERR),
        "6" => Some(Stream::STDOUT),
        _ => None,
    }
}

/// The last 16 digits of ours; those of others are only ever compared.
fn piece_id(text: &str) -> u64 {
    let digits = text.len().checked_sub(16).and_then(|start| text.get(start..));
    digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or_else(|| hash(text.as_bytes()))
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish() | 1
}
