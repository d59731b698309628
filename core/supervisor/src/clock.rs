//! The clocks.

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds since 1970.
pub fn realtime_ns() -> u64 {
    read(ClockId::CLOCK_REALTIME)
}

/// Milliseconds since boot, never 0.
pub fn monotonic_ms() -> u64 {
    (read(ClockId::CLOCK_MONOTONIC) / 1_000_000).max(1)
}

/// Nanoseconds since boot.
pub fn monotonic_ns() -> u64 {
    read(ClockId::CLOCK_MONOTONIC)
}

/// Nanoseconds this thread has computed.
pub fn thread_ns() -> u64 {
    read(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

fn read(clock: ClockId) -> u64 {
    // These clocks exist on every Linux.
    let now = clock_gettime(clock).map_or((0, 0), |t| (t.tv_sec(), t.tv_nsec()));
    now.0.unsigned_abs() * 1_000_000_000 + now.1.unsigned_abs()
}
