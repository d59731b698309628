//! The driver against the kernel. Every test has a host of its own: a network namespace that the test's thread makes and
//! lives in, so that the machine's own interfaces and firewall are never touched. They need root and skip without.

mod containers;
mod faults;
#[path = "../../../shared/testing/host.rs"]
mod host;
mod isolation;
mod live;
mod matrix;
mod measure;
mod outside;
mod published;
mod restore;
mod world;
