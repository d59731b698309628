//! `--link`, Docker's old way for containers to know each other. On the predefined network a linked container is told
//! by lines in `/etc/hosts` and by environment variables; on networks of the user's its alias is a name that only the
//! linking container can resolve. Either way its exposed ports are open to the linker where a network keeps its
//! containers apart.

use super::endpoint::{EndpointRecord, PeerRecord, Planned};
use super::ports::{parse_port, protocol_name};
use crate::Engine;
use crate::container::ContainerFile;
use crate::error::{Error, Result};
use gantry_model::class::Class;
use gantry_model::container::HostConfig;
use gantry_store::{containers, proc};
use std::net::IpAddr;

/// A container that another one is linked to.
pub(crate) struct Linked {
    pub alias: String,
    pub id: String,
    pub name: String,
    file: ContainerFile,
    endpoints: Vec<EndpointRecord>,
}

impl Linked {
    /// Its address on a network.
    pub fn address(&self, network_id: &str) -> Option<IpAddr> {
        self.endpoints.iter().find(|e| e.network_id == network_id)?.addresses().next()
    }

    /// Its exposed ports, ascending.
    fn ports(&self) -> Vec<(u16, u8)> {
        let keys = self.file.config.exposed_ports.iter().flat_map(|m| m.keys());
        let mut ports: Vec<(u16, u8)> = keys.filter_map(|k| parse_port(k)).map(|(n, p)| (n, p.0)).collect();
        ports.sort_unstable();
        ports
    }

    /// The variables by which programs of long ago find it.
    pub fn environment(&self, linker: &str, address: IpAddr) -> Vec<String> {
        let prefix = self.alias.replace('-', "_").to_uppercase();
        let mut env = Vec::new();
        let named = |p: u8| protocol_name(gantry_host::api::network::Protocol(p));
        for (at, (port, protocol)) in self.ports().into_iter().enumerate() {
            let name = named(protocol);
            let url = format!("{name}://{address}:{port}");
            if at == 0 {
                env.push(format!("{prefix}_PORT={url}"));
            }
            let key = format!("{prefix}_PORT_{port}_{}", name.to_uppercase());
            env.push(format!("{key}={url}"));
            env.push(format!("{key}_ADDR={address}"));
            env.push(format!("{key}_PORT={port}"));
            env.push(format!("{key}_PROTO={name}"));
        }
        env.push(format!("{prefix}_NAME=/{linker}/{}", self.alias));
        let own = self.file.config.env.iter().filter(|e| !matches!(e.split('=').next(), Some("HOME" | "PATH")));
        env.extend(own.map(|e| format!("{prefix}_ENV_{e}")));
        env
    }
}

fn no_link(name: &str) -> Error {
    Error::request(Class::NotFound, format!("could not get container for {name}: No such container: {name}"))
}

impl Engine {
    /// The containers that `--link` names: on the predefined network they must run, elsewhere they may come later.
    fn links(&self, file: &ContainerFile) -> Result<Vec<Linked>> {
        let mut linked = file.host.links.iter().flatten().map(|link| self.linked(link)).collect::<Result<Vec<_>>>()?;
        let later = file.networks.values().flat_map(|settings| settings.links.iter().flatten());
        linked.extend(later.filter_map(|link| self.linked(link).ok()));
        Ok(linked)
    }

    /// What a container that is still to be made is linked to on the predefined network exists.
    pub(crate) fn check_links(&self, host: &HostConfig) -> Result<()> {
        let mut names =
            host.links.iter().flatten().map(|link| link.split_once(':').map_or(link.as_str(), |(name, _)| name));
        names.try_for_each(|name| self.resolve(name).map(drop).map_err(|_| no_link(name)))
    }

    /// Forgets a link, `CONTAINER/ALIAS`. A running container keeps its variables; nobody tells it the name after its end.
    pub fn remove_link(&self, reference: &str) -> Result<()> {
        let missing = || Error::request(Class::NotFound, format!("No such link: {reference}"));
        let (container, alias) = reference.trim_start_matches('/').split_once('/').ok_or_else(missing)?;
        let id = self.resolve(container)?;
        let act = self.begin(&id, "update")?;
        let mut file = self.container_file(&id)?;
        let is_it = |link: &String| link.split_once(':').is_some_and(|(_, name)| name == alias);
        let lists = std::iter::once(&mut file.host.links).chain(file.networks.values_mut().map(|n| &mut n.links));
        let mut found = false;
        for list in lists.flatten() {
            found |= list.iter().any(is_it);
            list.retain(|link| !is_it(link));
        }
        if !found {
            return Err(missing());
        }
        self.replace_container_file(&file)?;
        act.finish(|_| ()).map(drop)
    }

    fn linked(&self, link: &str) -> Result<Linked> {
        let (reference, alias) = link.split_once(':').unwrap_or((link, link));
        let id = self.resolve(reference).map_err(|_| no_link(reference))?;
        let record = containers::read(&self.layout, &id)?;
        if !proc::init_alive(&record.state) {
            let message = format!("Cannot link to a non running container: /{} AS /{alias}", record.name);
            return Err(Error::request(Class::InUse, message));
        }
        let (file, endpoints) = (self.container_file(&id)?, self.endpoints(&id)?);
        Ok(Linked { alias: alias.to_owned(), id, name: record.name, file, endpoints })
    }

    /// Notes the ports of linked containers that the endpoints may use.
    pub(crate) fn add_peers(&self, file: &ContainerFile, planned: &mut [Planned]) -> Result<()> {
        for linked in self.links(file)? {
            for endpoint in planned.iter_mut().map(|p| &mut p.endpoint) {
                let Some(address) = linked.address(&endpoint.network_id) else { continue };
                let peers = linked.ports().into_iter();
                endpoint.links.extend(peers.map(|(port, protocol)| PeerRecord { address, port, protocol }));
            }
        }
        Ok(())
    }

    /// The lines of `/etc/hosts` and the variables for links on the predefined network.
    pub(crate) fn legacy_links(
        &self,
        file: &ContainerFile,
        name: &str,
        endpoints: &[EndpointRecord],
    ) -> Result<(Vec<String>, Vec<String>)> {
        let (mut lines, mut env) = (Vec::new(), Vec::new());
        if file.host.links.as_ref().is_none_or(Vec::is_empty) {
            return Ok((lines, env));
        }
        for linked in file.host.links.iter().flatten().map(|link| self.linked(link)) {
            let linked = linked?;
            let Some(address) = endpoints.iter().find_map(|e| linked.address(&e.network_id)) else {
                let message = format!("Cannot link to /{}, as it does not belong to the default network", linked.name);
                return Err(Error::invalid(message));
            };
            let mut names = vec![linked.alias.clone(), linked.id[..12].to_owned()];
            names.extend((linked.name != linked.alias).then(|| linked.name.clone()));
            lines.push(format!("{address}\t{}", names.join(" ")));
            env.extend(linked.environment(name, address));
        }
        Ok((lines, env))
    }
}
