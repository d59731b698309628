//! One read of one stream, cut into records, shared by all sinks and sessions.

use super::join::Joiner;
use super::record::{LogRecord, Stream};
use super::split::{Cut, Split, last_piece, split};
use crate::state::Partial;
use std::ops::Range;

/// See the module. The buffer holds what was left of the stream's last line, then the bytes that were read.
pub struct Chunk {
    /// 0 stdout, 1 stderr.
    pub stream: u8,
    /// The journal entry; 0: made at the end, out of what was left.
    pub entry: u64,
    /// Of the first fresh byte in its stream.
    pub position: u64,
    /// The first record's number.
    pub first: u64,
    timestamp_ns: u64,
    id_base: u64,
    buffer: Vec<u8>,
    length: usize,
    fresh: usize,
    cuts: Vec<Cut>,
    rest: usize,
    before: Partial,
    after: Partial,
}

/// What a chunk is made of.
pub struct Source {
    pub stream: u8,
    pub entry: u64,
    pub position: u64,
    pub first: u64,
    pub timestamp_ns: u64,
    pub id_base: u64,
    pub before: Partial,
    /// May be longer than what is used of it.
    pub buffer: Vec<u8>,
    /// How much of it is used.
    pub length: usize,
    /// Where the fresh bytes begin.
    pub fresh: usize,
}

impl Chunk {
    /// Cuts what was read.
    pub fn new(source: Source, limit: usize, cuts: Vec<Cut>) -> Chunk {
        let done = split(&source.buffer[..source.length], limit, source.before, cuts);
        Chunk::assemble(source, done)
    }

    /// The same for records of several lines.
    pub fn joined(source: Source, limit: usize, joiner: &Joiner, cuts: Vec<Cut>) -> Chunk {
        let done = joiner.split(&source.buffer[..source.length], source.fresh, limit, source.before, cuts);
        Chunk::assemble(source, done)
    }

    /// A record of several lines that nothing came after for too long.
    pub fn flushed(source: Source, joiner: &Joiner) -> Chunk {
        let done = joiner.flush(&source.buffer[..source.length], source.before);
        Chunk::assemble(source, done)
    }

    /// What an ended stream leaves of records of several lines.
    pub fn last_joined(source: Source, limit: usize, joiner: &Joiner) -> Chunk {
        let done = joiner.last(&source.buffer[..source.length], limit, source.before);
        Chunk::assemble(source, done)
    }

    /// The unfinished line of an ended stream.
    pub fn last(source: Source) -> Chunk {
        let cuts = last_piece(source.length, source.before).into_iter().collect();
        let rest = source.length;
        Chunk::assemble(source, Split { cuts, rest, ..Split::default() })
    }

    fn assemble(source: Source, split: Split) -> Chunk {
        let Source { stream, entry, position, first, timestamp_ns, id_base, before, buffer, length, fresh } = source;
        let begun_here = first + split.cuts.len() as u64 - u64::from(split.ordinal).min(split.cuts.len() as u64);
        let Split { cuts, rest, ordinal, inherited, lines, judged } = split;
        let (known, time) = if inherited { (before.id, before.timestamp_ns) } else { (0, timestamp_ns) };
        let id = match ordinal {
            0 => 0,
            _ if inherited && before.ordinal > 0 => known,
            _ => id_base.wrapping_add(begun_here),
        };
        let after = Partial { id, timestamp_ns: time, ordinal, lines, judged };
        let after = if after.is_begun() { after } else { Partial::default() };
        Chunk {
            stream,
            entry,
            position,
            first,
            timestamp_ns,
            id_base,
            buffer,
            length,
            fresh,
            cuts,
            rest,
            before,
            after,
        }
    }

    /// The number after the last record's.
    pub fn end(&self) -> u64 {
        self.first + self.cuts.len() as u64
    }

    /// How many records.
    pub fn count(&self) -> usize {
        self.cuts.len()
    }

    /// The bytes that were read, as they came.
    pub fn fresh(&self) -> &[u8] {
        &self.buffer[self.fresh..self.length]
    }

    /// The unfinished line after the last record.
    pub fn rest(&self) -> &[u8] {
        &self.buffer[self.rest..self.length]
    }

    /// The line that goes on in the next chunk.
    pub fn after(&self) -> Partial {
        self.after
    }

    /// The records in a range of indices, as drivers take them, and their bytes.
    pub fn records(&self, range: Range<usize>) -> (Vec<LogRecord<'_>>, u64) {
        let cuts = &self.cuts[range.clone()];
        let records = cuts.iter().zip(range).map(|(cut, index)| self.record(cut, index)).collect();
        (records, cuts.iter().map(|cut| u64::from(cut.length)).sum())
    }

    fn record(&self, cut: &Cut, index: usize) -> LogRecord<'_> {
        let start = cut.start as usize;
        let bytes = &self.buffer[start..start + cut.length as usize];
        let sequence = self.first + index as u64;
        let stream = if self.stream == 0 { Stream::STDOUT } else { Stream::STDERR };
        let time = if cut.inherited { self.before.timestamp_ns } else { self.timestamp_ns };
        let mut record = LogRecord::line(time, sequence, stream, bytes);
        if cut.ordinal > 0 {
            record.flags = cut.flags;
            record.partial_ordinal = cut.ordinal;
            let begun = self.id_base.wrapping_add(sequence + 1 - u64::from(cut.ordinal).min(sequence));
            let known = cut.inherited && self.before.ordinal > 0;
            record.partial_id = if known { self.before.id } else { begun };
        }
        record
    }

    /// Bytes of the records in a range of indices.
    pub fn bytes(&self, range: Range<usize>) -> usize {
        self.cuts[range].iter().map(|cut| cut.length as usize).sum()
    }

    /// Bytes of one record.
    pub fn length(&self, index: usize) -> usize {
        self.cuts[index].length as usize
    }

    /// When it was read.
    pub fn timestamp_ns(&self) -> u64 {
        self.timestamp_ns
    }

    /// Bytes of memory that it holds.
    pub fn weight(&self) -> usize {
        self.buffer.capacity()
    }

    /// A range of its records on their own, in no more memory than they need. It is for sinks only: it knows nothing of
    /// the stream around them.
    pub fn only(&self, range: Range<usize>) -> Chunk {
        let mut buffer = Vec::with_capacity(self.bytes(range.clone()));
        let cut = |cut: &Cut| {
            let (from, start) = (cut.start as usize, buffer.len() as u32);
            buffer.extend_from_slice(&self.buffer[from..from + cut.length as usize]);
            Cut { start, ..*cut }
        };
        let cuts: Vec<Cut> = self.cuts[range.clone()].iter().map(cut).collect();
        let length = buffer.len();
        let first = self.first + range.start as u64;
        let (fresh, rest) = (length, length);
        Chunk { first, buffer, length, fresh, cuts, rest, after: Partial::default(), ..*self }
    }

    /// The memory, for the next chunk.
    pub fn into_memory(self) -> (Vec<u8>, Vec<Cut>) {
        (self.buffer, self.cuts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &[u8], fresh: usize, first: u64, before: Partial) -> Source {
        let (buffer, length) = (text.to_vec(), text.len());
        let (entry, position, timestamp_ns, id_base) = (1, 0, 77, 1000);
        Source { stream: 1, entry, position, first, timestamp_ns, id_base, before, buffer, length, fresh }
    }

    #[test]
    fn pieces_of_a_line_share_id_and_time_across_chunks() {
        let one = Chunk::new(source(b"x\nabcdef", 0, 5, Partial::default()), 4, Vec::new());
        let (records, bytes) = one.records(0..2);
        assert_eq!((records[1].sequence, records[1].partial_id, records[1].partial_ordinal, bytes), (6, 1006, 1, 5));
        assert_eq!(one.rest(), b"ef");
        assert_eq!(one.after(), Partial { id: 1006, timestamp_ns: 77, ordinal: 1, ..Partial::default() });
        let mut next = source(b"efgh\ny\n", 2, 9, one.after());
        next.timestamp_ns = 99;
        let two = Chunk::new(next, 8, Vec::new());
        let (records, _) = two.records(0..2);
        assert_eq!((records[0].partial_id, records[0].partial_ordinal, records[0].timestamp_ns), (1006, 2, 77));
        assert!(records[0].ends_line());
        assert_eq!((records[1].partial_id, records[1].timestamp_ns), (0, 99));
        assert_eq!(two.fresh(), b"gh\ny\n");
    }

    #[test]
    fn a_second_piece_in_the_same_chunk_counts_from_the_first() {
        let chunk = Chunk::new(source(b"aaaabbbbc\n", 0, 1, Partial::default()), 4, Vec::new());
        let (records, _) = chunk.records(0..3);
        let ids: Vec<_> = records.iter().map(|r| (r.partial_id, r.partial_ordinal)).collect();
        assert_eq!(ids, [(1001, 1), (1001, 2), (1001, 3)]);
    }

    #[test]
    fn a_part_on_its_own_has_the_same_records() {
        let chunk = Chunk::new(source(b"x\naaaabbbbc\ny\n", 0, 7, Partial::default()), 4, Vec::new());
        let part = chunk.only(2..5);
        let (want, got) = (chunk.records(2..5).0, part.records(0..3).0);
        let plain = |records: &[LogRecord<'_>]| -> Vec<_> {
            records.iter().map(|r| (r.sequence, r.partial_id, r.partial_ordinal, r.flags, r.bytes().to_vec())).collect()
        };
        assert_eq!(plain(&got), plain(&want));
        assert_eq!((part.weight(), part.end()), (6, 12));
    }

    #[test]
    fn the_end_of_a_stream_gives_its_unfinished_line() {
        let chunk = Chunk::last(source(b"half", 4, 3, Partial::default()));
        let (records, _) = chunk.records(0..1);
        assert_eq!(records[0].bytes(), b"half");
        assert!(!records[0].ends_line());
        assert!(chunk.rest().is_empty() && chunk.fresh().is_empty());
    }
}
