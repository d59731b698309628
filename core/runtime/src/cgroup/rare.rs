//! Limits that few ask for: huge pages, buffers of sockets, classes of packets, real time, bursts, RDMA. What neither version of the
//! hierarchies here can hold is an error like any other limit's.

use super::limits::Setting;
use oci_spec::runtime::{LinuxCpu, LinuxNetwork, LinuxResources};

/// The files they become in either version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rare {
    v1: Vec<Setting>,
    v2: Vec<Setting>,
}

impl From<&LinuxResources> for Rare {
    fn from(resources: &LinuxResources) -> Rare {
        let mut rare = Rare::default();
        resources.cpu().iter().for_each(|cpu| rare.cpu(cpu));
        resources.network().iter().for_each(|network| rare.network(network));
        for huge in resources.hugepage_limits().iter().flatten() {
            let (size, limit) = (huge.page_size(), huge.limit());
            rare.v1.push(Setting::new("hugetlb", &format!("hugetlb.{size}.limit_in_bytes"), limit));
            let value = if limit < 0 { "max".to_owned() } else { limit.to_string() };
            rare.v2.push(Setting::new("hugetlb", &format!("hugetlb.{size}.max"), value));
        }
        for (device, rdma) in resources.rdma().iter().flatten() {
            let part =
                |name: &str, value: Option<u32>| value.map(|value| format!(" {name}={value}")).unwrap_or_default();
            let parts = part("hca_handle", rdma.hca_handles()) + &part("hca_object", rdma.hca_objects());
            rare.both(Setting::new("rdma", "rdma.max", format!("{device}{parts}")));
        }
        let leaf = resources.block_io().as_ref().and_then(|io| io.leaf_weight()).filter(|weight| *weight != 0);
        // Version 2 counts the buffers of sockets as any other memory.
        let buffers = resources.memory().as_ref().and_then(|memory| memory.kernel_tcp()).filter(|limit| *limit != 0);
        rare.v1.extend(buffers.map(|limit| Setting::new("memory", "memory.kmem.tcp.limit_in_bytes", limit)));
        rare.v1.extend(leaf.map(|weight| Setting::new("blkio", "blkio.leaf_weight", weight)));
        rare
    }
}

impl Rare {
    pub(super) fn v1(&self) -> impl Iterator<Item = Setting> + '_ {
        self.v1.iter().cloned()
    }

    pub(super) fn v2(&self) -> impl Iterator<Item = Setting> + '_ {
        self.v2.iter().cloned()
    }

    fn both(&mut self, setting: Setting) {
        self.v1.push(setting.clone());
        self.v2.push(setting);
    }

    /// Version 2 has no real time.
    fn cpu(&mut self, cpu: &LinuxCpu) {
        if let Some(period) = cpu.realtime_period().filter(|period| *period != 0) {
            self.both(Setting::new("cpu", "cpu.rt_period_us", period));
        }
        if let Some(runtime) = cpu.realtime_runtime().filter(|runtime| *runtime != 0) {
            self.both(Setting::new("cpu", "cpu.rt_runtime_us", runtime));
        }
        if let Some(burst) = cpu.burst() {
            self.v1.push(Setting::new("cpu", "cpu.cfs_burst_us", burst));
            self.v2.push(Setting::new("cpu", "cpu.max.burst", burst));
        }
        if let Some(idle) = cpu.idle().filter(|idle| *idle != 0) {
            self.both(Setting::new("cpu", "cpu.idle", idle));
        }
    }

    /// Version 2 has neither controller.
    fn network(&mut self, network: &LinuxNetwork) {
        if let Some(class) = network.class_id() {
            self.both(Setting::new("net_cls", "net_cls.classid", class));
        }
        for priority in network.priorities().iter().flatten() {
            let value = format!("{} {}", priority.name(), priority.priority());
            self.both(Setting::new("net_prio", "net_prio.ifpriomap", value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_becomes_a_file_in_the_version_that_has_it() {
        let text = r#"{
            "cpu": {"realtimePeriod": 1000000, "realtimeRuntime": 950000, "burst": 1000, "idle": 1},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}],
            "network": {"classID": 1048577, "priorities": [{"name": "eth0", "priority": 5}]},
            "rdma": {"mlx5_1": {"hcaHandles": 3}},
            "memory": {"kernelTCP": 1048576},
            "blockIO": {"leafWeight": 10}
        }"#;
        let resources: LinuxResources = serde_json::from_str(text).unwrap();
        let rare = Rare::from(&resources);
        let shown = |settings: &[Setting]| -> Vec<String> {
            settings.iter().map(|s| format!("{} {} {}", s.controller, s.file, s.value)).collect()
        };
        let (v1, v2) = (shown(&rare.v1), shown(&rare.v2));
        assert_eq!(v1[2], "cpu cpu.cfs_burst_us 1000");
        assert_eq!(v2[2], "cpu cpu.max.burst 1000");
        assert!(v1.contains(&"hugetlb hugetlb.2MB.limit_in_bytes 4194304".to_owned()), "{v1:?}");
        assert!(v2.contains(&"hugetlb hugetlb.2MB.max 4194304".to_owned()), "{v2:?}");
        let buffers = "memory memory.kmem.tcp.limit_in_bytes 1048576".to_owned();
        assert!(v1.contains(&buffers) && !v2.contains(&buffers), "{v1:?}");
        for both in [
            "net_cls net_cls.classid 1048577",
            "net_prio net_prio.ifpriomap eth0 5",
            "rdma rdma.max mlx5_1 hca_handle=3",
        ] {
            assert!(v1.contains(&both.to_owned()) && v2.contains(&both.to_owned()), "{both}");
        }
        assert_eq!(v1.last().unwrap(), "blkio blkio.leaf_weight 10");
        assert_eq!(Rare::from(&LinuxResources::default()), Rare::default());
    }
}
