//! The entry points of each kind of driver by name: what faults, metrics and the protocol of isolated drivers agree on.

use gantry_plugin_api::manifest::Kind;

const LOG: &[&str] =
    &["load", "validate", "open", "write", "flush", "reopen", "close", "open_reader", "next", "remove", "trim"];
const STORAGE: &[&str] = &[
    "load",
    "validate",
    "init",
    "capabilities",
    "status",
    "begin_layer",
    "commit_layer",
    "has_layer",
    "create_container",
    "mount_plan",
    "image_plan",
    "writable_dir",
    "layer_dir",
    "changes",
    "usage",
    "remove",
    "list",
    "collect",
    "clone_container",
    "container_disk",
    "trash",
];
const NETWORK: &[&str] =
    &["load", "validate", "create", "delete", "attach", "detach", "route", "publish", "unpublish", "reconcile"];
const VOLUME: &[&str] =
    &["load", "validate", "create", "remove", "get", "list", "mount", "unmount", "clone_volume", "rename"];

/// The most entry points a kind has.
pub const MOST: usize = STORAGE.len();

/// The calls of a kind.
pub fn calls(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Log => LOG,
        Kind::Storage => STORAGE,
        Kind::Network => NETWORK,
        Kind::Volume => VOLUME,
        _ => &[],
    }
}

/// The place of a call among those of its kind.
pub fn position(kind: Kind, call: &str) -> Option<usize> {
    calls(kind).iter().position(|known| *known == call)
}
