//! Conformance suites for drivers, one per kind. A driver passes its suite before it has tests of its own:
//!
//! ```ignore
//! #[test]
//! fn conforms() {
//!     gantry_plugin_testkit::log::suite(MyDriver::default);
//! }
//! ```
//!
//! [`log::checks`] and its sisters run the same on a driver that is no type of the caller's, and tell what happens to each check as it
//! happens: `gantry plugin test FILE.so` is made of them.
//!
//! Each suite is a list of named checks against the rules in the trait's documentation. All of them run, each with a
//! directory of its own; at the end the suite panics with the names of those that failed and why. Checks that need root
//! or something a driver does not claim in its capabilities are skipped and say so on stderr. A later minor version may
//! check more of what the traits promise.

pub mod bench;
pub mod log;
pub mod network;
pub mod points;
pub mod storage;
pub mod volume;

mod namespaces;
mod support;

pub use support::{Event, Report, Run};
