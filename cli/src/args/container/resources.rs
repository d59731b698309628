//! Limits: memory, processors, processes, `setrlimit`.

use super::ContainerArgs;
use crate::args::Flag;
use crate::args::values::{add, bytes, int, nano_cpus, put, swap, uint16};
use gantry_engine::model::blkio;
use gantry_engine::model::container::{Ulimit, WeightDevice};
use gantry_engine::model::ulimit;

/// See the table.
#[derive(Debug, Default)]
pub struct ResourceArgs {
    pub memory: i64,
    pub memory_reservation: i64,
    pub memory_swap: i64,
    pub memory_swappiness: Option<i64>,
    pub oom_kill_disable: bool,
    pub oom_score_adj: i64,
    pub nano_cpus: i64,
    pub cpu_shares: i64,
    pub cpu_period: i64,
    pub cpu_quota: i64,
    pub cpu_rt_period: i64,
    pub cpu_rt_runtime: i64,
    pub cpuset_cpus: Option<String>,
    pub cpuset_mems: Option<String>,
    pub pids_limit: Option<i64>,
    pub blkio_weight: u16,
    pub blkio_weight_device: Vec<WeightDevice>,
    pub ulimits: Vec<Ulimit>,
    pub shm_size: i64,
    pub cgroup_parent: Option<String>,
}

/// The flags.
pub const FLAGS: &[Flag<ContainerArgs>] = &[
    Flag::<ContainerArgs>::value("blkio-weight", "uint16", "Share of block I/O, 10 to 1000, 0 for none", |a, v| {
        uint16(v).map(|n| a.resources.blkio_weight = n)
    })
    .default("0"),
    Flag::<ContainerArgs>::value(
        "blkio-weight-device",
        "list",
        "Share of block I/O on one device (device:weight)",
        |a, v| add(&mut a.resources.blkio_weight_device, blkio::weight(v)),
    )
    .default("[]"),
    Flag::<ContainerArgs>::value("cgroup-parent", "string", "Parent cgroup", |a, v| {
        put(&mut a.resources.cgroup_parent, v)
    }),
    Flag::<ContainerArgs>::unsupported("cpu-count", "int", "Number of CPUs (Windows only)"),
    Flag::<ContainerArgs>::unsupported("cpu-percent", "int", "Percent of CPU (Windows only)"),
    Flag::<ContainerArgs>::value("cpu-period", "int", "Period of the CPU quota, in microseconds", |a, v| {
        int(v).map(|n| a.resources.cpu_period = n)
    }),
    Flag::<ContainerArgs>::value("cpu-quota", "int", "CPU time per period, in microseconds", |a, v| {
        int(v).map(|n| a.resources.cpu_quota = n)
    }),
    Flag::<ContainerArgs>::value("cpu-rt-period", "int", "Period of real-time scheduling, in microseconds", |a, v| {
        int(v).map(|n| a.resources.cpu_rt_period = n)
    })
    .not_yet(),
    Flag::<ContainerArgs>::value("cpu-rt-runtime", "int", "Real-time CPU time per period, in microseconds", |a, v| {
        int(v).map(|n| a.resources.cpu_rt_runtime = n)
    })
    .not_yet(),
    Flag::<ContainerArgs>::value("cpu-shares", "int", "Relative share of CPU time", |a, v| {
        int(v).map(|n| a.resources.cpu_shares = n)
    })
    .short('c'),
    Flag::<ContainerArgs>::value("cpus", "decimal", "Number of CPUs, such as 1.5", |a, v| {
        nano_cpus(v).map(|n| a.resources.nano_cpus = n)
    }),
    Flag::<ContainerArgs>::value("cpuset-cpus", "string", "CPUs to run on (0-3, 0,1)", |a, v| {
        put(&mut a.resources.cpuset_cpus, v)
    }),
    Flag::<ContainerArgs>::value("cpuset-mems", "string", "Memory nodes to use (0-3, 0,1)", |a, v| {
        put(&mut a.resources.cpuset_mems, v)
    }),
    Flag::<ContainerArgs>::unsupported("io-maxbandwidth", "bytes", "I/O bandwidth of the system drive (Windows only)"),
    Flag::<ContainerArgs>::unsupported("io-maxiops", "uint", "I/O operations of the system drive (Windows only)"),
    Flag::<ContainerArgs>::unsupported("kernel-memory", "bytes", "Limit of kernel memory"),
    Flag::<ContainerArgs>::value("memory", "bytes", "Limit of memory", |a, v| bytes(v).map(|n| a.resources.memory = n))
        .short('m'),
    Flag::<ContainerArgs>::value("memory-reservation", "bytes", "Soft limit of memory", |a, v| {
        bytes(v).map(|n| a.resources.memory_reservation = n)
    }),
    Flag::<ContainerArgs>::value(
        "memory-swap",
        "bytes",
        "Limit of memory and swap together, -1 for no limit",
        |a, v| swap(v).map(|n| a.resources.memory_swap = n),
    ),
    Flag::<ContainerArgs>::value("memory-swappiness", "int", "How readily memory is swapped, 0 to 100", |a, v| {
        int(v).map(|n| a.resources.memory_swappiness = Some(n))
    })
    .default("-1"),
    Flag::<ContainerArgs>::switch("oom-kill-disable", "Do not kill processes when memory is short", |a, on| {
        a.resources.oom_kill_disable = on;
    }),
    Flag::<ContainerArgs>::value(
        "oom-score-adj",
        "int",
        "How likely to be killed when memory is short, -1000 to 1000",
        |a, v| int(v).map(|n| a.resources.oom_score_adj = n),
    ),
    Flag::<ContainerArgs>::value("pids-limit", "int", "Limit of processes, -1 for none", |a, v| {
        int(v).map(|n| a.resources.pids_limit = Some(n))
    }),
    Flag::<ContainerArgs>::value("shm-size", "bytes", "Size of /dev/shm", |a, v| {
        bytes(v).map(|n| a.resources.shm_size = n)
    }),
    Flag::<ContainerArgs>::value("ulimit", "ulimit", "A resource limit (type=soft[:hard])", |a, v| {
        add(&mut a.resources.ulimits, ulimit::parse(v))
    })
    .default("[]"),
];
