//! The driver through its trait, on real files.

#![allow(clippy::unwrap_used)]

mod common;
mod conformance;
mod damage;
mod follow;
mod read;
mod resume;
mod rotation;
mod write;
