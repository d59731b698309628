//! The flags that `run` and `create` share: everything about the container itself, by part.

pub mod devices;
pub mod health;
pub mod network;
pub mod process;
pub mod resources;
pub mod security;
pub mod storage;

use super::Flag;

/// The flags of `create`.
#[derive(Debug, Default)]
pub struct ContainerArgs {
    /// What runs and how it is named.
    pub process: process::ProcessArgs,
    /// Limits.
    pub resources: resources::ResourceArgs,
    /// Rights.
    pub security: security::SecurityArgs,
    /// Devices.
    pub devices: devices::DeviceArgs,
    /// Networks, ports, names.
    pub network: network::NetworkArgs,
    /// Volumes and logs.
    pub storage: storage::StorageArgs,
    /// Health check.
    pub health: health::HealthArgs,
    /// `-d`, `--detach-keys`, `--sig-proxy`: of `run` only.
    pub run: super::run::RunOnlyArgs,
}

/// Every table of `create`.
pub const CREATE_TABLES: &[&[Flag<ContainerArgs>]] =
    &[process::FLAGS, resources::FLAGS, security::FLAGS, devices::FLAGS, network::FLAGS, storage::FLAGS, health::FLAGS];

/// Every table of `run`.
pub const RUN_TABLES: &[&[Flag<ContainerArgs>]] = &[
    process::FLAGS,
    resources::FLAGS,
    security::FLAGS,
    devices::FLAGS,
    network::FLAGS,
    storage::FLAGS,
    health::FLAGS,
    super::run::FLAGS,
];
