//! Where cgroups lie that the supervisor needs as plain paths: its own, and the container's out-of-memory counters.

use gantry_model::container::HostConfig;
use gantry_runtime::cgroup::{Hierarchy, Host, Layout};
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

/// Limits that this host cannot hold and a container runs without, in Docker's words.
pub(crate) fn lacking(host: &Host, wanted: &HostConfig) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut tell = |asked: bool, held: &dyn Fn() -> bool, sentence: &str| {
        if asked && !held() {
            warnings.push(format!("Your kernel does not support {sentence}"));
        }
    };
    let unified = host.layout == Layout::V2;
    let has = |controllers: &[&str], files: &[&str]| host.hierarchies.iter().any(|h| holds(h, controllers, files));
    tell(
        wanted.memory > 0 && wanted.memory_swap != 0,
        &|| crate::features::swap_accounting(host),
        "swap limit capabilities or the cgroup is not mounted. Memory limited without swap.",
    );
    tell(
        wanted.memory_reservation > 0,
        &|| has(&["memory"], &["memory.low", "memory.soft_limit_in_bytes"]),
        "memory soft limit capabilities or the cgroup is not mounted. Limitation discarded.",
    );
    tell(
        wanted.memory_swappiness.is_some_and(|swappiness| swappiness >= 0),
        &|| !unified,
        "memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.",
    );
    tell(wanted.oom_kill_disable == Some(true), &|| !unified, "OomKillDisable. OomKillDisable discarded.");
    tell(
        wanted.blkio_weight != 0 || !wanted.blkio_weight_device.is_empty(),
        &|| has(&["blkio", "io"], &["blkio.weight", "blkio.bfq.weight", "io.bfq.weight"]),
        "Block I/O weight or the cgroup is not mounted. Weight discarded.",
    );
    warnings
}

/// Whether a hierarchy of one of these controllers has one of these files. Some are not at its root.
fn holds(hierarchy: &Hierarchy, controllers: &[&str], files: &[&str]) -> bool {
    if !controllers.iter().any(|controller| hierarchy.has(controller)) {
        return false;
    }
    let below = fs::read_dir(&hierarchy.mount).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut places = std::iter::once(hierarchy.mount.clone()).chain(below);
    places.any(|place| files.iter().any(|file| place.join(file).exists()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_host_cannot_hold_is_said_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(dir.path().join("gantry")).expect("a group");
        let hierarchy =
            Hierarchy { mount: dir.path().to_owned(), controllers: vec!["memory".into(), "io".into()], unified: true };
        let host = Host { layout: Layout::V2, hierarchies: vec![hierarchy] };
        let wanted = HostConfig {
            memory: 1 << 30,
            memory_swap: -1,
            memory_swappiness: Some(5),
            oom_kill_disable: Some(true),
            blkio_weight: 300,
            ..HostConfig::default()
        };
        let told = lacking(&host, &wanted);
        assert_eq!(4, told.len(), "{told:?}");
        fs::write(dir.path().join("gantry/io.bfq.weight"), "").expect("a file");
        fs::write(dir.path().join("gantry/memory.swap.max"), "").expect("a file");
        assert_eq!(2, lacking(&host, &wanted).len());
        assert!(lacking(&host, &HostConfig::default()).is_empty());
    }
}
