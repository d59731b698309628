//! The network driver `cni`: containers are connected by CNI plugins, programs that whoever set up the host has chosen.
//!
//! `options` say which list of plugins: a file's, a network of /etc/cni/net.d, or one built from options (`list`). A
//! `chain` runs the plugins of a list one after the other (`program`), which is CNI's nature; what they answer is a
//! `result`. What was added, with which list, stands in a `cache` from before the first plugin runs until the last has taken
//! it back, so that anybody can take it back. Addresses are the plugins' own. Default routes are the engine's to give:
//! what the plugins set is moved and removed as it says (`ways`).

#![cfg_attr(test, allow(clippy::unwrap_used))]
#![forbid(unsafe_code)]

mod cache;
mod chain;
mod driver;
mod error;
mod list;
mod options;
mod ports;
mod program;
mod result;
#[cfg(test)]
mod tests;
mod ways;
mod work;

pub use driver::Cni;
