//! From the engine's port mappings to entries of the firewall's maps.

use crate::error::{Error, Result};
use crate::options::{Mode, Pool, Settings};
use crate::records::{Door, Entry};
use crate::sysctl;
use gantry_plugin_api::prelude::*;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

/// What becomes of the ports asked for.
#[derive(Default, Debug)]
pub struct Doors {
    /// The firewall's entries.
    pub entries: Vec<Entry>,
    /// The mappings they stand for.
    pub published: Vec<PortMapping>,
}

/// The entries of ports that lead to an endpoint. Mappings on all addresses of a family that the endpoint does not have
/// are left out: the engine asks for both families, whatever the network has.
pub fn doors(settings: &Settings, endpoint: &EndpointSpec, ports: &[PortMapping]) -> Result<Doors> {
    let mut doors = Doors::default();
    if settings.internal {
        return Ok(doors);
    }
    for port in ports {
        check(port)?;
        let address = endpoint.addresses.iter().map(|c| c.addr).find(|a| a.is_ipv4() == port.host_ip.is_ipv4());
        let pool = settings.pool_of(port.host_ip);
        let (Some(address), Some(pool)) = (address, pool) else {
            if port.host_ip.is_unspecified() {
                continue;
            }
            return Err(Error::NoAddress(port.host_ip));
        };
        doors.entries.extend((0..port.count).map(|by| entry(settings, pool, address, port, by)));
        let host_ip = binding(settings, port).unwrap_or(port.host_ip);
        doors.published.push(PortMapping { host_ip, ..*port });
    }
    Ok(doors)
}

/// The entries of neighbours' ports that this endpoint may use although the network keeps its containers apart.
pub fn links(settings: &Settings, endpoint: &EndpointSpec) -> Vec<Entry> {
    if settings.icc {
        return Vec::new();
    }
    let own = |peer: IpAddr| endpoint.addresses.iter().map(|c| c.addr).find(|a| a.is_ipv4() == peer.is_ipv4());
    let entry = |peer: &PeerPort| {
        let door = Door::For(own(peer.address)?);
        Some(Entry { door, protocol: peer.protocol.0, address: peer.address, port: peer.port })
    };
    endpoint.links.iter().filter_map(entry).collect()
}

/// Sentences about ports that were asked for and lead nowhere, in no family.
pub fn warnings(settings: &Settings, endpoint: &EndpointSpec, doors: &Doors) -> Vec<String> {
    if endpoint.ports.is_empty() {
        return Vec::new();
    }
    if settings.internal {
        return vec!["the network is internal: no port is published".to_owned()];
    }
    let key = |port: &PortMapping| (port.container_port, port.protocol);
    let published: BTreeSet<(u16, Protocol)> = doors.published.iter().map(key).collect();
    let lost = endpoint.ports.iter().filter(|port| !published.contains(&key(port)));
    let sentence = |port: &PortMapping| {
        let family = if port.host_ip.is_ipv4() { "IPv4" } else { "IPv6" };
        format!("port {} is not published on {}: the container has no {family} address", port.host_port, port.host_ip)
    };
    lost.map(sentence).collect()
}

fn check(port: &PortMapping) -> Result<()> {
    let last = port.count.wrapping_sub(1);
    let fits = |first: u16| first.checked_add(last).is_some();
    if port.count == 0 || port.host_port == 0 || !fits(port.host_port) || !fits(port.container_port) {
        return Err(Error::BadPort(*port));
    }
    if port.host_ip == IpAddr::V6(Ipv6Addr::LOCALHOST) && sysctl::filters_bridged(true) {
        return Err(Error::Ipv6Loopback(port.host_port));
    }
    if port.protocol == Protocol::SCTP && !tracks_sctp() {
        return Err(Error::NoSctp);
    }
    Ok(())
}

/// Kernels that follow SCTP flows, without which none can be translated, have this setting.
fn tracks_sctp() -> bool {
    let tracking = Path::new("/proc/sys/net/netfilter/nf_conntrack_max").exists();
    !tracking || Path::new("/proc/sys/net/netfilter/nf_conntrack_sctp_timeout_established").exists()
}

/// The one address of the host where a port is published; `None`: all.
fn binding(settings: &Settings, port: &PortMapping) -> Option<IpAddr> {
    match port.host_ip {
        IpAddr::V4(host) if host.is_unspecified() => settings.host_binding,
        host if host.is_unspecified() => None,
        host => Some(host),
    }
}

fn entry(settings: &Settings, pool: &Pool, address: IpAddr, port: &PortMapping, by: u16) -> Entry {
    let host = binding(settings, port);
    let number = port.host_port + by;
    let door = match (pool.mode, host) {
        (Mode::Routed, _) => Door::Own,
        (_, Some(host)) => Door::One(host, number),
        (_, None) => Door::All(number),
    };
    Entry { door, protocol: port.protocol.0, address, port: port.container_port + by }
}
