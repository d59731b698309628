//! The overlay2 storage driver: layers of an image are directories that the kernel's overlay file system stacks, a
//! container is one more directory on top.
//!
//! ```text
//! layers/<id>               a committed layer
//! containers/<id>           what a container changed
//! work/<id>                 the kernel's work directory for it, the mark `volatile`, and the disk of a limited layer
//! l/<short>                 links to `layers/<id>`, so that many fit into one page of mount options
//! staging/ trash/           half-made and removed ones, see the shared layer store
//! ```
//! The driver never mounts: [`mounts`] says what to mount.

mod changes;
mod driver;
mod error;
mod links;
mod mounts;
mod options;
mod place;
mod probe;
mod store;

pub use driver::Overlay2;
pub use error::Error;
