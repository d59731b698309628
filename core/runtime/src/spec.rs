//! Docker's defaults as an OCI spec, to be changed by what the user asked for.

use crate::error::Error;
use oci_spec::OciSpecError;
use oci_spec::runtime::{
    Capabilities, Capability, Linux, LinuxBuilder, LinuxCapabilities, LinuxCapabilitiesBuilder, LinuxDeviceCgroup,
    LinuxDeviceCgroupBuilder, LinuxDeviceType, LinuxNamespaceBuilder, LinuxNamespaceType, LinuxResourcesBuilder, Mount,
    MountBuilder, ProcessBuilder, RootBuilder, Spec, SpecBuilder, UserBuilder,
};

/// The fourteen capabilities a container has unless told otherwise.
pub const DEFAULT_CAPABILITIES: [Capability; 14] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fsetid,
    Capability::Fowner,
    Capability::Mknod,
    Capability::NetRaw,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setfcap,
    Capability::Setpcap,
    Capability::NetBindService,
    Capability::SysChroot,
    Capability::Kill,
    Capability::AuditWrite,
];

/// Paths that say more about the host than a container should know.
pub const MASKED_PATHS: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];

pub const READONLY_PATHS: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

type Built<T> = Result<T, OciSpecError>;

/// A complete spec with Docker's defaults: `sh` as root at "/", new namespaces, fourteen
/// capabilities, masked and read-only paths, the device list, no limits.
pub fn default_spec() -> Spec {
    build_spec().unwrap_or_default()
}

/// The `linux` part of [`default_spec`].
pub fn default_linux() -> Linux {
    build_linux().unwrap_or_default()
}

/// The same five sets for `list`, as a container of root gets them: nothing ambient or inheritable.
pub fn capabilities(list: &[Capability]) -> Result<LinuxCapabilities, Error> {
    build_capabilities(list).map_err(|error| Error::invalid("capabilities", error.to_string()))
}

fn build_spec() -> Built<Spec> {
    let process = ProcessBuilder::default()
        .args(vec!["sh".to_owned()])
        .env(vec![DEFAULT_PATH.to_owned()])
        .cwd("/")
        .user(UserBuilder::default().uid(0u32).gid(0u32).build()?)
        .capabilities(build_capabilities(&DEFAULT_CAPABILITIES)?)
        .no_new_privileges(false)
        .build()?;
    let mut process = process;
    process.set_rlimits(None).set_terminal(None);
    SpecBuilder::default()
        .process(process)
        .root(RootBuilder::default().path("rootfs").readonly(false).build()?)
        .mounts(default_mounts()?)
        .linux(build_linux()?)
        .build()
}

fn build_capabilities(list: &[Capability]) -> Built<LinuxCapabilities> {
    let set: Capabilities = list.iter().copied().collect();
    LinuxCapabilitiesBuilder::default()
        .bounding(set.clone())
        .effective(set.clone())
        .permitted(set)
        .inheritable(Capabilities::new())
        .ambient(Capabilities::new())
        .build()
}

fn build_linux() -> Built<Linux> {
    let kinds = [
        LinuxNamespaceType::Mount,
        LinuxNamespaceType::Network,
        LinuxNamespaceType::Uts,
        LinuxNamespaceType::Pid,
        LinuxNamespaceType::Ipc,
        LinuxNamespaceType::Cgroup,
    ];
    let namespace = |kind| LinuxNamespaceBuilder::default().typ(kind).build();
    let namespaces = kinds.into_iter().map(namespace).collect::<Built<Vec<_>>>()?;
    LinuxBuilder::default()
        .namespaces(namespaces)
        .masked_paths(MASKED_PATHS.map(str::to_owned).to_vec())
        .readonly_paths(READONLY_PATHS.map(str::to_owned).to_vec())
        .resources(LinuxResourcesBuilder::default().devices(default_devices()?).build()?)
        .build()
}

fn default_mounts() -> Built<Vec<Mount>> {
    let table: [(&str, &str, &str, &[&str]); 7] = [
        ("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        ("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        ("/dev/pts", "devpts", "devpts", &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
        ("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
        ("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        ("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        ("/sys/fs/cgroup", "cgroup", "cgroup", &["ro", "nosuid", "noexec", "nodev"]),
    ];
    let mount = |(destination, kind, source, options): (&str, &str, &str, &[&str])| {
        MountBuilder::default()
            .destination(destination)
            .typ(kind)
            .source(source)
            .options(options.iter().map(|option| (*option).to_owned()).collect::<Vec<_>>())
            .build()
    };
    table.into_iter().map(mount).collect()
}

/// Allow or deny, kind, major, minor, access.
type DeviceRule = (bool, LinuxDeviceType, Option<i64>, Option<i64>, &'static str);

/// Nothing, then: any node may be made, but only the harmless ones may be used.
pub fn default_devices() -> Result<Vec<LinuxDeviceCgroup>, OciSpecError> {
    use LinuxDeviceType::{A, B, C};
    let rules: [DeviceRule; 12] = [
        (false, A, None, None, "rwm"),
        (true, C, None, None, "m"),
        (true, B, None, None, "m"),
        (true, C, Some(1), Some(3), "rwm"),
        (true, C, Some(1), Some(5), "rwm"),
        (true, C, Some(1), Some(7), "rwm"),
        (true, C, Some(1), Some(8), "rwm"),
        (true, C, Some(1), Some(9), "rwm"),
        (true, C, Some(5), Some(0), "rwm"),
        (true, C, Some(5), Some(1), "rwm"),
        (true, C, Some(5), Some(2), "rwm"),
        (true, C, Some(136), None, "rwm"),
    ];
    let rule = |(allow, kind, major, minor, access): DeviceRule| {
        let mut rule = LinuxDeviceCgroupBuilder::default().allow(allow).typ(kind).access(access).build()?;
        rule.set_major(major).set_minor(minor);
        Ok(rule)
    };
    rules.into_iter().map(rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_spec_is_whole() {
        let spec = build_spec().unwrap();
        let process = spec.process().as_ref().unwrap();
        let sets = process.capabilities().as_ref().unwrap();
        assert_eq!(sets.bounding().as_ref().unwrap().len(), 14);
        assert_eq!(spec.mounts().as_ref().unwrap().len(), 7);
        let linux = spec.linux().as_ref().unwrap();
        assert_eq!(linux.namespaces().as_ref().unwrap().len(), 6);
        let rules = linux.resources().as_ref().unwrap().devices().as_ref().unwrap();
        assert!(!rules[0].allow() && rules.len() == 12);
        assert_eq!(rules[11].minor(), None);
    }
}
