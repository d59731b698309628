//! Resource limits, and the files they become in either version.

use super::rare::Rare;
use oci_spec::runtime::{LinuxResources, LinuxThrottleDevice};

/// Limits of one container. `None` leaves things as they are; -1 means "no limit" where it applies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes.
    pub memory: Option<i64>,
    /// Memory and swap together, in bytes.
    pub memory_swap: Option<i64>,
    pub memory_reservation: Option<i64>,
    /// Microseconds of CPU per period; -1 for no limit.
    pub cpu_quota: Option<i64>,
    /// Microseconds.
    pub cpu_period: Option<u64>,
    pub cpu_shares: Option<u64>,
    pub cpuset_cpus: Option<String>,
    pub cpuset_mems: Option<String>,
    pub pids: Option<i64>,
    /// 0 to 100; version 1 alone.
    pub memory_swappiness: Option<u64>,
    /// Wait for memory instead of killing; version 1 alone.
    pub oom_kill_disable: bool,
    /// 10 to 1000.
    pub io_weight: Option<u16>,
    /// Per block device.
    pub io_devices: Vec<DeviceLimit>,
    /// Files of version 2 by name.
    pub unified: Vec<(String, String)>,
    /// What few ask for.
    pub rare: Rare,
}

/// What is limited of a block device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceLimitKind {
    Weight,
    ReadBytes,
    WriteBytes,
    ReadOperations,
    WriteOperations,
}

/// A limit on one block device; 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceLimit {
    pub kind: DeviceLimitKind,
    pub major: i64,
    pub minor: i64,
    pub value: u64,
}

impl DeviceLimit {
    fn v1(&self) -> Setting {
        let value = format!("{}:{} {}", self.major, self.minor, self.value);
        match self.kind {
            DeviceLimitKind::Weight => Setting::new("blkio", "blkio.weight_device", value).optional(),
            DeviceLimitKind::ReadBytes => Setting::new("blkio", "blkio.throttle.read_bps_device", value),
            DeviceLimitKind::WriteBytes => Setting::new("blkio", "blkio.throttle.write_bps_device", value),
            DeviceLimitKind::ReadOperations => Setting::new("blkio", "blkio.throttle.read_iops_device", value),
            DeviceLimitKind::WriteOperations => Setting::new("blkio", "blkio.throttle.write_iops_device", value),
        }
    }

    fn v2(&self) -> Setting {
        let key = match self.kind {
            DeviceLimitKind::Weight => {
                let value = format!("{}:{} {}", self.major, self.minor, self.value);
                return Setting::new("io", "io.bfq.weight", value).optional();
            }
            DeviceLimitKind::ReadBytes => "rbps",
            DeviceLimitKind::WriteBytes => "wbps",
            DeviceLimitKind::ReadOperations => "riops",
            DeviceLimitKind::WriteOperations => "wiops",
        };
        let value = if self.value == 0 { "max".to_owned() } else { self.value.to_string() };
        Setting::new("io", "io.max", format!("{}:{} {key}={value}", self.major, self.minor))
    }
}

/// The limits on single devices that a spec asks for.
fn io_devices(resources: &LinuxResources) -> Vec<DeviceLimit> {
    let Some(io) = resources.block_io() else { return Vec::new() };
    let weights = io.weight_device().iter().flatten().filter_map(|device| {
        let value = device.weight()?.into();
        Some(DeviceLimit { kind: DeviceLimitKind::Weight, major: device.major(), minor: device.minor(), value })
    });
    let throttles = [
        (DeviceLimitKind::ReadBytes, io.throttle_read_bps_device()),
        (DeviceLimitKind::WriteBytes, io.throttle_write_bps_device()),
        (DeviceLimitKind::ReadOperations, io.throttle_read_iops_device()),
        (DeviceLimitKind::WriteOperations, io.throttle_write_iops_device()),
    ];
    let throttles = throttles.into_iter().flat_map(|(kind, devices)| {
        let limit = move |device: &LinuxThrottleDevice| DeviceLimit {
            kind,
            major: device.major(),
            minor: device.minor(),
            value: device.rate(),
        };
        devices.iter().flatten().map(limit)
    });
    weights.chain(throttles).collect()
}

/// One value for one file of one controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub controller: String,
    pub file: String,
    pub value: String,
    /// Whether a kernel without the file (no swap accounting) is a reason to fail.
    pub required: bool,
}

impl Setting {
    pub(super) fn new(controller: &str, file: &str, value: impl ToString) -> Setting {
        Setting { controller: controller.into(), file: file.into(), value: value.to_string(), required: true }
    }

    fn optional(self) -> Setting {
        Setting { required: false, ..self }
    }
}

impl From<&LinuxResources> for Limits {
    fn from(resources: &LinuxResources) -> Limits {
        let memory = resources.memory().as_ref();
        let cpu = resources.cpu().as_ref();
        let unified = resources.unified().iter().flatten();
        Limits {
            memory: memory.and_then(|m| m.limit()),
            memory_swap: memory.and_then(|m| m.swap()),
            memory_reservation: memory.and_then(|m| m.reservation()),
            cpu_quota: cpu.and_then(|c| c.quota()),
            cpu_period: cpu.and_then(|c| c.period()),
            cpu_shares: cpu.and_then(|c| c.shares()).filter(|shares| *shares != 0),
            cpuset_cpus: cpu.and_then(|c| c.cpus().clone()).filter(|cpus| !cpus.is_empty()),
            cpuset_mems: cpu.and_then(|c| c.mems().clone()).filter(|mems| !mems.is_empty()),
            pids: resources.pids().as_ref().map(|pids| pids.limit()).filter(|limit| *limit != 0),
            memory_swappiness: memory.and_then(|m| m.swappiness()),
            oom_kill_disable: memory.and_then(|m| m.disable_oom_killer()) == Some(true),
            io_devices: io_devices(resources),
            io_weight: resources.block_io().as_ref().and_then(|io| io.weight()).filter(|w| *w != 0),
            unified: unified.map(|(file, value)| (file.clone(), value.clone())).collect(),
            rare: Rare::from(resources),
        }
    }
}

impl Limits {
    /// The files of version 1, in an order the kernel takes for a fresh cgroup.
    pub(crate) fn v1(&self) -> Vec<Setting> {
        let mut settings = Vec::new();
        if let Some(value) = self.memory {
            settings.push(Setting::new("memory", "memory.limit_in_bytes", value));
        }
        if let Some(value) = self.memory_swap.filter(|_| self.memory.is_some()) {
            settings.push(Setting::new("memory", "memory.memsw.limit_in_bytes", value).optional());
        }
        if let Some(value) = self.memory_reservation {
            settings.push(Setting::new("memory", "memory.soft_limit_in_bytes", value).optional());
        }
        if let Some(value) = self.cpu_period.filter(|period| *period != 0) {
            settings.push(Setting::new("cpu", "cpu.cfs_period_us", value));
        }
        if let Some(value) = self.cpu_quota.filter(|quota| *quota != 0) {
            settings.push(Setting::new("cpu", "cpu.cfs_quota_us", value));
        }
        if let Some(value) = self.cpu_shares {
            settings.push(Setting::new("cpu", "cpu.shares", value));
        }
        if let Some(value) = &self.cpuset_cpus {
            settings.push(Setting::new("cpuset", "cpuset.cpus", value));
        }
        if let Some(value) = &self.cpuset_mems {
            settings.push(Setting::new("cpuset", "cpuset.mems", value));
        }
        if let Some(value) = self.pids {
            settings.push(Setting::new("pids", "pids.max", or_max(value)));
        }
        if let Some(value) = self.io_weight {
            settings.push(Setting::new("blkio", "blkio.weight", value).optional());
            settings.push(Setting::new("blkio", "blkio.bfq.weight", value).optional());
        }
        if let Some(value) = self.memory_swappiness {
            settings.push(Setting::new("memory", "memory.swappiness", value));
        }
        if self.oom_kill_disable {
            settings.push(Setting::new("memory", "memory.oom_control", 1));
        }
        settings.extend(self.io_devices.iter().map(DeviceLimit::v1));
        settings.extend(self.rare.v1());
        settings
    }

    /// The files of version 2.
    pub(crate) fn v2(&self) -> Vec<Setting> {
        let mut settings = Vec::new();
        if let Some(value) = self.memory {
            settings.push(Setting::new("memory", "memory.max", or_max(value)));
        }
        if let Some(value) = self.swap_only() {
            settings.push(Setting::new("memory", "memory.swap.max", or_max(value)).optional());
        }
        if let Some(value) = self.memory_reservation {
            settings.push(Setting::new("memory", "memory.low", value));
        }
        if let Some(value) = self.cpu_max() {
            settings.push(Setting::new("cpu", "cpu.max", value));
        }
        if let Some(shares) = self.cpu_shares {
            settings.push(Setting::new("cpu", "cpu.weight", weight_of_shares(shares)));
        }
        if let Some(value) = &self.cpuset_cpus {
            settings.push(Setting::new("cpuset", "cpuset.cpus", value));
        }
        if let Some(value) = &self.cpuset_mems {
            settings.push(Setting::new("cpuset", "cpuset.mems", value));
        }
        if let Some(value) = self.pids {
            settings.push(Setting::new("pids", "pids.max", or_max(value)));
        }
        if let Some(weight) = self.io_weight {
            settings.push(Setting::new("io", "io.bfq.weight", weight).optional());
        }
        settings.extend(self.io_devices.iter().map(DeviceLimit::v2));
        settings.extend(self.rare.v2());
        for (file, value) in &self.unified {
            let controller = file.split('.').next().unwrap_or_default();
            settings.push(Setting::new(controller, file, value));
        }
        settings
    }

    /// Version 2 limits swap alone; the request names memory and swap together.
    fn swap_only(&self) -> Option<i64> {
        match (self.memory_swap?, self.memory?) {
            (-1, _) => Some(-1),
            (both, memory) if memory >= 0 => Some((both - memory).max(0)),
            _ => None,
        }
    }

    fn cpu_max(&self) -> Option<String> {
        let quota = self.cpu_quota.filter(|quota| *quota != 0);
        let period = self.cpu_period.filter(|period| *period != 0);
        if quota.is_none() && period.is_none() {
            return None;
        }
        let quota = or_max(quota.unwrap_or(-1));
        Some(format!("{quota} {}", period.unwrap_or(100_000)))
    }
}

fn or_max(value: i64) -> String {
    if value < 0 { "max".into() } else { value.to_string() }
}

/// 2..262144 onto 1..10000, with 1024 shares at weight 100: the curve that both defaults lie on
/// (runc 1.3, crun 1.23; the older linear map gave 39).
fn weight_of_shares(shares: u64) -> u64 {
    if shares <= 2 {
        return 1;
    }
    if shares >= 262_144 {
        return 10_000;
    }
    let l = (shares as f64).log2();
    let exponent = (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0;
    10f64.powf(exponent).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_keep_both_defaults_and_ends() {
        let cases = [(2, 1), (1024, 100), (262_144, 10_000), (1, 1), (u64::MAX, 10_000)];
        for (shares, weight) in cases {
            assert_eq!(weight_of_shares(shares), weight, "{shares}");
        }
    }

    #[test]
    fn swap_is_the_difference_in_version_2() {
        let value = |memory, memory_swap| {
            Limits { memory: Some(memory), memory_swap: Some(memory_swap), ..Limits::default() }.swap_only()
        };
        assert_eq!(value(100, 150), Some(50));
        assert_eq!(value(100, 100), Some(0));
        assert_eq!(value(100, -1), Some(-1));
    }

    #[test]
    fn no_limit_writes_nothing() {
        assert!(Limits::default().v1().is_empty() && Limits::default().v2().is_empty());
    }

    #[test]
    fn devices_have_a_line_each() {
        let limit = |kind, value| DeviceLimit { kind, major: 8, minor: 16, value };
        let io_devices = vec![limit(DeviceLimitKind::ReadBytes, 1 << 20), limit(DeviceLimitKind::WriteOperations, 0)];
        let limits = Limits { io_devices, memory_swappiness: Some(5), oom_kill_disable: true, ..Limits::default() };
        let shown = |settings: Vec<Setting>| settings.into_iter().map(|s| format!("{} {}", s.file, s.value)).collect();
        let (v1, v2): (Vec<String>, Vec<String>) = (shown(limits.v1()), shown(limits.v2()));
        assert_eq!(v1[0], "memory.swappiness 5");
        assert_eq!(v1[1], "memory.oom_control 1");
        assert_eq!(v1[2], "blkio.throttle.read_bps_device 8:16 1048576");
        assert_eq!(v1[3], "blkio.throttle.write_iops_device 8:16 0");
        assert_eq!(v2, ["io.max 8:16 rbps=1048576", "io.max 8:16 wiops=max"]);
    }

    #[test]
    fn cpu_max_has_quota_and_period() {
        let limits = Limits { cpu_quota: Some(50_000), ..Limits::default() };
        assert_eq!(limits.v2()[0].value, "50000 100000");
        let limits = Limits { cpu_quota: Some(-1), cpu_period: Some(20_000), ..Limits::default() };
        assert_eq!(limits.v2()[0].value, "max 20000");
    }
}
