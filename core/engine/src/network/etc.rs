//! Writing hosts, hostname and resolv.conf of one container: at its start, and in place when its networks change.

use super::dhcp;
use super::endpoint::EndpointRecord;
use super::files::{self, Dns};
use super::names::has_names;
use super::plan::NetworkPlan;
use crate::Engine;
use crate::container::ContainerFile;
use crate::error::{Error, Result};
use crate::spec::NetworkNamespace;
use gantry_supervisor::dns;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

impl Engine {
    /// Writes the files; answers where they lie and where they go.
    pub(crate) fn write_etc(
        &self,
        file: &ContainerFile,
        plan: &NetworkPlan,
        links: &[String],
    ) -> Result<Vec<(PathBuf, &'static str)>> {
        if let Some(other) = file.host.network_mode.strip_prefix("container:") {
            return Ok(etc_files(&self.layout.container_state(&self.resolve(other)?)));
        }
        let dir = self.layout.container_state(&file.id);
        let endpoints: Vec<EndpointRecord> = plan.planned.iter().map(|p| p.endpoint.clone()).collect();
        let on_host = plan.netns == NetworkNamespace::Host;
        let texts = [
            ("hosts", self.hosts_text(file, &endpoints, links, on_host)?),
            ("hostname", format!("{}\n", file.config.hostname)),
            ("resolv.conf", self.resolv_text(file, &endpoints, on_host)),
        ];
        for (name, text) in &texts {
            write_public(&dir.join(name), text)?;
            self.give_to_root(file, &dir.join(name))?;
        }
        Ok(etc_files(&dir))
    }

    fn hosts_text(
        &self,
        file: &ContainerFile,
        endpoints: &[EndpointRecord],
        links: &[String],
        on_host: bool,
    ) -> Result<String> {
        let extra = self.extra_hosts(file, endpoints)?;
        if on_host && extra.is_empty() {
            return Ok(fs::read_to_string("/etc/hosts").unwrap_or_default());
        }
        let addresses: Vec<IpAddr> = endpoints.iter().flat_map(EndpointRecord::addresses).collect();
        Ok(files::hosts(&extra, links, &addresses, &own_names(file)))
    }

    fn resolv_text(&self, file: &ContainerFile, endpoints: &[EndpointRecord], on_host: bool) -> String {
        let host = &file.host;
        // What the user says comes before what a server of addresses says, and that before the host's own.
        let servers: Vec<String> = dhcp::servers(endpoints).iter().map(IpAddr::to_string).collect();
        let search = dhcp::search(endpoints);
        let dns = Dns {
            servers: if host.dns.is_empty() { &servers } else { &host.dns },
            search: if host.dns_search.is_empty() { &search } else { &host.dns_search },
            options: &host.dns_options,
        };
        let text = files::host_resolv_conf();
        if on_host && dns.is_silent() {
            return text;
        }
        match has_names(endpoints) {
            true => files::resolv_conf_embedded(&text, &dns, &dns::ADDRESS.to_string()),
            false => files::resolv_conf(&text, &dns, &self.settings.config.fallback_dns),
        }
    }

    /// The networks of a running container have changed: its addresses in hosts, and resolv.conf unless somebody edited
    /// it.
    pub(crate) fn rewrite_etc(
        &self,
        file: &ContainerFile,
        before: &[EndpointRecord],
        after: &[EndpointRecord],
    ) -> Result<()> {
        let dir = self.layout.container_state(&file.id);
        let addresses =
            |list: &[EndpointRecord]| -> Vec<IpAddr> { list.iter().flat_map(EndpointRecord::addresses).collect() };
        let path = dir.join("hosts");
        let old = fs::read_to_string(&path).unwrap_or_default();
        let new = files::with_addresses(&old, &addresses(before), &addresses(after), &own_names(file));
        write_public(&path, &new)?;
        let path = dir.join("resolv.conf");
        let untouched = fs::read_to_string(&path).is_ok_and(|text| text == self.resolv_text(file, before, false));
        if untouched { write_public(&path, &self.resolv_text(file, after, false)) } else { Ok(()) }
    }

    /// Makes hosts tell a running container's present addresses, whichever it told before.
    pub(crate) fn mend_etc(&self, file: &ContainerFile, endpoints: &[EndpointRecord]) -> Result<()> {
        let path = self.layout.container_state(&file.id).join("hosts");
        let old = fs::read_to_string(&path).unwrap_or_default();
        let names = own_names(file);
        let told = old.lines().filter_map(|line| line.split_once('\t')).filter(|(_, n)| *n == names);
        let told: Vec<IpAddr> = told.filter_map(|(address, _)| address.parse().ok()).collect();
        let now: Vec<IpAddr> = endpoints.iter().flat_map(EndpointRecord::addresses).collect();
        let new = files::with_addresses(&old, &told, &now, &names);
        if new == old { Ok(()) } else { write_public(&path, &new) }
    }

    fn extra_hosts(&self, file: &ContainerFile, endpoints: &[EndpointRecord]) -> Result<Vec<(String, String)>> {
        let mut extra = Vec::new();
        for entry in file.host.extra_hosts.iter().flatten() {
            let pair = entry.split_once('=').or_else(|| entry.split_once(':'));
            let (name, address) =
                pair.ok_or_else(|| Error::invalid(format!("bad format for add-host: \"{entry}\"")))?;
            let address = if address == "host-gateway" { self.host_gateway(endpoints) } else { address.to_owned() };
            let bare = address.trim_matches(['[', ']']);
            if bare.parse::<IpAddr>().is_err() {
                return Err(Error::invalid(format!("invalid IP address in add-host: \"{address}\"")));
            }
            extra.push((name.to_owned(), bare.to_owned()));
        }
        Ok(extra)
    }

    /// An address of the host that the container reaches: its own gateway, else the predefined network's.
    fn host_gateway(&self, endpoints: &[EndpointRecord]) -> String {
        let own = endpoints.iter().flat_map(|e| [&e.gateway, &e.gateway6]).find(|g| !g.is_empty()).cloned();
        let default = || {
            let network = self.read_network(&self.settings.config.network).ok().flatten()?;
            network.pools.iter().find_map(|p| p.gateway).map(|g| g.to_string())
        };
        own.or_else(default).unwrap_or_else(|| "127.0.0.1".to_owned())
    }
}

fn own_names(file: &ContainerFile) -> String {
    files::host_names(&file.config.hostname, &file.config.domainname)
}

fn etc_files(dir: &Path) -> Vec<(PathBuf, &'static str)> {
    vec![
        (dir.join("hosts"), "/etc/hosts"),
        (dir.join("hostname"), "/etc/hostname"),
        (dir.join("resolv.conf"), "/etc/resolv.conf"),
    ]
}

/// Readable by every user of the container; written in place so that a bind mount keeps seeing it.
fn write_public(path: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let act = || format!("write {}", path.display());
    // Shortened last: a write that fails leaves what was there.
    let file = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o644).open(path);
    let mut file = file.map_err(Error::io(act()))?;
    file.write_all(text.as_bytes()).map_err(Error::io(act()))?;
    file.set_len(text.len() as u64).map_err(Error::io(act()))?;
    // Whatever the umask: every user of the container reads it.
    file.set_permissions(fs::Permissions::from_mode(0o644)).map_err(Error::io(act()))
}
