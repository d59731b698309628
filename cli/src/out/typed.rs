//! Which fields of what `inspect` shows may be missing or null: templates may ask for them, as with Docker.

use gantry_engine::model::template::{self, Field, Nil};
use serde_json::Value;

/// Not there when nothing was set.
static OPTIONAL: [Field; 18] = [
    ("/State", "Health", Nil::Pointer),
    ("/Config", "Cmd", Nil::List),
    ("/Config", "Entrypoint", Nil::List),
    ("/Config", "Env", Nil::List),
    ("/Config", "ExposedPorts", Nil::Map),
    ("/Config", "Healthcheck", Nil::Pointer),
    ("/Config", "Labels", Nil::Map),
    ("/Config", "OnBuild", Nil::List),
    ("/Config", "Shell", Nil::List),
    ("/Config", "StopTimeout", Nil::Pointer),
    ("/Config", "Volumes", Nil::Map),
    ("/HostConfig", "Annotations", Nil::Map),
    ("/HostConfig", "Init", Nil::Pointer),
    ("/HostConfig", "Mounts", Nil::List),
    ("/HostConfig", "StorageOpt", Nil::Map),
    ("/HostConfig", "Sysctls", Nil::Map),
    ("/HostConfig", "Tmpfs", Nil::Map),
    ("/NetworkSettings", "Ports", Nil::Map),
];

/// Null when nothing was set.
static NULL: [Field; 25] = [
    ("", "Args", Nil::List),
    ("", "Config", Nil::Pointer),
    ("", "ExecIDs", Nil::List),
    ("", "Labels", Nil::Map),
    ("", "Options", Nil::Map),
    ("/IPAM", "Options", Nil::Map),
    ("/HostConfig", "Binds", Nil::List),
    ("/HostConfig", "CapAdd", Nil::List),
    ("/HostConfig", "CapDrop", Nil::List),
    ("/HostConfig", "DeviceCgroupRules", Nil::List),
    ("/HostConfig", "DeviceRequests", Nil::List),
    ("/HostConfig", "ExtraHosts", Nil::List),
    ("/HostConfig", "GroupAdd", Nil::List),
    ("/HostConfig", "Links", Nil::List),
    ("/HostConfig", "MaskedPaths", Nil::List),
    ("/HostConfig", "MemorySwappiness", Nil::Pointer),
    ("/HostConfig", "OomKillDisable", Nil::Pointer),
    ("/HostConfig", "PidsLimit", Nil::Pointer),
    ("/HostConfig", "PortBindings", Nil::Map),
    ("/HostConfig", "ReadonlyPaths", Nil::List),
    ("/HostConfig", "SecurityOpt", Nil::List),
    ("/HostConfig", "Ulimits", Nil::List),
    ("/HostConfig", "VolumesFrom", Nil::List),
    ("/NetworkSettings", "SecondaryIPAddresses", Nil::List),
    ("/NetworkSettings", "SecondaryIPv6Addresses", Nil::List),
];

/// The object as a template sees it.
pub fn typed(object: &Value) -> Value {
    let mut typed = object.clone();
    template::fill(&mut typed, &OPTIONAL, &NULL);
    typed
}
