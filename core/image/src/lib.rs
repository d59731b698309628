//! Images: a content store, records, and layers unpacked into a storage driver.
//!
//! This crate knows archives, manifests and tar; it does not know storage drivers (a [`LayerSink`] gives it
//! directories) nor containers (a [`Users`] tells it what is in use). Everything it writes is either named by
//! a record or garbage that [`ImageStore::collect_garbage`] removes.
#![forbid(unsafe_code)]

pub mod apply;
mod archive;
mod blobs;
mod board;
pub mod change;
pub mod check;
mod commit;
pub mod config;
pub mod content;
pub mod error;
mod extract;
mod files;
mod gc;
mod hash;
mod import;
pub mod inspect;
mod layers;
pub mod lazy;
pub mod limits;
mod load;
mod manifest;
mod partial;
mod pipeline;
mod pull;
mod push;
pub mod records;
mod remove;
mod renamed;
mod save;
mod store;
mod sums;
pub mod tar;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod tree;
mod verify;

pub use apply::{LayerTarget, Whiteouts};
pub use change::apply_changes;
pub use commit::{CommitRequest, Committed};
pub use config::{ContainerConfig, ImageConfig};
pub use content::ContentStore;
pub use error::{BoxError, Error, Result};
pub use extract::extract;
pub use files::Lock;
pub use gc::Collected;
pub use hash::{chain_ids, sha256};
pub use import::{ImportRequest, Imported};
pub use layers::{LayerSink, UnpackOptions, Watch, chain_for};
pub use limits::Limits;
pub use load::Loaded;
pub use manifest::index_entries;
pub use pull::{Planned, Pulled, Remote};
pub use push::{PushBlob, PushPlan};
pub use records::{Image, Layer};
pub use remove::{DeadLayer, DeleteLayer, Removal, Removed, User, Users};
pub use renamed::{Renaming, rename};
pub use store::{ImageStore, ImageSummary};

#[cfg(test)]
mod tests;
