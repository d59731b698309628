//! The engine's own keys: one row each, with its environment variable, how it is read and how it is shown.

use crate::fault::Problem;
use crate::given::Given;
use crate::{AddressPool, Config};
use gantry_model::userns::UsernsMode;
use std::path::PathBuf;

/// A key of the engine.
pub struct Key {
    /// With dots, as `config show` prints it.
    pub path: &'static str,
    /// A sentence about it.
    pub help: &'static str,
    /// The environment variable that overrides it.
    pub variable: &'static str,
    /// Reads a value into its field.
    pub set: fn(&mut Config, Given<'_>) -> Result<(), Problem>,
    /// The value in TOML.
    pub show: fn(&Config) -> String,
}

/// Every key but the tables of drivers, `engine.runtimes`, `plugins.deadlines` and `plugins.sha256`.
pub const KEYS: &[Key] = &[
    Key {
        path: "root",
        help: "Where images, containers and volumes lie.",
        variable: "GANTRY_ROOT",
        set: |c, v| v.path().map(|path| c.root = path),
        show: |c| quoted(&c.root.to_string_lossy()),
    },
    Key {
        path: "state",
        help: "Where what dies with the boot lies.",
        variable: "GANTRY_STATE",
        set: |c, v| v.path().map(|path| c.state = path),
        show: |c| quoted(&c.state.to_string_lossy()),
    },
    Key {
        path: "defaults.log-driver",
        help: "Log driver of a container that names none; several in a list.",
        variable: "GANTRY_LOG_DRIVER",
        set: |c, v| v.list(Given::name).and_then(at_least_one).map(|names| c.log_drivers = names),
        show: |c| list(&c.log_drivers),
    },
    Key {
        path: "defaults.log-cache-driver",
        help: "Keeps the copy that `logs` reads when no log driver of a container can be read back.",
        variable: "GANTRY_LOG_CACHE_DRIVER",
        set: |c, v| v.name().map(|name| c.log_cache_driver = name),
        show: |c| quoted(&c.log_cache_driver),
    },
    Key {
        path: "defaults.runtime",
        help: "Who makes containers: gantry itself, or a runtime that [engine.runtimes] names or that is installed.",
        variable: "GANTRY_RUNTIME",
        set: |c, v| v.name().map(|name| c.runtime = name),
        show: |c| quoted(&c.runtime),
    },
    Key {
        path: "defaults.storage-driver",
        help: "Storage driver of new containers and images.",
        variable: "GANTRY_STORAGE_DRIVER",
        set: |c, v| v.name().map(|name| c.storage_driver = name),
        show: |c| quoted(&c.storage_driver),
    },
    Key {
        path: "defaults.network",
        help: "Network of a container that names none.",
        variable: "GANTRY_NETWORK",
        set: |c, v| v.name().map(|name| c.network = name),
        show: |c| quoted(&c.network),
    },
    Key {
        path: "defaults.volume-driver",
        help: "Driver of volumes that name none.",
        variable: "GANTRY_VOLUME_DRIVER",
        set: |c, v| v.name().map(|name| c.volume_driver = name),
        show: |c| quoted(&c.volume_driver),
    },
    Key {
        path: "defaults.userns",
        help: "User namespace of a container that names none: host, auto, keep-id or remap:USER.",
        variable: "GANTRY_USERNS",
        set: |c, v| userns(v).map(|mode| c.userns = mode),
        show: |c| quoted(&c.userns),
    },
    Key {
        path: "engine.network.address-pools",
        help: "Networks without a subnet get one of these: of `size` bits, out of `base`.",
        variable: "GANTRY_ADDRESS_POOLS",
        set: |c, v| v.list(Given::pool).and_then(at_least_one).map(|pools| c.address_pools = pools),
        show: |c| joined(c.address_pools.iter().map(pool)),
    },
    Key {
        path: "engine.network.fallback-dns",
        help: "Name servers of containers on a host that has none.",
        variable: "GANTRY_FALLBACK_DNS",
        set: |c, v| v.list(Given::address).map(|servers| c.fallback_dns = servers),
        show: |c| list(&c.fallback_dns),
    },
    Key {
        path: "engine.network.publish-addresses",
        help: "Host addresses of ports published without one; none: all.",
        variable: "GANTRY_PUBLISH_ADDRESSES",
        set: |c, v| v.list(Given::address).map(|addresses| c.publish_addresses = addresses),
        show: |c| list(&c.publish_addresses),
    },
    Key {
        path: "engine.cgroup-manager",
        help: "Who makes containers' cgroups: cgroupfs (gantry itself) or systemd (a scope for each).",
        variable: "GANTRY_CGROUP_MANAGER",
        set: |c, v| v.word(&["cgroupfs", "systemd"]).map(|name| c.cgroup_manager = name),
        show: |c| quoted(&c.cgroup_manager),
    },
    Key {
        path: "engine.selinux",
        help: "Whether containers are labelled where the kernel has SELinux.",
        variable: "GANTRY_SELINUX",
        set: |c, v| v.truth().map(|on| c.selinux = on),
        show: |c| c.selinux.to_string(),
    },
    Key {
        path: "engine.userns.range",
        help: "START:COUNT of the ids of the host that `--userns auto` takes from; not given: those of `containers`.",
        variable: "GANTRY_USERNS_RANGE",
        set: |c, v| id_range(v).map(|range| c.userns_range = Some(range)),
        show: |c| c.userns_range.map_or_else(|| "(off)".into(), |(s, n)| quoted(&format!("{s}:{n}"))),
    },
    Key {
        path: "engine.volume.bind-autocreate",
        help: "Whether `-v` makes a source that is missing.",
        variable: "GANTRY_BIND_AUTOCREATE",
        set: |c, v| v.truth().map(|on| c.bind_autocreate = on),
        show: |c| c.bind_autocreate.to_string(),
    },
    Key {
        path: "engine.gc.high",
        help: "Unused images are removed when the file system of `root` is fuller than this.",
        variable: "GANTRY_GC_HIGH",
        set: |c, v| v.percent().map(|percent| c.gc_high = Some(percent)),
        show: |c| c.gc_high.map_or_else(|| "(off)".into(), |percent| quoted(&format!("{percent}%"))),
    },
    Key {
        path: "engine.gc.low",
        help: "… until it is no fuller than this.",
        variable: "GANTRY_GC_LOW",
        set: |c, v| v.percent().map(|percent| c.gc_low = percent),
        show: |c| quoted(&format!("{}%", c.gc_low)),
    },
    Key {
        path: "engine.gc.keep",
        help: "Images used within this time stay.",
        variable: "GANTRY_GC_KEEP",
        set: |c, v| v.duration().map(|time| c.gc_keep = time),
        show: |c| quoted(&format!("{:?}", c.gc_keep)),
    },
    Key {
        path: "engine.logs.max-total",
        help: "Disk that the logs of all containers may take together; then the oldest files of the largest go.",
        variable: "GANTRY_LOGS_MAX_TOTAL",
        set: |c, v| v.bytes(1 << 20).map(|bytes| c.logs_max_total = Some(bytes)),
        show: |c| c.logs_max_total.map_or_else(|| "(off)".into(), |bytes| quoted(&in_mebibytes(bytes))),
    },
    Key {
        path: "engine.registry.downloads",
        help: "Layers of one image fetched at the same time.",
        variable: "GANTRY_REGISTRY_DOWNLOADS",
        set: |c, v| v.count(1, 64).map(|count| c.registry_downloads = count as usize),
        show: |c| c.registry_downloads.to_string(),
    },
    Key {
        path: "engine.registry.lazy",
        help: "Files of images come when they are opened, where layers have a table of contents.",
        variable: "GANTRY_REGISTRY_LAZY",
        set: |c, v| v.truth().map(|on| c.registry_lazy = on),
        show: |c| c.registry_lazy.to_string(),
    },
    Key {
        path: "engine.registry.retries",
        help: "How often what may pass is tried again.",
        variable: "GANTRY_REGISTRY_RETRIES",
        set: |c, v| v.count(0, 100).map(|count| c.registry_retries = count),
        show: |c| c.registry_retries.to_string(),
    },
    Key {
        path: "engine.registry.timeout",
        help: "Time for a connection, and for each further byte.",
        variable: "GANTRY_REGISTRY_TIMEOUT",
        set: |c, v| v.duration().map(|time| c.registry_timeout = time),
        show: |c| quoted(&format!("{:?}", c.registry_timeout)),
    },
    Key {
        path: "plugins.path",
        help: "Directories of plugins, searched before the usual ones.",
        variable: "",
        set: |c, v| v.list(Given::path).map(|dirs| c.plugin_path = dirs),
        show: |c| joined(c.plugin_path.iter().map(|dir: &PathBuf| quoted(&dir.to_string_lossy()))),
    },
    Key {
        path: "plugins.allow",
        help: "Plugins that may be used, as KIND/NAME or NAME; not given: all.",
        variable: "GANTRY_PLUGIN_ALLOW",
        set: |c, v| v.list(allowed).map(|names| c.plugin_allow = Some(names)),
        show: |c| c.plugin_allow.as_ref().map_or_else(|| "(all)".into(), |names| list(names)),
    },
    Key {
        path: "plugins.isolate",
        help: "Plugins whose driver gets a process of its own, as KIND/NAME; or isolation = \"process\" in the driver's own table.",
        variable: "GANTRY_PLUGIN_ISOLATE",
        set: |c, v| v.list(plugin_name).map(|names| c.plugin_isolate = names),
        show: |c| list(&c.plugin_isolate),
    },
    Key {
        path: "plugins.deadline",
        help: "Time for a call into a plugin; [plugins.deadlines] has others, as \"KIND/NAME\" or \"KIND/NAME.CALL\" = TIME.",
        variable: "GANTRY_PLUGIN_DEADLINE",
        set: |c, v| v.duration().map(|time| c.plugin_deadline = time),
        show: |c| quoted(&format!("{:?}", c.plugin_deadline)),
    },
];

/// The kinds of drivers: the names of their tables.
pub const KINDS: [&str; 4] = ["log", "storage", "network", "volume"];

/// The table of tables about registries.
pub const REGISTRY: &str = "registry";

/// `kind/name`, as `plugins.allow` and `plugins.sha256` name a plugin.
pub fn plugin_name(given: Given<'_>) -> Result<String, Problem> {
    let text = given.text()?;
    match text.split_once('/') {
        Some((kind, name)) if KINDS.contains(&kind) && !name.is_empty() => Ok(text.to_owned()),
        _ => Err(Problem::new(format!("{text:?} names no plugin")).hint("write KIND/NAME, such as log/json-file")),
    }
}

/// `plugins.allow` takes a bare name for all kinds.
fn allowed(given: Given<'_>) -> Result<String, Problem> {
    match given.text()? {
        name if !name.is_empty() && !name.contains('/') => Ok(name.to_owned()),
        _ => plugin_name(given),
    }
}

fn userns(given: Given<'_>) -> Result<String, Problem> {
    let text = given.name()?;
    match UsernsMode::parse(&text) {
        Ok(UsernsMode::Private) | Err(_) => Err(Problem::new(format!("{text:?} is no default for user namespaces"))
            .hint("write host, auto, auto:size=N, keep-id or remap:USER")),
        Ok(_) => Ok(text),
    }
}

fn id_range(given: Given<'_>) -> Result<(u32, u32), Problem> {
    let text = given.text()?;
    let range = gantry_model::userns::parse_range(text);
    range.ok_or_else(|| Problem::new(format!("{text:?} is no range of ids")).hint("write START:COUNT"))
}

/// A text in TOML.
pub fn quoted(text: &str) -> String {
    format!("{text:?}")
}

fn in_mebibytes(bytes: u64) -> String {
    if bytes.is_multiple_of(1 << 20) { format!("{}m", bytes >> 20) } else { bytes.to_string() }
}

fn at_least_one<T>(items: Vec<T>) -> Result<Vec<T>, Problem> {
    if items.is_empty() { Err(Problem::new("must not be empty")) } else { Ok(items) }
}

fn list(items: &[String]) -> String {
    joined(items.iter().map(|item| quoted(item)))
}

fn joined(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

fn pool(pool: &AddressPool) -> String {
    format!("{{ base = {:?}, size = {} }}", pool.base, pool.size)
}
