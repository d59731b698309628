//! The façade: typed request in, effects in order, undo on failure. Command line and API server are doors to it and
//! hold no logic of their own.

#![forbid(unsafe_code)]

mod apparmor;
mod at_once;
mod boot;
mod cgroups;
pub mod check;
mod config_diff;
pub mod container;
mod error;
pub mod events;
mod features;
pub mod image;
mod lazy;
mod metrics;
mod mount_points;
mod names;
pub mod network;
pub mod pattern;
mod plugins;
pub mod request;
pub mod rootless;
pub mod secret;
mod selinux;
pub mod settings;
mod spec;
mod storage;
mod system;
mod trash;
mod userns;
mod volume;
pub mod why;

pub use boot::DoneToAll;
pub use config_diff::Difference;
pub use error::{Error, Result, sentence};
/// The OCI command line on plain bundles, beside the engine and without its state.
pub use gantry_bundle as bundle;
pub use gantry_config as config;
pub use gantry_host::tell_warnings;
pub use gantry_image::inspect::HistoryLine;
pub use gantry_model as model;
pub use gantry_supervisor::{Action, End, Note as ExecNote, Session, SessionIo, Waiting, keys};
/// What makes a function a program's `main`.
pub use gantry_sys::program;
pub use network::{NetworkRecord, NetworkRequest, check_types};
pub use volume::VolumeRecord;

use gantry_host::{Deadlines, Faults, Isolation, Plugins, Search};
use gantry_image::ImageStore;
use gantry_store::Layout;
use request::Settings;
use std::cell::OnceCell;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// The engine over one root and one state directory.
pub struct Engine {
    settings: Settings,
    layout: Layout,
    plugins: Plugins,
    images: OnceCell<ImageStore>,
    store: OnceCell<storage::Storage>,
    cgroups: OnceCell<gantry_runtime::cgroup::Host>,
}

impl Engine {
    /// Opens the engine; touches no file until it must. Fails only when drivers are to suffer what cannot be.
    pub fn open(settings: Settings) -> Result<Engine> {
        let layout = Layout::new(&settings.root, &settings.state);
        let config = &settings.config;
        let plugins = Plugins::new(Search {
            flag_dirs: settings.plugin_dirs.clone(),
            config_dirs: config.plugin_path.clone(),
            allow: config.plugin_allow.clone(),
            pins: config.plugin_pins.clone(),
            cache_dir: Some(layout.cache()),
            quarantine: Some(layout.state().join("quarantine")),
            deadline: config.plugin_deadline,
            deadlines: config.plugin_deadlines.clone(),
            faults: Faults::of(&settings.faults)?,
            fault_counts: None,
            isolation: isolation(config)?,
            metrics: Some(layout.driver_metrics()),
        });
        plugins.check_faults()?;
        Ok(Engine {
            settings,
            layout,
            plugins,
            images: OnceCell::new(),
            store: OnceCell::new(),
            cgroups: OnceCell::new(),
        })
    }

    /// What the engine was opened with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Where a driver may keep things; the directories are made.
    pub(crate) fn driver_dirs(&self, kind: &str, name: &str) -> gantry_host::api::types::Dirs {
        let dirs = gantry_host::api::types::Dirs {
            root: self.layout.driver_root(kind, name),
            state: self.layout.driver_state(kind, name),
        };
        for dir in [&dirs.root, &dirs.state] {
            if !dir.is_dir() {
                let _ = gantry_store::atomic::make_dir(dir);
            }
        }
        dirs
    }

    /// The cgroup hierarchies of this host, looked at once.
    pub(crate) fn cgroups(&self) -> Result<&gantry_runtime::cgroup::Host> {
        if let Some(host) = self.cgroups.get() {
            return Ok(host);
        }
        let host = gantry_runtime::cgroup::detect()?;
        Ok(self.cgroups.get_or_init(|| host))
    }

    /// The cgroup of one container.
    pub(crate) fn cgroup(&self, path: &str) -> Result<Box<dyn gantry_runtime::cgroup::Manager>> {
        Ok(gantry_runtime::cgroup::manager_on(self.cgroups()?, path))
    }

    /// A program of ours beside the running one.
    pub(crate) fn program(&self, name: &str) -> Result<PathBuf> {
        find_program(name)
    }
}

/// Which drivers get a process of their own; the pump's program can be that, too.
fn isolation(config: &gantry_config::Config) -> Result<Option<Isolation>> {
    let drivers = config.isolated();
    if drivers.is_empty() {
        return Ok(None);
    }
    let deadlines = Deadlines { all: config.plugin_deadline, own: config.plugin_deadlines.clone() };
    Ok(Some(Isolation { drivers, program: find_program("gantry-pump")?, deadlines }))
}

/// A program of ours beside the running one.
pub fn find_program(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().map_err(Error::io("find the running program"))?;
    let dir = own.parent().map(PathBuf::from).unwrap_or_default();
    let candidates = [dir.join(name), dir.join("../lib/gantry").join(name), dir.join("..").join(name)];
    candidates.into_iter().find(|p| p.is_file()).ok_or_else(|| {
        let message = format!("cannot find the program {name} beside {}", own.display());
        Error::request(model::class::Class::NotFound, message)
    })
}

/// Random bytes from the kernel.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N]> {
    use std::io::Read;
    let mut bytes = [0; N];
    let mut file = std::fs::File::open("/dev/urandom").map_err(Error::io("open /dev/urandom"))?;
    file.read_exact(&mut bytes).map_err(Error::io("read /dev/urandom"))?;
    Ok(bytes)
}

/// A new id of 64 hexadecimal digits.
pub(crate) fn random_id() -> Result<String> {
    Ok(model::ids::Id::from_bytes(&random_bytes()?).to_string())
}

/// Nanoseconds since 1970.
pub(crate) fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64)
}

/// A time as Docker's JSON shows it; 0 is the zero time.
pub(crate) fn rfc3339(ns: u64) -> String {
    if ns == 0 {
        return "0001-01-01T00:00:00Z".to_owned();
    }
    jiff::Timestamp::from_nanosecond(i128::from(ns)).map(|t| t.to_string()).unwrap_or_default()
}
