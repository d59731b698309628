//! The vfs storage driver: each layer and each container is a full directory tree. It needs nothing of the kernel or the
//! file system but files, and costs a copy per layer, unless the file system shares blocks between copies.
//!
//! ```text
//! layers/<id>               the image up to and including a layer
//! containers/<id>           the root of a container
//! staging/ trash/           half-made and removed ones, see the shared layer store
//! ```

mod changes;
mod driver;
mod error;
mod options;
mod store;

pub use driver::Vfs;
pub use error::Error;
