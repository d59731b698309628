//! The OCI runtime's command line on plain bundles (`config.json` and a root file system): what Docker, podman and
//! containerd call instead of runc.
//!
//! A container's life is spread over separate processes here: `create` leaves its init waiting at a socket in
//! `<root>/<id>/`, `start` connects there, `delete` takes everything away. Nothing of the engine's state is used. How a
//! spec becomes a process is `gantry-runtime`'s; this crate owns the directory, the order of hooks, and the verbs.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod config;
mod create;
mod delete;
mod error;
mod events;
mod exec;
pub mod features;
mod foreground;
mod hooks;
mod kill;
mod limits;
mod list;
mod outliving;
mod protect;
mod start;
mod state;
mod terminal;

pub use config::default_config;
pub use create::{Create, Created};
pub use error::{Error, Result};
pub use events::Usage;
pub use exec::Exec;
pub use foreground::End;
pub use kill::signal_number;
pub use limits::Update;
pub use protect::enter_protected;
pub use state::{Shown, Status};

use std::path::{Path, PathBuf};

/// The version of the runtime specification that is followed.
pub const OCI_VERSION: &str = "1.2.0";

/// Where containers are kept unless told otherwise.
pub const DEFAULT_ROOT: &str = "/run/gantry/runtime";

/// All containers below one root directory.
#[derive(Clone, Debug)]
pub struct Runtime {
    root: PathBuf,
}

impl Runtime {
    pub fn new(root: &Path) -> Runtime {
        Runtime { root: root.to_path_buf() }
    }
}
