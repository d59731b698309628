//! Places where tests make an attach fail, to see that nothing stays behind. Nothing at all outside tests.

#[cfg(test)]
#[path = "../../../shared/testing/fault.rs"]
mod injected;
#[cfg(test)]
pub use injected::{FAILS_AT, killed_at, step};

/// Every step of an attach after which something was made.
#[cfg(test)]
pub const STEPS: [&str; 5] = ["parent", "made", "link", "up", "access"];

/// Marks a step as done.
#[cfg(not(test))]
#[inline]
pub fn step(_name: &'static str) -> crate::error::Result<()> {
    Ok(())
}
