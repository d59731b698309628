//! The thread of one sink: opens it, writes batches, notes what is stored.

use super::chunk::Chunk;
use super::record::{LogRecord, ResumeToken};
use super::sink::{Health, Item, Shared, Sink};
use crate::launch::Launch;
use crate::note::note;
use crate::state::{Commit, StateFile};
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Records per call: enough to make a call cheap, little enough to stay in the cache.
const BATCH: usize = 1024;
const STACK: usize = 512 * 1024;
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);

/// An open log driver.
pub trait LogSink: Send {
    /// Stores a batch in order, all of it or an error.
    fn write(&mut self, batch: &[LogRecord<'_>]) -> Result<ResumeToken, String>;
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
    /// Opens sink number `index` of the order. Runs on the sink's own thread.
    fn open(&self, launch: &Launch, index: usize, resume: Option<&ResumeToken>) -> Result<Opened, String>;
}

/// Starts the thread.
pub fn start(sink: &Sink, drivers: Arc<dyn Drivers>, launch: Arc<Launch>, state: StateFile) -> io::Result<()> {
    let (shared, index) = (sink.shared().clone(), sink.index);
    let name = format!("log-{}", launch.sinks[index].driver.chars().take(11).collect::<String>());
    let writer = Writer { shared, index, drivers, launch, state, sink: None, skip: 0, retry: Retry::new() };
    thread::Builder::new().name(name).stack_size(STACK).spawn(move || writer.run())?;
    Ok(())
}

struct Writer {
    shared: Arc<Shared>,
    index: usize,
    drivers: Arc<dyn Drivers>,
    launch: Arc<Launch>,
    state: StateFile,
    sink: Option<Box<dyn LogSink>>,
    /// Records up to this one are stored already.
    skip: u64,
    retry: Retry,
}

/// When a sink that is down is tried again: only when there is something to write, and ever less often.
struct Retry {
    at: Instant,
    pause: Duration,
}

impl Retry {
    fn new() -> Retry {
        Retry { at: Instant::now(), pause: FIRST_RETRY }
    }

    fn failed(&mut self) {
        self.at = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(LAST_RETRY);
    }
}

/// Opens on a thread that ends, since loading a plugin leaves a deep stack behind, and an idle container should not.
fn open_aside(
    drivers: &dyn Drivers,
    launch: &Launch,
    index: usize,
    token: Option<&ResumeToken>,
) -> Result<Opened, String> {
    thread::scope(|scope| {
        let opening =
            thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || drivers.open(launch, index, token));
        let opening = opening.map_err(|error| format!("cannot start a thread: {error}"))?;
        opening.join().unwrap_or_else(|_| Err("it panicked".to_owned()))
    })
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

impl Writer {
    fn run(mut self) {
        let shared = self.shared.clone();
        let _ends = Ends(&shared);
        self.open();
        loop {
            match shared.next() {
                Item::Chunk(chunk) => self.take(&chunk),
                Item::Reopen => self.reopen(),
                Item::Close => return self.close(),
            }
        }
    }

    /// A driver's code runs, and both we and the keeper know it.
    fn inside<T>(&mut self, act: impl FnOnce(&mut Writer) -> T) -> T {
        let _ = self.state.set_busy(self.index, true);
        self.shared.set_busy(true);
        let result = act(self);
        self.shared.set_busy(false);
        let _ = self.state.set_busy(self.index, false);
        result
    }

    fn open(&mut self) {
        let commit = self.shared.commit();
        let token = commit.written.then_some(ResumeToken(commit.token));
        match self.inside(|w| open_aside(w.drivers.as_ref(), &w.launch, w.index, token.as_ref())) {
            Ok(Opened { mut sink, beyond }) => {
                self.note_found(sink.as_mut(), &commit, beyond);
                self.sink = Some(sink);
                self.retry = Retry::new();
                self.tell(Health::Open, None);
            }
            Err(error) => self.down(error),
        }
    }

    fn down(&mut self, error: String) {
        self.sink = None;
        self.retry.failed();
        self.tell(Health::Down, Some(error));
    }

    fn tell(&self, health: Health, error: Option<String>) {
        let text = error.clone().unwrap_or_default();
        if self.shared.set_health(health, error) && health != Health::Closed {
            let driver = &self.launch.sinks[self.index].driver;
            note(&self.launch.state_dir, &format!("log driver {driver} is {health:?} {text}"));
        }
    }

    fn take(&mut self, chunk: &Chunk) {
        if self.sink.is_none() && Instant::now() >= self.retry.at {
            self.open();
        }
        let done = (self.skip + 1).saturating_sub(chunk.first).min(chunk.count() as u64) as usize;
        if done == chunk.count() {
            return self.shared.pass_over();
        }
        let mut from = done;
        while from < chunk.count() {
            let to = chunk.count().min(from + BATCH);
            self.write(chunk, from, to);
            from = to;
        }
    }

    /// Records that a predecessor wrote, but could not note. A write of nothing asks for the token that goes with them:
    /// only with it may they count as committed, else a third pump would skip them twice.
    fn note_found(&mut self, sink: &mut dyn LogSink, commit: &Commit, beyond: u64) {
        self.skip = commit.sequence + beyond;
        if beyond == 0 {
            return;
        }
        if let Ok(ResumeToken(token)) = self.inside(|_| sink.write(&[])) {
            let skip = self.skip;
            self.shared.commit_found(&self.state, self.index, |commit| {
                commit.sequence = skip;
                (commit.token, commit.written) = (token, true);
                commit.records_out += beyond;
            });
        }
    }

    /// A first token is noted before the first record: without one a successor could not tell what is stored.
    fn note_token(&mut self) {
        if let Some(Ok(ResumeToken(token))) = self.inside(|w| w.sink.as_mut().map(|sink| sink.write(&[]))) {
            let note = |commit: &mut Commit| (commit.token, commit.written) = (token, true);
            self.shared.commit_found(&self.state, self.index, note);
        }
    }

    fn write(&mut self, chunk: &Chunk, from: usize, to: usize) {
        if !self.shared.commit().written {
            self.note_token();
        }
        let count = (to - from) as u64;
        let end = chunk.first + to as u64;
        let next = (end < chunk.end()).then_some(end);
        let (records, bytes) = chunk.records(from..to);
        let written = self.inside(|w| w.sink.as_mut().map(|sink| sink.write(&records)));
        match written {
            Some(Ok(ResumeToken(token))) => self.shared.settle(&self.state, self.index, next, |commit| {
                commit.sequence = end - 1;
                (commit.token, commit.written) = (token, true);
                commit.records_out += count;
                commit.bytes_out += bytes;
            }),
            Some(Err(error)) => {
                self.shared.settle(&self.state, self.index, next, |commit| {
                    commit.sequence = end - 1;
                    commit.dropped_error += count;
                });
                if self.shared.last_error() != error {
                    note(&self.launch.state_dir, &format!("{count} records were dropped: {error}"));
                }
                self.shared.set_health(Health::Open, Some(error));
            }
            None => self.shared.settle(&self.state, self.index, next, |commit| {
                commit.sequence = end - 1;
                commit.dropped_down += count;
            }),
        }
    }

    fn reopen(&mut self) {
        let reopened = self.inside(|w| w.sink.as_mut().map(|sink| sink.reopen()));
        if let Some(Err(error)) = reopened {
            self.shared.set_health(Health::Open, Some(error));
        }
    }

    fn close(&mut self) {
        let closed = self.inside(|w| w.sink.take().map(|mut sink| sink.close()));
        self.shared.settle(&self.state, self.index, None, |_| {});
        self.tell(Health::Closed, closed.and_then(Result::err));
    }
}
