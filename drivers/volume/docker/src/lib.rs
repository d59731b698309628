//! The volume driver `docker`: volumes of the plugins that were written for Docker (the protocol of its legacy plugins:
//! HTTP and JSON over a socket).
//!
//! Which plugin a volume belongs to is said by the option `plugin`, or by the name under which this driver is installed:
//! a link `rexray.so` to it is the driver `rexray`. A plugin is found as Docker finds it (`places`); what is asked of it
//! (`plugin`) travels over a client of one request a connection (`http`), each with a deadline. The driver keeps which
//! plugin and options a volume was made with (`records`); the data is the plugin's, and so is judging its options.

#![cfg_attr(test, allow(clippy::unwrap_used))]
#![forbid(unsafe_code)]

mod driver;
mod error;
mod http;
mod options;
mod places;
mod plugin;
mod records;

pub use driver::Docker;
