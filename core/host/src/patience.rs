//! What a deadline counts. It is meant for a driver that hangs; where hundreds of processes want the processor, a healthy one
//! takes long, and so does whoever has the lock that it waits for. So time counts as far as a processor was to be had:
//! the more want one beside us, the slower it passes, within a bound. On a quiet machine it is the clock's.

use std::fs;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

/// Time never passes slower than so many times.
const SLOWEST: u32 = 30;
/// A wait is cut into so many looks at the machine, if none is shorter than …
const LOOKS: u32 = 16;
/// … this.
const SHORTEST_LOOK: Duration = Duration::from_millis(10);

/// One wait for something that has a deadline.
#[derive(Debug)]
pub struct Patience {
    /// What is left to be counted.
    left: Duration,
    /// What is left by the clock.
    bound: Duration,
    look: Duration,
    seen: Option<Seen>,
}

/// The last look.
#[derive(Debug)]
struct Seen {
    at: Instant,
    /// How long the thread had waited for a processor by then.
    queued: Option<Duration>,
    /// How long the next wait was to be.
    slice: Duration,
}

/// The thread that is waited for, once it is known.
#[derive(Debug, Default)]
pub struct Worker(AtomicI32);

impl Worker {
    /// This thread does it.
    pub fn is_here(&self) {
        // SAFETY: takes nothing and cannot fail.
        self.0.store(unsafe { libc::gettid() }, Ordering::Relaxed);
    }

    /// How long the thread has been runnable without a processor, all its life.
    fn queued(&self) -> Option<Duration> {
        let thread = self.0.load(Ordering::Relaxed);
        let text = fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).ok()?;
        Some(Duration::from_nanos(text.split(' ').nth(1)?.parse().ok()?))
    }
}

impl Patience {
    /// As much as the deadline allows.
    pub fn new(allowed: Duration) -> Patience {
        let look = (allowed / LOOKS).max(SHORTEST_LOOK);
        Patience { left: allowed, bound: allowed.saturating_mul(SLOWEST), look, seen: None }
    }

    /// How long to wait now before asking again; `None`: it is over. Nothing is looked at before that wait is over.
    pub fn next(&mut self, worker: Option<&Worker>) -> Option<Duration> {
        let now = Instant::now();
        let mut queued = None;
        if let Some(seen) = &self.seen {
            let passed = now.saturating_duration_since(seen.at);
            if passed < seen.slice {
                return Some(seen.slice - passed);
            }
            queued = worker.and_then(Worker::queued);
            let stood = queued.zip(seen.queued).map_or(Duration::ZERO, |(now, then)| now.saturating_sub(then));
            self.left = self.left.saturating_sub(counted(passed, seen.slice, stood, competitors(), processors()));
            self.bound = self.bound.saturating_sub(passed);
        }
        let slice = self.look.min(self.left).min(self.bound);
        self.seen = Some(Seen { at: now, queued, slice });
        (!slice.is_zero()).then_some(slice)
    }
}

/// What counts of the time that passed. Who woke up much later than `slice` did not get a processor, or stood still, as
/// those may have that are waited for.
fn counted(passed: Duration, slice: Duration, stood: Duration, competitors: u32, processors: u32) -> Duration {
    let awake = passed.min(slice * 2).min(passed.saturating_sub(stood));
    awake.mul_f64(f64::from(processors) / f64::from(competitors.max(processors)))
}

/// How many threads want a processor now, without this one.
fn competitors() -> u32 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let running = text.split(' ').nth(3).and_then(|pair| pair.split('/').next()?.parse::<u32>().ok());
    running.unwrap_or(1).saturating_sub(1)
}

/// Those of the machine: it is its threads that are counted.
fn processors() -> u32 {
    static COUNT: OnceLock<u32> = OnceLock::new();
    // SAFETY: asks for a number.
    *COUNT.get_or_init(|| u32::try_from(unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) }).unwrap_or(1).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn time_counts_as_far_as_there_was_a_processor() {
        let cases = [
            ("quiet", MS(100), MS(0), 1, MS(100)),
            ("as many as processors", MS(100), MS(0), 2, MS(100)),
            ("eight hundred", MS(100), MS(0), 800, MS(100) / 400),
            ("we woke late", MS(5000), MS(0), 1, MS(200)),
            ("it waited in the queue", MS(100), MS(90), 1, MS(10)),
            ("a thread that waited longer than we", MS(100), MS(120), 1, MS(0)),
        ];
        for (case, passed, stood, competitors, want) in cases {
            assert_eq!(counted(passed, MS(100), stood, competitors, 2), want, "{case}");
        }
    }

    #[test]
    fn it_ends_for_who_sleeps_and_for_who_computes_on() {
        for computes in [false, true] {
            let (worker, mut patience) = (Worker::default(), Patience::new(MS(200)));
            let start = Instant::now();
            worker.is_here();
            while let Some(slice) = patience.next(Some(&worker)) {
                let begun = Instant::now();
                while computes && begun.elapsed() < slice {}
                thread::sleep(slice.saturating_sub(begun.elapsed()));
            }
            assert!(start.elapsed() >= MS(200) && start.elapsed() < MS(200) * (SLOWEST + 1), "{:?}", start.elapsed());
        }
    }

    #[test]
    fn it_is_bounded_on_the_busiest_machine() {
        let mut patience = Patience::new(MS(1000));
        patience.seen = Some(Seen { at: Instant::now() - MS(31_000), queued: None, slice: MS(10) });
        assert_eq!(patience.next(None), None);
    }

    #[test]
    fn the_machine_answers() {
        assert!(processors() >= 1);
        let worker = Worker::default();
        assert_eq!(worker.queued(), None);
        worker.is_here();
        assert!(worker.queued().is_some());
    }
}
