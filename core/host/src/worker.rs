//! Runs calls of one driver with a deadline. A call goes to an idle thread, or a new one; a thread whose
//! call is overdue is abandoned with everything the call borrowed, which is why jobs own what they use.

use crate::deadlines::Deadlines;
use crate::error::{Error, Result};
use crate::fault::Faults;
use crate::isolate::Helper;
use crate::lend::Words;
use crate::meter::{self, DriverMeter, Meter};
use crate::patience::{Patience, Worker};
use crate::quarantine::Quarantine;
use gantry_plugin_api::manifest::Kind;
use gantry_plugin_api::{Error as DriverError, Result as DriverResult};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Calls that may move an image's worth of data get so many times the deadline.
const BULK: u32 = 60;

/// How long a call may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limit {
    /// The deadline.
    Quick,
    /// Sixty times the deadline.
    Bulk,
}

impl Limit {
    /// As a time.
    pub fn of(self, deadline: Duration) -> Duration {
        match self {
            Limit::Quick => deadline,
            Limit::Bulk => deadline.saturating_mul(BULK).min(Duration::from_secs(86_400)),
        }
    }
}

type Job = Box<dyn FnOnce() + Send>;
/// Threads that wait for a job.
type Idle = Mutex<Vec<Sender<Job>>>;

/// A thread costs a tenth of a millisecond, so drivers share theirs. Those of networks do not: one that leaves its
/// thread in another namespace must harm nobody else.
fn threads_for(kind: Kind) -> Arc<Idle> {
    static SHARED: OnceLock<Arc<Idle>> = OnceLock::new();
    match kind {
        Kind::Network => Arc::default(),
        _ => SHARED.get_or_init(Arc::default).clone(),
    }
}

/// What calls one driver.
pub struct Crew {
    pub kind: Kind,
    pub name: String,
    deadlines: Deadlines,
    words: Words,
    idle: Arc<Idle>,
    stuck: OnceLock<&'static str>,
    guards: Guards,
    meter: DriverMeter,
}

/// What watches over the calls of drivers.
#[derive(Clone)]
pub struct Guards {
    /// Remembers those that hung.
    pub quarantine: Arc<Quarantine>,
    /// What they must suffer; seldom anything.
    pub faults: Option<Arc<Faults>>,
    /// Counts their calls.
    pub meter: Option<Arc<Meter>>,
    /// The process of a driver that has one of its own.
    pub helper: Option<Arc<Helper>>,
}

/// Where a call's answer is awaited.
struct Slot<R> {
    state: Mutex<State<R>>,
    ready: Condvar,
    worker: Worker,
}

impl<R> Slot<R> {
    fn new() -> Arc<Self> {
        Arc::new(Slot { state: Mutex::new(State::Running), ready: Condvar::new(), worker: Worker::default() })
    }
}

enum State<R> {
    Running,
    Done(std::thread::Result<R>),
    Abandoned,
}

impl Crew {
    /// No threads yet.
    pub fn new(kind: Kind, name: &str, deadlines: impl Into<Deadlines>, guards: Guards) -> Arc<Self> {
        let (idle, stuck) = (threads_for(kind), OnceLock::new());
        let meter = DriverMeter::new(kind, name, guards.meter.clone());
        let deadlines = deadlines.into();
        Arc::new(Crew { kind, name: name.to_owned(), deadlines, words: Words::default(), idle, stuck, guards, meter })
    }

    /// The process of a driver that has one of its own.
    pub fn helper(&self) -> Option<&Arc<Helper>> {
        self.guards.helper.as_ref()
    }

    /// How often the driver has said something.
    pub fn words(&self) -> &Words {
        &self.words
    }

    /// What counts the driver's calls.
    pub fn meter(&self) -> &DriverMeter {
        &self.meter
    }

    /// True when a call must not go straight to the driver.
    #[inline]
    pub fn is_watched(&self) -> bool {
        self.guards.faults.is_some() || self.meter.is_on()
    }

    /// Makes a call where the driver's code runs: struck by the fault that was asked for, and counted.
    #[inline]
    pub fn watch<T>(&self, call: &str, act: impl FnOnce() -> DriverResult<T>) -> DriverResult<T> {
        self.watch_as(call, |error| error, act)
    }

    /// [`Crew::watch`] of something whose errors are not only the driver's.
    pub fn watch_as<T, E>(
        &self,
        call: &str,
        said: impl FnOnce(DriverError) -> E,
        act: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let struck = || match &self.guards.faults {
            Some(faults) => faults.strike(self.kind, &self.name, call).map_err(said),
            None => Ok(()),
        };
        let Some(slot) = self.meter.call(call) else { return struck().and_then(|()| act()) };
        slot.begun();
        let start = Instant::now();
        let answer = struck().and_then(|()| act());
        slot.ended(start.elapsed(), answer.is_err());
        answer
    }

    /// A call was given up.
    pub fn note_timeout(&self, call: &str) {
        self.meter.call(call).iter().for_each(meter::Slot::timed_out);
    }

    /// Runs `job` and waits for it until the deadline.
    pub fn run<R: Send + 'static>(
        self: &Arc<Self>,
        limit: Limit,
        call: &'static str,
        job: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R> {
        if let Some(stuck) = self.stuck.get() {
            return Err(Error::Wedged { kind: self.kind, name: self.name.clone(), call, stuck });
        }
        if self.deadlines.are_none() {
            return self.finished(call, catch_unwind(AssertUnwindSafe(job)));
        }
        let slot = Slot::new();
        self.hand_over(&slot, call, job)?;
        self.wait(&slot, limit, call)
    }

    /// Lets a thread drop something of the driver's, without waiting for it.
    pub fn discard<T: Send + 'static>(self: &Arc<Self>, object: T) {
        if self.stuck.get().is_some() {
            std::mem::forget(object);
        } else if self.deadlines.are_none() {
            drop(object);
        } else {
            let slot = Slot::new();
            let _ = self.hand_over(&slot, "drop", move || drop(object));
        }
    }

    fn hand_over<R: Send + 'static>(
        self: &Arc<Self>,
        slot: &Arc<Slot<R>>,
        call: &'static str,
        job: impl FnOnce() -> R + Send + 'static,
    ) -> Result<()> {
        let idle = lock(&self.idle).pop();
        let sender = match idle {
            Some(sender) => sender,
            None => self.hire().map_err(|e| self.failed(call, format!("cannot start a thread: {e}")))?,
        };
        let (crew, slot, again) = (self.clone(), slot.clone(), sender.clone());
        let job = Box::new(move || {
            slot.worker.is_here();
            let answer = catch_unwind(AssertUnwindSafe(job));
            crew.answer(&slot, answer, again);
        });
        sender.send(job).map_err(|_| self.failed(call, "its thread is gone".to_owned()))
    }

    /// Gives the answer to the caller if it still waits; the thread is idle before the caller can ask again.
    fn answer<R>(&self, slot: &Slot<R>, answer: std::thread::Result<R>, again: Sender<Job>) {
        let mut state = lock(&slot.state);
        if matches!(*state, State::Abandoned) {
            tracing::warn!(driver = %format_args!("{}/{}", self.kind, self.name), "an abandoned call returned after all");
            return;
        }
        lock(&self.idle).push(again);
        *state = State::Done(answer);
        drop(state);
        slot.ready.notify_one();
    }

    fn wait<R>(&self, slot: &Slot<R>, limit: Limit, call: &'static str) -> Result<R> {
        let allowed = self.deadlines.of(self.kind, &self.name, call, limit);
        let mut patience = Patience::new(allowed);
        let (mut extensions, mut heard) = (BULK, self.words.load(Ordering::Relaxed));
        let mut state = lock(&slot.state);
        loop {
            match std::mem::replace(&mut *state, State::Running) {
                State::Done(answer) => return self.finished(call, answer),
                other => *state = other,
            }
            let Some(slice) = patience.next(Some(&slot.worker)) else {
                let words = self.words.load(Ordering::Relaxed);
                if words != heard && extensions > 0 {
                    // It is at work: whoever tells of it gets the same time once more, but not for ever.
                    (patience, heard, extensions) = (Patience::new(allowed), words, extensions - 1);
                    continue;
                }
                *state = State::Abandoned;
                return Err(self.give_up(call, allowed));
            };
            state = slot.ready.wait_timeout(state, slice).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn give_up(&self, call: &'static str, after: Duration) -> Error {
        let _ = self.stuck.set(call);
        self.note_timeout(call);
        self.guards.quarantine.strike(self.kind, &self.name, &format!("{call} hung"));
        Error::TimedOut { kind: self.kind, name: self.name.clone(), call, after }
    }

    fn finished<R>(&self, call: &'static str, answer: std::thread::Result<R>) -> Result<R> {
        answer.map_err(|payload| {
            std::mem::forget(payload);
            self.failed(call, "panicked in the engine's own code".to_owned())
        })
    }

    fn failed(&self, call: &'static str, reason: String) -> Error {
        Error::Run { kind: self.kind, name: self.name.clone(), call, reason }
    }

    /// Signals are for the engine's own threads.
    fn hire(&self) -> std::io::Result<Sender<Job>> {
        let (sender, jobs) = channel::<Job>();
        let mask = block_signals();
        let started = std::thread::Builder::new().name("driver-calls".to_owned()).spawn(move || work(&jobs));
        restore_signals(&mask);
        started.map(|_| sender)
    }
}

fn work(jobs: &Receiver<Job>) {
    while let Ok(job) = jobs.recv() {
        job();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn block_signals() -> libc::sigset_t {
    // SAFETY: sigset_t is plain data; every bit pattern is valid.
    let mut all: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    let mut old: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `all` is ours to write.
    unsafe { libc::sigfillset(&mut all) };
    // SAFETY: both sets live here.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut old) };
    old
}

fn restore_signals(mask: &libc::sigset_t) {
    // SAFETY: the mask was read by `block_signals`.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, mask, std::ptr::null_mut()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guards() -> Guards {
        Guards { quarantine: Arc::new(Quarantine::new(None)), faults: None, meter: None, helper: None }
    }

    fn crew(deadline: Duration) -> Arc<Crew> {
        Crew::new(Kind::Log, "x", deadline, guards())
    }

    #[test]
    fn calls_one_after_another_share_a_thread() {
        let crew = Crew::new(Kind::Network, "x", Duration::from_secs(5), guards());
        let id = || crew.run(Limit::Quick, "id", || std::thread::current().id()).expect("ran");
        let first = id();
        assert!((0..100).all(|_| id() == first));
        assert_ne!(first, std::thread::current().id());
    }

    #[test]
    fn an_overdue_call_is_named_and_the_driver_left_alone() {
        let crew = crew(Duration::from_millis(30));
        let hang = crew.run(Limit::Quick, "attach", || std::thread::sleep(Duration::from_secs(5)));
        assert_eq!(hang.expect_err("hung").to_string(), "log driver \"x\": attach did not return within 30 ms");
        let next = crew.run(Limit::Quick, "detach", || ());
        let text = "log driver \"x\": detach not tried: an earlier attach never returned";
        assert_eq!(next.expect_err("wedged").to_string(), text);
    }

    #[test]
    fn who_tells_of_its_work_gets_more_time_but_not_for_ever() {
        let crew = crew(Duration::from_millis(60));
        let words = crew.words().clone();
        let tell = move |times: u32| {
            for _ in 0..times {
                std::thread::sleep(Duration::from_millis(20));
                words.fetch_add(1, Ordering::Relaxed);
            }
        };
        let telling = tell.clone();
        assert!(crew.run(Limit::Quick, "create", move || telling(12)).is_ok());
        // Sixty times the deadline, and more where a processor is hard to get; but not the two minutes that it tells for.
        assert!(crew.run(Limit::Quick, "create", move || tell(6000)).is_err());
    }

    #[test]
    fn bulk_calls_get_more_time_and_no_deadline_means_no_thread() {
        let slow = || std::thread::sleep(Duration::from_millis(60));
        assert!(crew(Duration::from_millis(30)).run(Limit::Bulk, "copy", slow).is_ok());
        let here = crew(Duration::MAX).run(Limit::Quick, "id", || std::thread::current().id());
        assert_eq!(here.expect("ran"), std::thread::current().id());
    }

    #[test]
    fn threads_of_a_crew_see_no_signals() {
        let blocked = crew(Duration::from_secs(5))
            .run(Limit::Quick, "mask", || std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default());
        let status = blocked.expect("ran");
        let mask = status.lines().find_map(|l| l.strip_prefix("SigBlk:\t")).expect("mask");
        assert!(u64::from_str_radix(mask, 16).expect("hex") & (1 << (libc::SIGTERM - 1)) != 0);
    }
}
