//! The configuration: what an operator wrote in TOML, drop-ins and the environment, checked, with the origin of every
//! value. Driver tables are kept as text for the drivers' own schemas to judge.

mod drivers;
mod fault;
mod files;
mod given;
mod keys;
mod load;
mod origin;
mod registry;
mod show;
mod tables;
mod user;

pub use drivers::{DriverOption, Judge};
pub use fault::{Fault, Faults};
pub use load::LoadOptions;
pub use origin::Origin;
pub use registry::Registry;
pub use show::Shown;
pub use user::Places;

use fault::Place;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// One address pool: networks of `size` bits are cut from `base`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressPool {
    /// `172.16.0.0/12`.
    pub base: String,
    /// Prefix length of each network.
    pub size: u8,
}

/// The configuration in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `root`.
    pub root: PathBuf,
    /// `state`.
    pub state: PathBuf,
    /// `defaults.log-driver`.
    pub log_drivers: Vec<String>,
    /// `defaults.log-cache-driver`: keeps the copy that `logs` reads when no driver of a container can be read.
    pub log_cache_driver: String,
    /// `defaults.storage-driver`.
    pub storage_driver: String,
    /// `defaults.network`.
    pub network: String,
    /// `defaults.volume-driver`.
    pub volume_driver: String,
    /// `engine.network.address-pools`.
    pub address_pools: Vec<AddressPool>,
    /// `engine.network.publish-addresses`: host addresses of ports published without one; none: all.
    pub publish_addresses: Vec<String>,
    /// `engine.network.fallback-dns`.
    pub fallback_dns: Vec<String>,
    /// `engine.cgroup-manager`: `cgroupfs`, or `systemd`, which is asked for a scope for each container.
    pub cgroup_manager: String,
    /// `defaults.userns`: user namespace of containers that name none.
    pub userns: String,
    /// `engine.userns.range`: first id and count of what `auto` takes from; `None`: `/etc/subuid` says.
    pub userns_range: Option<(u32, u32)>,
    /// `engine.selinux`: containers are labelled where the kernel has SELinux.
    pub selinux: bool,
    /// `engine.volume.bind-autocreate`: `-v` makes a missing source.
    pub bind_autocreate: bool,
    /// `engine.gc.high`: percent of the store's file system above which unused images go; `None`: they never go by themselves.
    pub gc_high: Option<u8>,
    /// `engine.gc.low`: percent down to which they go.
    pub gc_low: u8,
    /// `engine.gc.keep`: what was used within this time stays.
    pub gc_keep: Duration,
    /// `engine.logs.max-total`: bytes of disk for the logs of all containers together; `None`: no such limit.
    pub logs_max_total: Option<u64>,
    /// `defaults.runtime`: who makes containers that name nobody.
    pub runtime: String,
    /// `[engine.runtimes]`: other OCI runtimes by name, each a program and its options.
    pub runtimes: BTreeMap<String, Vec<String>>,
    /// `[registry."HOST"]`, by host.
    pub registries: BTreeMap<String, Registry>,
    /// `engine.registry.downloads`: layers fetched at the same time.
    pub registry_downloads: usize,
    /// `engine.registry.retries`: how often what may pass is tried again.
    pub registry_retries: u32,
    /// `engine.registry.lazy`: files come when they are opened, where layers have a table of contents.
    pub registry_lazy: bool,
    /// `engine.registry.timeout`: for a connection and for each further byte.
    pub registry_timeout: Duration,
    /// `plugins.path`.
    pub plugin_path: Vec<PathBuf>,
    /// `plugins.allow`; `None`: all.
    pub plugin_allow: Option<Vec<String>>,
    /// `plugins.sha256`: `kind/name` to digest.
    pub plugin_pins: Vec<(String, String)>,
    /// `plugins.isolate`: `kind/name` of drivers with a process of their own.
    pub plugin_isolate: Vec<String>,
    /// `isolation` in a driver's table: `kind/name` to whether it gets a process of its own.
    pub isolation: BTreeMap<String, bool>,
    /// `plugins.deadline`.
    pub plugin_deadline: Duration,
    /// `plugins.deadlines`: `kind/name` or `kind/name.call` to a time.
    pub plugin_deadlines: Vec<(String, Duration)>,
    /// `[log.X]`, `[storage.X]`, `[network.X]`, `[volume.X]`: (kind, name) to options.
    pub drivers: BTreeMap<(String, String), Vec<(String, String)>>,
    /// Where each value came from, by its key; what is absent here is built in.
    pub origins: BTreeMap<String, Origin>,
    /// The drivers' options with their places, for [`Config::check_with`].
    pub(crate) written: Vec<DriverOption>,
    /// Where the values of the engine's keys stand, as far as they are in files.
    pub(crate) places: BTreeMap<String, Place>,
    /// Where the tables of drivers begin, by kind and driver.
    pub(crate) tables: BTreeMap<(String, String), Place>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            root: "/var/lib/gantry".into(),
            state: "/run/gantry".into(),
            log_drivers: vec!["json-file".into()],
            log_cache_driver: "local".into(),
            storage_driver: "overlay2".into(),
            network: "bridge".into(),
            volume_driver: "local".into(),
            address_pools: default_pools(),
            publish_addresses: Vec::new(),
            fallback_dns: vec!["8.8.8.8".into(), "8.8.4.4".into()],
            cgroup_manager: "cgroupfs".into(),
            userns: "host".into(),
            userns_range: None,
            selinux: false,
            bind_autocreate: true,
            gc_high: None,
            gc_low: 70,
            gc_keep: Duration::from_secs(24 * 3600),
            logs_max_total: None,
            runtime: "gantry".into(),
            runtimes: BTreeMap::new(),
            registries: BTreeMap::new(),
            registry_downloads: 3,
            registry_retries: 5,
            registry_lazy: false,
            registry_timeout: Duration::from_secs(30),
            plugin_path: Vec::new(),
            plugin_allow: None,
            plugin_pins: Vec::new(),
            plugin_isolate: Vec::new(),
            isolation: BTreeMap::new(),
            plugin_deadline: Duration::from_secs(10),
            plugin_deadlines: Vec::new(),
            drivers: BTreeMap::new(),
            origins: BTreeMap::new(),
            written: Vec::new(),
            places: BTreeMap::new(),
            tables: BTreeMap::new(),
        }
    }
}

impl Config {
    /// The options an operator set for a driver.
    pub fn driver_options(&self, kind: &str, name: &str) -> &[(String, String)] {
        self.drivers.get(&(kind.to_owned(), name.to_owned())).map_or(&[], Vec::as_slice)
    }

    /// Drivers with a process of their own, as `kind/name`: what a driver's own table says goes before the list.
    pub fn isolated(&self) -> Vec<String> {
        let listed = self.plugin_isolate.iter().filter(|name| !self.isolation.contains_key(*name));
        let own = self.isolation.iter().filter_map(|(name, apart)| apart.then_some(name));
        listed.chain(own).cloned().collect()
    }
}

fn default_pools() -> Vec<AddressPool> {
    let pool = |base: &str, size| AddressPool { base: base.into(), size };
    vec![
        pool("172.17.0.0/16", 16),
        pool("172.18.0.0/16", 16),
        pool("172.19.0.0/16", 16),
        pool("172.20.0.0/14", 16),
        pool("172.24.0.0/14", 16),
        pool("172.28.0.0/14", 16),
        pool("192.168.0.0/16", 20),
    ]
}
