//! Images: a content store, records, and layers unpacked into a storage driver.
//!
//! This crate knows archives, manifests and tar; it does not know storage drivers (a [`LayerSink`] gives it
//! directories) nor containers (a [`Users`] tells it what is in use). Everything it writes is either named by
//! a record or garbage that [`ImageStore::collect_garbage`] removes.
#![forbid(unsafe_code)]

pub mod apply;
pub mod change;
pub mod config;
pub mod content;
pub mod error;
mod files;
mod hash;
pub mod limits;
mod pipeline;
pub mod tar;

pub use apply::{LayerTarget, Whiteouts};
pub use error::{BoxError, Class, Error, Result};
pub use hash::{chain_ids, sha256};
pub use limits::Limits;
