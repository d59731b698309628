//! What clients send, in one place: each type with the version of the API in which its fields came. Fields that are
//! absent or null have defaults, unknown ones are ignored, wrong types are refused by the field's name.

mod parse;

pub use parse::{parse, parse_both};

use gantry_model::container::{EndpointSettings, HostConfig, RestartPolicy};
use serde::Deserialize;
use std::collections::BTreeMap;

/// `POST /containers/create`, beside the `Config` that lies in the same object. Since 1.24.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Create {
    pub host_config: HostConfig,
    pub networking_config: NetworkingConfig,
    /// Until 1.44, where it moved to the endpoint.
    pub mac_address: String,
}

/// Endpoints by network; several since 1.44.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkingConfig {
    pub endpoints_config: BTreeMap<String, EndpointSettings>,
}

/// `POST /containers/{}/exec`. Since 1.24.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ExecCreate {
    pub attach_stdin: bool,
    pub attach_stdout: bool,
    pub attach_stderr: bool,
    /// docker-py writes it small, which Go's decoder takes.
    #[serde(alias = "detachKeys")]
    pub detach_keys: String,
    pub tty: bool,
    /// Since 1.25.
    pub env: Vec<String>,
    pub cmd: Vec<String>,
    pub privileged: bool,
    pub user: String,
    /// Since 1.35.
    pub working_dir: String,
    /// Since 1.42: rows and columns.
    pub console_size: Option<[u16; 2]>,
}

/// `POST /exec/{}/start`. Since 1.24.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ExecStart {
    pub detach: bool,
    pub tty: bool,
    /// Since 1.42.
    pub console_size: Option<[u16; 2]>,
}

/// `POST /containers/{}/update`. Since 1.24.
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
    /// Since 1.40.
    pub pids_limit: Option<i64>,
    pub blkio_weight: u16,
    pub restart_policy: Option<RestartPolicy>,
}

/// `POST /networks/create`. Since 1.24.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkCreate {
    pub name: String,
    pub driver: String,
    pub scope: String,
    pub internal: bool,
    /// Since 1.25.
    pub attachable: bool,
    /// Since 1.30.
    pub ingress: bool,
    /// Since 1.48.
    #[serde(rename = "EnableIPv4")]
    pub enable_ipv4: Option<bool>,
    #[serde(rename = "EnableIPv6")]
    pub enable_ipv6: Option<bool>,
    #[serde(rename = "IPAM")]
    pub ipam: Ipam,
    pub options: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    /// Since 1.30.
    pub config_only: bool,
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

/// `POST /networks/{}/connect` and `disconnect`. Since 1.24.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkJoin {
    pub container: String,
    pub endpoint_config: EndpointSettings,
    pub force: bool,
}

/// `POST /volumes/create`. Since 1.24.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeCreate {
    pub name: String,
    pub driver: String,
    pub driver_opts: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
}
