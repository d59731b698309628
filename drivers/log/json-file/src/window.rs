//! The part of a file that is in memory, and the lines in it.

use crate::decode::{self, Record};
use crate::source::Source;
use crate::stamp::Clock;
use std::io;

/// Bytes read at a time: fits in the processor's cache.
const SIZE: usize = 256 * 1024;
/// No record is longer; what is (zeros after a host crash, another program's data) is skipped up to the next newline.
const LONGEST: usize = 32 << 20;

/// Unread bytes of a file.
pub struct Window {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// Of the first unread byte, in the file.
    offset: u64,
    /// In the middle of what is too long.
    skipping: bool,
}

/// What is at the start of the unread bytes.
pub enum Line {
    /// A record.
    Record(Record),
    /// A line of this length, newline included, that is none.
    Damaged(usize),
    /// Not a whole line.
    Torn,
}

/// Looks at the start of `text`.
#[inline]
pub fn line(text: &mut [u8], clock: &mut Clock) -> Line {
    if let Some(record) = decode::fast(text, clock) {
        return Line::Record(record);
    }
    foreign_line(text, clock)
}

#[inline(never)]
fn foreign_line(text: &mut [u8], clock: &mut Clock) -> Line {
    let Some(newline) = memchr::memchr(b'\n', text) else { return Line::Torn };
    match decode::slow(&mut text[..newline], clock) {
        Some(record) => Line::Record(record),
        None => Line::Damaged(newline + 1),
    }
}

impl Window {
    /// An empty window at an offset.
    pub fn at(offset: u64) -> Self {
        Window { bytes: Vec::new(), start: 0, end: 0, offset, skipping: false }
    }

    /// Empties the window and moves it.
    pub fn move_to(&mut self, offset: u64) {
        *self = Window { bytes: std::mem::take(&mut self.bytes), ..Window::at(offset) };
    }

    /// In the file, of the first unread byte.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The unread bytes.
    pub fn unread(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    /// Marks bytes as read.
    pub fn consume(&mut self, length: usize) {
        self.start += length;
        self.offset += length as u64;
    }

    /// Reads more behind the unread bytes; 0: there is no more.
    pub fn fill(&mut self, source: &mut Source) -> io::Result<usize> {
        self.make_room();
        let end = self.offset + (self.end - self.start) as u64;
        let length = source.read_at(&mut self.bytes[self.end..], end)?;
        self.end += length;
        if self.skipping {
            self.skip_line();
        }
        Ok(length)
    }

    fn make_room(&mut self) {
        self.bytes.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if self.end >= LONGEST {
            self.consume(self.end);
            (self.start, self.end, self.skipping) = (0, 0, true);
        }
        let wanted = if self.end * 2 >= self.bytes.len() { (self.bytes.len() * 2).max(SIZE) } else { self.bytes.len() };
        self.bytes.resize(wanted, 0);
    }

    /// Passes over the rest of the line; answers whether its end was there.
    pub fn skip_line(&mut self) -> bool {
        let newline = memchr::memchr(b'\n', self.unread());
        let length = newline.map_or(self.end - self.start, |newline| newline + 1);
        self.consume(length);
        self.skipping = newline.is_none();
        !self.skipping
    }
}
