//! The reader: the entries of one container, from the oldest file to the one being written.
//!
//! Files are known by their inodes, so one that journald renames when it is full is read on to its end; new ones are looked
//! for while following. It waits by sleeping, ever longer up to 50 ms: inotify instances are few.

use crate::control::synchronize;
use crate::entry::Entry;
use crate::error::{JournaldError, Result};
use crate::journal::JournalFile;
use crate::places::Places;
use crate::view::View;
use gantry_plugin_api::host::Host;
use gantry_plugin_api::log::{Emit, LogContainer, LogReader, LogRecord, ReadQuery, ReadState, Stream};
use std::collections::{HashMap, HashSet};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Shortest and longest sleep between two looks at the files.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(50);
/// New files are looked for so often.
const LOOK: Duration = Duration::from_millis(100);
/// So often at most in a row, should each look find another one.
const MOST_LOOKS: u32 = 16;
/// How long journald may take to write down what it has received; a busy one on a slow disk takes seconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// Records and bytes handed over at once.
const BATCH: usize = 1024;
const BATCH_BYTES: usize = 4 << 20;
/// A record is never younger than its entry, but clocks are set: a file is left out when its last entry is this much older
/// than `since`, microseconds.
const CLOCK_SLACK: u64 = 600_000_000;
/// So many things that cannot be read are told one by one.
const MOST_WARNINGS: u32 = 16;

/// The reader of one container.
pub struct Reader {
    places: Places,
    host: Host,
    field: Vec<u8>,
    owner: Option<u32>,
    follow: bool,
    since: u64,
    until: u64,
    /// The files, by the time of the container's first entry.
    views: Vec<View>,
    /// Files that are not read: too old, or no journals.
    refused: HashSet<(PathBuf, u64)>,
    /// By logger: the last record handed over.
    last: HashMap<u64, u64>,
    /// By stream: what goes on with a line that began before the tail is left out.
    inside: [bool; 2],
    sequence: u64,
    warnings: u32,
    sleep: Duration,
    looked: Instant,
}

impl Reader {
    /// Opens the files and finds where to begin.
    pub fn open(places: Places, container: &LogContainer, query: ReadQuery, host: Host) -> Result<Reader> {
        // Refused to all but the superuser; then the last records may come a little later.
        let synchronized = synchronize(&places, PATIENCE);
        let owner = std::fs::metadata(&container.dir).ok().map(|meta| meta.uid());
        let mut reader = Reader {
            places,
            host,
            field: format!("CONTAINER_ID_FULL={}", container.id).into_bytes(),
            owner,
            follow: query.follow,
            since: query.since_ns,
            until: if query.until_ns == 0 { u64::MAX } else { query.until_ns },
            views: Vec::new(),
            refused: HashSet::new(),
            last: HashMap::new(),
            inside: [false; 2],
            sequence: 0,
            warnings: 0,
            sleep: SHORTEST,
            looked: Instant::now(),
        };
        if synchronized.is_err_and(|error| matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut))
        {
            let seconds = PATIENCE.as_secs();
            reader.warn(&format!(
                "journald did not write out its newest entries within {seconds} s: the last may be missing"
            ));
        }
        let denied = reader.find_files();
        if let Some(error) = denied.filter(|_| reader.views.is_empty()) {
            return Err(error);
        }
        let (since, until) = (reader.since, reader.until);
        reader.views.iter_mut().for_each(|view| view.narrow(since, until));
        if let Some(lines) = query.tail {
            reader.cut(lines);
        }
        Ok(reader)
    }

    /// Opens the files not seen yet; answers the last that we may not read.
    fn find_files(&mut self) -> Option<JournaldError> {
        self.looked = Instant::now();
        let (mut found, mut denied) = (Vec::new(), None);
        // A file that was renamed meanwhile is not in the list, but its successor may be, under the same name.
        for _ in 0..MOST_LOOKS {
            if !self.open_new(&mut found, &mut denied) {
                break;
            }
        }
        if !found.is_empty() {
            self.views.extend(found);
            // What was written to the others before a new one was there comes before all of that one.
            self.look_for_entries();
            self.views.sort_by_key(|view| view.first_us);
        }
        denied
    }

    /// Opens those in the directories that are not among the views or `found`; false when there are none.
    fn open_new(&mut self, found: &mut Vec<View>, denied: &mut Option<JournaldError>) -> bool {
        let known = found.len();
        for path in self.places.files() {
            let Ok(meta) = std::fs::metadata(&path) else { continue };
            let (identity, refused) = ((meta.dev(), meta.ino()), (path, meta.ino()));
            let is_open = |view: &View| view.file.identity == identity;
            if self.views.iter().chain(found.iter()).any(is_open) || self.refused.contains(&refused) {
                continue;
            }
            match self.open_file(&refused.0) {
                Ok(Some(view)) => found.push(view),
                Ok(None) => drop(self.refused.insert(refused)),
                // Just being made, or just renamed: the next look finds it.
                Err(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound) => {}
                // Journals of other users lie beside ours.
                Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
                    *denied = Some(JournaldError::Read { path: refused.0.clone(), source });
                    self.refused.insert(refused);
                }
                Err(error) => {
                    self.warn(&format!("cannot read journal {}: {error}", refused.0.display()));
                    self.refused.insert(refused);
                }
            }
        }
        found.len() > known
    }

    /// Opens a file, unless all in it is older than what is wanted.
    fn open_file(&self, path: &Path) -> io::Result<Option<View>> {
        let file = JournalFile::open(path)?;
        if file.last_realtime_us()?.saturating_add(CLOCK_SLACK) < self.since / 1000 && !file.is_online() {
            return Ok(None);
        }
        View::open(file, &self.field, self.owner).map(Some)
    }

    /// Begins where the last `lines` lines begin.
    fn cut(&mut self, lines: u64) {
        let (mut left, mut first) = (lines, HashMap::new());
        for place in (0..self.views.len()).rev() {
            let begin = self.views[place].next;
            self.views[place].next = self.views[place].end;
            while left > 0 && self.views[place].next > begin {
                self.views[place].next -= 1;
                left -= u64::from(self.begins_line(place, &mut first));
            }
        }
        self.inside = [left == 0 && lines > 0; 2];
    }

    /// Whether the next entry of a file begins a line that counts. Going backwards, a repetition comes before its original.
    fn begins_line(&mut self, place: usize, first: &mut HashMap<u64, u64>) -> bool {
        let view = &mut self.views[place];
        let Ok(Some(entry)) = view.entry(view.next, false) else { return false };
        if !self.is_wanted(&entry) || !entry.begins_line() {
            return false;
        }
        let (logger, ordinal) = entry.place;
        if logger == 0 {
            return true;
        }
        let lowest = first.entry(logger).or_insert(u64::MAX);
        let counts = ordinal < *lowest;
        *lowest = ordinal.min(*lowest);
        counts
    }

    fn is_wanted(&self, entry: &Entry) -> bool {
        entry.stream.is_some() && !entry.foreign && (self.since..=self.until).contains(&entry.time)
    }

    /// Hands over what there is, at most `max` records; answers how many.
    fn deliver(&mut self, max: usize, emit: &mut Emit<'_>) -> usize {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for place in 0..self.views.len() {
            while batch.len() < max.min(BATCH) && bytes < BATCH_BYTES && self.views[place].next < self.views[place].end
            {
                let Some(entry) = self.take(place) else { continue };
                bytes += entry.message.len();
                batch.push(entry);
            }
        }
        self.hand_over(&batch, emit);
        batch.len()
    }

    /// The next entry of a file, when it is wanted.
    fn take(&mut self, place: usize) -> Option<Entry> {
        let view = &mut self.views[place];
        let outcome = view.entry(view.next, true);
        view.next += 1;
        match outcome {
            Ok(entry) => entry.filter(|entry| self.is_wanted(entry) && self.is_new(entry) && self.is_behind_cut(entry)),
            Err(error) => {
                let path = self.views[place].file.path.display().to_string();
                self.host.count("undecodable_records", 1);
                self.warn(&format!("skipped an entry that cannot be read in journal {path}: {error}"));
                None
            }
        }
    }

    /// False for a repetition.
    fn is_new(&mut self, entry: &Entry) -> bool {
        let (logger, ordinal) = entry.place;
        if logger == 0 {
            return true;
        }
        let last = self.last.entry(logger).or_insert(0);
        let new = ordinal > *last;
        *last = ordinal.max(*last);
        new
    }

    fn is_behind_cut(&mut self, entry: &Entry) -> bool {
        let inside = &mut self.inside[usize::from(entry.stream == Some(Stream::STDERR))];
        *inside &= !entry.begins_line();
        !*inside
    }

    fn hand_over(&mut self, batch: &[Entry], emit: &mut Emit<'_>) {
        for part in batch.chunk_by(|a, b| a.attributes == b.attributes) {
            let records: Vec<LogRecord<'_>> = part.iter().zip(self.sequence + 1..).map(|(e, n)| e.record(n)).collect();
            self.sequence += records.len() as u64;
            let attributes: Vec<(String, String)> = part[0].attributes.iter().map(Arc::as_ref).cloned().collect();
            emit(&records, &attributes);
        }
    }

    /// Looks for new entries and new files.
    fn look(&mut self) {
        let look_for_files = self.looked.elapsed() >= LOOK;
        self.views.retain(|view| view.next < view.end || !look_for_files || view.file.is_named());
        self.look_for_entries();
        if look_for_files {
            self.find_files();
        }
    }

    fn look_for_entries(&mut self) {
        for place in 0..self.views.len() {
            if let Err(error) = self.views[place].look() {
                let path = self.views[place].file.path.display().to_string();
                self.warn(&format!("cannot read journal {path}: {error}"));
            }
        }
    }

    fn warn(&mut self, message: &str) {
        self.warnings += 1;
        if self.warnings < MOST_WARNINGS {
            self.host.warn(message);
        } else if self.warnings == MOST_WARNINGS {
            self.host.warn(&format!("{message}; more are not told"));
        }
    }
}

impl LogReader for Reader {
    fn next(&mut self, max: u32, wait_ms: u32, emit: &mut Emit<'_>) -> gantry_plugin_api::Result<ReadState> {
        let deadline = Instant::now() + Duration::from_millis(u64::from(wait_ms));
        loop {
            if self.deliver(max.max(1) as usize, emit) > 0 {
                self.sleep = SHORTEST;
                return Ok(ReadState::MORE);
            }
            if !self.follow {
                return Ok(ReadState::END);
            }
            self.look();
            let left = deadline.saturating_duration_since(Instant::now());
            if self.views.iter().any(|view| view.next < view.end) {
                continue;
            }
            if left.is_zero() {
                return Ok(ReadState::IDLE);
            }
            thread::sleep(self.sleep.min(left));
            self.sleep = (self.sleep * 2).min(LONGEST);
        }
    }
}
