//! Ports as users write and read them: what a container wants published, and what is shown of it.

use super::endpoint::PortRecord;
use crate::error::{Error, Result};
use gantry_host::api::network::Protocol;
use gantry_model::container::{Config, HostConfig, PortBinding};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A port the user wants published; host port 0 means any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Addresses on the host, at least one; all of them get the same port.
    pub host_ips: Vec<IpAddr>,
    /// First acceptable port on the host; 0: an ephemeral one.
    pub first: u16,
    /// Last acceptable port on the host.
    pub last: u16,
    /// Port in the container.
    pub container_port: u16,
    /// Transport.
    pub protocol: Protocol,
}

impl Wanted {
    /// The addresses on the host.
    pub fn addresses(&self) -> &[IpAddr] {
        if self.host_ips.is_empty() { &[IpAddr::V4(Ipv4Addr::UNSPECIFIED)] } else { &self.host_ips }
    }
}

/// The ports a container wants published: its bindings, and all exposed ones with `-P`.
pub(crate) fn wanted_ports(config: &Config, host: &HostConfig, everywhere: &[IpAddr]) -> Result<Vec<Wanted>> {
    let mut wanted = Vec::new();
    for (key, bindings) in &host.port_bindings {
        inner_port(key)?;
        for binding in bindings.iter().flatten() {
            wanted.push(wanted_port(key, binding, everywhere)?);
        }
    }
    if host.publish_all_ports {
        for key in config.exposed_ports.iter().flat_map(|m| m.keys()) {
            if host.port_bindings.get(key).is_none_or(|b| b.as_ref().is_none_or(Vec::is_empty)) {
                wanted.push(wanted_port(key, &PortBinding::default(), everywhere)?);
            }
        }
    }
    sort(&mut wanted);
    Ok(wanted)
}

/// Neighbours together, so that they become one range.
pub(crate) fn sort(wanted: &mut [Wanted]) {
    let place = |w: &Wanted| (w.first == 0, w.first, w.container_port);
    wanted.sort_by(|a, b| {
        let group = a.protocol.cmp(&b.protocol).then_with(|| a.host_ips.cmp(&b.host_ips));
        group.then_with(|| place(a).cmp(&place(b)))
    });
}

/// One binding of `80/tcp`; without an address of its own it is on those of `everywhere`.
pub(crate) fn wanted_port(key: &str, binding: &PortBinding, everywhere: &[IpAddr]) -> Result<Wanted> {
    let (container_port, protocol) = inner_port(key)?;
    let (first, last) = host_range(&binding.host_port)?;
    let host_ips = host_addresses(&binding.host_ip, everywhere)?;
    Ok(Wanted { host_ips, first, last, container_port, protocol })
}

/// `80/tcp`.
fn inner_port(key: &str) -> Result<(u16, Protocol)> {
    let invalid = || Error::invalid(format!("invalid containerPort: {key}"));
    parse_port(key).filter(|(port, _)| *port > 0).ok_or_else(invalid)
}

fn host_range(text: &str) -> Result<(u16, u16)> {
    let invalid = |_| Error::invalid(format!("invalid hostPort: {text}"));
    if text.is_empty() {
        return Ok((0, 0));
    }
    match text.split_once('-') {
        Some((first, last)) => Ok((first.parse().map_err(invalid)?, last.parse().map_err(invalid)?)),
        None => text.parse().map(|p| (p, p)).map_err(invalid),
    }
}

fn host_addresses(text: &str, everywhere: &[IpAddr]) -> Result<Vec<IpAddr>> {
    if text.is_empty() {
        return Ok(everywhere.to_vec());
    }
    let address = text.parse().map_err(|_| Error::invalid(format!("invalid IP address: {text}")))?;
    Ok(vec![address])
}

/// What a binding without an address means: the addresses configured; else all of both families that the host has.
pub(crate) fn everywhere(configured: &[String]) -> Vec<IpAddr> {
    if !configured.is_empty() {
        return configured.iter().filter_map(|text| text.parse().ok()).collect();
    }
    let mut all = vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED)];
    all.extend(host_has_ipv6().then_some(IpAddr::V6(Ipv6Addr::UNSPECIFIED)));
    all
}

fn host_has_ipv6() -> bool {
    std::fs::read("/proc/net/if_inet6").is_ok_and(|text| !text.is_empty())
}

/// Ports as `ps` prints them: exposed ones bare, published ones with their place on the host, neighbours as a range.
pub(crate) fn shown<'a>(config: &Config, published: impl Iterator<Item = &'a PortRecord>) -> String {
    let published: Vec<&PortRecord> = published.collect();
    let exposed = config.exposed_ports.iter().flat_map(|p| p.keys());
    let exposed = exposed
        .filter(|key| parse_port(key).is_none_or(|(port, protocol)| !published.iter().any(|p| p.has(port, protocol))));
    let mut texts: Vec<String> = exposed.cloned().collect();
    texts.extend(published.iter().map(|p| p.to_string()));
    texts.join(", ")
}

impl PortRecord {
    fn has(&self, port: u16, protocol: Protocol) -> bool {
        let end = u32::from(self.container_port) + u32::from(self.count);
        self.protocol == protocol.0 && self.container_port <= port && u32::from(port) < end
    }

    /// Each port of the range by itself: in the container and on the host.
    pub fn each(&self) -> impl Iterator<Item = (u16, u16)> {
        let (inside, outside) = (self.container_port, self.host_port);
        (0..self.count).map(move |n| (inside.saturating_add(n), outside.saturating_add(n)))
    }
}

impl std::fmt::Display for PortRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let range = |first: u16| if self.count > 1 { format!("-{}", first + (self.count - 1)) } else { String::new() };
        let (host, inside) = (SocketAddr::new(self.host_ip, self.host_port), self.container_port);
        let name = protocol_name(Protocol(self.protocol));
        write!(f, "{host}{}->{inside}{}/{name}", range(self.host_port), range(inside))
    }
}

/// `tcp`, `udp`, `sctp`.
pub fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::UDP => "udp",
        Protocol::SCTP => "sctp",
        _ => "tcp",
    }
}

/// Parses `80/tcp`; the protocol may be absent.
pub fn parse_port(text: &str) -> Option<(u16, Protocol)> {
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let known = [("tcp", Protocol::TCP), ("udp", Protocol::UDP), ("sctp", Protocol::SCTP)];
    let (_, protocol) = known.into_iter().find(|(name, _)| protocol.eq_ignore_ascii_case(name))?;
    Some((port.parse().ok()?, protocol))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(host_ip: &str, host_port: u16, container_port: u16, count: u16) -> PortRecord {
        PortRecord { host_ip: host_ip.parse().expect("an address"), host_port, container_port, protocol: 6, count }
    }

    #[test]
    fn what_ps_prints() {
        let mut config = Config::default();
        let exposed = config.exposed_ports.get_or_insert_default();
        for key in ["80/tcp", "81/tcp", "53/udp"] {
            exposed.insert(key.to_owned(), gantry_model::container::Empty {});
        }
        let ports = [record("0.0.0.0", 8080, 80, 2), record("::", 8080, 80, 1)];
        let want = "53/udp, 0.0.0.0:8080-8081->80-81/tcp, [::]:8080->80/tcp";
        assert_eq!(shown(&config, ports.iter()), want);
    }

    #[test]
    fn bindings_and_exposed_ports() {
        let mut host = HostConfig { publish_all_ports: true, ..HostConfig::default() };
        let binding = PortBinding { host_ip: "127.0.0.1".into(), host_port: "8000-8010".into() };
        host.port_bindings.insert("80/tcp".into(), Some(vec![binding]));
        let mut config = Config::default();
        let exposed = config.exposed_ports.get_or_insert_default();
        exposed.insert("80/tcp".into(), gantry_model::container::Empty {});
        exposed.insert("53/udp".into(), gantry_model::container::Empty {});
        let wanted = wanted_ports(&config, &host, &everywhere(&[])).expect("sound");
        let shape: Vec<_> = wanted.iter().map(|w| (w.container_port, w.first, w.last)).collect();
        assert_eq!(shape, [(80, 8000, 8010), (53, 0, 0)]);
        assert!(wanted_port("0/tcp", &PortBinding::default(), &[]).is_err());
        assert!(host_addresses("x", &[]).is_err());
    }
}
