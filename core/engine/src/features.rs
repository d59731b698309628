//! What this host has of what containers can use, and what it lacks: for `info`.

use gantry_runtime::cgroup::{Host, Layout};
use std::fs;
use std::path::Path;

/// One thing the kernel, or what we are allowed, has or has not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Feature {
    pub name: &'static str,
    pub present: bool,
    /// What does not work without it.
    pub without: &'static str,
}

/// Everything that matters, in a fixed order.
pub(crate) fn all(host: &Host) -> Vec<Feature> {
    let mut found = controllers(host);
    let exists = |path: &str| Path::new(path).exists();
    let (major, minor) = kernel();
    let since = |wanted: (u32, u32)| (major, minor) >= wanted;
    let capabilities = read("/proc/self/status");
    let may = |bit: u32| effective(&capabilities) >> bit & 1 == 1;
    let mut add = |name, present, without| found.push(Feature { name, present, without });
    add("overlay file system", has_line("/proc/filesystems", "overlay"), "storage driver overlay2");
    add("user namespaces", number("/proc/sys/user/max_user_namespaces") > 0, "--userns, rootless containers");
    add("network namespaces", number("/proc/sys/user/max_net_namespaces") > 0, "networks of containers' own");
    add("seccomp filters", exists("/proc/sys/kernel/seccomp/actions_avail"), "the default profile of system calls");
    add("AppArmor", read("/sys/module/apparmor/parameters/enabled").starts_with('Y'), "--security-opt apparmor");
    add("SELinux", exists("/sys/fs/selinux/enforce"), "--security-opt label");
    add("IPv6", exists("/proc/net/if_inet6"), "networks with IPv6");
    add("swap accounting", swap_accounting(host), "--memory-swap");
    add("idmapped mounts", since((5, 12)), "user namespaces without copies of layers");
    add("birth into a cgroup", host.layout == Layout::V2 && since((5, 7)), "the fastest way into cgroups of version 2");
    add("exit status by pidfd", since((6, 15)), "exit codes when both supervisors were killed");
    add("raised limits", may(24), "--ulimit above the engine's own limits");
    add("mounts", may(21), "everything but running as an ordinary user");
    found
}

fn controllers(host: &Host) -> Vec<Feature> {
    let has = |names: &[&str]| host.hierarchies.iter().any(|h| names.iter().any(|name| h.has(name)));
    let rows: [(&str, &[&str], &str); 8] = [
        ("cgroup memory", &["memory"], "--memory"),
        ("cgroup cpu", &["cpu"], "--cpus, --cpu-shares"),
        ("cgroup cpuset", &["cpuset"], "--cpuset-cpus"),
        ("cgroup pids", &["pids"], "--pids-limit"),
        ("cgroup io", &["io", "blkio"], "--device-read-bps, --blkio-weight"),
        ("cgroup hugetlb", &["hugetlb"], "limits of huge pages"),
        ("cgroup freezer", &["freezer"], "pause"),
        ("cgroup devices", &["devices"], "rules for devices"),
    ];
    // Version 2 freezes and rules devices without a controller.
    let unified = host.layout == Layout::V2;
    let always = |names: &[&str]| unified && matches!(names, ["freezer"] | ["devices"]);
    let feature = |(name, names, without): (&'static str, &[&str], &'static str)| Feature {
        name,
        present: has(names) || always(names),
        without,
    };
    rows.into_iter().map(feature).collect()
}

/// True when swap counts among a container's memory.
pub(crate) fn swap_accounting(host: &Host) -> bool {
    let memory = host.hierarchies.iter().find(|h| h.has("memory"));
    memory.is_some_and(|h| match h.unified {
        true => {
            fs::read_dir(&h.mount).into_iter().flatten().flatten().any(|e| e.path().join("memory.swap.max").exists())
        }
        false => h.mount.join("memory.memsw.limit_in_bytes").exists(),
    })
}

fn kernel() -> (u32, u32) {
    let release = read("/proc/sys/kernel/osrelease");
    let mut numbers = release.split(['.', '-']).map(|part| part.trim().parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn effective(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0)
}

fn has_line(path: &str, word: &str) -> bool {
    read(path).lines().any(|line| line.split_whitespace().next_back() == Some(word))
}

fn number(path: &str) -> u64 {
    read(path).trim().parse().unwrap_or(0)
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_and_kernels() {
        assert_eq!(effective("Name:\tx\nCapEff:\t000001ffffffffff\n"), 0x1ff_ffff_ffff);
        assert_eq!(effective(""), 0);
        assert!(kernel() > (3, 0));
    }
}
