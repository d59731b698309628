//! What resolvers read: a file for each container on each network whose names resolve, `<state>/networks/<network>/<id>`,
//! and for each container what it may ask (see `gantry_supervisor::dns`).

use super::dhcp;
use super::endpoint::EndpointRecord;
use super::files;
use crate::Engine;
use crate::container::ContainerFile;
use crate::error::{Error, Result};
use gantry_model::record::ProcessRef;
use gantry_store::atomic::{self, Durability};
use gantry_supervisor::dns::{ASKER, Asker, Member, Upstream, Zone};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

impl Engine {
    /// Where the members of a network are told.
    pub(crate) fn members_dir(&self, network: &str) -> PathBuf {
        self.layout.state().join("networks").join(network)
    }

    /// Tells the others on its networks of a container.
    pub(crate) fn note_members(&self, id: &str, endpoints: &[EndpointRecord], init: ProcessRef) -> Result<()> {
        for endpoint in endpoints.iter().filter(|e| !e.names.is_empty()) {
            let dir = self.members_dir(&endpoint.network_id);
            if !dir.is_dir() {
                atomic::make_dir(&dir)?;
            }
            let (names, addresses) = (endpoint.names.clone(), endpoint.addresses().collect());
            let member = Member { id: id.to_owned(), names, addresses, init };
            atomic::write_json(&dir.join(id), &member, Durability::Rename)?;
        }
        Ok(())
    }

    /// Nobody on the endpoint's network finds the container any more.
    pub(crate) fn forget_member(&self, id: &str, endpoint: &EndpointRecord) -> Result<()> {
        if endpoint.names.is_empty() {
            return Ok(());
        }
        let path = self.members_dir(&endpoint.network_id).join(id);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(format!("remove {}", path.display()))(error))
            }
            _ => Ok(()),
        }
    }

    /// Writes what a container may ask. True when it has names to ask for, and so a resolver.
    pub(crate) fn write_asker(&self, file: &ContainerFile, endpoints: &[EndpointRecord]) -> Result<bool> {
        let path = self.layout.container_state(&file.id).join(ASKER);
        if !has_names(endpoints) {
            let _ = std::fs::remove_file(path);
            return Ok(false);
        }
        let named = endpoints.iter().filter(|e| !e.names.is_empty());
        let zone = |e: &EndpointRecord| Zone { name: e.network.to_lowercase(), dir: self.members_dir(&e.network_id) };
        let mut named: Vec<&EndpointRecord> = named.collect();
        named.sort_by_key(|e| (std::cmp::Reverse(e.priority), e.index));
        let asker = Asker {
            networks: named.into_iter().map(zone).collect(),
            links: self.private_names(file),
            upstreams: self.upstreams(file, endpoints),
            host: follows_host(file, endpoints).then(|| files::HOST_RESOLV_CONF.into()),
            ndots: explicit_ndots(&file.host.dns_options),
        };
        atomic::write_json(&path, &asker, Durability::Rename)?;
        Ok(true)
    }

    /// Servers of the user's, or those that came with an address, are asked from inside; the fallback for a host without any from the host. A container that
    /// has no way out asks none but those it was given.
    fn upstreams(&self, file: &ContainerFile, endpoints: &[EndpointRecord]) -> Vec<Upstream> {
        let mut given: Vec<IpAddr> = file.host.dns.iter().filter_map(|s| s.parse().ok()).collect();
        if given.is_empty() {
            given = dhcp::servers(endpoints);
        }
        if !given.is_empty() {
            return given.into_iter().map(|address| Upstream { address, inside: true }).collect();
        }
        if !follows_host(file, endpoints) {
            return Vec::new();
        }
        let fallback = self.settings.config.fallback_dns.iter().filter_map(|s| s.parse().ok());
        fallback.map(|address| Upstream { address, inside: false }).collect()
    }

    /// `--link` on networks of the user's: names that only this container knows. What is not there yet is meant by its
    /// name.
    fn private_names(&self, file: &ContainerFile) -> BTreeMap<String, String> {
        let given = file.networks.values().flat_map(|s| s.links.iter().flatten());
        let meant = |name: &str| self.resolve(name).unwrap_or_else(|_| name.to_lowercase());
        given.filter_map(|link| link.split_once(':')).map(|(name, alias)| (alias.to_lowercase(), meant(name))).collect()
    }

    /// A container has another name now: the others find it under that one, and no longer under the old.
    pub(crate) fn rename_member(&self, id: &str, old: &str, new: &str) -> Result<()> {
        let mut endpoints = self.endpoints(id)?;
        for endpoint in endpoints.iter_mut().filter(|e| !e.names.is_empty()) {
            for name in endpoint.names.iter_mut().filter(|n| n.as_str() == old) {
                new.clone_into(name);
            }
        }
        if !has_names(&endpoints) {
            return Ok(());
        }
        self.write_endpoints(id, &endpoints)?;
        let record = gantry_store::containers::read(&self.layout, id)?;
        self.note_members(id, &endpoints, record.state.init)
    }
}

/// True when names resolve on one of the networks.
pub(crate) fn has_names(endpoints: &[EndpointRecord]) -> bool {
    endpoints.iter().any(|e| !e.names.is_empty())
}

/// True for a container that asks the host's servers, whichever they are at the moment.
fn follows_host(file: &ContainerFile, endpoints: &[EndpointRecord]) -> bool {
    file.host.dns.is_empty() && dhcp::servers(endpoints).is_empty() && !endpoints.iter().all(|e| e.internal)
}

fn explicit_ndots(options: &[String]) -> u32 {
    options.iter().find_map(|o| o.strip_prefix("ndots:")?.parse().ok()).unwrap_or(0)
}
