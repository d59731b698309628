//! Places where tests make an attach fail, to see that nothing stays behind. Nothing at all outside tests.

use crate::error::Result;

#[cfg(test)]
#[path = "../../../shared/testing/fault.rs"]
mod injected;
#[cfg(test)]
pub use injected::{FAILS_AT, killed_at, step};

/// Every step of an attach after which something was made.
#[cfg(test)]
pub const STEPS: [&str; 5] = ["bridge", "firewall", "ports", "veth", "up"];

#[cfg(test)]
thread_local! {
    /// The kernel seems to have no nf_tables on this thread.
    pub static NO_NF_TABLES: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Fails as a kernel without nf_tables does if a test wants it.
#[cfg(test)]
pub fn nf_tables() -> Result<()> {
    use gantry_driver_shared::netlink;
    let source = std::io::Error::from_raw_os_error(libc::EPROTONOSUPPORT);
    let refused = netlink::Error::Open { protocol: netlink::Protocol::Netfilter, source };
    if NO_NF_TABLES.get() { Err(refused.into()) } else { Ok(()) }
}

/// Asks nothing.
#[cfg(not(test))]
#[inline]
pub fn nf_tables() -> Result<()> {
    Ok(())
}

/// Marks a step as done.
#[cfg(not(test))]
#[inline]
pub fn step(_name: &'static str) -> Result<()> {
    Ok(())
}
