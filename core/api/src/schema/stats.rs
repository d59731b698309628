//! What containers use.

use super::{Field, Kind, Type, field, integer, text};

pub static STATS: Type = Type {
    name: "Stats",
    about: "What a container uses.",
    fields: &[&[
        field("read", Kind::Time, "when it was looked"),
        field("preread", Kind::Time, "when it was looked before"),
        text("id", "its id"),
        text("name", "/NAME"),
        integer("num_procs", "0"),
        field("storage_stats", Kind::Any, "empty"),
        field("pids_stats", Kind::Object(&PIDS), "processes"),
        field("blkio_stats", Kind::Object(&DISKS), "disks"),
        field("cpu_stats", Kind::Object(&PROCESSOR), "processor time"),
        field("precpu_stats", Kind::Object(&PROCESSOR), "processor time at the look before"),
        field("memory_stats", Kind::Object(&MEMORY), "memory"),
        field("networks", Kind::Named(&INTERFACE), "by interface"),
    ]],
};

static PIDS: Type = Type {
    name: "PidsStats",
    about: "Processes.",
    fields: &[&[integer("current", "how many"), integer("limit", "at most")]],
};

const DISK_FIELDS: &[Field] = &[
    field("io_service_bytes_recursive", Kind::Objects(&DISK), "bytes"),
    field("io_serviced_recursive", Kind::Objects(&DISK), "requests"),
    field("io_queue_recursive", Kind::Objects(&DISK), "not told"),
    field("io_service_time_recursive", Kind::Objects(&DISK), "not told"),
    field("io_wait_time_recursive", Kind::Objects(&DISK), "not told"),
    field("io_merged_recursive", Kind::Objects(&DISK), "not told"),
    field("io_time_recursive", Kind::Objects(&DISK), "not told"),
    field("sectors_recursive", Kind::Objects(&DISK), "not told"),
];

static DISKS: Type = Type { name: "BlkioStats", about: "Disks.", fields: &[DISK_FIELDS] };

static DISK: Type = Type {
    name: "BlkioEntry",
    about: "An amount.",
    fields: &[&[
        integer("major", "the device"),
        integer("minor", "the device"),
        text("op", "read or write, as the kernel's cgroups call it"),
        integer("value", "the amount"),
    ]],
};

static PROCESSOR: Type = Type {
    name: "CpuStats",
    about: "Processor time.",
    fields: &[&[
        field("cpu_usage", Kind::Object(&CPU_USAGE), "the container's"),
        integer("system_cpu_usage", "the host's, in nanoseconds"),
        integer("online_cpus", "processors").since(27),
        field("throttling_data", Kind::Object(&THROTTLING), "what the quota did"),
    ]],
};

static CPU_USAGE: Type = Type {
    name: "CpuUsage",
    about: "Nanoseconds.",
    fields: &[&[
        integer("total_usage", "in all"),
        integer("usage_in_kernelmode", "in the kernel"),
        integer("usage_in_usermode", "in programs"),
        field("percpu_usage", Kind::List(&Kind::Integer), "by processor, where cgroups are of version 1"),
    ]],
};

static THROTTLING: Type = Type {
    name: "ThrottlingData",
    about: "What the quota did.",
    fields: &[&[
        integer("periods", "periods of the quota"),
        integer("throttled_periods", "periods in which it held back"),
        integer("throttled_time", "nanoseconds"),
    ]],
};

static MEMORY: Type = Type {
    name: "MemoryStats",
    about: "Memory, in bytes.",
    fields: &[&[
        integer("usage", "used, caches included"),
        integer("limit", "at most"),
        integer("max_usage", "the highest so far, where the kernel tells"),
        integer("failcnt", "how often the limit was reached, where the kernel tells"),
        field(
            "stats",
            Kind::Map(&Kind::Integer),
            "memory.stat of the kernel, whose names differ between cgroups of version 1 and 2",
        ),
    ]],
};

static INTERFACE: Type = Type {
    name: "InterfaceStats",
    about: "What went through an interface.",
    fields: &[&[
        integer("rx_bytes", "received"),
        integer("rx_packets", "received"),
        integer("rx_errors", "received"),
        integer("rx_dropped", "received"),
        integer("tx_bytes", "sent"),
        integer("tx_packets", "sent"),
        integer("tx_errors", "sent"),
        integer("tx_dropped", "sent"),
    ]],
};
