//! One sink as the main thread sees it: what waits for it, what is settled, how it is.
//!
//! A record is settled for a sink when it is stored, or will never be, or waits on the disk. Chunks leave the shared
//! queues when every sink has settled them; a sink that may lag does not hold the others up.

mod tally;

use super::activity::Activity;
use super::chunk::Chunk;
pub use super::health::Health;
use super::limit::{Limiter, Verdict};
use super::queue::{Hole, Item, Piece, Queue};
use super::spool::{Batch, Read, Spool};
use super::wake::Wake;
use crate::clock;
use crate::launch::{Policy, SinkSpec};
use crate::state::{Commit, Reason, StateFile};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
pub use tally::Rotation;

/// Records of one call into a driver: enough to make it cheap, little enough to stay in the cache.
pub const BATCH: usize = 1024;

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
    /// How much it takes in a time; `None`: all.
    limiter: Option<Limiter>,
    /// Its thread waits until it may take more.
    pausing: bool,
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
    /// What it writes to is there, but takes nothing just now.
    slow: bool,
    /// What it stores can be read back.
    readable: bool,
    commit: Commit,
    generation: u64,
    /// The time of the last record it took, ns.
    reached_ns: u64,
    last_error: String,
    rotation: Rotation,
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
        let verdict = match &mut self.limiter {
            Some(limiter) if !limiter.waits() => limiter.judge(piece),
            _ => Verdict::all(piece),
        };
        let gone = verdict.passes.map_or_else(Vec::new, |piece| self.keep(piece));
        if let Some(hole) = verdict.excess {
            self.lose(hole);
        }
        gone
    }

    /// Records that are dropped wait to be counted, after all that waits.
    fn lose(&mut self, hole: Hole) {
        let spooling = self.is_spooling();
        match &mut self.spool {
            Some(spool) if spooling => drop(spool.lose(hole)),
            _ => self.queue.lose(hole),
        }
    }

    fn keep(&mut self, piece: Piece) -> Vec<Arc<Chunk>> {
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
        self.pausing = false;
        if self.health == Health::Down {
            return self.next_when_down(retry_at);
        }
        let most = self.allowed();
        self.pausing = most == 0;
        if self.pausing {
            return None;
        }
        let closing = matches!(self.queue.front(), Some(Item::Close));
        if (self.queue.is_empty() || closing)
            && let Some(read) = self.read_spool(most)
        {
            return Some(Work::Replay(read));
        }
        self.pop(most)
    }

    /// How many records may be taken now. What waits when the sink is to close goes without a limit.
    fn allowed(&mut self) -> usize {
        let next_is_record = match self.queue.front() {
            Some(item) => matches!(item, Item::Piece(_)),
            None => self.is_spooling(),
        };
        let closing = self.queue.is_closing();
        match &mut self.limiter {
            Some(limiter) if limiter.waits() && next_is_record && !closing => limiter.allowed(clock::monotonic_ns()),
            _ => usize::MAX,
        }
    }

    /// How long the thread sleeps unless something arrives; `None`: until then.
    fn pause(&self, retry_at: Instant) -> Option<Duration> {
        if self.pausing {
            return self.limiter.as_ref().map(Limiter::pause);
        }
        let waits = self.health == Health::Down && (self.queue.first().is_some() || self.is_spooling());
        waits.then(|| retry_at.saturating_duration_since(Instant::now()))
    }

    fn next_when_down(&mut self, retry_at: Instant) -> Option<Work> {
        let waits = self.queue.first().is_some() || self.is_spooling();
        let closing = self.queue.is_closing();
        if waits && (Instant::now() >= retry_at || (closing && !self.tried)) {
            self.tried |= closing;
            return Some(Work::Retry);
        }
        // What is read back and only slow is tried for as long as the pump lets it.
        if closing && !(waits && self.slow && self.readable) {
            self.give_up();
        }
        let ready = !matches!(self.queue.front(), Some(Item::Piece(_)));
        if ready { self.pop(usize::MAX) } else { None }
    }

    fn pop(&mut self, most: usize) -> Option<Work> {
        Some(match self.queue.pop()? {
            Item::Piece(piece) => {
                let piece = self.take_some(piece, most);
                self.current = Some(piece.clone());
                self.current_spooled = false;
                Work::Write(piece)
            }
            Item::Hole(hole) => Work::Lost(hole),
            Item::Reopen => Work::Reopen,
            Item::Close => Work::Close,
        })
    }

    /// As much of a piece as may be taken now; the rest stays the first that waits.
    fn take_some(&mut self, piece: Piece, most: usize) -> Piece {
        let Some(limiter) = self.limiter.as_mut().filter(|limiter| limiter.waits() && most < usize::MAX) else {
            return piece;
        };
        let count = limiter.holds(&piece).min(most);
        let (piece, rest) = piece.split_at(count);
        limiter.took(piece.count(), piece.bytes);
        rest.into_iter().for_each(|rest| self.queue.give_back(rest));
        piece
    }

    fn read_spool(&mut self, most: usize) -> Option<Read> {
        let sequence = self.commit.sequence;
        let spool = self.spool.as_mut().filter(|spool| !spool.is_empty())?;
        spool.reached(sequence);
        match spool.read(most.min(BATCH)) {
            Ok(read) => {
                let (records, bytes) = read.as_ref().map_or((0, 0), |read| read.batch.count());
                self.limiter.iter_mut().for_each(|limiter| limiter.took(records, bytes));
                read
            }
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
            limiter: Limiter::new(&spec.rate),
            pausing: false,
            spool: found.spool,
            current: None,
            current_spooled: false,
            offered,
            health: found.health,
            yielding: false,
            tried: false,
            slow: false,
            readable: spec.readable,
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
            inner.lose(Hole { first: kept + 1, last: offered, reason: Reason::Killed });
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

    /// The container has ended: what waits because of a limit need not.
    pub fn hurry(&self) {
        let mut inner = self.shared.lock();
        if inner.limiter.as_ref().is_some_and(Limiter::waits) {
            (inner.limiter, inner.pausing) = (None, false);
            drop(inner);
            self.shared.arrived.notify_all();
        }
    }

    /// What is known of a sink that takes so much in a time and no more: whether it sleeps because of that, and how long
    /// it has not moved. `None`: no such limit holds.
    pub fn paced(&self) -> Option<(bool, Duration)> {
        let inner = self.shared.lock();
        inner.limiter.as_ref().filter(|limiter| limiter.waits())?;
        Some((inner.pausing, Duration::from_millis(self.shared.activity.still_for())))
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
            inner = match inner.pause(retry_at) {
                Some(left) => self.arrived.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.arrived.wait(inner).unwrap_or_else(PoisonError::into_inner),
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

    /// Whether its last fault was that it takes its time.
    pub fn set_slow(&self, slow: bool) {
        self.lock().slow = slow;
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
