//! The file system as the database: one directory per object, records replaced by rename, names as symbolic links.
//!
//! Readers take no lock. Writers hold the object's `flock` for the moment of a read-modify-write and never while a
//! driver runs. Nothing here knows what a container does; it only keeps records whole.

pub mod atomic;
pub mod containers;
pub mod error;
pub mod events;
pub mod inplace;
pub mod layout;
pub mod lock;
pub mod owner;
pub mod proc;

pub use error::Error;
pub use layout::Layout;

/// A store's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
