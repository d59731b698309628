//! What of the lines in memory the caller gets to see: times and tail are applied, pieces are numbered, records with the
//! same attributes are handed over together.

use super::format::{Decoder, Found, Record};
use super::join::{Joiner, Part, index};
use super::tail::Gate;
use gantry_plugin_api::host::Host;
use gantry_plugin_api::log::{Emit, LogRecord, ReadQuery};
use std::ops::RangeInclusive;
use std::path::Path;

/// Room for so many records is made at once.
const BATCH: usize = 1024;
/// So many damaged records are told one by one.
const MOST_WARNINGS: u64 = 16;

/// What one call did.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Bytes.
    pub consumed: usize,
    /// Records handed over.
    pub records: usize,
}

/// The state that goes on from file to file.
pub struct View<D> {
    host: Host,
    decoder: D,
    joiner: Joiner,
    attributes: Attributes,
    since: u64,
    until: u64,
    gate: Gate,
    /// By stream: what begins before this offset of the file is held back.
    held_back: [u64; 2],
    sequence: u64,
    damaged: u64,
}

/// The attributes of the last record.
#[derive(Default)]
struct Attributes {
    text: Vec<u8>,
    pairs: Vec<(String, String)>,
}

impl<D: Decoder> View<D> {
    /// A view that holds nothing back but what the times say.
    pub fn new(query: &ReadQuery, host: Host) -> Self {
        View {
            host,
            decoder: D::default(),
            joiner: Joiner::default(),
            attributes: Attributes::default(),
            since: query.since_ns,
            until: if query.until_ns == 0 { u64::MAX } else { query.until_ns },
            gate: Gate::default(),
            held_back: [0; 2],
            sequence: 0,
            damaged: 0,
        }
    }

    /// The times wanted.
    pub fn times(&self) -> RangeInclusive<u64> {
        self.since..=self.until
    }

    /// Holds back what comes before the tail.
    pub fn set_gate(&mut self, gate: Gate) {
        self.gate = gate;
    }

    /// Another file begins.
    pub fn enter(&mut self, generation: u64) {
        self.held_back = self.gate.streams.map(|(of, offset)| match of.cmp(&generation) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => offset,
            std::cmp::Ordering::Greater => u64::MAX,
        });
    }

    /// Hands over the records at the start of `text`, at most `max`. `offset` is the place of `text` in its file.
    pub fn deliver(&mut self, text: &mut [u8], offset: u64, path: &Path, max: usize, emit: &mut Emit<'_>) -> Progress {
        let mut progress = Progress::default();
        let mut batch = Vec::with_capacity(max.min(BATCH).min(text.len() / 32));
        let mut rest = text;
        while progress.records + batch.len() < max {
            let place = offset + progress.consumed as u64;
            let record = match self.decoder.next(rest) {
                Found::Record(record) => record,
                Found::Damaged(length) => {
                    self.tell_damaged(path, place);
                    progress.consumed += length;
                    rest = &mut std::mem::take(&mut rest)[length..];
                    continue;
                }
                Found::Torn => break,
            };
            progress.consumed += record.end;
            let part = self.joiner.place(&record);
            let (this, behind) = std::mem::take(&mut rest).split_at_mut(record.end);
            rest = behind;
            self.sequence += 1;
            if !self.wants(&record, place) {
                continue;
            }
            if this[record.attributes.clone()] != self.attributes.text[..] {
                progress.records += self.hand_over(&mut batch, emit);
                self.attributes.set::<D>(&this[record.attributes.clone()]);
            }
            match D::bytes(&record, this) {
                Some(bytes) => batch.push(self.record(&record, part, bytes)),
                None => self.tell_damaged(path, place),
            }
        }
        progress.records += self.hand_over(&mut batch, emit);
        progress
    }

    #[inline]
    fn wants(&self, record: &Record<D::Body>, place: u64) -> bool {
        (self.since <= record.time) & (record.time <= self.until) & (place >= self.held_back[index(record.stream)])
    }

    #[inline]
    fn record<'a>(&self, record: &Record<D::Body>, part: Part, bytes: &'a [u8]) -> LogRecord<'a> {
        LogRecord {
            partial_id: part.id,
            partial_ordinal: part.ordinal,
            flags: part.flags,
            ..LogRecord::line(record.time, self.sequence, record.stream, bytes)
        }
    }

    fn hand_over(&self, batch: &mut Vec<LogRecord<'_>>, emit: &mut Emit<'_>) -> usize {
        let count = batch.len();
        if count > 0 {
            emit(batch, &self.attributes.pairs);
            batch.clear();
        }
        count
    }

    /// Tells of a record that is left out.
    #[cold]
    pub fn tell_damaged(&mut self, path: &Path, offset: u64) {
        self.damaged += 1;
        self.host.count("undecodable_records", 1);
        let place = format!("{} at byte {offset}", path.display());
        if self.damaged < MOST_WARNINGS {
            self.host.warn(&format!("skipped a record that cannot be decoded in log file {place}"));
        } else if self.damaged == MOST_WARNINGS {
            self.host.warn(&format!("skipped a record that cannot be decoded in log file {place}; more are not told"));
        }
    }
}

impl Attributes {
    fn set<D: Decoder>(&mut self, text: &[u8]) {
        self.text.clear();
        self.text.extend_from_slice(text);
        self.pairs = if text.is_empty() { Vec::new() } else { D::pairs(text) };
    }
}
