//! The entries that have one field, by number, oldest first.

use super::file::{DATA, ENTRY_ARRAY, JournalFile, OBJECT, forward};
use std::io;

/// Offsets within a DATA object.
const FIRST: u64 = 40;
const ARRAY: u64 = 48;
const COUNT: u64 = 56;
/// Offsets within an array.
const NEXT: u64 = OBJECT;
const ITEMS: u64 = OBJECT + 8;

/// The entries of one field of one file.
#[derive(Debug)]
pub struct Entries {
    data: u64,
    first: u64,
    arrays: Vec<Array>,
    count: u64,
}

#[derive(Clone, Copy, Debug)]
struct Array {
    offset: u64,
    /// The number of its first entry.
    begin: u64,
    /// How many it has room for.
    room: u64,
}

impl Entries {
    /// Those of `NAME=value`; `None`: the file has none.
    pub fn find(file: &mut JournalFile, field: &[u8]) -> io::Result<Option<Entries>> {
        let Some(data) = file.find(field)? else { return Ok(None) };
        file.object(data, DATA)?;
        let mut entries = Entries { data, first: 0, arrays: Vec::new(), count: 0 };
        entries.update(file)?;
        Ok(Some(entries))
    }

    /// How many there were at the last update.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// True when there are new ones.
    pub fn have_grown(&self, file: &JournalFile) -> io::Result<bool> {
        Ok(file.fresh(self.data + COUNT)? != self.count)
    }

    /// Looks for new ones.
    pub fn update(&mut self, file: &mut JournalFile) -> io::Result<()> {
        let count = file.fresh(self.data + COUNT)?;
        file.refresh();
        self.first = file.fresh(self.data + FIRST)?;
        while self.room() < count {
            let at = self.arrays.last().map_or(self.data + ARRAY, |last| last.offset + NEXT);
            let offset = forward(self.arrays.last().map_or(0, |last| last.offset), file.fresh(at)?)?;
            if offset == 0 {
                break;
            }
            let size = file.object(offset, ENTRY_ARRAY)?;
            let room = size.saturating_sub(ITEMS) / file.item_size();
            if room == 0 {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a list of entries is damaged"));
            }
            self.arrays.push(Array { offset, begin: self.room(), room });
        }
        self.count = count.min(self.room());
        Ok(())
    }

    /// Entries that there is room for in what is known: the first one has no array.
    fn room(&self) -> u64 {
        self.arrays.last().map_or(1, |last| last.begin.saturating_add(last.room))
    }

    /// The offset of an entry; 0: it is not there.
    pub fn offset(&self, file: &mut JournalFile, number: u64) -> io::Result<u64> {
        if number == 0 {
            return Ok(self.first);
        }
        let at = self.arrays.partition_point(|array| array.begin <= number);
        let Some(array) = at.checked_sub(1).and_then(|at| self.arrays.get(at)) else { return Ok(0) };
        file.item(array.offset + ITEMS + (number - array.begin) * file.item_size())
    }
}
