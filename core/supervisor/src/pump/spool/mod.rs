//! Where records wait on the disk for a sink that cannot take them: segments of frames, appended at one end, read and
//! deleted at the other.
//!
//! A record survives the pump's death from the moment it is appended, and the container's end and restart with it: a
//! later run delivers what an earlier one left, before its own. A run is known by its epoch, and records are numbered
//! within it. Beyond the byte limit new records are dropped, and a frame tells how many, in their place.

mod frame;
mod segment;

pub use frame::Stored;

use super::queue::Hole;
use super::record::LogRecord;
use crate::state::Reason;
use frame::Frame;
use segment::{Segment, segments};
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const SMALLEST_SEGMENT: u64 = 64 * 1024;
const LARGEST_SEGMENT: u64 = 16 * 1024 * 1024;
/// Bytes read at once.
const READ: usize = 128 * 1024;
const POSITION: &str = "position";

/// A place in the order of all records: the run, and the number within it.
pub type Place = (u64, u64);

/// See the module.
pub struct Spool {
    dir: PathBuf,
    epoch: u64,
    limit: u64,
    /// Oldest first; the last one may be written.
    segments: VecDeque<Segment>,
    writer: Option<File>,
    /// The last record of this run that is here, or was dropped here.
    last: u64,
    /// The frame at the very end, when it is a hole that may grow: where it lies.
    hole: Option<(u64, Hole)>,
    reader: Option<File>,
    /// Of the first frame not delivered, in the first segment.
    read_at: u64,
    delivered: Place,
}

/// What was read: records of one run in order, or a hole.
pub enum Batch {
    Records(Vec<Stored>, Vec<u8>),
    Hole(Hole),
}

impl Batch {
    /// How many records, and their bytes.
    pub fn count(&self) -> (u64, usize) {
        match self {
            Batch::Records(records, _) => (records.len() as u64, records.iter().map(Stored::length).sum()),
            Batch::Hole(_) => (0, 0),
        }
    }
}

/// Something read that is to be delivered, and what comes behind it.
pub struct Read {
    epoch: u64,
    /// A run before this one left it.
    pub earlier: bool,
    pub batch: Batch,
    /// The last number in it.
    pub last: u64,
    end: u64,
}

impl Spool {
    /// Finds what earlier pumps left; makes nothing.
    pub fn open(dir: &Path, epoch: u64, limit: u64) -> io::Result<Spool> {
        let segments = segments(dir)?;
        let delivered = read_position(dir);
        let own = segments.iter().filter(|segment| segment.epoch == epoch);
        let last = own.map(|segment| segment.last).max().unwrap_or(0);
        let (writer, hole, reader) = (None, None, None);
        let dir = dir.to_owned();
        let mut spool = Spool { dir, epoch, limit, segments, writer, last, hole, reader, read_at: 0, delivered };
        spool.forget_read();
        Ok(spool)
    }

    /// True when nothing waits.
    pub fn is_empty(&self) -> bool {
        self.segments.iter().all(|segment| segment.size == 0)
    }

    /// Bytes on the disk.
    pub fn size(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size).sum()
    }

    /// Records that were dropped and are not counted yet.
    pub fn lost(&self) -> u64 {
        self.segments.iter().map(|segment| segment.lost).sum()
    }

    /// The last record of this run that is here or was dropped here; 0: none.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// Appends records; what does not fit any more is dropped and counted.
    pub fn append(&mut self, records: &[LogRecord<'_>]) -> io::Result<()> {
        let mut bytes = Vec::new();
        let (mut kept, size) = (0, self.size());
        for record in records {
            if size + (bytes.len() + frame::size(record.bytes().len())) as u64 > self.limit {
                break;
            }
            Frame::of(record).push(&mut bytes, record.bytes());
            kept += 1;
        }
        if kept > 0 {
            self.write(&bytes, records[kept - 1].sequence)?;
        }
        match (records.get(kept), records.last()) {
            (Some(first), Some(last)) => {
                self.lose(Hole { first: first.sequence, last: last.sequence, reason: Reason::Slow })
            }
            _ => Ok(()),
        }
    }

    /// Notes at this place that records are lost.
    pub fn lose(&mut self, hole: Hole) -> io::Result<()> {
        let grown = self.hole.filter(|(_, before)| before.reason == hole.reason && before.last + 1 == hole.first);
        if let (Some((at, before)), Some(writer)) = (grown, &self.writer) {
            let hole = Hole { first: before.first, ..hole };
            let mut bytes = Vec::new();
            Frame::of_hole(&hole).push(&mut bytes, &[]);
            writer.write_all_at(&bytes, at)?;
            self.hole = Some((at, hole));
            self.last = hole.last;
            if let Some(segment) = self.segments.back_mut() {
                segment.last = hole.last;
                segment.lost += hole.count() - before.count();
            }
            return Ok(());
        }
        let mut bytes = Vec::new();
        Frame::of_hole(&hole).push(&mut bytes, &[]);
        self.write(&bytes, hole.last)?;
        if let Some(segment) = self.segments.back_mut() {
            segment.lost += hole.count();
            self.hole = Some((segment.size - bytes.len() as u64, hole));
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8], last: u64) -> io::Result<()> {
        self.hole = None;
        let full = self.segments.back().is_none_or(|segment| segment.size >= self.segment_size());
        if self.writer.is_none() || full {
            self.next_segment()?;
        }
        let (Some(writer), Some(segment)) = (&self.writer, self.segments.back_mut()) else { return Ok(()) };
        if let Err(error) = writer.write_all_at(bytes, segment.size) {
            let _ = writer.set_len(segment.size);
            return Err(error);
        }
        segment.size += bytes.len() as u64;
        (segment.last, self.last) = (last, last);
        Ok(())
    }

    fn segment_size(&self) -> u64 {
        (self.limit / 8).clamp(SMALLEST_SEGMENT, LARGEST_SEGMENT)
    }

    fn next_segment(&mut self) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        let number = self.segments.back().map_or(0, |segment| segment.number + 1);
        let segment = Segment::new(&self.dir, self.epoch, number);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&segment.path)?;
        self.writer = Some(file);
        self.segments.push_back(segment);
        Ok(())
    }

    /// Reads what is to be delivered next, at most `most` records, without taking it; `None`: nothing waits.
    pub fn read(&mut self, most: usize) -> io::Result<Option<Read>> {
        while let Some(segment) = self.segments.front() {
            if self.read_at >= segment.size {
                if !self.forget_first() {
                    return Ok(None);
                }
                continue;
            }
            let epoch = segment.epoch;
            match self.read_frames(most)? {
                Some(read) if (epoch, read.last) > self.delivered => return Ok(Some(read)),
                Some(read) => self.read_at = read.end,
                // Damaged: nothing behind it in this file can be told apart.
                None => self.read_at = self.segments.front().map_or(0, |segment| segment.size),
            }
        }
        Ok(None)
    }

    fn read_frames(&mut self, most: usize) -> io::Result<Option<Read>> {
        let Some(segment) = self.segments.front() else { return Ok(None) };
        let (epoch, left) = (segment.epoch, (segment.size - self.read_at) as usize);
        if self.reader.is_none() {
            self.reader = Some(File::open(&segment.path)?);
        }
        let Some(reader) = &self.reader else { return Ok(None) };
        let mut bytes = vec![0; left.min(READ)];
        reader.read_exact_at(&mut bytes, self.read_at)?;
        if let Some(whole) = frame::length(&bytes).filter(|whole| *whole > bytes.len() && *whole <= left) {
            bytes.resize(whole, 0);
            reader.read_exact_at(&mut bytes, self.read_at)?;
        }
        Ok(decode(bytes, self.delivered_in(epoch), most).map(|(batch, last, length)| Read {
            epoch,
            earlier: epoch != self.epoch,
            batch,
            last,
            end: self.read_at + length as u64,
        }))
    }

    /// The last delivered record of a run.
    fn delivered_in(&self, epoch: u64) -> u64 {
        if self.delivered.0 == epoch { self.delivered.1 } else { 0 }
    }

    /// What was read is delivered or dropped.
    pub fn done(&mut self, read: &Read) {
        self.read_at = read.end;
        // A hole that was read grows no more.
        self.hole = self.hole.filter(|_| self.segments.len() > 1 || self.segments.iter().all(|s| s.size > read.end));
        if let (Batch::Hole(hole), Some(segment)) = (&read.batch, self.segments.front_mut()) {
            segment.lost = segment.lost.saturating_sub(hole.count());
        }
        self.is_delivered((read.epoch, read.last));
        if self.segments.front().is_some_and(|segment| self.read_at >= segment.size) {
            self.forget_first();
        }
    }

    /// Everything up to this place is delivered. Not noted when there is nothing here to which it matters.
    fn is_delivered(&mut self, place: Place) {
        if place > self.delivered {
            self.delivered = place;
            if !self.segments.is_empty() {
                // Lost, a later run delivers again what it cannot know.
                let _ = write_position(&self.dir, place);
            }
        }
    }

    /// Everything of this run up to a number is delivered by another way. What earlier runs left comes before it.
    pub fn reached(&mut self, sequence: u64) {
        if self.segments.front().is_some_and(|first| first.epoch == self.epoch) {
            self.is_delivered((self.epoch, sequence));
        }
    }

    /// Records up to a number could not be kept.
    pub fn pass(&mut self, last: u64) {
        self.last = self.last.max(last);
    }

    /// Deletes the first segment, which is read; false when it was the last one.
    fn forget_first(&mut self) -> bool {
        let Some(segment) = self.segments.pop_front() else { return false };
        let _ = fs::remove_file(&segment.path);
        (self.reader, self.read_at) = (None, 0);
        if self.segments.is_empty() {
            (self.writer, self.hole) = (None, None);
            let _ = fs::remove_file(self.dir.join(POSITION));
            let _ = fs::remove_dir(&self.dir);
        }
        !self.segments.is_empty()
    }

    /// Segments that were delivered whole before a predecessor died.
    fn forget_read(&mut self) {
        let delivered = self.delivered;
        while self.segments.front().is_some_and(|first| (first.epoch, first.last) <= delivered) && self.forget_first() {
        }
    }
}

/// Records up to a hole, or a hole; those up to `delivered` are left out. `None`: damaged at the very start.
fn decode(bytes: Vec<u8>, delivered: u64, most: usize) -> Option<(Batch, u64, usize)> {
    let (mut records, mut at, mut last) = (Vec::new(), 0, 0);
    while records.len() < most
        && let Some((frame, payload)) = Frame::parse(&bytes, at)
    {
        match frame.hole() {
            Some(hole) if at == 0 => return Some((Batch::Hole(hole), hole.last, frame::SIZE)),
            Some(_) => break,
            None if frame.sequence > delivered => records.push(frame.stored(payload.clone())),
            None => {}
        }
        (at, last) = (payload.end, frame.sequence);
    }
    (at > 0).then_some((Batch::Records(records, bytes), last, at))
}

fn read_position(dir: &Path) -> Place {
    let bytes = fs::read(dir.join(POSITION)).unwrap_or_default();
    match bytes.as_chunks::<8>() {
        ([epoch, sequence], []) => (u64::from_le_bytes(*epoch), u64::from_le_bytes(*sequence)),
        _ => (0, 0),
    }
}

fn write_position(dir: &Path, (epoch, sequence): Place) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(dir.join(POSITION))?;
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&epoch.to_le_bytes());
    bytes[8..].copy_from_slice(&sequence.to_le_bytes());
    file.write_all_at(&bytes, 0)
}

#[cfg(test)]
mod tests;
