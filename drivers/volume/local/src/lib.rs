//! The local volume driver: a directory of this host, or any file system that this host can mount.
//!
//! ```text
//! <name>/_data        the data, where no device is given
//! <name>/_disk/ext4   the data of a volume with a limit, where the host's file system keeps no project quotas
//! <name>/opts.json    the options, only when there are any
//! .staging/ .trash/   half-made and removed volumes (no volume's name begins with a dot)
//! ```
//! A volume appears and disappears by one rename. The driver never mounts: [`mounts`] says what to mount.

mod disk;
mod driver;
mod error;
mod mounts;
mod options;
mod shelf;

pub use driver::Local;
pub use error::Error;
