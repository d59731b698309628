//! The reader: from the oldest file to the current one, and on from there when following.
//!
//! It holds every file it has not read by its descriptor, and looks for newer ones whenever it needs more bytes, so that a
//! rotation takes nothing away from it. It waits by sleeping, ever longer up to 50 ms: inotify instances are few.

use super::chain::{self, Newer};
use super::error::{Context, LogFileError, Result};
use super::files::Files;
use super::format::Decoder;
use super::resume::whole_size;
use super::rotate::Limits;
use super::seek;
use super::source::Source;
use super::tail::{self, Gate};
use super::view::View;
use super::window::Window;
use gantry_plugin_api::host::Host;
use gantry_plugin_api::log::{Emit, LogReader, ReadQuery, ReadState};
use std::collections::VecDeque;
use std::thread;
use std::time::{Duration, Instant};

/// Shortest and longest sleep between two looks at the file.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(50);
/// A slow follower looks for newer files at least so often.
const LOOK: Duration = Duration::from_millis(2);
/// Bytes and number of files beyond `max-file` that a slow follower keeps from being freed.
const MOST_BYTES: u64 = 64 << 20;
const MOST_FILES: usize = 256;
/// A file compressed earlier than this before `since` is not looked into, nanoseconds.
const SLACK: u64 = 1_000_000_000;

/// The reader of one container.
pub struct Reader<D> {
    host: Host,
    files: Files,
    follow: bool,
    max_file: usize,
    /// Files not read yet, the one being read first.
    sources: VecDeque<Source>,
    window: Window,
    view: View<D>,
    sleep: Duration,
    looked: Instant,
}

impl<D: Decoder> Reader<D> {
    /// Opens all files and finds where to begin.
    pub fn open(files: Files, limits: &Limits, query: ReadQuery, host: Host) -> Result<Reader<D>> {
        let sources = chain::open_all(&files)?;
        let mut reader = Reader {
            view: View::new(&query, host.clone()),
            host,
            files,
            follow: query.follow,
            max_file: limits.max_file as usize,
            sources,
            window: Window::at(0),
            sleep: SHORTEST,
            looked: Instant::now(),
        };
        reader.find_begin(&query)?;
        Ok(reader)
    }

    fn find_begin(&mut self, query: &ReadQuery) -> Result<()> {
        let end = self.find_limits(query)?;
        if let Some(lines) = query.tail {
            let times = self.view.times();
            let gate = tail::plan::<D>(&mut self.sources, lines, times, end)?;
            self.apply(gate);
        }
        if let Some(last) = self.sources.back_mut().filter(|_| self.follow) {
            last.limit = u64::MAX;
        }
        self.enter();
        Ok(())
    }

    /// Narrows every file to the part that `since` and `until` can want; answers the end of the log.
    fn find_limits(&mut self, query: &ReadQuery) -> Result<(u64, u64)> {
        let old = |source: &Source| {
            let last_time = source.extra.and_then(|extra| extra.last_time);
            last_time.is_some_and(|time| time.saturating_add(SLACK) < query.since_ns)
        };
        self.sources.retain(|source| !old(source));
        let mut end = (0, 0);
        for source in &mut self.sources {
            if source.is_compressed() {
                end = (source.generation, u64::MAX);
                continue;
            }
            let size = source.size();
            let path = source.path.clone();
            let size = whole_size::<D>(source.file(), size).context(LogFileError::read, &path)?;
            end = (source.generation, size);
            limit::<D>(source, size, query).context(LogFileError::read, &path)?;
        }
        Ok(end)
    }

    fn apply(&mut self, gate: Gate) {
        self.view.set_gate(gate);
        let (generation, offset) = gate.begin;
        while self.sources.len() > 1 && self.sources.front().is_some_and(|source| source.generation < generation) {
            self.sources.pop_front();
        }
        if let Some(first) = self.sources.front_mut().filter(|first| first.generation == generation) {
            first.from = first.from.max(offset);
        }
    }

    /// Begins to read the first source.
    fn enter(&mut self) {
        let Some(source) = self.sources.front() else { return };
        self.view.enter(source.generation);
        // A compressed file is always read from its start; the gate holds back what is not wanted.
        self.window.move_to(if source.is_compressed() { 0 } else { source.from });
    }

    /// Delivers records until there are some; 0: there are none now.
    fn deliver(&mut self, max: usize, emit: &mut Emit<'_>) -> Result<usize> {
        if self.follow && (self.sources.is_empty() || self.looked.elapsed() > LOOK) {
            self.look()?;
        }
        while let Some(source) = self.sources.front() {
            let offset = self.window.offset();
            let progress = self.view.deliver(self.window.unread(), offset, &source.path, max, emit);
            self.window.consume(progress.consumed);
            if progress.records > 0 {
                return Ok(progress.records);
            }
            if self.follow {
                self.look()?;
            }
            if !self.fill()?
                && let Some(records) = self.end_of_source(emit)
            {
                return Ok(records);
            }
        }
        Ok(0)
    }

    /// Reads more of the first source; false at its end.
    fn fill(&mut self) -> Result<bool> {
        let Some(source) = self.sources.front_mut() else { return Ok(false) };
        match self.window.fill::<D>(source) {
            Ok(length) => Ok(length > 0),
            Err(error) if source.is_compressed() => {
                self.host.warn(&format!("log file {} is damaged: {error}; going on behind it", source.path.display()));
                self.window.move_to(self.window.offset());
                Ok(false)
            }
            Err(error) => Err(LogFileError::read(source.path.clone(), error)),
        }
    }

    /// The first source has no more bytes. `Some`: nothing more to do now, so many records were delivered.
    fn end_of_source(&mut self, emit: &mut Emit<'_>) -> Option<usize> {
        let last = self.sources.len() == 1;
        if last && self.follow {
            return if self.stay() { Some(0) } else { None };
        }
        let records = self.deliver_rest(last, emit);
        self.sources.pop_front();
        self.enter();
        (records > 0 || last).then_some(records)
    }

    /// What is no whole record at the end: in the current file it may just be being written.
    fn deliver_rest(&mut self, current: bool, emit: &mut Emit<'_>) -> usize {
        let Some(source) = self.sources.front() else { return 0 };
        let (offset, mut rest) = (self.window.offset(), self.window.unread().to_vec());
        let cut_short = !source.is_compressed() && source.limit < source.size();
        if rest.is_empty() || cut_short {
            return 0;
        }
        if let Some(lacking) = D::lacking(&rest) {
            rest.extend_from_slice(&lacking);
            return self.view.deliver(&mut rest, offset, &source.path, usize::MAX, emit).records;
        }
        if !current {
            self.view.tell_damaged(&source.path, offset);
        }
        0
    }

    /// At the end of the file that is written to. The start of a record is read again with its rest: until then the writer
    /// may still take it back. Answers false when there is more to read all the same.
    fn stay(&mut self) -> bool {
        let Some(source) = self.sources.front() else { return true };
        let offset = self.window.offset();
        let emptied = source.size() < offset;
        if emptied {
            self.host.warn(&format!("log file {} was emptied; reading it from its start", source.path.display()));
        }
        self.window.move_to(if emptied { 0 } else { offset });
        !emptied
    }

    /// Opens every file that is newer than those known.
    fn look(&mut self) -> Result<()> {
        self.looked = Instant::now();
        while self.may_hold_more() {
            let Some(newest) = self.sources.back() else {
                self.sources = chain::open_all(&self.files)?;
                self.enter();
                return Ok(());
            };
            if chain::is_current(&self.files, newest) {
                break;
            }
            match chain::newer(&self.files, newest)? {
                Newer::Found(source) => self.sources.push_back(*source),
                Newer::Newest => break,
                Newer::Lost => return self.catch_up(newest.generation),
            }
        }
        Ok(())
    }

    fn may_hold_more(&self) -> bool {
        let count = self.sources.len();
        let bytes = || self.sources.iter().map(Source::size).sum::<u64>();
        count <= self.max_file + 1 || (count < MOST_FILES && bytes() < MOST_BYTES)
    }

    /// The newest file known was deleted. The current one is newer for certain; of the others their generation tells.
    fn catch_up(&mut self, generation: u64) -> Result<()> {
        let mut newer = chain::open_all(&self.files)?;
        let current = newer.pop_back_if(|newest| newest.path == self.files.current());
        newer.retain(|source| source.generation > generation);
        if let Some(mut current) = current {
            current.generation = current.generation.max(generation + 1);
            newer.push_back(current);
        }
        let missed = newer.front().map_or(0, |oldest| oldest.generation - generation - 1);
        if missed > 0 {
            self.host.warn(&format!("{missed} files of log {} were deleted unread", self.files.current().display()));
            self.host.count("follow_missed_files", missed);
        }
        self.sources.extend(newer);
        Ok(())
    }
}

/// Sets where reading begins and ends.
fn limit<D: Decoder>(source: &mut Source, size: u64, query: &ReadQuery) -> std::io::Result<()> {
    if query.since_ns > 0 {
        source.from = seek::begin::<D>(source, size, query.since_ns)?;
    }
    source.limit = if query.until_ns > 0 { seek::end::<D>(source, size, query.until_ns)? } else { source.size() };
    Ok(())
}

impl<D: Decoder> LogReader for Reader<D> {
    fn next(&mut self, max: u32, wait_ms: u32, emit: &mut Emit<'_>) -> gantry_plugin_api::Result<ReadState> {
        let deadline = Instant::now() + Duration::from_millis(u64::from(wait_ms));
        loop {
            if self.deliver(max.max(1) as usize, emit)? > 0 {
                self.sleep = SHORTEST;
                return Ok(ReadState::MORE);
            }
            if !self.follow {
                return Ok(ReadState::END);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(ReadState::IDLE);
            }
            thread::sleep(self.sleep.min(left));
            self.sleep = (self.sleep * 2).min(LONGEST);
        }
    }
}
