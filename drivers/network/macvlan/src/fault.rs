//! Places where tests make an attach fail, to see that nothing stays behind. Nothing at all outside tests.

use crate::error::Result;

#[cfg(test)]
thread_local! {
    /// The step that fails on this thread.
    pub static FAILS_AT: std::cell::Cell<Option<&'static str>> = const { std::cell::Cell::new(None) };
}

#[cfg(test)]
thread_local! {
    /// The step does not fail but kills the process.
    pub static KILLS: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Every step of an attach after which something was made.
#[cfg(test)]
pub const STEPS: [&str; 4] = ["parent", "link", "up", "access"];

/// Marks a step as done; fails if a test wants it so.
#[cfg(test)]
pub fn step(name: &'static str) -> Result<()> {
    match FAILS_AT.get() {
        Some(wanted) if wanted == name && KILLS.get() => {
            nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL).expect("dies");
            Ok(())
        }
        Some(wanted) if wanted == name => Err(crate::error::Error::Injected(name)),
        _ => Ok(()),
    }
}

/// Marks a step as done.
#[cfg(not(test))]
#[inline]
pub fn step(_name: &'static str) -> Result<()> {
    Ok(())
}
