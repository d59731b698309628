//! `network explain`, `network dns` and `port explain`: who has a port, which address answers, and what the firewall does to those who
//! ask.

mod dns;
mod judge;
mod route;
mod ruleset;
#[cfg(test)]
mod tests;

use super::claims::Claims;
use super::endpoint::{EndpointRecord, PortRecord};
use super::ports::{parse_port, protocol_name};
use crate::Engine;
use crate::error::{Error, Result};
use gantry_host::api::network::Protocol;
use gantry_model::class::Class;
use judge::{Fate, Packet, judge};
use ruleset::Ruleset;
use serde::Serialize;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

pub use dns::{NameAnswer, NameExplanation};
pub use route::{HostAddress, Listener};

/// Who has a port of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Owner {
    /// A container, as published.
    Container {
        /// Its name.
        name: String,
        /// Its id.
        id: String,
        /// Where on the host.
        on: String,
        /// Where inside.
        leads_to: String,
    },
    /// A program of the host.
    Process {
        /// Its number; 0: cannot be seen.
        pid: i32,
        /// Its name.
        name: String,
        /// Where it listens.
        on: String,
    },
}

/// What happens to somebody who calls one address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Way {
    /// The interface the caller comes in by.
    pub interface: String,
    /// The address called.
    pub address: String,
    /// `open`, `stopped`, `cannot judge`, `nobody`.
    pub answer: &'static str,
    /// The rules that decide, or that nobody can judge.
    pub rules: Vec<String>,
}

/// A port, explained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PortExplanation {
    /// `8080/tcp`.
    pub port: String,
    /// Who has it; nobody when empty.
    pub owners: Vec<Owner>,
    /// Every address of the host, from outside.
    pub ways: Vec<Way>,
    /// What the answer does not cover.
    pub notes: Vec<String>,
}

/// A container's connection to one network, explained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EndpointExplanation {
    /// The network.
    pub network: String,
    /// Its driver.
    pub driver: String,
    /// The interface inside.
    pub interface: String,
    /// Addresses with prefix length.
    pub addresses: Vec<String>,
    /// Carries the default route of these families.
    pub default_route: Vec<&'static str>,
    /// Names under which others there find the container.
    pub names: Vec<String>,
    /// The way of a new connection to the outside; none where it does not pass this host.
    pub outward: Vec<Way>,
}

/// A container's networks, explained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NetworkExplanation {
    /// The container.
    pub container: String,
    /// Each of its networks.
    pub endpoints: Vec<EndpointExplanation>,
    /// Each of its published ports.
    pub ports: Vec<PortExplanation>,
    /// What the answer does not cover, or what is wrong in general.
    pub notes: Vec<String>,
}

impl Engine {
    /// Explains a port of the host, `8080/tcp`.
    pub fn port_explain(&self, text: &str) -> Result<PortExplanation> {
        let invalid =
            || Error::invalid(format!("invalid port: {text}")).with_hint("write PORT[/PROTO], such as 8080/tcp");
        let (port, protocol) = parse_port(text).filter(|(port, _)| *port > 0).ok_or_else(invalid)?;
        let ruleset = Ruleset::read().map_err(Error::io("read the firewall"))?;
        self.explain_port(&ruleset, port, protocol)
    }

    fn explain_port(&self, ruleset: &Ruleset, port: u16, protocol: Protocol) -> Result<PortExplanation> {
        let mut owners = self.container_owners(port, protocol)?;
        let listeners = route::listeners(port, protocol.0);
        // The keeper of a container holds its ports: that is the container's, not a program's.
        let foreign = listeners.iter().filter(|l| l.name != "gantry-keeper" && l.name != "gantry-pump");
        owners.extend(foreign.map(|l| Owner::Process { pid: l.pid, name: l.name.clone(), on: l.address.to_string() }));
        // Containers' gateways are addresses of the host as well, but nobody outside calls them.
        let gateways: Vec<IpAddr> =
            self.network_records()?.iter().flat_map(|n| &n.pools).filter_map(|pool| pool.gateway).collect();
        let here = route::host_addresses();
        let here = here.iter().filter(|a| !a.is_link_local() && !gateways.contains(&a.address));
        let ways: Vec<Way> = here.map(|a| way(ruleset, a, port, protocol, &owners)).collect();
        let port = format!("{port}/{}", protocol_name(protocol));
        let notes = route::blind_spots().into_iter().chain(astray(&port, &ways, &owners)).collect();
        Ok(PortExplanation { port, ways, notes, owners })
    }

    fn container_owners(&self, port: u16, protocol: Protocol) -> Result<Vec<Owner>> {
        let mut owners = Vec::new();
        for (id, claim) in Claims::new(&self.layout).all() {
            if !claim.meets(claim.ip, port, protocol.0) {
                continue;
            }
            let name = gantry_store::containers::read(&self.layout, &id).map(|r| r.name).unwrap_or_default();
            let endpoints = self.endpoints(&id)?;
            // On a family that it has no address of it is claimed, and nothing more.
            let leads_to = endpoints.iter().find_map(|e| target(e, claim.ip, port, protocol));
            owners.extend(leads_to.map(|(on, leads_to)| Owner::Container { name, id, on, leads_to }));
        }
        Ok(owners)
    }

    /// Explains a running container's networks.
    pub fn network_explain(&self, reference: &str) -> Result<NetworkExplanation> {
        let id = self.resolve(reference)?;
        let record = crate::container::corrected(gantry_store::containers::read(&self.layout, &id)?);
        if !record.state.status.is_live() {
            return Err(Error::request(Class::InUse, format!("container {} is not running", record.name)));
        }
        let ruleset = Ruleset::read().map_err(Error::io("read the firewall"))?;
        let endpoints = self.endpoints(&id)?;
        let explained = endpoints.iter().map(|e| self.explain_endpoint(&ruleset, e)).collect::<Result<Vec<_>>>()?;
        let mut ports = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        for (outside, protocol) in endpoints.iter().flat_map(|e| &e.ports).flat_map(each) {
            if seen.insert((outside, protocol)) {
                ports.push(self.explain_port(&ruleset, outside, protocol)?);
            }
        }
        let mut notes = [route::blind_spots(), route::forwarding(&endpoints)].concat();
        for note in ports.iter().flat_map(|port| &port.notes) {
            if !notes.contains(note) {
                notes.push(note.clone());
            }
        }
        Ok(NetworkExplanation { container: record.name, endpoints: explained, ports, notes })
    }

    fn explain_endpoint(&self, ruleset: &Ruleset, endpoint: &EndpointRecord) -> Result<EndpointExplanation> {
        let planned = self.planned(endpoint)?;
        // What has its gateway on the wire does not pass this host, nor its firewall.
        let passes = planned.as_ref().is_some_and(|p| {
            let capabilities = p.driver.capabilities();
            capabilities.gateway || capabilities.own_ipam
        });
        let driver = planned.map(|p| p.network.driver).unwrap_or_default();
        let outward =
            endpoint.addresses().filter(|_| passes).filter_map(|from| outward(ruleset, endpoint, from)).collect();
        let cidr = |address: &str, prefix: u8| (!address.is_empty()).then(|| format!("{address}/{prefix}"));
        let families = [(endpoint.default4, "IPv4"), (endpoint.default6, "IPv6")];
        Ok(EndpointExplanation {
            network: endpoint.network.clone(),
            driver,
            interface: endpoint.interface.clone(),
            addresses: [cidr(&endpoint.address, endpoint.prefix), cidr(&endpoint.address6, endpoint.prefix6)]
                .into_iter()
                .flatten()
                .collect(),
            default_route: families.into_iter().filter(|(has, _)| *has).map(|(_, name)| name).collect(),
            names: endpoint.names.clone(),
            outward,
        })
    }
}

fn each(record: &super::endpoint::PortRecord) -> Vec<(u16, Protocol)> {
    // Of a long range the first ports stand for all.
    const MOST: usize = 8;
    record.each().take(MOST).map(|(_, outside)| (outside, Protocol(record.protocol))).collect()
}

/// Where a port of the host leads in a container.
/// Where on the host a claimed port is published, and where that leads. What is claimed on all addresses of a family the
/// driver may have published on one.
fn target(endpoint: &EndpointRecord, ip: IpAddr, port: u16, protocol: Protocol) -> Option<(String, String)> {
    let covers = |p: &PortRecord| p.host_ip == ip || (ip.is_unspecified() && p.host_ip.is_ipv4() == ip.is_ipv4());
    let fits = |p: &&PortRecord| covers(p) && p.protocol == protocol.0;
    let inside = |p: &PortRecord| p.each().find(|(_, outside)| *outside == port).map(|(inside, _)| (p.host_ip, inside));
    let (on, inside) = endpoint.ports.iter().filter(fits).find_map(inside)?;
    let address: IpAddr = endpoint.address_of(ip.is_ipv6()).parse().ok()?;
    Some((SocketAddr::new(on, port).to_string(), SocketAddr::new(address, inside).to_string()))
}

fn way(ruleset: &Ruleset, here: &HostAddress, port: u16, protocol: Protocol, owners: &[Owner]) -> Way {
    let (interface, address) = (here.interface.clone(), here.address.to_string());
    if !owners.iter().any(|owner| owner.listens_at(here.address)) {
        return Way { interface, address, answer: "nobody", rules: Vec::new() };
    }
    let mut packet = Packet::new(&here.interface, here.address, protocol.0, Some(port));
    let fate = judge(ruleset, &mut packet, route::output);
    let (answer, rules) = told(fate, here.address);
    // What is translated nowhere stays on the host, where no container listens.
    let stays = !packet.translated && !owners.iter().any(|o| o.is_process() && o.listens_at(here.address));
    if answer == "open" && stays {
        return Way { interface, address, answer: "nobody", rules: Vec::new() };
    }
    Way { interface, address, answer, rules }
}

/// A container's port that no rule leads to it any more. Of all IPv6 addresses `::1` is never led.
fn astray(port: &str, ways: &[Way], owners: &[Owner]) -> Option<String> {
    let lost = |owner: &&Owner| {
        let nobody = |way: &Way| {
            let address = way.address.parse::<IpAddr>();
            way.answer == "nobody" && address.is_ok_and(|a| a != IpAddr::V6(Ipv6Addr::LOCALHOST) && owner.listens_at(a))
        };
        ways.iter().any(nobody)
    };
    let names = owners.iter().filter(lost).find_map(|owner| match owner {
        Owner::Container { name, .. } => Some(name),
        Owner::Process { .. } => None,
    });
    names.map(|name| {
        format!(
            "no rule of the firewall leads {port} to container {name}: `gantry network reload` restores what is missing"
        )
    })
}

/// A new connection of the container to somewhere outside.
fn outward(ruleset: &Ruleset, endpoint: &EndpointRecord, from: IpAddr) -> Option<Way> {
    let carries = if from.is_ipv6() { endpoint.default6 } else { endpoint.default4 };
    if !carries {
        return None;
    }
    // Addresses for documentation: nobody has a route of its own to them.
    let outside: IpAddr = if from.is_ipv6() { "2001:db8::1".parse().ok()? } else { IpAddr::from([203, 0, 113, 1]) };
    let input = route::output(from)?;
    let mut packet = Packet::new(&input, outside, Protocol::TCP.0, None);
    packet.source = Some(from);
    let (answer, rules) = match route::output(outside) {
        Some(_) => told(judge(ruleset, &mut packet, route::output), outside),
        None => ("stopped", vec!["the host has no default route".to_owned()]),
    };
    Some(Way { interface: input, address: outside.to_string(), answer, rules })
}

/// What no table of nftables stops may still be stopped by one that it does not tell of.
fn told(fate: Fate, address: IpAddr) -> (&'static str, Vec<String>) {
    match fate {
        Fate::Passes => match route::blind_spot(address.is_ipv6()) {
            Some(unseen) => ("cannot judge", vec![unseen]),
            None => ("open", Vec::new()),
        },
        Fate::Stopped(rule) => ("stopped", vec![rule]),
        Fate::Open(rules) => ("cannot judge", rules),
    }
}

impl Owner {
    fn is_process(&self) -> bool {
        matches!(self, Owner::Process { .. })
    }

    fn listens_at(&self, address: IpAddr) -> bool {
        let on = match self {
            Owner::Container { on, .. } | Owner::Process { on, .. } => on,
        };
        let Ok(on) = on.parse::<SocketAddr>() else { return false };
        let any6 = matches!(self, Owner::Process { .. }) && on.ip().is_ipv6() && on.ip().is_unspecified();
        on.ip() == address || any6 || (on.ip().is_unspecified() && on.is_ipv4() == address.is_ipv4())
    }
}
