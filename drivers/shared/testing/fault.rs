//! Steps of an attach that tests make fail, or kill the process at.

use crate::error::{Error, Result};
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use std::cell::Cell;

thread_local! {
    /// The step that fails on this thread.
    pub static FAILS_AT: Cell<Option<&'static str>> = const { Cell::new(None) };
    /// The step does not fail but kills the process.
    static KILLS: Cell<bool> = const { Cell::new(false) };
}

/// Marks a step as done; fails if a test wants it so.
pub fn step(name: &'static str) -> Result<()> {
    if FAILS_AT.get() != Some(name) {
        return Ok(());
    }
    if KILLS.get() {
        raise(Signal::SIGKILL).expect("dies");
    }
    Err(Error::Injected(name))
}

/// Runs an act in a process of its own that dies at a step.
pub fn killed_at(step: &'static str, act: impl FnOnce()) {
    // SAFETY: the child has this thread only, and what it needs of others (the allocator) is usable after a fork.
    match unsafe { fork() }.expect("forks") {
        ForkResult::Child => {
            FAILS_AT.set(Some(step));
            KILLS.set(true);
            act();
            std::process::exit(1);
        }
        ForkResult::Parent { child } => {
            let ended = waitpid(child, None).expect("ends");
            assert!(matches!(ended, WaitStatus::Signaled(..)), "{step}: {ended:?}");
        }
    }
}
