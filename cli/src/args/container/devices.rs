//! Devices of the host inside the container.

use super::ContainerArgs;
use crate::args::Flag;
use crate::args::values::{add, push};
use gantry_engine::model::container::ThrottleDevice;
use gantry_engine::model::{blkio, device};

/// See the table.
#[derive(Debug, Default)]
pub struct DeviceArgs {
    pub devices: Vec<String>,
    pub cgroup_rules: Vec<String>,
    pub read_bps: Vec<ThrottleDevice>,
    pub write_bps: Vec<ThrottleDevice>,
    pub read_iops: Vec<ThrottleDevice>,
    pub write_iops: Vec<ThrottleDevice>,
}

/// The flags.
pub const FLAGS: &[Flag<ContainerArgs>] = &[
    Flag::<ContainerArgs>::value("device", "list", "Add a device of the host", |a, v| push(&mut a.devices.devices, v)),
    Flag::<ContainerArgs>::value(
        "device-cgroup-rule",
        "list",
        "Add a rule to the devices the container may use",
        |a, v| rule(v).and_then(|()| push(&mut a.devices.cgroup_rules, v)),
    ),
    Flag::<ContainerArgs>::value(
        "device-read-bps",
        "list",
        "Limit reading from a device, bytes per second (device:rate)",
        |a, v| add(&mut a.devices.read_bps, blkio::bytes_per_second(v)),
    )
    .default("[]"),
    Flag::<ContainerArgs>::value(
        "device-read-iops",
        "list",
        "Limit reading from a device, operations per second (device:rate)",
        |a, v| add(&mut a.devices.read_iops, blkio::operations_per_second(v)),
    )
    .default("[]"),
    Flag::<ContainerArgs>::value(
        "device-write-bps",
        "list",
        "Limit writing to a device, bytes per second (device:rate)",
        |a, v| add(&mut a.devices.write_bps, blkio::bytes_per_second(v)),
    )
    .default("[]"),
    Flag::<ContainerArgs>::value(
        "device-write-iops",
        "list",
        "Limit writing to a device, operations per second (device:rate)",
        |a, v| add(&mut a.devices.write_iops, blkio::operations_per_second(v)),
    )
    .default("[]"),
    Flag::<ContainerArgs>::unsupported("gpus", "gpu-request", "Add GPUs ('all' for every one)"),
];

fn rule(text: &str) -> Result<(), String> {
    if device::is_cgroup_rule(text) { Ok(()) } else { Err(format!("invalid device cgroup format '{text}'")) }
}
