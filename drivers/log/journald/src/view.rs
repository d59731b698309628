//! The entries of one container in one file.

use crate::entry::{Decoder, Entry};
use crate::journal::{Entries, JournalFile};
use std::io;

/// Entries within so many may be out of order: later pieces of a line carry the time of its first, spooled records come
/// late, and clocks are set back.
const SLACK: u64 = 512;

/// See the module.
pub struct View {
    /// The file.
    pub file: JournalFile,
    /// The entry that is read next.
    pub next: u64,
    /// Where reading ends for now.
    pub end: u64,
    /// When journald took the first one, microseconds; the end of time while there is none.
    pub first_us: u64,
    field: Vec<u8>,
    entries: Option<Entries>,
    decoder: Decoder,
    /// Entries of anyone in the file at the last look that found none of ours.
    seen: u64,
}

impl View {
    /// The entries that have `field`, written by `owner`.
    pub fn open(file: JournalFile, field: &[u8], owner: Option<u32>) -> io::Result<View> {
        let (decoder, field) = (Decoder::new(owner), field.to_vec());
        let mut view = View { file, next: 0, end: 0, first_us: u64::MAX, field, entries: None, decoder, seen: 0 };
        view.look()?;
        Ok(view)
    }

    /// Looks for new entries.
    pub fn look(&mut self) -> io::Result<()> {
        match &mut self.entries {
            // The file's own count is no sign: journald counts an entry there before it is found by its fields.
            Some(entries) if !entries.have_grown(&self.file)? => return Ok(()),
            Some(entries) => entries.update(&mut self.file)?,
            None => {
                let count = self.file.count()?;
                if count == self.seen {
                    return Ok(());
                }
                self.seen = count;
                self.file.refresh();
                self.entries = Entries::find(&mut self.file, &self.field)?;
            }
        }
        self.end = self.entries.as_ref().map_or(0, Entries::count);
        if self.first_us == u64::MAX && self.end > 0 {
            self.first_us = self.first()?;
        }
        Ok(())
    }

    fn first(&mut self) -> io::Result<u64> {
        let Some(entries) = &self.entries else { return Ok(u64::MAX) };
        let offset = entries.offset(&mut self.file, 0)?;
        self.file.entry(offset).map(|head| head.realtime_us)
    }

    /// One entry. `None`: it is not there yet.
    pub fn entry(&mut self, number: u64, message: bool) -> io::Result<Option<Entry>> {
        let Some(entries) = &self.entries else { return Ok(None) };
        let offset = entries.offset(&mut self.file, number)?;
        if offset == 0 {
            return Ok(None);
        }
        let head = self.file.entry(offset)?;
        self.decoder.decode(&mut self.file, &head, message).map(Some)
    }

    /// Leaves out what is certainly before `since` or after `until`.
    pub fn narrow(&mut self, since: u64, until: u64) {
        if since > 0 {
            self.next = self.bisect(|time| time < since).saturating_sub(SLACK);
        }
        if until < u64::MAX {
            self.end = self.bisect(|time| time <= until).saturating_add(SLACK).min(self.end);
        }
    }

    /// The number of the first entry for which `before` does not hold; one that cannot be read counts as later.
    fn bisect(&mut self, before: impl Fn(u64) -> bool) -> u64 {
        let (mut low, mut high) = (0, self.end);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.entry(middle, false) {
                Ok(Some(entry)) if before(entry.time) => low = middle + 1,
                _ => high = middle,
            }
        }
        low
    }
}
