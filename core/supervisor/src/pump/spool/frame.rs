//! One record, or one hole, as it lies in a segment: a header of fixed size with a check sum, then the bytes.

use crate::pump::queue::Hole;
use crate::pump::record::{LogRecord, Stream};
use crate::state::{Reason, check_sum};
use std::ops::Range;

/// Of a header.
pub const SIZE: usize = 48;
const RECORD: u8 = 1;
const HOLE: u8 = 2;
/// The reach of the check sum within the header.
const SUMMED: usize = 40;

/// A header.
#[derive(Clone, Copy, Default)]
pub struct Frame {
    pub sequence: u64,
    length: u32,
    kind: u8,
    stream: u8,
    flags: u8,
    reason: u8,
    timestamp_ns: u64,
    /// In a hole: its first record.
    partial_id: u64,
    ordinal: u32,
}

/// A record read back, its bytes as places in a buffer.
pub struct Stored {
    pub sequence: u64,
    pub timestamp_ns: u64,
    partial_id: u64,
    ordinal: u32,
    stream: Stream,
    flags: u8,
    bytes: Range<usize>,
}

impl Stored {
    /// Of its bytes.
    pub fn length(&self) -> usize {
        self.bytes.len()
    }

    /// As drivers take it.
    pub fn record<'a>(&self, buffer: &'a [u8]) -> LogRecord<'a> {
        let mut record = LogRecord::line(self.timestamp_ns, self.sequence, self.stream, &buffer[self.bytes.clone()]);
        (record.partial_id, record.partial_ordinal, record.flags) = (self.partial_id, self.ordinal, self.flags);
        record
    }
}

/// Bytes that a record of so many bytes takes.
pub fn size(length: usize) -> usize {
    SIZE + length
}

/// The whole length of the frame whose header stands at the start.
pub fn length(bytes: &[u8]) -> Option<usize> {
    let length = u32::from_le_bytes(*bytes.first_chunk::<4>()?);
    (bytes.len() >= SIZE).then(|| size(length as usize))
}

impl Frame {
    pub fn of(record: &LogRecord<'_>) -> Frame {
        Frame {
            sequence: record.sequence,
            length: record.bytes().len() as u32,
            kind: RECORD,
            stream: record.stream.0,
            flags: record.flags,
            reason: 0,
            timestamp_ns: record.timestamp_ns,
            partial_id: record.partial_id,
            ordinal: record.partial_ordinal,
        }
    }

    pub fn of_hole(hole: &Hole) -> Frame {
        let (sequence, partial_id, reason) = (hole.last, hole.first, hole.reason as u8);
        Frame { sequence, kind: HOLE, partial_id, reason, ..Frame::default() }
    }

    /// What it tells, when it is a hole.
    pub fn hole(&self) -> Option<Hole> {
        let reason = Reason::ALL.get(usize::from(self.reason)).copied().unwrap_or(Reason::Slow);
        (self.kind == HOLE).then_some(Hole { first: self.partial_id, last: self.sequence, reason })
    }

    /// The record whose bytes stand there.
    pub fn stored(&self, bytes: Range<usize>) -> Stored {
        let Frame { sequence, timestamp_ns, partial_id, ordinal, flags, .. } = *self;
        Stored { sequence, timestamp_ns, partial_id, ordinal, stream: Stream(self.stream), flags, bytes }
    }

    /// Appends header and bytes.
    pub fn push(&self, out: &mut Vec<u8>, bytes: &[u8]) {
        let mut header = [0; SIZE];
        header[..4].copy_from_slice(&self.length.to_le_bytes());
        header[4..8].copy_from_slice(&[self.kind, self.stream, self.flags, self.reason]);
        header[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        header[16..24].copy_from_slice(&self.timestamp_ns.to_le_bytes());
        header[24..32].copy_from_slice(&self.partial_id.to_le_bytes());
        header[32..36].copy_from_slice(&self.ordinal.to_le_bytes());
        let sum = check_sum(&header[..SUMMED]) ^ check_sum(bytes);
        header[SUMMED..].copy_from_slice(&sum.to_le_bytes());
        out.extend_from_slice(&header);
        out.extend_from_slice(bytes);
    }

    /// The frame at a place, and where its bytes are; `None`: there is no whole one.
    pub fn parse(buffer: &[u8], at: usize) -> Option<(Frame, Range<usize>)> {
        let header = buffer.get(at..)?.first_chunk::<SIZE>()?;
        let half = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let word = |at: usize| u64::from(half(at)) | u64::from(half(at + 4)) << 32;
        let frame = Frame {
            length: half(0),
            kind: header[4],
            stream: header[5],
            flags: header[6],
            reason: header[7],
            sequence: word(8),
            timestamp_ns: word(16),
            partial_id: word(24),
            ordinal: half(32),
        };
        let range = at + SIZE..at + SIZE + frame.length as usize;
        let bytes = buffer.get(range.clone())?;
        let known = matches!(frame.kind, RECORD | HOLE);
        (known && word(SUMMED) == check_sum(&header[..SUMMED]) ^ check_sum(bytes)).then_some((frame, range))
    }
}
