//! One sink as the main thread sees it: what waits for it, what is settled, how it is.
//!
//! A record is settled for a sink when it is stored, or will never be, or waits on the disk. Chunks leave the shared
//! queues when every sink has settled them; a sink that may lag does not hold the others up.

use super::activity::Activity;
use super::chunk::Chunk;
use super::queue::{Hole, Item, Piece, Queue};
use super::spool::{Batch, Read, Spool};
use super::wake::Wake;
use crate::clock;
use crate::launch::{Policy, SinkSpec};
use crate::state::{Commit, Reason, StateFile};
use crate::wire::SinkCounters;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Records of one call into a driver: enough to make it cheap, little enough to stay in the cache.
pub const BATCH: usize = 1024;

/// How the sink is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Its first `open` has not returned.
    Opening,
    Open,
    /// It cannot be opened, or cannot be reached; it is tried again as long as something waits for it.
    Down,
    /// A call never returned; its thread is left to itself.
    Hung,
    /// The keeper took it out of service.
    Quarantined,
    Closed,
}

impl Health {
    /// As users see it.
    pub fn name(self) -> &'static str {
        match self {
            Health::Opening => "opening",
            Health::Open => "open",
            Health::Down => "down",
            Health::Hung => "hung",
            Health::Quarantined => "quarantined",
            Health::Closed => "closed",
        }
    }

    /// Nothing will ever be written again.
    pub fn is_final(self) -> bool {
        matches!(self, Health::Hung | Health::Quarantined | Health::Closed)
    }
}

/// What the sink's thread is to do.
pub enum Work {
    Write(Piece),
    Lost(Hole),
    Replay(Read),
    Reopen,
    /// Try to open it, or to write again.
    Retry,
    Close,
}

/// What both threads share.
pub struct Shared {
    inner: Mutex<Inner>,
    /// Waited for by the sink's thread, and by that of a successor that wants it to end: news are for all of them.
    arrived: Condvar,
    activity: Activity,
    wake: Arc<Wake>,
}

struct Inner {
    queue: Queue,
    policy: Policy,
    limit: usize,
    spool: Option<Spool>,
    /// What the thread is at and has not settled.
    current: Option<Piece>,
    /// That is on the disk, too.
    current_spooled: bool,
    /// The last record offered.
    offered: u64,
    health: Health,
    /// It held the container for as long as it may: the oldest records are dropped until it has caught up.
    yielding: bool,
    /// At the end it was tried once more.
    tried: bool,
    commit: Commit,
    generation: u64,
    /// The time of the last record it took, ns.
    reached_ns: u64,
    last_error: String,
    rotation: Rotation,
}

/// What became of the last order to begin anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    Done,
    Pending,
    Refused(String),
}

impl Inner {
    fn policy(&self) -> Policy {
        if self.yielding { Policy::DropOld } else { self.policy }
    }

    fn settled(&self) -> u64 {
        if self.health.is_final() {
            return u64::MAX;
        }
        let current = self.current.as_ref().filter(|_| !self.current_spooled);
        current.or_else(|| self.queue.first()).map_or(u64::MAX, |piece| piece.first() - 1)
    }

    fn is_spooling(&self) -> bool {
        self.spool.as_ref().is_some_and(|spool| !spool.is_empty())
    }

    fn take_in(&mut self, piece: Piece) -> Vec<Arc<Chunk>> {
        let (policy, limit) = (self.policy(), self.limit);
        if self.health.is_final() && self.spool.is_none() {
            self.commit.dropped[Reason::Down as usize] += piece.count();
            self.commit.sequence = self.offered;
        } else if policy != Policy::Spill {
            return self.queue.offer(piece, policy, limit);
        } else if self.is_spooling() || self.health.is_final() || !self.queue.has_room(piece.bytes, limit) {
            self.spill();
            self.spool_items(vec![Item::Piece(piece)]);
        } else {
            return self.queue.offer(piece, policy, limit);
        }
        Vec::new()
    }

    /// Moves what waits in memory to the disk.
    fn spill(&mut self) {
        if let Some(piece) = self.current.clone().filter(|_| !self.current_spooled) {
            self.spool_items(vec![Item::Piece(piece)]);
            self.current_spooled = true;
        }
        let items = self.queue.drain();
        self.spool_items(items);
    }

    fn spool_items(&mut self, items: Vec<Item>) {
        for item in items {
            let (first, last) = match &item {
                Item::Piece(piece) => (piece.first(), piece.last()),
                Item::Hole(hole) => (hole.first, hole.last),
                Item::Reopen | Item::Close => continue,
            };
            if let Err(error) = self.spool_item(&item) {
                // A full disk: what waits on it already keeps its place.
                self.last_error = format!("cannot spool: {error}");
                self.commit.dropped[Reason::Slow as usize] += last + 1 - first;
                self.spool.iter_mut().for_each(|spool| spool.pass(last));
            }
        }
    }

    fn spool_item(&mut self, item: &Item) -> io::Result<()> {
        let Some(spool) = &mut self.spool else { return Ok(()) };
        match item {
            Item::Piece(piece) => spool.append(&piece.chunk.records(piece.range.clone()).0),
            Item::Hole(hole) => spool.lose(*hole),
            Item::Reopen | Item::Close => Ok(()),
        }
    }

    /// Nothing that waits will ever be written: it is counted, or stays on the disk for a later run.
    fn give_up(&mut self) {
        if self.spool.is_some() {
            self.spill();
            self.current = None;
            return;
        }
        let mut lost = self.current.take().map_or(0, |piece| piece.count());
        for item in self.queue.drain() {
            match item {
                Item::Piece(piece) => lost += piece.count(),
                Item::Hole(hole) => self.commit.dropped[hole.reason as usize] += hole.count(),
                Item::Reopen | Item::Close => {}
            }
        }
        self.commit.dropped[Reason::Down as usize] += lost;
        self.commit.sequence = self.offered;
    }

    /// The next thing to do, when there is one now.
    fn next(&mut self, retry_at: Instant) -> Option<Work> {
        if self.health == Health::Down {
            return self.next_when_down(retry_at);
        }
        let closing = matches!(self.queue.front(), Some(Item::Close));
        if (self.queue.is_empty() || closing)
            && let Some(read) = self.read_spool()
        {
            return Some(Work::Replay(read));
        }
        self.pop()
    }

    fn next_when_down(&mut self, retry_at: Instant) -> Option<Work> {
        let waits = self.queue.first().is_some() || self.is_spooling();
        let closing = self.queue.is_closing();
        if waits && (Instant::now() >= retry_at || (closing && !self.tried)) {
            self.tried |= closing;
            return Some(Work::Retry);
        }
        if closing {
            self.give_up();
        }
        let ready = !matches!(self.queue.front(), Some(Item::Piece(_)));
        if ready { self.pop() } else { None }
    }

    fn pop(&mut self) -> Option<Work> {
        Some(match self.queue.pop()? {
            Item::Piece(piece) => {
                self.current = Some(piece.clone());
                self.current_spooled = false;
                Work::Write(piece)
            }
            Item::Hole(hole) => Work::Lost(hole),
            Item::Reopen => Work::Reopen,
            Item::Close => Work::Close,
        })
    }

    fn read_spool(&mut self) -> Option<Read> {
        let sequence = self.commit.sequence;
        let spool = self.spool.as_mut().filter(|spool| !spool.is_empty())?;
        spool.reached(sequence);
        match spool.read(BATCH) {
            Ok(read) => read,
            Err(error) => {
                self.last_error = format!("cannot read the spool: {error}");
                None
            }
        }
    }
}

/// See the module.
pub struct Sink {
    pub spec: SinkSpec,
    shared: Arc<Shared>,
    state: StateFile,
}

/// What a new sink finds.
pub struct Found<'a> {
    pub state: &'a StateFile,
    /// The number of the first record that will be offered.
    pub next: u64,
    /// Opening, unless it is out of service from the beginning.
    pub health: Health,
    pub spool: Option<Spool>,
}

impl Sink {
    /// A sink whose thread is not started yet; goes on from what a predecessor committed.
    pub fn new(spec: SinkSpec, found: Found<'_>, wake: &Arc<Wake>) -> Sink {
        let (mut commit, generation) = found.state.commit(spec.slot);
        commit.sequence = commit.sequence.max(spec.from.saturating_sub(1));
        let end = if spec.until > 0 { spec.until } else { u64::MAX };
        let offered = (found.next.min(end) - 1).max(commit.sequence);
        let mut inner = Inner {
            queue: Queue::default(),
            policy: if found.spool.is_none() && spec.policy == Policy::Spill { Policy::DropOld } else { spec.policy },
            limit: usize::try_from(spec.buffer).unwrap_or(usize::MAX),
            spool: found.spool,
            current: None,
            current_spooled: false,
            offered,
            health: found.health,
            yielding: false,
            tried: false,
            commit,
            generation,
            reached_ns: 0,
            last_error: String::new(),
            rotation: Rotation::Done,
        };
        if found.health == Health::Quarantined {
            inner.last_error = "its driver crashed the pump again and again".into();
        }
        let kept = inner.spool.as_ref().map_or(0, Spool::last).max(commit.sequence);
        if offered > kept {
            let hole = Hole { first: kept + 1, last: offered, reason: Reason::Killed };
            let spooling = inner.is_spooling();
            match &mut inner.spool {
                Some(spool) if spooling => drop(spool.lose(hole)),
                _ => inner.queue.lose(hole),
            }
        }
        if found.health.is_final() {
            inner.give_up();
        }
        let (arrived, activity) = (Condvar::new(), Activity::default());
        let shared = Arc::new(Shared { inner: Mutex::new(inner), arrived, activity, wake: wake.clone() });
        Sink { spec, shared, state: found.state.clone() }
    }

    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Offers a chunk; it waits, or something is dropped, as the policy says. Answers chunks that this sink has dropped.
    pub fn offer(&self, chunk: &Arc<Chunk>) -> Vec<Arc<Chunk>> {
        let until = if self.spec.until > 0 { self.spec.until } else { u64::MAX };
        let mut inner = self.shared.lock();
        let spooled = inner.spool.as_ref().map_or(0, Spool::last);
        let from = self.spec.from.max(inner.commit.sequence + 1).max(spooled + 1);
        let piece = Piece::of(chunk, from, until);
        inner.offered = inner.offered.max((chunk.end() - 1).min(until - 1));
        if piece.is_empty() {
            return Vec::new();
        }
        let gone = inner.take_in(piece);
        drop(inner);
        self.shared.arrived.notify_all();
        gone
    }

    /// Room is short: what waits for a sink that spills goes to the disk.
    pub fn press(&self) {
        if self.spec.policy == Policy::Spill {
            self.shared.lock().spill();
        }
    }

    /// New files.
    pub fn reopen(&self) {
        let mut inner = self.shared.lock();
        inner.rotation = match inner.health.is_final() {
            true => Rotation::Refused(format!("it is {}: {}", inner.health.name(), inner.last_error)),
            false => Rotation::Pending,
        };
        drop(inner);
        self.push(Item::Reopen);
    }

    /// What became of that.
    pub fn rotation(&self) -> Rotation {
        self.shared.lock().rotation.clone()
    }

    /// Flush and close after what waits.
    pub fn close(&self) {
        self.push(Item::Close);
    }

    fn push(&self, item: Item) {
        self.shared.lock().queue.push(item);
        self.shared.arrived.notify_all();
    }

    /// The last record that need not be kept for it.
    pub fn settled(&self) -> u64 {
        self.shared.lock().settled()
    }

    /// True when the others may go on without it.
    pub fn may_lag(&self) -> bool {
        self.shared.lock().policy() != Policy::Block
    }

    pub fn health(&self) -> Health {
        self.shared.lock().health
    }

    /// What its thread is at.
    pub fn activity(&self) -> &Activity {
        &self.shared.activity
    }

    /// It held the container for as long as it may; true when that is new.
    pub fn give_way(&self) -> bool {
        let mut inner = self.shared.lock();
        let news = !inner.yielding;
        inner.yielding = true;
        inner.last_error = "it was too slow: records were dropped".into();
        let limit = inner.limit;
        inner.queue.shrink(limit);
        news
    }

    /// Its call will not return, or not in time: leaves the thread alone, counts or keeps what it will not get. True when
    /// that is new.
    pub fn abandon(&self, why: &str) -> bool {
        let mut inner = self.shared.lock();
        if inner.health.is_final() {
            return false;
        }
        inner.health = Health::Hung;
        inner.last_error = why.to_owned();
        inner.give_up();
        // Its mark stays: should the pump crash, this may be why.
        let _ = self.state.set_commit(self.spec.slot, inner.generation, &inner.commit);
        drop(inner);
        self.shared.arrived.notify_all();
        true
    }

    /// What it has done so far.
    pub fn counters(&self) -> SinkCounters {
        let inner = self.shared.lock();
        let commit = &inner.commit;
        let lost_on_disk = inner.spool.as_ref().map_or(0, Spool::lost);
        let [slow, error, down, killed] = {
            let (_, holes) = inner.queue.counts();
            std::array::from_fn(|at| commit.dropped[at] + holes[at])
        };
        let slow = slow + lost_on_disk;
        let records_in = inner.offered + 1 - self.spec.from.max(1) + commit.replayed;
        let gone = commit.records_out + slow + error + down + killed;
        SinkCounters {
            driver: self.spec.driver.clone(),
            cache: self.spec.cache,
            policy: self.spec.policy.name().to_owned(),
            records_in,
            records_out: commit.records_out,
            bytes_out: commit.bytes_out,
            dropped_slow: slow,
            dropped_error: error,
            dropped_down: down,
            dropped_killed: killed,
            waiting: records_in.saturating_sub(gone),
            spooled_bytes: inner.spool.as_ref().map_or(0, Spool::size),
            lag_ms: lag_ms(&inner),
            state: inner.health.name().to_owned(),
            last_error: inner.last_error.clone(),
            metrics: BTreeMap::new(),
        }
    }
}

fn lag_ms(inner: &Inner) -> u64 {
    let oldest = inner.current.as_ref().or_else(|| inner.queue.first()).map(|piece| piece.chunk.timestamp_ns());
    let since = if inner.is_spooling() { Some(inner.reached_ns).filter(|ns| *ns > 0) } else { oldest };
    since.map_or(0, |since| clock::realtime_ns().saturating_sub(since) / 1_000_000)
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sink's thread waits for work; while the sink is down, until it is to be tried again.
    pub fn next(&self, retry_at: Instant) -> Work {
        let mut inner = self.lock();
        loop {
            if let Some(work) = inner.next(retry_at) {
                return work;
            }
            let left = retry_at.saturating_duration_since(Instant::now());
            let waits = inner.health == Health::Down && (inner.queue.first().is_some() || inner.is_spooling());
            inner = match waits {
                true => self.arrived.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0,
                false => self.arrived.wait(inner).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// The sink's thread has something to note about what it did; `next` is what it is at now.
    pub fn settle(&self, state: &StateFile, slot: usize, next: Option<Piece>, change: impl FnOnce(&mut Commit)) {
        let mut inner = self.lock();
        if inner.health == Health::Hung {
            return;
        }
        change(&mut inner.commit);
        if let Some(piece) = &inner.current {
            inner.reached_ns = piece.chunk.timestamp_ns();
        }
        inner.current = next;
        if inner.current.is_none() && inner.queue.is_empty() {
            inner.yielding = false;
        }
        let generation = inner.generation;
        inner.generation += 1;
        let _ = state.set_commit(slot, generation, &inner.commit);
        drop(inner);
        self.wake.wake();
    }

    /// Something that stands apart from what the thread is at.
    pub fn note(&self, state: &StateFile, slot: usize, change: impl FnOnce(&mut Commit)) {
        let current = self.lock().current.clone();
        self.settle(state, slot, current, change);
    }

    /// The thread could not write it: it waits again.
    pub fn give_back(&self, piece: Piece) {
        let mut inner = self.lock();
        let spooled = inner.current_spooled;
        inner.current = None;
        if inner.health == Health::Hung || spooled {
            return;
        }
        inner.queue.give_back(piece);
        let limit = inner.limit;
        if inner.policy() == Policy::DropOld {
            inner.queue.shrink(limit);
        }
    }

    /// What was read from the spool is delivered, or counted.
    pub fn replayed(&self, read: &Read) {
        let mut inner = self.lock();
        if let Batch::Records(records, _) = &read.batch {
            inner.reached_ns = records.last().map_or(inner.reached_ns, |stored| stored.timestamp_ns);
        }
        inner.spool.iter_mut().for_each(|spool| spool.done(read));
        drop(inner);
        self.wake.wake();
    }

    /// The driver began anew, or refused.
    pub fn reopened(&self, outcome: Result<(), String>) {
        self.lock().rotation = outcome.map_or_else(Rotation::Refused, |()| Rotation::Done);
        self.wake.wake();
    }

    /// The thread's piece needs no writing.
    pub fn pass_over(&self) {
        self.lock().current = None;
        self.wake.wake();
    }

    /// What was committed last.
    pub fn commit(&self) -> Commit {
        self.lock().commit
    }

    /// A new health and, when it is bad, why; true when it changed.
    pub fn set_health(&self, health: Health, error: Option<String>) -> bool {
        let mut inner = self.lock();
        if inner.health == Health::Hung {
            return false;
        }
        let changed = inner.health != health;
        inner.health = health;
        if let Some(error) = error {
            inner.last_error = error;
        }
        if health.is_final() {
            inner.give_up();
        }
        drop(inner);
        self.wake.wake();
        // One that waits for its predecessor to close.
        self.arrived.notify_all();
        changed
    }

    /// Waits until nothing will be written any more.
    pub fn await_end(&self) {
        let inner = self.lock();
        drop(self.arrived.wait_while(inner, |inner| !inner.health.is_final()));
    }

    /// Why it is not well.
    pub fn last_error(&self) -> String {
        self.lock().last_error.clone()
    }

    pub fn activity(&self) -> &Activity {
        &self.activity
    }
}
