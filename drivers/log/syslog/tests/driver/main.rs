//! The driver through its trait, against servers of the tests' own that show every byte. What a real rsyslogd makes of it
//! is shown by the black-box tests.

#![allow(clippy::unwrap_used)]

mod certificates;
mod common;
mod conformance;
mod datagrams;
mod outages;
mod streams;
mod tls;
