//! The part of a file that is in memory.

use super::format::{Decoder, Start};
use super::source::Source;
use std::io;

/// Bytes read at a time: fits in the processor's cache.
const SIZE: usize = 256 * 1024;
/// No record is longer; what is (zeros after a host crash, another program's data) is skipped up to the next start of one.
const LONGEST: usize = 32 << 20;

/// Unread bytes of a file.
pub struct Window {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// Of the first unread byte, in the file.
    offset: u64,
    /// The unread bytes begin inside a record, or in what is too long for one.
    inside: bool,
}

impl Window {
    /// An empty window at an offset.
    pub fn at(offset: u64) -> Self {
        Window { bytes: Vec::new(), start: 0, end: 0, offset, inside: false }
    }

    /// Empties the window and moves it to where a record need not start; then [`Window::fill`] looks for one.
    pub fn move_inside(&mut self, offset: u64) {
        self.move_to(offset);
        self.inside = true;
    }

    /// True until a record was found to start with the unread bytes.
    pub fn is_inside(&self) -> bool {
        self.inside
    }

    /// Empties the window and moves it to the start of a record.
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
    pub fn fill<D: Decoder>(&mut self, source: &mut Source) -> io::Result<usize> {
        self.make_room();
        let end = self.offset + (self.end - self.start) as u64;
        let length = source.read_at(&mut self.bytes[self.end..], end)?;
        self.end += length;
        if self.inside {
            self.find_start::<D>();
        }
        Ok(length)
    }

    fn make_room(&mut self) {
        self.bytes.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if self.end >= LONGEST {
            self.consume(self.end);
            (self.start, self.end, self.inside) = (0, 0, true);
        }
        let wanted = if self.end * 2 >= self.bytes.len() { (self.bytes.len() * 2).max(SIZE) } else { self.bytes.len() };
        self.bytes.resize(wanted, 0);
    }

    fn find_start<D: Decoder>(&mut self) {
        let length = match D::start(self.unread()) {
            Start::At(length) => {
                self.inside = false;
                length
            }
            Start::Behind(length) => length,
        };
        self.consume(length);
    }
}
