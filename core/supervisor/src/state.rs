//! What keeper and pump know of a container, in a memfd that both hold, so that either can be killed at any moment and
//! its successor goes on from there.
//!
//! A kill cannot tear what is written: every record is far smaller than a page, is written with one `pwrite`, into the
//! older of two slots, with a generation and a check sum. The newest whole slot counts.
//!
//! Layout (version 1, little endian): header; the life of the container (keeper); init's status when the pump reaped it;
//! how much of each queue is consumed; a journal of what was read from which stream in which order; the base from which
//! the journal is replayed; per sink what is stored and what it is doing; unfinished lines.

use crate::wire::Exit;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

const MAGIC: u64 = 0x31_45_54_41_54_53_4e_47;
const PAGE: u64 = 4096;
const LIFE: u64 = PAGE;
const REAPED: u64 = 3 * PAGE;
const CONSUMED: u64 = 4 * PAGE;
const JOURNAL: u64 = 5 * PAGE;
const BASE: u64 = 6 * PAGE;
const SINKS: u64 = 7 * PAGE;
const SINK_SIZE: u64 = 1024;
const REST: u64 = SINKS + 16 * SINK_SIZE;
const LIFE_SLOT: usize = 4096;
const BASE_SLOT: usize = 512;
const SINK_SLOT: usize = 256;
const SINK_SLOTS_AT: u64 = 512;
const SLOT_HEADER: usize = 24;
const ENTRY_SIZE: u64 = 32;
/// Entries of the journal; more chunks are never in flight.
pub const JOURNAL_LENGTH: u64 = 128;
/// Streams a container can have.
pub const STREAMS: usize = 2;

/// The phases of a container, as far as its supervisor is concerned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The gate is closed: whoever dies, the start is given up.
    #[default]
    Starting,
    /// The program runs.
    Running,
    /// It has ended and this is recorded.
    Ended,
}

/// The keeper's knowledge.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Life {
    pub phase: Phase,
    pub init: i32,
    pub started_ns: u64,
    pub exit: Exit,
    /// The caller said that it cleans up.
    pub caller_finishes: bool,
    /// The sinks the keeper has taken out of service.
    pub quarantined: Vec<usize>,
}

/// A line that was cut and goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Partial {
    pub id: u64,
    pub timestamp_ns: u64,
    /// Of the last piece; 0: there is none.
    pub ordinal: u32,
    /// Lines of a record of several lines that has not ended (see `pump::join`).
    pub lines: u32,
    /// The unfinished line is known to belong to that record.
    pub judged: bool,
}

/// In the word of the ordinal: where the lines begin, and the mark of a judged line.
const LINES_SHIFT: u32 = 32;
const JUDGED: u64 = 1 << 63;

impl Partial {
    /// True between the first and the last line or piece of a record.
    pub fn is_begun(&self) -> bool {
        self.ordinal > 0 || self.lines > 0
    }

    fn counts(&self) -> u64 {
        let lines = u64::from(self.lines) << LINES_SHIFT & !JUDGED;
        u64::from(self.ordinal) | lines | if self.judged { JUDGED } else { 0 }
    }

    fn of_counts(id: u64, timestamp_ns: u64, counts: u64) -> Partial {
        let lines = ((counts & !JUDGED) >> LINES_SHIFT) as u32;
        Partial { id, timestamp_ns, ordinal: counts as u32, lines, judged: counts & JUDGED > 0 }
    }
}

/// One stream at the base.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamBase {
    /// Bytes that need not be read again.
    pub position: u64,
    /// Bytes in the queue just before those were to be consumed.
    pub queued: u64,
    pub partial: Partial,
    /// The unfinished line.
    pub rest: Vec<u8>,
}

/// Where a successor begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Base {
    /// The first journal entry that counts.
    pub entry: u64,
    /// The number of the next record.
    pub sequence: u64,
    pub streams: [StreamBase; STREAMS],
}

/// One read, noted before any sink sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    pub timestamp_ns: u64,
    pub length: u32,
    pub stream: u8,
}

/// What one sink has stored, and its counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// The last record that is stored or dropped; later ones are to be offered again.
    pub sequence: u64,
    /// False before the first write: there is no token.
    pub written: bool,
    pub token: [u64; 4],
    pub records_out: u64,
    pub bytes_out: u64,
    /// By [`Reason`].
    pub dropped: [u64; Reason::COUNT],
    /// Records of earlier runs, found in the spool and delivered or dropped in this one.
    pub replayed: u64,
    /// So many records were just dropped, and the log does not tell yet.
    pub untold: u64,
}

/// Why a record was dropped: the order of [`Commit::dropped`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Buffer or spool was full.
    Slow,
    /// The driver answered with an error.
    Error,
    /// The sink was not open, and never came back.
    Down,
    /// It waited in the memory of a pump that was killed.
    Killed,
    /// More came than the sink's limit lets pass.
    Rate,
}

impl Reason {
    /// All, in order.
    pub const ALL: [Reason; Reason::COUNT] = [Reason::Slow, Reason::Error, Reason::Down, Reason::Killed, Reason::Rate];
    /// How many there are.
    pub const COUNT: usize = 5;
}

/// The memfd.
#[derive(Clone)]
pub struct StateFile {
    file: Arc<File>,
    line_limit: u32,
    id_base: u64,
}

impl StateFile {
    /// Makes the memory of a new container.
    pub fn create(line_limit: u32, id_base: u64) -> io::Result<StateFile> {
        let file = File::from(gantry_sys::memfd::memfd_create(c"gantry-state")?);
        let state = StateFile { file: Arc::new(file), line_limit, id_base };
        state.file.set_len(REST + 4 * state.rest_size())?;
        let mut header = [0; 24];
        header[..8].copy_from_slice(&MAGIC.to_le_bytes());
        header[8..12].copy_from_slice(&1u32.to_le_bytes());
        header[12..16].copy_from_slice(&line_limit.to_le_bytes());
        header[16..].copy_from_slice(&id_base.to_le_bytes());
        state.file.write_all_at(&header, 0)?;
        Ok(state)
    }

    /// Opens that of a predecessor.
    pub fn open(fd: OwnedFd) -> io::Result<StateFile> {
        let file = File::from(fd);
        let mut header = [0; 24];
        file.read_exact_at(&mut header, 0)?;
        let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let long = |at: usize| u64::from(number(at)) | u64::from(number(at + 4)) << 32;
        if long(0) != MAGIC || number(8) != 1 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "no supervisor's state of version 1"));
        }
        Ok(StateFile { file: Arc::new(file), line_limit: number(12), id_base: long(16) })
    }

    /// The descriptor, to be passed on.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Bytes after which a line is cut.
    pub fn line_limit(&self) -> usize {
        self.line_limit as usize
    }

    /// What partial ids are counted from.
    pub fn id_base(&self) -> u64 {
        self.id_base
    }

    /// A record of several lines and the line after it wait together.
    fn rest_size(&self) -> u64 {
        (2 * u64::from(self.line_limit)).next_multiple_of(PAGE)
    }

    /// What the keeper last wrote.
    pub fn life(&self) -> Life {
        let newest = self.newest(LIFE, LIFE_SLOT);
        newest.and_then(|(_, _, body)| serde_json::from_slice(&body).ok()).unwrap_or_default()
    }

    /// Replaces it; only the keeper does.
    pub fn set_life(&self, life: &Life) -> io::Result<()> {
        let body = serde_json::to_vec(life)?;
        let (generation, slot) = self.next(LIFE, LIFE_SLOT);
        self.write_slot(LIFE, LIFE_SLOT, slot, generation, &body)
    }

    /// Init's wait status, when the pump had to reap it.
    pub fn reaped(&self) -> Option<i32> {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, REAPED).ok()?;
        let [a, b, c, d, set, ..] = bytes;
        (set == 1).then(|| i32::from_le_bytes([a, b, c, d]))
    }

    /// Notes init's wait status.
    pub fn set_reaped(&self, status: i32) -> io::Result<()> {
        let [a, b, c, d] = status.to_le_bytes();
        self.file.write_all_at(&[a, b, c, d, 1, 0, 0, 0], REAPED)
    }

    /// How many bytes of a stream have left its queue for good.
    pub fn consumed(&self, stream: usize) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, CONSUMED + 8 * stream as u64)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Notes it, after the fact.
    pub fn set_consumed(&self, stream: usize, position: u64) -> io::Result<()> {
        self.file.write_all_at(&position.to_le_bytes(), CONSUMED + 8 * stream as u64)
    }

    /// Notes a read.
    pub fn set_entry(&self, index: u64, entry: Entry) -> io::Result<()> {
        let mut bytes = [0; ENTRY_SIZE as usize];
        bytes[..8].copy_from_slice(&index.to_le_bytes());
        bytes[8..16].copy_from_slice(&entry.timestamp_ns.to_le_bytes());
        bytes[16..20].copy_from_slice(&entry.length.to_le_bytes());
        bytes[20] = entry.stream;
        let sum = check_sum(&bytes[..24]);
        bytes[24..].copy_from_slice(&sum.to_le_bytes());
        self.file.write_all_at(&bytes, JOURNAL + index % JOURNAL_LENGTH * ENTRY_SIZE)
    }

    /// A read that was noted; `None`: none with this index.
    pub fn entry(&self, index: u64) -> Option<Entry> {
        let mut bytes = [0; ENTRY_SIZE as usize];
        self.file.read_exact_at(&mut bytes, JOURNAL + index % JOURNAL_LENGTH * ENTRY_SIZE).ok()?;
        let mut words = Words(&bytes);
        let (found, timestamp_ns, third, sum) = (words.next(), words.next(), words.next(), words.next());
        let whole = found == index && sum == check_sum(&bytes[..24]);
        whole.then_some(Entry { timestamp_ns, length: third as u32, stream: (third >> 32) as u8 })
    }

    /// The base, and the generation to give to [`StateFile::set_base`] next.
    pub fn base(&self) -> (Base, u64) {
        let Some((generation, slot, body)) = self.newest(BASE, BASE_SLOT) else {
            return (Base { entry: 1, sequence: 1, ..Base::default() }, 1);
        };
        (self.decode_base(slot, &body), generation + 1)
    }

    /// Moves the base.
    pub fn set_base(&self, generation: u64, base: &Base) -> io::Result<()> {
        let slot = generation % 2;
        let mut body = Vec::with_capacity(BASE_SLOT);
        push(&mut body, &[base.entry, base.sequence]);
        for (index, stream) in base.streams.iter().enumerate() {
            let (partial, length) = (stream.partial, stream.rest.len() as u64);
            push(
                &mut body,
                &[stream.position, stream.queued, length, partial.id, partial.timestamp_ns, partial.counts()],
            );
            if !stream.rest.is_empty() {
                self.file.write_all_at(&stream.rest, self.rest_at(slot, index))?;
            }
        }
        self.write_slot(BASE, BASE_SLOT, slot, generation, &body)
    }

    fn decode_base(&self, slot: u64, body: &[u8]) -> Base {
        let mut words = Words(body);
        let mut base = Base { entry: words.next(), sequence: words.next(), ..Base::default() };
        for (index, stream) in base.streams.iter_mut().enumerate() {
            stream.position = words.next();
            stream.queued = words.next();
            let length = words.next().min(self.rest_size());
            stream.partial = Partial::of_counts(words.next(), words.next(), words.next());
            stream.rest.resize(length as usize, 0);
            // A memfd of ours is as long as we made it: reading inside it does not fail.
            let _ = self.file.read_exact_at(&mut stream.rest, self.rest_at(slot, index));
        }
        base
    }

    fn rest_at(&self, slot: u64, stream: usize) -> u64 {
        REST + (slot * STREAMS as u64 + stream as u64) * self.rest_size()
    }

    /// What a sink has stored, and the generation to give to [`StateFile::set_commit`] next.
    pub fn commit(&self, sink: usize) -> (Commit, u64) {
        let Some((generation, _, body)) = self.newest(sink_at(sink) + SINK_SLOTS_AT, SINK_SLOT) else {
            return (Commit::default(), 1);
        };
        let mut words = Words(&body);
        let mut next = || words.next();
        let mut commit = Commit {
            sequence: next(),
            written: next() == 1,
            token: [next(), next(), next(), next()],
            records_out: next(),
            bytes_out: next(),
            dropped: [next(), next(), next(), next(), 0],
            replayed: next(),
            untold: next(),
        };
        commit.dropped[Reason::Rate as usize] = next();
        (commit, generation + 1)
    }

    /// Notes what a sink has stored; only its thread does.
    pub fn set_commit(&self, sink: usize, generation: u64, commit: &Commit) -> io::Result<()> {
        let mut body = Vec::with_capacity(SINK_SLOT);
        push(&mut body, &[commit.sequence, commit.written.into()]);
        push(&mut body, &commit.token);
        push(&mut body, &[commit.records_out, commit.bytes_out]);
        let [slow, error, down, killed, rate] = commit.dropped;
        push(&mut body, &[slow, error, down, killed, commit.replayed, commit.untold, rate]);
        let at = sink_at(sink) + SINK_SLOTS_AT;
        self.write_slot(at, SINK_SLOT, generation % 2, generation, &body)
    }

    /// Marks that a driver's code is being run for this sink (or not any more), so that a crash has a name.
    pub fn set_busy(&self, sink: usize, busy: bool) -> io::Result<()> {
        self.file.write_all_at(&[busy.into()], sink_at(sink))
    }

    /// Where a crashing thread leaves the number of its sink plus one: a byte.
    pub const CULPRIT: u64 = REAPED + 8;

    /// The sink inside whose driver a thread crashed, if it was told; forgets it.
    pub fn take_culprit(&self) -> Option<usize> {
        let mut byte = [0];
        self.file.read_exact_at(&mut byte, Self::CULPRIT).ok()?;
        let _ = self.file.write_all_at(&[0], Self::CULPRIT);
        usize::from(byte[0]).checked_sub(1)
    }

    /// The sinks inside whose driver the pump was.
    pub fn busy(&self, sinks: usize) -> Vec<usize> {
        let is_busy = |sink: &usize| {
            let mut byte = [0];
            self.file.read_exact_at(&mut byte, sink_at(*sink)).is_ok() && byte[0] == 1
        };
        (0..sinks).filter(is_busy).collect()
    }

    fn newest(&self, at: u64, size: usize) -> Option<(u64, u64, Vec<u8>)> {
        let mut slots: Vec<_> = (0..2).filter_map(|slot| self.read_slot(at, size, slot)).collect();
        slots.sort_by_key(|slot| slot.0);
        slots.pop()
    }

    fn next(&self, at: u64, size: usize) -> (u64, u64) {
        let generation = self.newest(at, size).map_or(1, |(generation, ..)| generation + 1);
        (generation, generation % 2)
    }

    fn read_slot(&self, at: u64, size: usize, slot: u64) -> Option<(u64, u64, Vec<u8>)> {
        let mut bytes = vec![0; size];
        self.file.read_exact_at(&mut bytes, at + slot * size as u64).ok()?;
        let mut words = Words(&bytes);
        let (generation, length, sum) = (words.next(), words.next() as usize, words.next());
        let body = bytes.get(SLOT_HEADER..SLOT_HEADER.checked_add(length)?)?;
        let whole = generation > 0 && sum == check_sum(body) ^ generation;
        whole.then(|| (generation, slot, body.to_vec()))
    }

    fn write_slot(&self, at: u64, size: usize, slot: u64, generation: u64, body: &[u8]) -> io::Result<()> {
        if body.len() > size - SLOT_HEADER {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a state record is too long"));
        }
        let mut bytes = Vec::with_capacity(SLOT_HEADER + body.len());
        push(&mut bytes, &[generation, body.len() as u64, check_sum(body) ^ generation]);
        bytes.extend_from_slice(body);
        self.file.write_all_at(&bytes, at + slot * size as u64)
    }
}

fn sink_at(sink: usize) -> u64 {
    SINKS + sink as u64 * SINK_SIZE
}

fn push(bytes: &mut Vec<u8>, words: &[u64]) {
    words.iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
}

/// Reads words; zeroes beyond the end, as a later version's field would be.
struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn next(&mut self) -> u64 {
        let Some((word, rest)) = self.0.split_first_chunk::<8>() else { return 0 };
        self.0 = rest;
        u64::from_le_bytes(*word)
    }
}

/// FNV-1a over words: it only has to tell whole from torn.
pub fn check_sum(bytes: &[u8]) -> u64 {
    let mix = |sum: u64, word: u64| (sum ^ word).wrapping_mul(0x100_0000_01b3);
    let (words, tail) = bytes.as_chunks::<8>();
    let sum = words.iter().fold(0xcbf2_9ce4_8422_2325, |sum, word| mix(sum, u64::from_le_bytes(*word)));
    tail.iter().fold(sum, |sum, byte| mix(sum, u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> StateFile {
        StateFile::create(16_384, 7).expect("memfd")
    }

    #[test]
    fn a_successor_finds_what_was_written() {
        let state = state();
        let life = Life { phase: Phase::Running, init: 42, started_ns: 5, ..Life::default() };
        state.set_life(&Life::default()).expect("life");
        state.set_life(&life).expect("life");
        let other = StateFile::open(state.file().try_clone().expect("clone").into()).expect("open");
        assert_eq!(other.life(), life);
        assert_eq!((other.line_limit(), other.id_base()), (16_384, 7));
        assert_eq!(other.reaped(), None);
        state.set_reaped(0x0300).expect("reaped");
        assert_eq!(other.reaped(), Some(0x0300));
    }

    #[test]
    fn the_base_keeps_unfinished_lines() {
        let state = state();
        let (mut base, mut generation) = state.base();
        assert_eq!((base.entry, base.sequence, generation), (1, 1, 1));
        for round in 1..5u64 {
            base.sequence += round;
            base.streams[1].rest = vec![b'x'; 16_383];
            base.streams[0].rest = format!("half {round}").into_bytes();
            base.streams[0].partial =
                Partial { id: round, timestamp_ns: 9, ordinal: 2, lines: 7, judged: round % 2 == 0 };
            state.set_base(generation, &base).expect("base");
            let (found, next) = state.base();
            assert_eq!(found, base);
            generation = next;
        }
    }

    #[test]
    fn a_torn_slot_leaves_the_one_before() {
        let state = state();
        let commit = |sequence| Commit { sequence, written: true, token: [1, 2, 3, 4], ..Commit::default() };
        state.set_commit(3, 1, &commit(10)).expect("first");
        state.set_commit(3, 2, &commit(20)).expect("second");
        assert_eq!(state.commit(3), (commit(20), 3));
        state.file().write_all_at(&[0xff; 5], sink_at(3) + SINK_SLOTS_AT + 30).expect("tear the newer");
        assert_eq!(state.commit(3), (commit(10), 2));
        assert_eq!(state.commit(4), (Commit::default(), 1));
    }

    #[test]
    fn the_journal_knows_its_own_entries_only() {
        let state = state();
        let entry = Entry { timestamp_ns: 1, length: 100, stream: 1 };
        state.set_entry(5, entry).expect("entry");
        assert_eq!(state.entry(5), Some(entry));
        assert_eq!(state.entry(5 + JOURNAL_LENGTH), None);
        assert_eq!(state.entry(0), None);
    }

    #[test]
    fn marks_name_the_busy_sinks() {
        let state = state();
        state.set_busy(1, true).expect("mark");
        state.set_busy(2, true).expect("mark");
        state.set_busy(2, false).expect("unmark");
        assert_eq!(state.busy(16), [1]);
    }
}
