//! The thread of one sink: opens it, writes batches, notes what is stored.

use super::queue::{Hole, Piece};
use super::record::{LogRecord, ResumeToken, Stream};
use super::sink::{BATCH, Health, Shared, Sink, Work};
use super::spool::{Batch, Read};
use crate::clock;
use crate::launch::{Launch, SinkSpec};
use crate::note::note;
use crate::state::{Commit, Reason, StateFile};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const STACK: usize = 512 * 1024;
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(10);

/// A sink that takes a batch more slowly than this gets smaller ones: it shows that it moves, and a kill repeats less …
const SLOW: Duration = Duration::from_millis(250);
/// … as small as this …
const SMALLEST: usize = 16;
/// … and larger ones when it takes them as fast as this.
const FAST: Duration = Duration::from_millis(50);

/// Why a driver did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub text: String,
    /// What it writes to cannot be reached: the same may work later.
    pub again: bool,
    /// It is there, but took nothing for as long as the driver waits.
    pub slow: bool,
}

impl From<String> for Fault {
    fn from(text: String) -> Fault {
        Fault { text, again: false, slow: false }
    }
}

/// An open log driver.
pub trait LogSink: Send {
    /// Stores a batch in order, all of it or an error.
    fn write(&mut self, batch: &[LogRecord<'_>]) -> Result<ResumeToken, Fault>;
    /// New files.
    fn reopen(&mut self) -> Result<(), String>;
    /// Flushes; the last call.
    fn close(&mut self) -> Result<(), String>;
}

/// A driver just opened.
pub struct Opened {
    pub sink: Box<dyn LogSink>,
    /// Records it holds beyond the token.
    pub beyond: u64,
}

/// Where log drivers come from.
pub trait Drivers: Send + Sync {
    /// Opens a sink of the container. Runs on a thread of the sink's.
    fn open(&self, launch: &Launch, spec: &SinkSpec, resume: Option<&ResumeToken>) -> Result<Opened, String>;

    /// What a driver counts itself.
    fn metrics(&self, _driver: &str) -> BTreeMap<String, i64> {
        BTreeMap::new()
    }

    /// A call of a driver is waited for no longer.
    fn gave_up(&self, _driver: &str, _call: &str) {}

    /// From now on what drivers warn of goes into the supervisor's log.
    fn tell_warnings(&self, _state_dir: &Path) {}
}

/// Starts the thread; `after`: a sink of before that must have closed what this one opens.
pub fn start(
    sink: &Sink,
    after: Option<Arc<Shared>>,
    drivers: &Arc<dyn Drivers>,
    launch: &Arc<Launch>,
    state: &StateFile,
) -> io::Result<()> {
    let (shared, spec) = (sink.shared().clone(), sink.spec.clone());
    let name = format!("log-{}", spec.driver.chars().take(11).collect::<String>());
    let (drivers, launch, state) = (drivers.clone(), launch.clone(), state.clone());
    let writer =
        Writer { shared, spec, drivers, launch, state, sink: None, skip: 0, retry: Retry::new(), batch: BATCH };
    let work = move || {
        after.iter().for_each(|before| before.await_end());
        writer.run();
    };
    thread::Builder::new().name(name).stack_size(STACK).spawn(work)?;
    Ok(())
}

struct Writer {
    shared: Arc<Shared>,
    spec: SinkSpec,
    drivers: Arc<dyn Drivers>,
    launch: Arc<Launch>,
    state: StateFile,
    sink: Option<Box<dyn LogSink>>,
    /// Records up to this one are stored already.
    skip: u64,
    retry: Retry,
    /// Records of the next call.
    batch: usize,
}

/// When a sink that is down is tried again, ever less often.
struct Retry {
    at: Instant,
    pause: Duration,
}

impl Retry {
    fn new() -> Retry {
        Retry { at: Instant::now(), pause: FIRST_RETRY }
    }

    /// One that was waited for in vain has had its pause.
    fn failed(&mut self, slow: bool) {
        self.at = Instant::now() + if slow { FIRST_RETRY } else { self.pause };
        self.pause = (self.pause * 2).min(LAST_RETRY);
    }
}

/// By which a crash is told.
fn name_of(slot: usize) -> u8 {
    slot as u8 + 1
}

/// Says so when the thread ends by a panic.
struct Ends<'a>(&'a Shared);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.set_health(Health::Closed, Some("its thread panicked".into()));
        }
    }
}

/// What became of a batch.
enum Outcome {
    Stored([u64; 4]),
    Lost,
    /// The sink is down now.
    Waits,
}

impl Writer {
    fn run(mut self) {
        let shared = self.shared.clone();
        let _ends = Ends(&shared);
        self.open();
        loop {
            match shared.next(self.retry.at) {
                Work::Write(piece) => self.take(piece),
                Work::Lost(hole) => self.lose(hole, false),
                Work::Replay(read) => self.replay(&read),
                Work::Reopen => self.reopen(),
                Work::Retry => self.retry(),
                Work::Close => return self.close(),
            }
        }
    }

    /// A driver's code runs, and both we and the keeper know it.
    fn inside<T>(&mut self, act: impl FnOnce(&mut Writer) -> T) -> T {
        let slot = self.spec.slot;
        let _ = self.state.set_busy(slot, true);
        gantry_sys::crash::runs_as(name_of(slot));
        self.shared.activity().begin();
        let result = act(self);
        self.shared.activity().end();
        gantry_sys::crash::runs_as(0);
        let _ = self.state.set_busy(slot, false);
        result
    }

    fn open(&mut self) {
        let commit = self.shared.commit();
        let token = commit.written.then_some(ResumeToken(commit.token));
        match self.inside(|w| w.open_aside(token.as_ref())) {
            Ok(Opened { mut sink, beyond }) => {
                self.note_found(sink.as_mut(), &commit, beyond);
                self.sink = Some(sink);
                self.is_up();
            }
            Err(error) => self.is_down(error, false),
        }
    }

    /// Opens on a thread that ends, since loading a plugin leaves a deep stack behind, and an idle container should not.
    fn open_aside(&self, token: Option<&ResumeToken>) -> Result<Opened, String> {
        let (drivers, shared, launch, spec) = (&self.drivers, &self.shared, &self.launch, &self.spec);
        thread::scope(|scope| {
            let opening = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || {
                gantry_sys::crash::runs_as(name_of(spec.slot));
                shared.activity().is_continued_here();
                drivers.open(launch, spec, token)
            });
            let opening = opening.map_err(|error| format!("cannot start a thread: {error}"))?;
            opening.join().unwrap_or_else(|_| Err("it panicked".to_owned()))
        })
    }

    fn retry(&mut self) {
        match self.sink {
            // Its next write tells; the pauses go on growing until it works.
            Some(_) => self.tell(Health::Open, None),
            None => self.open(),
        }
    }

    fn is_up(&mut self) {
        self.retry = Retry::new();
        self.tell(Health::Open, None);
    }

    fn is_down(&mut self, error: String, slow: bool) {
        self.shared.set_slow(slow);
        self.retry.failed(slow);
        self.tell(Health::Down, Some(error));
    }

    /// A line in the supervisor's log for each change; a sink that is tried again has not changed yet.
    fn tell(&self, health: Health, error: Option<String>) {
        let text = error.clone().unwrap_or_default();
        let before = self.shared.last_error();
        let changed = self.shared.set_health(health, error);
        let retrying = self.retry.pause > FIRST_RETRY && (health == Health::Open || text == before);
        if changed && health != Health::Closed && !retrying {
            note(&self.launch.state_dir, &format!("log driver {} is {} {text}", self.spec.driver, health.name()));
        }
    }

    fn take(&mut self, piece: Piece) {
        let done = (self.skip + 1).saturating_sub(piece.first()).min(piece.count()) as usize;
        let start = piece.range.start + done;
        let piece = piece.starting_at(start);
        if piece.is_empty() {
            return self.shared.pass_over();
        }
        self.tell_losses();
        let mut rest = Some(piece);
        while let Some(piece) = rest.take() {
            let to = piece.range.end.min(piece.range.start + self.batch);
            let (records, bytes) = piece.chunk.records(piece.range.start..to);
            let (count, last) = (records.len() as u64, piece.chunk.first + to as u64 - 1);
            let begun = Instant::now();
            let outcome = self.write(&records);
            self.adapt(begun.elapsed());
            drop(records);
            if let Outcome::Waits = outcome {
                return self.shared.give_back(piece);
            }
            // Dropped before the main thread is told: it uses the memory again.
            rest = Some(piece.starting_at(to)).filter(|piece| !piece.is_empty());
            let change = |commit: &mut Commit| settle(commit, &outcome, count, bytes, Some(last));
            self.shared.settle(&self.state, self.spec.slot, rest.clone(), change);
        }
    }

    fn adapt(&mut self, took: Duration) {
        if took > SLOW {
            self.batch = (self.batch / 4).max(SMALLEST);
        } else if took < FAST {
            self.batch = (self.batch * 2).min(BATCH);
        }
    }

    /// A first token is noted before the first record: without one a successor could not tell what is stored.
    fn note_token(&mut self) {
        if let Some(Ok(ResumeToken(token))) = self.inside(|w| w.sink.as_mut().map(|sink| sink.write(&[]))) {
            let note = |commit: &mut Commit| (commit.token, commit.written) = (token, true);
            self.shared.note(&self.state, self.spec.slot, note);
        }
    }

    fn write(&mut self, records: &[LogRecord<'_>]) -> Outcome {
        if !self.shared.commit().written {
            self.note_token();
        }
        match self.inside(|w| w.sink.as_mut().map(|sink| sink.write(records))) {
            Some(Ok(ResumeToken(token))) => {
                if self.retry.pause > FIRST_RETRY {
                    self.retry = Retry::new();
                    note(&self.launch.state_dir, &format!("log driver {} works again", self.spec.driver));
                }
                Outcome::Stored(token)
            }
            Some(Err(fault)) if fault.again => {
                self.is_down(fault.text, fault.slow);
                Outcome::Waits
            }
            Some(Err(fault)) => {
                self.refused(records.len(), fault.text);
                Outcome::Lost
            }
            None => {
                self.is_down("it is not open".to_owned(), false);
                Outcome::Waits
            }
        }
    }

    fn refused(&self, count: usize, error: String) {
        if self.shared.last_error() != error {
            let text = format!("log driver {} refuses records, {count} are dropped: {error}", self.spec.driver);
            note(&self.launch.state_dir, &text);
        }
        self.shared.set_health(Health::Open, Some(error));
    }

    /// Records that were dropped are counted in their place.
    fn lose(&mut self, hole: Hole, earlier: bool) {
        let first = if earlier { hole.first } else { hole.first.max(self.skip + 1) };
        let count = (hole.last + 1).saturating_sub(first);
        let news = self.shared.commit().dropped[hole.reason as usize] == 0;
        self.shared.note(&self.state, self.spec.slot, |commit| {
            commit.dropped[hole.reason as usize] += count;
            commit.untold += count;
            if earlier {
                commit.replayed += count;
            } else {
                commit.sequence = commit.sequence.max(hole.last);
            }
        });
        if news && count > 0 {
            let text = format!("log driver {} lost {count} records ({:?})", self.spec.driver, hole.reason);
            note(&self.launch.state_dir, &text);
        }
    }

    /// A log that people read says where it lacks something.
    fn tell_losses(&mut self) {
        let commit = self.shared.commit();
        if commit.untold == 0 {
            return;
        }
        if self.spec.readable {
            let text = format!("[gantry] {} messages dropped", commit.untold);
            let record = LogRecord::line(clock::realtime_ns(), commit.sequence, Stream::STDOUT, text.as_bytes());
            let Outcome::Stored(token) = self.write(&[record]) else { return };
            return self.shared.note(&self.state, self.spec.slot, |commit| {
                (commit.token, commit.written, commit.untold) = (token, true, 0);
            });
        }
        self.shared.note(&self.state, self.spec.slot, |commit| commit.untold = 0);
    }

    /// Records that waited on the disk.
    fn replay(&mut self, read: &Read) {
        let (stored, buffer) = match &read.batch {
            Batch::Records(stored, buffer) => (stored, buffer),
            Batch::Hole(hole) => {
                self.lose(*hole, read.earlier);
                return self.shared.replayed(read);
            }
        };
        self.tell_losses();
        let skip = if read.earlier { 0 } else { self.skip };
        let records: Vec<_> = stored.iter().filter(|s| s.sequence > skip).map(|s| s.record(buffer)).collect();
        let (count, bytes) = (records.len() as u64, records.iter().map(|r| r.bytes().len() as u64).sum());
        let outcome = self.write(&records);
        if let Outcome::Waits = outcome {
            return;
        }
        let last = Some(read.last).filter(|_| !read.earlier);
        self.shared.note(&self.state, self.spec.slot, |commit| {
            settle(commit, &outcome, count, bytes, last);
            commit.replayed += if read.earlier { count } else { 0 };
        });
        self.shared.replayed(read);
    }

    /// Records that a predecessor wrote, but could not note. A write of nothing asks for the token that goes with them:
    /// only with it may they count as committed, else a third pump would skip them twice.
    fn note_found(&mut self, sink: &mut dyn LogSink, commit: &Commit, beyond: u64) {
        // The first of them tells of losses, if that was due.
        let told = commit.untold > 0 && self.spec.readable && beyond > 0;
        let records = beyond - u64::from(told);
        self.skip = commit.sequence + records;
        if beyond == 0 {
            return;
        }
        if let Ok(ResumeToken(token)) = self.inside(|_| sink.write(&[])) {
            let skip = self.skip;
            self.shared.note(&self.state, self.spec.slot, |commit| {
                commit.sequence = skip;
                (commit.token, commit.written) = (token, true);
                commit.records_out += records;
                commit.untold = if told { 0 } else { commit.untold };
            });
        }
    }

    fn reopen(&mut self) {
        let reopened = self.inside(|w| w.sink.as_mut().map(|sink| sink.reopen()));
        if let Some(Err(error)) = &reopened {
            note(&self.launch.state_dir, &format!("log driver {} does not begin anew: {error}", self.spec.driver));
            self.shared.set_health(Health::Open, Some(error.clone()));
        }
        let outcome = reopened.unwrap_or_else(|| Err(format!("it is down: {}", self.shared.last_error())));
        self.shared.reopened(outcome);
    }

    fn close(&mut self) {
        if self.sink.is_some() {
            self.tell_losses();
        }
        let closed = self.inside(|w| w.sink.take().map(|mut sink| sink.close()));
        self.shared.settle(&self.state, self.spec.slot, None, |_| {});
        self.tell(Health::Closed, closed.and_then(Result::err));
    }
}

/// Counts a batch of which nothing waits any more; `last`: the number up to which all is settled.
fn settle(commit: &mut Commit, outcome: &Outcome, count: u64, bytes: u64, last: Option<u64>) {
    commit.sequence = last.unwrap_or(commit.sequence).max(commit.sequence);
    match outcome {
        Outcome::Stored(token) => {
            (commit.token, commit.written) = (*token, true);
            commit.records_out += count;
            commit.bytes_out += bytes;
        }
        Outcome::Lost | Outcome::Waits => {
            commit.dropped[Reason::Error as usize] += count;
            commit.untold += count;
        }
    }
}
