//! The driver through its trait, against a real journald.

#![allow(clippy::unwrap_used)]

mod conformance;
mod fields;
#[path = "../../../../shared/testing/journald.rs"]
mod journald;
mod private;
mod read;
#[path = "../../../../shared/testing/warnings.rs"]
mod warnings;
