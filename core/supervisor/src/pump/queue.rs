//! What waits for one sink, and what its policy does when too much does.
//!
//! Records wait in pieces of chunks, in order. What is dropped leaves a hole in the queue at its place: the sink's thread
//! counts it when it gets there, so that counters and what is stored always speak of the same first records.

use super::chunk::Chunk;
use crate::launch::Policy;
use crate::state::Reason;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// Records of a chunk.
#[derive(Clone)]
pub struct Piece {
    pub chunk: Arc<Chunk>,
    /// Indices of records.
    pub range: Range<usize>,
    /// Of those records.
    pub bytes: usize,
}

impl Piece {
    /// The records of a chunk from one number up to, not including, another.
    pub fn of(chunk: &Arc<Chunk>, from: u64, until: u64) -> Piece {
        let count = chunk.count() as u64;
        let index = |number: u64| number.saturating_sub(chunk.first).min(count) as usize;
        let range = index(from)..index(until).max(index(from));
        Piece { chunk: chunk.clone(), bytes: chunk.bytes(range.clone()), range }
    }

    /// The number of its first record.
    pub fn first(&self) -> u64 {
        self.chunk.first + self.range.start as u64
    }

    /// The number of its last record.
    pub fn last(&self) -> u64 {
        self.chunk.first + self.range.end as u64 - 1
    }

    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    pub fn count(&self) -> u64 {
        self.range.len() as u64
    }

    /// Without the records up to, not including, an index.
    pub fn starting_at(mut self, index: usize) -> Piece {
        self.bytes -= self.chunk.bytes(self.range.start..index);
        self.range.start = index;
        self
    }

    /// How far its oldest records go that make up so many bytes, and their bytes; without its last if that must stay.
    fn oldest(&self, bytes: usize, last_stays: bool) -> (usize, usize) {
        // Looking at each record would read what the processor has long forgotten.
        if self.bytes <= bytes && !last_stays {
            return (self.range.end, self.bytes);
        }
        let most = self.range.end - usize::from(last_stays);
        let (mut index, mut gone) = (self.range.start, 0);
        while gone < bytes && index < most {
            gone += self.chunk.length(index);
            index += 1;
        }
        (index, gone)
    }

    /// The first so many records, and the rest.
    pub fn split_at(self, count: usize) -> (Piece, Option<Piece>) {
        let at = self.range.start.saturating_add(count);
        if at >= self.range.end {
            return (self, None);
        }
        let rest = self.clone().starting_at(at);
        let bytes = self.bytes - rest.bytes;
        (Piece { range: self.range.start..at, bytes, chunk: self.chunk }, Some(rest))
    }

    /// Few records do not hold a large chunk in memory.
    fn compact(self) -> Piece {
        if self.bytes >= self.chunk.weight() / 2 {
            return self;
        }
        let chunk = Arc::new(self.chunk.only(self.range.clone()));
        Piece { range: 0..chunk.count(), bytes: self.bytes, chunk }
    }
}

/// Records that are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    pub first: u64,
    pub last: u64,
    pub reason: Reason,
}

impl Hole {
    pub fn count(&self) -> u64 {
        self.last + 1 - self.first
    }
}

/// What waits.
pub enum Item {
    Piece(Piece),
    Hole(Hole),
    Reopen,
    Close,
}

/// See the module.
#[derive(Default)]
pub struct Queue {
    items: VecDeque<Item>,
    bytes: usize,
}

impl Queue {
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The next item without taking it.
    pub fn front(&self) -> Option<&Item> {
        self.items.front()
    }

    /// The first record that waits to be written.
    pub fn first(&self) -> Option<&Piece> {
        self.items.iter().find_map(|item| if let Item::Piece(piece) = item { Some(piece) } else { None })
    }

    /// Records that wait, and records that are lost but not counted yet.
    pub fn counts(&self) -> (u64, [u64; Reason::COUNT]) {
        let (mut waiting, mut lost) = (0, [0; Reason::COUNT]);
        for item in &self.items {
            match item {
                Item::Piece(piece) => waiting += piece.count(),
                Item::Hole(hole) => lost[hole.reason as usize] += hole.count(),
                Item::Reopen | Item::Close => {}
            }
        }
        (waiting, lost)
    }

    /// Adds a message to the thread.
    pub fn push(&mut self, item: Item) {
        self.items.push_back(item);
    }

    /// Adds records; what does not fit is dropped as the policy says. Answers chunks that went entirely: their memory may
    /// be of use.
    pub fn offer(&mut self, piece: Piece, policy: Policy, limit: usize) -> Vec<Arc<Chunk>> {
        match policy {
            Policy::Block | Policy::Spill => self.keep(piece),
            Policy::DropNew => self.keep_what_fits(piece, limit),
            Policy::DropOld => {
                self.keep(piece.compact());
                return self.shrink(limit);
            }
        }
        Vec::new()
    }

    /// True when so many more bytes fit.
    pub fn has_room(&self, bytes: usize, limit: usize) -> bool {
        self.bytes == 0 || self.bytes + bytes <= limit
    }

    fn keep(&mut self, piece: Piece) {
        self.bytes += piece.bytes;
        self.items.push_back(Item::Piece(piece));
    }

    /// One record fits into an empty queue, however long it is.
    fn keep_what_fits(&mut self, piece: Piece, limit: usize) {
        let (mut end, mut bytes) = (piece.range.start, 0);
        while end < piece.range.end {
            let length = piece.chunk.length(end);
            if self.bytes + bytes > 0 && self.bytes + bytes + length > limit {
                break;
            }
            bytes += length;
            end += 1;
        }
        let lost = piece.chunk.first + end as u64..piece.chunk.first + piece.range.end as u64;
        if end > piece.range.start {
            self.keep(Piece { range: piece.range.start..end, bytes, chunk: piece.chunk }.compact());
        }
        if !lost.is_empty() {
            self.lose(Hole { first: lost.start, last: lost.end - 1, reason: Reason::Slow });
        }
    }

    /// Adds a hole at the end.
    pub fn lose(&mut self, hole: Hole) {
        match self.items.back_mut() {
            Some(Item::Hole(before)) if before.reason == hole.reason && before.last + 1 == hole.first => {
                before.last = hole.last;
            }
            _ => self.items.push_back(Item::Hole(hole)),
        }
    }

    /// Drops the oldest records, one by one, until the rest fits; one record always does. Answers as [`Queue::offer`].
    pub fn shrink(&mut self, limit: usize) -> Vec<Arc<Chunk>> {
        let mut gone_chunks = Vec::new();
        while self.bytes > limit {
            let Some(at) = self.items.iter().position(|item| matches!(item, Item::Piece(_))) else { break };
            let Some(Item::Piece(piece)) = self.items.remove(at) else { break };
            let (first, excess) = (piece.first(), self.bytes - limit);
            let alone = piece.bytes == self.bytes;
            let (index, gone) = piece.oldest(excess, alone);
            if index == piece.range.start {
                self.items.insert(at, Item::Piece(piece));
                break;
            }
            self.bytes -= gone;
            let last = piece.chunk.first + index as u64 - 1;
            if index < piece.range.end {
                self.items.insert(at, Item::Piece(piece.starting_at(index)));
            } else {
                gone_chunks.push(piece.chunk);
            }
            self.dig(at, Hole { first, last, reason: Reason::Slow });
        }
        gone_chunks
    }

    /// A hole before the item at an index.
    fn dig(&mut self, at: usize, hole: Hole) {
        let before = at.checked_sub(1).and_then(|at| self.items.get_mut(at));
        match before {
            Some(Item::Hole(before)) if before.reason == hole.reason && before.last + 1 == hole.first => {
                before.last = hole.last;
            }
            _ => self.items.insert(at, Item::Hole(hole)),
        }
    }

    /// Takes the next item.
    pub fn pop(&mut self) -> Option<Item> {
        let item = self.items.pop_front()?;
        if let Item::Piece(piece) = &item {
            self.bytes -= piece.bytes;
        }
        Some(item)
    }

    /// What the thread could not write waits again, before all else.
    pub fn give_back(&mut self, piece: Piece) {
        self.bytes += piece.bytes;
        self.items.push_front(Item::Piece(piece));
    }

    /// Takes all records and holes out; messages stay.
    pub fn drain(&mut self) -> Vec<Item> {
        self.bytes = 0;
        let (records, messages) = std::mem::take(&mut self.items)
            .into_iter()
            .partition::<Vec<_>, _>(|item| matches!(item, Item::Piece(_) | Item::Hole(_)));
        self.items = messages.into();
        records
    }

    /// True when the thread is to close after what waits.
    pub fn is_closing(&self) -> bool {
        self.items.iter().any(|item| matches!(item, Item::Close))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pump::chunk::Source;
    use crate::state::Partial;

    /// Lines of ten bytes, numbered from `first`.
    fn piece(first: u64, lines: u64) -> Piece {
        let buffer: Vec<u8> = (0..lines).flat_map(|line| format!("{:010}\n", first + line).into_bytes()).collect();
        let (length, before) = (buffer.len(), Partial::default());
        let (stream, entry, position, timestamp_ns, id_base, fresh) = (0, 1, 0, 1, 1, 0);
        let source = Source { stream, entry, position, first, timestamp_ns, id_base, before, buffer, length, fresh };
        let chunk = Arc::new(Chunk::new(source, 16_384, Vec::new()));
        Piece::of(&chunk, 0, u64::MAX)
    }

    fn shown(queue: &Queue) -> String {
        let show = |item: &Item| match item {
            Item::Piece(piece) => format!("{}-{}", piece.first(), piece.last()),
            Item::Hole(hole) => format!("({}-{})", hole.first, hole.last),
            Item::Reopen => "reopen".to_owned(),
            Item::Close => "close".to_owned(),
        };
        queue.items.iter().map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_oldest_records_are_dropped_one_by_one() {
        let mut queue = Queue::default();
        for first in [1, 11, 21] {
            queue.offer(piece(first, 10), Policy::DropOld, 255);
        }
        assert_eq!((shown(&queue).as_str(), queue.bytes), ("(1-5) 6-10 11-20 21-30", 250));
        queue.offer(piece(31, 10), Policy::DropOld, 255);
        assert_eq!(shown(&queue), "(1-15) 16-20 21-30 31-40");
        queue.offer(piece(41, 1), Policy::DropOld, 5);
        assert_eq!((shown(&queue).as_str(), queue.bytes), ("(1-40) 41-41", 10));
        assert_eq!(queue.counts(), (1, [40, 0, 0, 0, 0]));
    }

    #[test]
    fn new_records_are_dropped_from_the_first_that_does_not_fit() {
        let mut queue = Queue::default();
        queue.offer(piece(1, 10), Policy::DropNew, 75);
        queue.offer(piece(11, 10), Policy::DropNew, 75);
        assert_eq!((shown(&queue).as_str(), queue.bytes), ("1-7 (8-20)", 70));
        assert!(matches!(queue.pop(), Some(Item::Piece(_))));
        queue.offer(piece(21, 1), Policy::DropNew, 5);
        assert_eq!(shown(&queue), "(8-20) 21-21");
    }

    #[test]
    fn what_is_given_back_comes_first_and_may_be_dropped() {
        let mut queue = Queue::default();
        queue.offer(piece(1, 10), Policy::DropOld, 200);
        queue.push(Item::Reopen);
        queue.offer(piece(11, 10), Policy::DropOld, 200);
        let Some(Item::Piece(taken)) = queue.pop() else { panic!("a piece") };
        queue.give_back(taken.starting_at(4));
        assert_eq!((shown(&queue).as_str(), queue.bytes), ("5-10 reopen 11-20", 160));
        queue.shrink(120);
        assert_eq!(shown(&queue), "(5-8) 9-10 reopen 11-20");
        queue.push(Item::Close);
        assert!(queue.is_closing());
        assert_eq!(queue.drain().len(), 3);
        assert_eq!((shown(&queue).as_str(), queue.bytes), ("reopen close", 0));
    }

    #[test]
    fn a_few_records_do_not_hold_their_chunk() {
        let mut queue = Queue::default();
        queue.offer(piece(1, 1000), Policy::DropNew, 100);
        assert_eq!(shown(&queue), "1-10 (11-1000)");
        assert_eq!(queue.first().map(|piece| piece.chunk.weight()), Some(100));
    }
}
