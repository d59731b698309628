//! Devices of the host inside the container.

use super::ContainerArgs;
use crate::args::Flag;
use crate::args::values::push;
use gantry_engine::model::device;

/// See the table.
#[derive(Debug, Default)]
pub struct DeviceArgs {
    pub devices: Vec<String>,
    pub cgroup_rules: Vec<String>,
}

/// The flags.
pub const FLAGS: &[Flag<ContainerArgs>] = &[
    Flag::<ContainerArgs>::value("device", "list", "Add a device of the host", |a, v| push(&mut a.devices.devices, v)),
    Flag::<ContainerArgs>::value(
        "device-cgroup-rule",
        "list",
        "Add a rule to the devices the container may use",
        |a, v| rule(v).and_then(|()| push(&mut a.devices.cgroup_rules, v)),
    )
    .not_yet(),
    Flag::<ContainerArgs>::unsupported("device-read-bps", "list", "Limit reading from a device, bytes per second")
        .default("[]"),
    Flag::<ContainerArgs>::unsupported(
        "device-read-iops",
        "list",
        "Limit reading from a device, operations per second",
    )
    .default("[]"),
    Flag::<ContainerArgs>::unsupported("device-write-bps", "list", "Limit writing to a device, bytes per second")
        .default("[]"),
    Flag::<ContainerArgs>::unsupported("device-write-iops", "list", "Limit writing to a device, operations per second")
        .default("[]"),
    Flag::<ContainerArgs>::unsupported("gpus", "gpu-request", "Add GPUs ('all' for every one)"),
];

fn rule(text: &str) -> Result<(), String> {
    if device::is_cgroup_rule(text) { Ok(()) } else { Err(format!("invalid device cgroup format '{text}'")) }
}
