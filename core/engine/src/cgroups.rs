//! Where cgroups lie that the supervisor needs as plain paths: its own, and the container's out-of-memory counters.

use gantry_model::container::HostConfig;
use gantry_runtime::cgroup::{Hierarchy, Host, Layout};
use oci_spec::runtime::{LinuxCpu, LinuxResources};
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

/// Controllers that limits want and that are not delegated to this ordinary user.
fn undelegated(host: &Host, wanted: &LinuxResources) -> Vec<&'static str> {
    let cpu = wanted.cpu().clone().unwrap_or_default();
    let set = cpu.cpus().is_some() || cpu.mems().is_some();
    let mut time = cpu;
    time.set_cpus(None).set_mems(None);
    let asked = [
        ("memory", wanted.memory().is_some()),
        ("cpu", time != LinuxCpu::default()),
        ("cpuset", set),
        ("pids", wanted.pids().is_some()),
        ("io", wanted.block_io().is_some()),
    ];
    let held = |name: &str| host.hierarchies.iter().any(|h| h.has(name) || (name == "io" && h.has("blkio")));
    asked.into_iter().filter(|(name, asked)| *asked && !held(name)).map(|(name, _)| name).collect()
}

/// Takes limits out that are not delegated to an ordinary user: he was warned when the container was made.
pub(crate) fn leave_out_undelegated(host: &Host, resources: &mut LinuxResources) {
    for controller in undelegated(host, resources) {
        let mut cpu = resources.cpu().clone().unwrap_or_default();
        match controller {
            "memory" => resources.set_memory(None),
            "pids" => resources.set_pids(None),
            "io" => resources.set_block_io(None),
            "cpuset" => resources.set_cpu(Some(cpu.set_cpus(None).set_mems(None).clone())),
            _ => resources.set_cpu(Some(only_set(&cpu))),
        };
    }
}

fn only_set(cpu: &LinuxCpu) -> LinuxCpu {
    let mut set = LinuxCpu::default();
    set.set_cpus(cpu.cpus().clone()).set_mems(cpu.mems().clone());
    set
}

/// What an ordinary user is told of limits that were not delegated to him.
pub(crate) fn undelegated_warning(host: &Host, wanted: &LinuxResources) -> Option<String> {
    let lacking = undelegated(host, wanted);
    let sentence = "is delegated to this user: the container runs without these limits";
    (!lacking.is_empty()).then(|| format!("no cgroup with the controllers {} {sentence}", lacking.join(", ")))
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
    fn what_is_not_delegated_is_left_out_and_told() {
        let limits =
            HostConfig { memory: 1 << 30, nano_cpus: 500_000_000, pids_limit: Some(20), ..HostConfig::default() };
        let limits = HostConfig { cpuset_cpus: "0".into(), ..limits };
        let wanted = crate::spec::limits(&limits).expect("sound");
        let host = |controllers: &[&str]| Host {
            layout: Layout::V2,
            hierarchies: vec![Hierarchy {
                mount: "/".into(),
                controllers: controllers.iter().map(|name| (*name).to_owned()).collect(),
                unified: true,
            }],
        };
        let mut left = wanted.clone();
        let some = host(&["memory", "pids", "cpuset"]);
        leave_out_undelegated(&some, &mut left);
        let cpu = left.cpu().clone().unwrap_or_default();
        assert!(left.memory().is_some() && left.pids().is_some() && cpu.quota().is_none() && cpu.cpus().is_some());
        assert!(undelegated_warning(&some, &wanted).is_some_and(|text| text.contains("controllers cpu is")));
        leave_out_undelegated(&host(&[]), &mut left);
        assert!(left.memory().is_none() && left.pids().is_none() && undelegated(&host(&[]), &left).is_empty());
        let all = host(&["memory", "pids", "cpuset", "cpu", "io"]);
        assert_eq!(undelegated_warning(&all, &wanted), None);
    }

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
