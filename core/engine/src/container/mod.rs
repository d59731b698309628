//! Containers: created, started, watched, ended, removed. One act, one file.

pub mod mounts;

mod attach;
mod busy;
mod commit;
mod copy;
mod create;
mod exec;
mod file;
mod finish;
mod guess;
pub(crate) mod health;
pub(crate) mod image_mounts;
mod inspect;
mod kill;
mod list;
mod logging;
mod logs;
mod logs_cap;
pub(crate) mod owner;
mod propagation;
mod remove;
mod root;
mod show;
mod sink_options;
mod sink_rate;
mod sinks;
mod start;
pub mod stats;
mod tag;
mod top;
mod truth;
mod update;
mod update_limits;

pub(crate) use busy::Act;
pub use commit::Change;
pub use copy::PathStat;
pub use exec::Exec;
pub use file::ContainerFile;
pub use kill::{Watch, Watched};
pub use list::ContainerSummary;
pub(crate) use list::label_fits;
pub(crate) use owner::directories as root_directories;
pub use start::{Ending, Running};
pub use top::{PublishedPort, Top};
pub(crate) use truth::corrected;
