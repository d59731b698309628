//! One sink as the main thread sees it: a queue with a policy, and what is settled.
//!
//! A record is settled for a sink when it is stored, or will never be. Chunks leave the shared queues when every sink has
//! settled them; a sink that drops does not hold the others up.

use super::chunk::Chunk;
use super::wake::Wake;
use crate::clock;
use crate::launch::{Policy, SinkSpec};
use crate::state::{Commit, StateFile};
use crate::wire::SinkCounters;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What waits for the sink's thread.
pub enum Item {
    Chunk(Arc<Chunk>),
    Reopen,
    Close,
}

/// How the sink is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Its first `open` has not returned.
    Opening,
    Open,
    /// It cannot be opened, or lost its way; it is tried again when there is something to write.
    Down,
    /// A call never returned; its thread is left to itself.
    Hung,
    /// The keeper took it out of service.
    Quarantined,
    Closed,
}

impl Health {
    fn name(self) -> &'static str {
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

/// What both threads share.
pub struct Shared {
    queue: Mutex<Queue>,
    arrived: Condvar,
    /// When the current call into the driver began, ms; 0: none.
    busy_since: AtomicU64,
    wake: Arc<Wake>,
}

struct Queue {
    items: VecDeque<Item>,
    bytes: usize,
    /// The first record of the chunk in work that is not settled.
    current: Option<u64>,
    /// The last record offered.
    offered: u64,
    health: Health,
    /// It held the container for too long: what arrives is dropped until it moves.
    yielding: bool,
    commit: Commit,
    generation: u64,
    last_error: String,
}

impl Queue {
    fn settled(&self) -> u64 {
        if self.yielding || self.health.is_final() {
            return self.offered;
        }
        let first = |item: &Item| if let Item::Chunk(chunk) = item { Some(chunk.first) } else { None };
        let open = self.current.or_else(|| self.items.iter().find_map(first));
        open.map_or(self.offered, |first| first - 1)
    }

    fn drop_chunk(&mut self, chunk: &Chunk) {
        let count = chunk.count() as u64;
        match self.health {
            Health::Hung | Health::Quarantined | Health::Closed => self.commit.dropped_down += count,
            _ => self.commit.dropped_slow += count,
        }
    }

    fn drop_queued(&mut self) {
        for item in std::mem::take(&mut self.items) {
            match item {
                Item::Chunk(chunk) => self.drop_chunk(&chunk),
                other => self.items.push_back(other),
            }
        }
        self.bytes = 0;
    }

    fn drop_oldest(&mut self) -> bool {
        let at = self.items.iter().position(|item| matches!(item, Item::Chunk(_)));
        let Some(Item::Chunk(chunk)) = at.and_then(|at| self.items.remove(at)) else { return false };
        self.bytes -= chunk.fresh().len();
        self.drop_chunk(&chunk);
        true
    }
}

/// See the module.
pub struct Sink {
    pub spec: SinkSpec,
    pub index: usize,
    shared: Arc<Shared>,
    state: StateFile,
}

impl Sink {
    /// A sink whose thread is not started yet; goes on from what a predecessor committed.
    pub fn new(spec: SinkSpec, index: usize, quarantined: bool, state: &StateFile, wake: &Arc<Wake>) -> Sink {
        let (commit, generation) = state.commit(index);
        let health = if quarantined { Health::Quarantined } else { Health::Opening };
        let queue = Queue {
            items: VecDeque::new(),
            bytes: 0,
            current: None,
            offered: 0,
            health,
            yielding: false,
            commit,
            generation,
            last_error: if quarantined { "its driver crashed the pump again and again".into() } else { String::new() },
        };
        let (arrived, busy_since) = (Condvar::new(), AtomicU64::new(0));
        let shared = Arc::new(Shared { queue: Mutex::new(queue), arrived, busy_since, wake: wake.clone() });
        Sink { spec, index, shared, state: state.clone() }
    }

    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Offers a chunk; it waits, or something is dropped, as the policy says.
    pub fn offer(&self, chunk: &Arc<Chunk>) {
        if chunk.count() == 0 {
            return;
        }
        let mut queue = self.shared.lock();
        let sequence = queue.commit.sequence;
        queue.offered = chunk.end() - 1;
        queue.commit.records_in += fresh_count(chunk, sequence);
        if queue.yielding && queue.current.is_none() {
            queue.yielding = false;
        }
        if queue.health.is_final() || queue.yielding || !self.make_room(&mut queue, chunk.fresh().len()) {
            queue.drop_chunk(chunk);
            return;
        }
        queue.bytes += chunk.fresh().len();
        queue.items.push_back(Item::Chunk(chunk.clone()));
        drop(queue);
        self.shared.arrived.notify_one();
    }

    fn make_room(&self, queue: &mut Queue, size: usize) -> bool {
        let limit = usize::try_from(self.spec.buffer).unwrap_or(usize::MAX);
        let fits = |queue: &Queue| queue.bytes == 0 || queue.bytes + size <= limit;
        match self.spec.policy {
            Policy::Block => true,
            Policy::DropNew => fits(queue),
            Policy::DropOld => {
                while !fits(queue) && queue.drop_oldest() {}
                true
            }
        }
    }

    /// New files.
    pub fn reopen(&self) {
        self.push(Item::Reopen);
    }

    /// Flush and close after what waits.
    pub fn close(&self) {
        self.push(Item::Close);
    }

    fn push(&self, item: Item) {
        self.shared.lock().items.push_back(item);
        self.shared.arrived.notify_one();
    }

    /// The last record that need not be kept for it.
    pub fn settled(&self) -> u64 {
        self.shared.lock().settled()
    }

    /// True when the others may go on without it.
    pub fn may_lag(&self) -> bool {
        self.spec.policy != Policy::Block
    }

    pub fn health(&self) -> Health {
        self.shared.lock().health
    }

    /// How long its driver has been inside one call, ms.
    pub fn busy_for(&self) -> Option<u64> {
        let since = self.shared.busy_since.load(Ordering::SeqCst);
        (since > 0).then(|| clock::monotonic_ms().saturating_sub(since))
    }

    /// It held the container for as long as it may.
    pub fn give_way(&self) {
        let mut queue = self.shared.lock();
        queue.yielding = true;
        queue.last_error = "it was too slow: records were dropped".into();
        queue.drop_queued();
    }

    /// Its call will not return: leave the thread alone, count what it will not get.
    pub fn abandon(&self, why: &str) {
        let mut queue = self.shared.lock();
        if queue.health.is_final() {
            return;
        }
        queue.health = Health::Hung;
        queue.last_error = why.to_owned();
        if let Some(first) = queue.current.take() {
            let lost = queue.offered.saturating_sub(first - 1);
            let queued: usize = queue.items.iter().map(|i| if let Item::Chunk(c) = i { c.count() } else { 0 }).sum();
            queue.commit.dropped_down += lost.saturating_sub(queued as u64);
        }
        queue.drop_queued();
        queue.commit.sequence = queue.offered;
        // Its mark stays: should the pump crash, this may be why.
        let _ = self.state.set_commit(self.index, queue.generation, &queue.commit);
    }

    /// What it has done so far.
    pub fn counters(&self) -> SinkCounters {
        let queue = self.shared.lock();
        SinkCounters {
            driver: self.spec.driver.clone(),
            records_in: queue.commit.records_in,
            records_out: queue.commit.records_out,
            bytes_out: queue.commit.bytes_out,
            dropped_slow: queue.commit.dropped_slow,
            dropped_error: queue.commit.dropped_error,
            dropped_down: queue.commit.dropped_down,
            state: queue.health.name().to_owned(),
            last_error: queue.last_error.clone(),
        }
    }
}

/// Records of a chunk that were not offered before a predecessor was killed.
fn fresh_count(chunk: &Chunk, sequence: u64) -> u64 {
    chunk.end().saturating_sub(chunk.first.max(sequence + 1))
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sink's thread waits for work.
    pub fn next(&self) -> Item {
        let mut queue = self.lock();
        loop {
            if let Some(item) = queue.items.pop_front() {
                if let Item::Chunk(chunk) = &item {
                    queue.bytes -= chunk.fresh().len();
                    queue.current = Some(chunk.first);
                }
                return item;
            }
            queue = self.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The sink's thread has something to note about what it did.
    pub fn settle(&self, state: &StateFile, index: usize, next: Option<u64>, change: impl FnOnce(&mut Commit)) {
        let mut queue = self.lock();
        if queue.health == Health::Hung {
            return;
        }
        change(&mut queue.commit);
        queue.current = next;
        let generation = queue.generation;
        queue.generation += 1;
        let _ = state.set_commit(index, generation, &queue.commit);
        drop(queue);
        self.wake.wake();
    }

    /// What a predecessor left beyond its last note is noted.
    pub fn commit_found(&self, state: &StateFile, index: usize, change: impl FnOnce(&mut Commit)) {
        let current = self.lock().current;
        self.settle(state, index, current, change);
    }

    /// The sink's thread has nothing to do with its chunk: all of it is stored.
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
        let mut queue = self.lock();
        if queue.health == Health::Hung {
            return false;
        }
        let changed = queue.health != health;
        queue.health = health;
        if let Some(error) = error {
            queue.last_error = error;
        }
        if health.is_final() {
            queue.current = None;
            queue.drop_queued();
        }
        drop(queue);
        self.wake.wake();
        changed
    }

    /// Why it is not well.
    pub fn last_error(&self) -> String {
        self.lock().last_error.clone()
    }

    pub fn set_busy(&self, busy: bool) {
        self.busy_since.store(if busy { clock::monotonic_ms() } else { 0 }, Ordering::SeqCst);
    }
}
