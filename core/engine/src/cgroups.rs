//! Where cgroups lie that the supervisor needs as plain paths: its own, and the container's out-of-memory counters.

use gantry_runtime::cgroup::{Host, Layout};
use std::fs;
use std::path::PathBuf;

const SUPERVISORS: &str = "gantry/supervisors";

/// The group supervisors live in, one directory of each hierarchy, so that neither the end of a login session nor a
/// frozen container touches them. On a mixed machine systemd finds a unit's processes by the hierarchy of version 2, so
/// that one counts too. The groups are made here.
pub(crate) fn supervisor_groups(host: &Host) -> Vec<PathBuf> {
    // A cpuset starts empty on version 1: nothing may join it before it is filled, and supervisors need none.
    let groups = host.hierarchies.iter().filter(|h| h.unified || !h.has("cpuset")).map(|h| h.mount.join(SUPERVISORS));
    groups.filter(|g| g.is_dir() || fs::create_dir_all(g).is_ok()).collect()
}

/// The files whose content changes when the kernel kills for lack of memory.
pub(crate) fn oom_files(host: &Host, cgroup: &str) -> Vec<PathBuf> {
    let unified = host.layout == Layout::V2;
    let file = if unified { "memory.events" } else { "memory.oom_control" };
    let groups = host.hierarchies.iter().filter(|h| h.has("memory") && h.unified == unified);
    groups.map(|h| h.mount.join(cgroup).join(file)).collect()
}
