//! Ids, references, digests, sizes, ports, durations and records: parse and display, no I/O.

pub mod blkio;
pub mod class;
pub mod container;
pub mod csv;
pub mod device;
pub mod digest;
pub mod duration;
pub mod env;
pub mod event;
pub mod health;
pub mod ids;
pub mod logopt;
pub mod mount;
pub mod network;
pub mod platform;
pub mod port;
pub mod record;
pub mod reference;
pub mod restart;
pub mod secret;
pub mod size;
pub mod template;
pub mod time;
pub mod ulimit;
pub mod volume;
