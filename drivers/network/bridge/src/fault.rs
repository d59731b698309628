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
