//! From the engine's port mappings to entries of the firewall's maps.

use crate::error::{Error, Result};
use crate::options::Settings;
use crate::records::Entry;
use gantry_plugin_api::prelude::*;
use std::net::{IpAddr, Ipv4Addr};

/// The entries of ports that lead to an endpoint. Mappings on all IPv6 addresses are left out: the engine asks for them
/// beside those on all IPv4 addresses, and IPv6 publishing is not there yet.
pub fn entries(settings: &Settings, endpoint: &EndpointSpec, ports: &[PortMapping]) -> Result<Vec<Entry>> {
    if settings.internal || ports.is_empty() {
        return Ok(Vec::new());
    }
    let address = endpoint.addresses.iter().find_map(|c| ipv4(c.addr)).ok_or(Error::NoAddress)?;
    let known = ports.iter().filter(|p| p.host_ip != IpAddr::from([0u16; 8]));
    known.map(|port| entry(settings, address, port)).collect()
}

fn entry(settings: &Settings, address: Ipv4Addr, port: &PortMapping) -> Result<Entry> {
    let host = match port.host_ip {
        IpAddr::V4(host) if host.is_unspecified() => settings.host_binding,
        IpAddr::V4(host) => Some(host),
        IpAddr::V6(host) => return Err(Error::Ipv6Port(host)),
    };
    let (protocol, host_port, port) = (port.protocol.0, port.host_port, port.container_port);
    Ok(Entry { host, host_port, protocol, address, port })
}

/// The IPv4 address, if it is one.
pub fn ipv4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(_) => None,
    }
}
