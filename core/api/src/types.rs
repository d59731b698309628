//! What clients send, as Rust's types. How they are written, and since when, stands in [`crate::schema`]: a body is fitted
//! to that first, so that absent fields have defaults, unknown ones are ignored, wrong types are refused by name.

mod parse;
#[cfg(test)]
mod tests;

pub use parse::{Sent, object, parse, typed};

use crate::schema::{Type, container, network};
use gantry_model::container::{EndpointSettings, HostConfig, RestartPolicy};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

macro_rules! sent {
    ($($name:ident: $of:path;)*) => {
        $(impl Sent for $name {
            const TYPE: &'static Type = &$of;
        })*
    };
}

sent! {
    Create: container::CREATE;
    ExecCreate: container::EXEC_CREATE;
    ExecStart: container::EXEC_START;
    Update: container::UPDATE;
    NetworkCreate: network::CREATE;
    NetworkConnect: network::CONNECT;
    NetworkDisconnect: network::DISCONNECT;
    VolumeCreate: network::VOLUME_CREATE;
}

/// `POST /containers/create`, beside the `Config` that lies in the same object.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Create {
    pub host_config: HostConfig,
    pub networking_config: NetworkingConfig,
    /// Until 1.44, where it moved to the endpoint.
    pub mac_address: String,
    /// In the wrong place, as docker-py's `create_container` sends it.
    pub runtime: String,
}

/// Endpoints by network; several since 1.44.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkingConfig {
    pub endpoints_config: BTreeMap<String, EndpointSettings>,
}

/// `POST /containers/{}/exec`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ExecCreate {
    pub attach_stdin: bool,
    pub attach_stdout: bool,
    pub attach_stderr: bool,
    pub detach_keys: String,
    pub tty: bool,
    pub env: Vec<String>,
    pub cmd: Vec<String>,
    pub privileged: bool,
    pub user: String,
    pub working_dir: String,
    /// Rows and columns.
    pub console_size: Option<[u16; 2]>,
}

/// `POST /exec/{}/start`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ExecStart {
    pub detach: bool,
    pub tty: bool,
    /// Rows and columns.
    pub console_size: Option<[u16; 2]>,
}

/// `POST /containers/{}/update`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Update {
    pub memory: i64,
    pub memory_reservation: i64,
    pub memory_swap: i64,
    pub nano_cpus: i64,
    pub cpu_shares: i64,
    pub cpu_period: i64,
    pub cpu_quota: i64,
    pub cpuset_cpus: String,
    pub cpuset_mems: String,
    pub pids_limit: Option<i64>,
    pub blkio_weight: u16,
    pub restart_policy: Option<RestartPolicy>,
    pub gantry_logs: Option<LogsUpdate>,
    pub gantry_ports: Option<PortsUpdate>,
}

/// Where a container's lines go from now on.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LogsUpdate {
    pub drivers: Vec<String>,
    pub options: Vec<String>,
}

/// Ports as `--publish` takes them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PortsUpdate {
    pub add: Vec<String>,
    pub remove: Vec<String>,
}

/// `POST /networks/create`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkCreate {
    pub name: String,
    pub driver: String,
    pub scope: String,
    pub internal: bool,
    pub attachable: bool,
    pub ingress: bool,
    #[serde(rename = "EnableIPv4")]
    pub enable_ipv4: Option<bool>,
    #[serde(rename = "EnableIPv6")]
    pub enable_ipv6: Option<bool>,
    #[serde(rename = "IPAM")]
    pub ipam: Ipam,
    pub options: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    pub config_only: bool,
    pub config_from: ConfigFrom,
}

/// A network whose settings would be taken.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ConfigFrom {
    pub network: String,
}

/// Subnets of a network.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Ipam {
    pub driver: String,
    pub config: Vec<IpamPool>,
    pub options: BTreeMap<String, String>,
}

/// One of them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IpamPool {
    pub subnet: String,
    #[serde(rename = "IPRange")]
    pub ip_range: String,
    pub gateway: String,
    #[serde(alias = "AuxAddress")]
    pub auxiliary_addresses: BTreeMap<String, String>,
}

/// `POST /networks/{}/connect`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkConnect {
    pub container: String,
    pub endpoint_config: EndpointSettings,
}

/// `POST /networks/{}/disconnect`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkDisconnect {
    pub container: String,
    pub force: bool,
}

/// `POST /volumes/create`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeCreate {
    pub name: String,
    pub driver: String,
    pub driver_opts: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
}
