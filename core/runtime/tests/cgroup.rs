//! Limits and control of a container's cgroup. Needs root; skips with a message otherwise.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Container, able, run_ok};
use gantry_runtime::cgroup::{self, Layout, Limits, Manager};
use gantry_sys::pidfd;
use oci_spec::runtime::{LinuxCpuBuilder, LinuxMemoryBuilder, LinuxPidsBuilder, LinuxResourcesBuilder};
use std::fs;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

fn manager(container: &Container) -> Box<dyn Manager> {
    cgroup::manager(&container.cgroup()).unwrap()
}

fn limited() -> Container {
    let mut container = Container::new("sleep 60");
    let resources = LinuxResourcesBuilder::default()
        .memory(LinuxMemoryBuilder::default().limit(64i64 << 20).swap(64i64 << 20).build().unwrap())
        .cpu(LinuxCpuBuilder::default().quota(50_000i64).period(100_000u64).shares(512u64).cpus("0").build().unwrap())
        .pids(LinuxPidsBuilder::default().limit(17i64).build().unwrap())
        .build()
        .unwrap();
    container.linux().set_resources(Some(resources));
    container
}

#[test]
fn limits_are_in_force_and_can_be_changed() {
    if !able() {
        return;
    }
    let container = limited();
    let _running = container.start();
    let manager = manager(&container);
    let stats = manager.stats().unwrap();
    assert_eq!((stats.memory_limit, stats.pids_limit), (Some(64 << 20), Some(17)));
    assert!(stats.pids >= 1 && stats.memory_usage > 0);
    let limits = Limits { memory: Some(128 << 20), memory_swap: Some(256 << 20), pids: Some(-1), ..Limits::default() };
    manager.apply(&limits).unwrap();
    let stats = manager.stats().unwrap();
    assert_eq!((stats.memory_limit, stats.pids_limit), (Some(128 << 20), None));
    let limits = Limits { memory: Some(32 << 20), memory_swap: Some(32 << 20), ..Limits::default() };
    manager.apply(&limits).unwrap();
    assert_eq!(manager.stats().unwrap().memory_limit, Some(32 << 20));
}

#[test]
fn cpu_limits_reach_their_files() {
    if !able() {
        return;
    }
    let host = cgroup::detect().unwrap();
    if host.layout == Layout::V2 {
        return eprintln!("skipped: names files of version 1");
    }
    let container = limited();
    let _running = container.start();
    let read = |controller: &str, file: &str| {
        let hierarchy = host.hierarchies.iter().find(|hierarchy| hierarchy.has(controller)).unwrap();
        fs::read_to_string(hierarchy.mount.join(container.cgroup()).join(file)).unwrap().trim().to_owned()
    };
    assert_eq!(read("cpu", "cpu.cfs_quota_us"), "50000");
    assert_eq!(read("cpu", "cpu.shares"), "512");
    assert_eq!(read("cpuset", "cpuset.cpus"), "0");
}

#[test]
fn freeze_thaw_kill_and_remove() {
    if !able() {
        return;
    }
    let container = Container::new("while true; do :; done & while true; do :; done");
    let running = container.start();
    let manager = manager(&container);
    manager.freeze().unwrap();
    let spent = |m: &dyn Manager| m.stats().unwrap().cpu_nanoseconds;
    let before = spent(manager.as_ref());
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(spent(manager.as_ref()), before);
    manager.thaw().unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    while spent(manager.as_ref()) == before {
        assert!(Instant::now() < deadline, "still frozen");
    }
    manager.kill_all().unwrap();
    assert_eq!(pidfd::wait(running.pidfd.as_fd(), libc::WNOWAIT).unwrap().unwrap().shell_code(), 137);
    pidfd::wait(running.pidfd.as_fd(), 0).unwrap();
    assert!(manager.procs().unwrap().is_empty());
    manager.remove().unwrap();
    assert!(!manager.exists());
    manager.remove().unwrap();
}

#[test]
fn a_frozen_container_can_be_killed() {
    if !able() {
        return;
    }
    let container = Container::new("sleep 60");
    let running = container.start();
    let manager = manager(&container);
    manager.freeze().unwrap();
    manager.kill_all().unwrap();
    assert_eq!(pidfd::wait(running.pidfd.as_fd(), 0).unwrap().unwrap().shell_code(), 137);
}

#[test]
fn the_oom_killer_is_counted() {
    if !able() {
        return;
    }
    let mut container = limited();
    container.args(&["sh", "-c", "dd if=/dev/zero of=/dev/null bs=200M count=1 2>/dev/null; exit 3"]);
    let outcome = container.run().unwrap();
    assert_eq!((outcome.code, manager(&container).oom_kills().unwrap()), (3, 1));
}

#[test]
fn the_container_sees_its_own_cgroup_only() {
    if !able() {
        return;
    }
    let outcome = run_ok(&Container::new(
        "cat /proc/self/cgroup; ls /sys/fs/cgroup | wc -l; cat /sys/fs/cgroup/*/cgroup.procs /sys/fs/cgroup/cgroup.procs 2>/dev/null | head -1",
    ));
    let mut lines: Vec<_> = outcome.output.lines().collect();
    assert_eq!(lines.pop(), Some("1"), "{}", outcome.output);
    let entries: usize = lines.pop().unwrap().parse().unwrap();
    assert!(entries >= 1 && lines.iter().all(|line| line.ends_with(":/")), "{}", outcome.output);
}

#[test]
fn many_starts_at_once_share_a_new_parent() {
    if !able() {
        return;
    }
    let host = cgroup::detect().unwrap();
    let parent = format!("gantry-test-parent-{}", std::process::id());
    let paths: Vec<_> = (0..8).map(|index| format!("{parent}/{index}")).collect();
    std::thread::scope(|scope| {
        for path in &paths {
            scope.spawn(|| cgroup::manager_on(&host, path).create().unwrap());
        }
    });
    let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let joined: Vec<_> = paths.iter().map(|path| cgroup::manager_on(&host, path).add(child.id() as i32)).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    cgroup::manager_on(&host, &parent).remove().unwrap();
    assert!(joined.iter().all(Result::is_ok), "{joined:?}");
}
