//! Ids, references, digests, sizes, ports, durations and records: parse and display, no I/O.

pub mod digest;
pub mod reference;
pub mod class;
pub mod container;
pub mod ids;
pub mod record;
