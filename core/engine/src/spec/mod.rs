//! From a container's configuration to an OCI runtime spec: the runtime's default, changed where the user or the image
//! said so. Each part of the spec has a file of its own.

mod devices;
mod mounts;
mod process;
mod resources;
mod security;

use crate::container::mounts::MountRecord;
use crate::error::{Error, Result};
use crate::userns;
use gantry_model::container::{Config, HostConfig};
use gantry_model::idmap::IdMapping;
use oci_spec::runtime::{
    Hooks, LinuxIdMapping, LinuxIdMappingBuilder, LinuxNamespace, LinuxNamespaceType, Process, Spec,
};
use std::collections::HashMap;
use std::path::PathBuf;

pub(crate) use process::arguments;
pub(crate) use resources::{check as check_resources, limits};
pub(crate) use security::{SeccompChoice, check_capabilities, check_options, labels, seccomp_choice};

/// How a container's network namespace comes to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkNamespace {
    /// A new one.
    New,
    /// The host's.
    Host,
    /// That of another process.
    Path(PathBuf),
}

/// What the spec is made from.
pub struct Parts<'a> {
    /// After merging with the image.
    pub config: &'a Config,
    /// As asked.
    pub host: &'a HostConfig,
    /// Resolved, with sources filled in.
    pub mounts: &'a [MountRecord],
    /// `/etc/hosts`, `/etc/hostname`, `/etc/resolv.conf`: (source, target).
    pub files: &'a [(PathBuf, &'static str)],
    /// The network namespace.
    pub network: NetworkNamespace,
    /// Processes whose namespaces are joined: for `--pid container:X` and so on.
    pub join: &'a dyn Fn(&str, &str) -> Result<i32>,
}

/// Builds the spec.
pub fn build(parts: &Parts<'_>) -> Result<Spec> {
    let mut spec = gantry_runtime::default_spec();
    spec.set_hooks(None::<Hooks>);
    spec.set_hostname(Some(parts.config.hostname.clone()));
    if !parts.config.domainname.is_empty() {
        spec.set_domainname(Some(parts.config.domainname.clone()));
    }
    process::apply(&mut spec, parts)?;
    security::apply(&mut spec, parts)?;
    mounts::apply(&mut spec, parts)?;
    resources::apply(&mut spec, parts.host)?;
    namespaces(&mut spec, parts)?;
    sysctls(&mut spec, parts.host);
    if let Some(root) = spec.root_mut() {
        root.set_readonly(Some(parts.host.readonly_rootfs));
    }
    Ok(spec)
}

/// The process of an `exec`: the container's, with another command.
pub(crate) fn exec_process(config: &Config, host: &HostConfig) -> Result<Process> {
    let mut spec = gantry_runtime::default_spec();
    let join = |_: &str, _: &str| Ok(0);
    let network = NetworkNamespace::Host;
    let parts = Parts { config, host, mounts: &[], files: &[], network, join: &join };
    process::apply(&mut spec, &parts)?;
    security::apply(&mut spec, &parts)?;
    spec.process().clone().ok_or_else(|| Error::invalid("no process"))
}

fn namespaces(spec: &mut Spec, parts: &Parts<'_>) -> Result<()> {
    use LinuxNamespaceType as T;
    let mut namespaces = vec![namespace(T::Mount, None)];
    match &parts.network {
        NetworkNamespace::New => namespaces.push(namespace(T::Network, None)),
        NetworkNamespace::Path(path) => namespaces.push(namespace(T::Network, Some(path.clone()))),
        NetworkNamespace::Host => {}
    }
    let modes = [
        (T::Pid, parts.host.pid_mode.as_str(), "pid"),
        (T::Ipc, parts.host.ipc_mode.as_str(), "ipc"),
        (T::Uts, parts.host.uts_mode.as_str(), "uts"),
    ];
    for (kind, mode, name) in modes {
        namespaces.extend(mode_namespace(kind, mode, name, parts)?);
    }
    if parts.host.cgroupns_mode != "host" {
        namespaces.push(namespace(T::Cgroup, None));
    }
    let maps = userns::maps(parts.host)?;
    if maps.is_some() {
        namespaces.push(namespace(T::User, None));
    }
    if let Some(linux) = spec.linux_mut() {
        linux.set_namespaces(Some(namespaces));
        linux.set_uid_mappings(maps.as_ref().map(|maps| mappings(&maps.users)).transpose()?);
        linux.set_gid_mappings(maps.as_ref().map(|maps| mappings(&maps.groups)).transpose()?);
    }
    if parts.host.uts_mode == "host" {
        spec.set_hostname(None::<String>);
    }
    Ok(())
}

fn mappings(map: &[IdMapping]) -> Result<Vec<LinuxIdMapping>> {
    let mapping = |range: &IdMapping| {
        let builder = LinuxIdMappingBuilder::default();
        builder.container_id(range.inside).host_id(range.outside).size(range.count).build()
    };
    let all = map.iter().map(mapping).collect::<std::result::Result<_, _>>();
    all.map_err(|error| Error::invalid(format!("invalid mappings: {error}")))
}

fn mode_namespace(
    kind: LinuxNamespaceType,
    mode: &str,
    name: &str,
    parts: &Parts<'_>,
) -> Result<Option<LinuxNamespace>> {
    match mode {
        "" | "private" | "shareable" | "none" => Ok(Some(namespace(kind, None))),
        "host" => Ok(None),
        mode => match mode.strip_prefix("container:") {
            Some(other) => {
                let path = format!("/proc/{}/ns/{name}", (parts.join)(other, name)?);
                Ok(Some(namespace(kind, Some(path.into()))))
            }
            None => Err(Error::invalid(format!("invalid {name} mode: {mode}"))),
        },
    }
}

fn namespace(kind: LinuxNamespaceType, path: Option<PathBuf>) -> LinuxNamespace {
    let mut namespace = LinuxNamespace::default();
    namespace.set_typ(kind).set_path(path);
    namespace
}

fn sysctls(spec: &mut Spec, host: &HostConfig) {
    let Some(linux) = spec.linux_mut() else { return };
    let mut sysctl: HashMap<String, String> = linux.sysctl().clone().unwrap_or_default();
    sysctl.extend(host.sysctls.clone());
    linux.set_sysctl(Some(sysctl));
}
