//! Ids, references, digests, sizes, ports, durations and records: parse and display, no I/O.

pub mod digest;
pub mod reference;
