//! The last lines: reads backwards from the end, a block at a time, until enough lines have begun.
//!
//! A line may consist of several records between which the other stream's stand, and may begin in an older file; a record
//! begins a line when the record before it on its stream does not go on with it.

use super::error::{Context, LogFileError, Result};
use super::format::{Decoder, Found, Record, Start};
use super::join::{Joiner, index};
use super::source::Source;
use super::window::Window;
use gantry_plugin_api::log::Stream;
use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;

/// Bytes read at a time.
const BLOCK: u64 = 256 * 1024;
/// A block in which no record starts grows to this; what is longer is no record.
const LARGEST: u64 = 64 << 20;
/// How far back the beginning of a line is looked for when its stream was silent since.
const LOOK_BACK: u64 = 4 << 20;

/// A place in the log: generation and offset.
pub type Place = (u64, u64);

/// Which records the tail lets through.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Gate {
    /// Nothing before this place matters.
    pub begin: Place,
    /// By stream: where its first line begins. What comes earlier goes on with a line that is not wanted.
    pub streams: [Place; 2],
}

/// What the tail has to know of a record.
#[derive(Clone, Copy, Debug)]
struct Seen {
    place: Place,
    time: u64,
    stream: Stream,
    /// The line goes on with the stream's next record of the same time.
    open: bool,
    /// The record says itself whether it begins a line.
    begins: Option<bool>,
}

impl Seen {
    fn of<B>(record: &Record<B>, place: Place) -> Seen {
        let begins = record.piece.map(|piece| piece.ordinal <= 1);
        Seen { place, time: record.time, stream: record.stream, open: record.is_open(), begins }
    }
}

/// Finds the last `lines` lines with a time in `times`; `end` is the end of the log.
pub fn plan<D: Decoder>(
    sources: &mut VecDeque<Source>,
    lines: u64,
    times: std::ops::RangeInclusive<u64>,
    end: Place,
) -> Result<Gate> {
    let mut search = Search { lines: usize::try_from(lines).unwrap_or(usize::MAX), ..Search::default() };
    for source in sources.iter_mut().rev() {
        if search.is_done() {
            break;
        }
        let mut visit = |seen: Seen| {
            if times.contains(&seen.time) {
                search.visit_older(seen);
            }
            if search.is_done() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        if !source.is_compressed() {
            scan_back::<D>(source.file(), source.generation, source.from, source.limit.min(source.size()), &mut visit)
                .context(LogFileError::read, &source.path)?;
            continue;
        }
        search.take_compressed::<D>(source, &times);
    }
    Ok(search.gate(end))
}

#[derive(Default)]
struct Search {
    lines: usize,
    /// Beginnings of lines, the latest `lines` of them.
    begun: BTreeSet<(Place, usize)>,
    /// By stream: the earliest record seen, when it is not known yet whether it begins a line, and how many bytes had
    /// been visited then.
    unclear: [Option<(Seen, u64)>; 2],
    visited: u64,
    last_offset: Option<Place>,
}

impl Search {
    fn visit_older(&mut self, seen: Seen) {
        self.count_visited(seen.place);
        if let Some((later, _)) = self.unclear[index(seen.stream)].take()
            && !(seen.open && seen.time == later.time)
        {
            self.begin(later);
        }
        match seen.begins {
            Some(true) => self.begin(seen),
            Some(false) => {}
            None => self.unclear[index(seen.stream)] = Some((seen, self.visited)),
        }
        self.give_up_looking();
    }

    fn count_visited(&mut self, place: Place) {
        let before = self.last_offset.replace(place);
        self.visited += before.map_or(
            0,
            |(generation, offset)| {
                if generation == place.0 { offset.saturating_sub(place.1) } else { 0 }
            },
        );
    }

    /// The other stream may be silent for gigabytes.
    fn give_up_looking(&mut self) {
        for stream in 0..2 {
            if let Some((seen, at)) = self.unclear[stream]
                && self.visited - at > LOOK_BACK
            {
                self.unclear[stream] = None;
                self.begin(seen);
            }
        }
    }

    fn begin(&mut self, seen: Seen) {
        self.begun.insert((seen.place, index(seen.stream)));
        if self.begun.len() > self.lines {
            self.begun.pop_first();
        }
    }

    /// Enough lines, and none of the unclear records could be a later one.
    fn is_done(&self) -> bool {
        let Some((first, _)) = self.begun.first() else { return self.lines == 0 };
        self.begun.len() == self.lines && self.unclear.iter().flatten().all(|(seen, _)| seen.place < *first)
    }

    /// A compressed file can only be read forwards. One that is damaged ends there, as it does for the reader.
    fn take_compressed<D: Decoder>(&mut self, source: &mut Source, times: &std::ops::RangeInclusive<u64>) {
        let newer = std::mem::take(&mut self.unclear);
        let mut joiner = Joiner::default();
        let mut known = [false; 2];
        // A damaged file is told of when it is read.
        let _ = scan_forward::<D>(source, &mut joiner, |seen, begins| {
            if !times.contains(&seen.time) {
                return;
            }
            let first = !std::mem::replace(&mut known[index(seen.stream)], true);
            if first && seen.begins.is_none() {
                self.unclear[index(seen.stream)] = Some((seen, self.visited));
            } else if begins {
                self.begin(seen);
            }
        });
        source.rewind();
        for (later, at) in newer.into_iter().flatten() {
            if !known[index(later.stream)] {
                self.unclear[index(later.stream)] = Some((later, at));
            } else if !joiner.continues(later.stream, later.time) {
                self.begin(later);
            }
        }
    }

    fn gate(mut self, end: Place) -> Gate {
        if self.lines == 0 {
            return Gate { begin: end, streams: [end; 2] };
        }
        for (seen, _) in std::mem::take(&mut self.unclear).into_iter().flatten() {
            self.begin(seen);
        }
        if self.begun.len() < self.lines {
            return Gate::default();
        }
        let begin = self.begun.first().map_or(end, |(place, _)| *place);
        let first = |stream| self.begun.iter().find(|(_, of)| *of == stream).map_or(end, |(place, _)| *place);
        Gate { begin, streams: [first(0), first(1)] }
    }
}

/// Visits the records of a plain file from `to` back to `from`, both starts of records.
fn scan_back<D: Decoder>(
    file: &File,
    generation: u64,
    from: u64,
    to: u64,
    visit: &mut dyn FnMut(Seen) -> ControlFlow<()>,
) -> io::Result<()> {
    let (mut end, mut size) = (to, BLOCK);
    while end > from {
        let start = end.saturating_sub(size).max(from);
        let mut block = read_block(file, start, end)?;
        let first = if start == from { Some(0) } else { first_start::<D>(&block) };
        match first.filter(|first| *first < block.len()) {
            Some(first) => {
                end = start + first as u64;
                let seen = records::<D>(&mut block[first..], (generation, end));
                if seen.into_iter().rev().try_for_each(&mut *visit).is_break() {
                    return Ok(());
                }
                size = BLOCK;
            }
            None if size < LARGEST && start > from => size *= 2,
            None => end = start,
        }
    }
    Ok(())
}

fn first_start<D: Decoder>(block: &[u8]) -> Option<usize> {
    match D::start(block) {
        Start::At(first) => Some(first),
        Start::Behind(_) => None,
    }
}

pub(super) fn read_block(file: &File, start: u64, end: u64) -> io::Result<Vec<u8>> {
    let mut block = vec![0; (end - start) as usize];
    let mut length = 0;
    while length < block.len() {
        match file.read_at(&mut block[length..], start + length as u64)? {
            0 => break,
            more => length += more,
        }
    }
    block.truncate(length);
    Ok(block)
}

/// The records in a block that starts with one.
fn records<D: Decoder>(mut text: &mut [u8], place: Place) -> Vec<Seen> {
    let (mut found, mut offset, mut decoder) = (Vec::new(), place.1, D::default());
    loop {
        let length = match decoder.next(text) {
            Found::Record(record) => {
                found.push(Seen::of(&record, (place.0, offset)));
                record.end
            }
            Found::Damaged(length) => length,
            Found::Torn => return found,
        };
        text = &mut text[length..];
        offset += length as u64;
    }
}

/// Visits the records of any file from its start, with whether each begins a line.
fn scan_forward<D: Decoder>(
    source: &mut Source,
    joiner: &mut Joiner,
    mut visit: impl FnMut(Seen, bool),
) -> io::Result<()> {
    let (mut window, mut decoder) = (Window::at(0), D::default());
    while window.fill::<D>(source)? > 0 {
        loop {
            let place = (source.generation, window.offset());
            let length = match decoder.next(window.unread()) {
                Found::Record(record) => {
                    visit(Seen::of(&record, place), joiner.place(&record).begins_line());
                    record.end
                }
                Found::Damaged(length) => length,
                Found::Torn => break,
            };
            window.consume(length);
        }
    }
    Ok(())
}

/// The time of the last record of a plain file.
pub fn last_time<D: Decoder>(file: &File) -> io::Result<Option<u64>> {
    let mut last = None;
    let mut visit = |seen: Seen| {
        last = Some(seen.time);
        ControlFlow::Break(())
    };
    scan_back::<D>(file, 0, 0, file.metadata()?.len(), &mut visit)?;
    Ok(last)
}
