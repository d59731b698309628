//! What the black-box suites stand on: a private world per test (root, state, bridge and subnet of its own), commands
//! with deadlines, an image made from Debian's busybox, and a search for whatever a test left behind.
//! The engine is only ever driven through its binary.

mod binaries;
mod command;
pub mod image;
pub mod leaks;
#[path = "../../drivers/shared/testing/host.rs"]
pub mod netns;
pub mod openapi;
pub mod process;
pub mod registry;
pub mod server;
mod world;

pub use binaries::{binary, target_dir};
pub use command::{DEADLINE, Run, Running};
pub use world::World;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Whether this test can make containers; says why not.
pub fn able() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}

/// Now as `--until` takes it, to the nanosecond.
pub fn now_text() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    format!("{}.{:09}", now.as_secs(), now.subsec_nanos())
}

/// Waits until something is so; panics with `what` when it is not within ten seconds.
pub fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    assert!(within(Duration::from_secs(10), &mut so), "not within 10 s: {what}");
}

/// Whether something becomes so in time.
pub fn within(limit: Duration, mut so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if so() {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
