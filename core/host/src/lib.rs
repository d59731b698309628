//! Finds, checks and opens plugins, and stands between the engine and what they do: every call has a deadline, a driver
//! that misses it is cut off and named, one that does so again and again is put in quarantine. The only `dlopen` of the
//! engine is here, and this is the only crate of the core that names the plugin API.
//!
//! [`Plugins`] is the way in: [`Plugins::list`], [`Plugins::manifest`] and [`Plugins::check_options`] read files and run
//! nothing of a stranger's; [`Plugins::log`] and its sisters load a driver and return a handle. No thread is started
//! before the first call through a handle.

mod cdoor;
mod deadlines;
mod doctor;
mod elf;
mod error;
mod fault;
mod handle;
pub mod isolate;
mod lend;
mod load;
mod meter;
mod options;
mod patience;
mod plugins;
mod quarantine;
mod search;
mod shared;
mod slots;
mod told;
mod trust;
mod verdict;
mod worker;

pub use deadlines::Deadlines;
pub use doctor::{Candidate, Diagnosis, Finding, digest, same_digest};
pub use error::{Error, Result};
pub use fault::Faults;
pub use gantry_plugin_api as api;
pub use gantry_plugin_api::Class;
pub use gantry_plugin_api::manifest::{ApiVersion, Door, DriverManifest, Kind, Manifest, OptionInfo};
pub use handle::log::{LogDriver, LogReader, LogSink, OpenedSink};
pub use handle::network::NetworkDriver;
pub use handle::storage::{StorageDriver, Store};
pub use handle::volume::VolumeDriver;
pub use isolate::Isolation;
pub use lend::{Metric, metrics};
pub use meter::{BOUNDS, CallMetric, Readings};
pub use plugins::{Found, Listed, Plugins};
pub use search::{Search, Source, program, program_lies_at};
pub use told::tell_warnings;
