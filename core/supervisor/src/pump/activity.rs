//! What the thread of a sink is at: how long its driver has been inside one call, and whether that call waits for
//! something or only for its turn on a busy machine.

use crate::clock;
use std::fs;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

/// A call that computes longer than this is not waiting for its turn.
const COMPUTING_NS: u64 = 500_000_000;
/// A tick of /proc/PID/stat (USER_HZ is 100 on every architecture Linux still has).
const TICK_NS: u64 = 10_000_000;

/// See the module.
#[derive(Default)]
pub struct Activity {
    /// When the current call into the driver began, ms; 0: none.
    since: AtomicU64,
    /// When it last got something done, ms; 0: never.
    moved: AtomicU64,
    /// The thread that is inside the driver.
    thread: AtomicI32,
    /// What that thread had computed before the call.
    computed_ns: AtomicU64,
}

impl Activity {
    /// This thread calls the driver.
    pub fn begin(&self) {
        self.thread.store(nix::unistd::gettid().as_raw(), Ordering::SeqCst);
        self.computed_ns.store(clock::thread_ns(), Ordering::SeqCst);
        self.since.store(clock::monotonic_ms(), Ordering::SeqCst);
    }

    /// The call goes on in this thread, which its caller waits for.
    pub fn is_continued_here(&self) {
        self.computed_ns.store(clock::thread_ns(), Ordering::SeqCst);
        self.thread.store(nix::unistd::gettid().as_raw(), Ordering::SeqCst);
    }

    pub fn end(&self) {
        self.since.store(0, Ordering::SeqCst);
        self.moved.store(clock::monotonic_ms(), Ordering::SeqCst);
    }

    /// How long the driver has been inside one call, ms.
    pub fn busy_for(&self) -> Option<u64> {
        let since = self.since.load(Ordering::SeqCst);
        (since > 0).then(|| clock::monotonic_ms().saturating_sub(since))
    }

    /// How long nothing has been seen to move, ms.
    pub fn still_for(&self) -> u64 {
        let last = self.since.load(Ordering::SeqCst).max(self.moved.load(Ordering::SeqCst));
        clock::monotonic_ms().saturating_sub(last)
    }

    /// True while the call wants a processor and has hardly had one, or waits for a disk; false when it sleeps.
    pub fn waits_its_turn(&self) -> bool {
        let thread = self.thread.load(Ordering::SeqCst);
        let Some((state, computed)) = look(thread) else { return false };
        let before = self.computed_ns.load(Ordering::SeqCst);
        match state {
            'D' => true,
            'R' => computed.saturating_sub(before) < COMPUTING_NS,
            _ => false,
        }
    }
}

/// The state of a thread of ours and the time it has computed (proc_pid_stat(5): fields 3, 14 and 15).
fn look(thread: i32) -> Option<(char, u64)> {
    let text = fs::read_to_string(format!("/proc/self/task/{thread}/stat")).ok()?;
    let mut fields = text.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?.chars().next()?;
    let user: u64 = fields.nth(10)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((state, (user + system) * TICK_NS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::thread;
    use std::time::Duration;

    fn eventually(condition: impl Fn() -> bool) -> bool {
        (0..2000).any(|_| {
            thread::sleep(Duration::from_millis(5));
            condition()
        })
    }

    #[test]
    fn a_sleeping_call_does_not_wait_its_turn_and_one_that_computes_on_does_no_longer() {
        let (activity, stop) = (Arc::new(Activity::default()), Arc::new(AtomicBool::new(false)));
        let (inside, end) = (activity.clone(), stop.clone());
        let worker = thread::spawn(move || {
            inside.begin();
            thread::park();
            while !end.load(Ordering::SeqCst) {}
        });
        assert!(eventually(|| activity.busy_for().is_some()));
        assert!(eventually(|| !activity.waits_its_turn()), "it sleeps");
        worker.thread().unpark();
        assert!(eventually(|| activity.waits_its_turn()), "it has hardly begun");
        assert!(eventually(|| !activity.waits_its_turn()), "it computes on and on");
        stop.store(true, Ordering::SeqCst);
        worker.join().expect("it ends");
    }

    #[test]
    fn what_ends_has_moved() {
        let activity = Activity::default();
        assert_eq!(None, activity.busy_for());
        activity.begin();
        assert!(activity.busy_for().is_some());
        activity.end();
        assert_eq!(None, activity.busy_for());
        assert!(activity.still_for() < 60_000);
    }
}
