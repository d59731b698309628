//! The bridge network driver: containers on an Ethernet bridge of the host, behind address translation.
//!
//! Three mechanisms, each in its own module: the bridge itself ([`bridge`], made once, by rtnetlink), a container's veth
//! pair ([`endpoint`], on the way of every start, by one synchronous message), and the engine's own nf_tables table
//! ([`firewall`]). What the firewall must hold is noted in the driver's state directory ([`records`]), so that a flushed
//! rule set comes back with the next attach.

mod advice;
mod bridge;
mod driver;
mod endpoint;
mod error;
mod fault;
mod firewall;
mod flows;
mod options;
mod ports;
mod records;
mod sysctl;
#[cfg(test)]
mod tests;

pub use driver::Bridge;
