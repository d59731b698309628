//! What explanations need to know of the host: its addresses, its routes, who listens.

use super::super::endpoint::EndpointRecord;
use nix::sys::socket::{AddressFamily, SockaddrLike};
use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// An address of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostAddress {
    /// The interface that has it.
    pub interface: String,
    /// The address.
    pub address: IpAddr,
}

impl HostAddress {
    /// True when it is good for neighbours on the link alone.
    pub fn is_link_local(&self) -> bool {
        matches!(self.address, IpAddr::V6(v6) if v6.is_unicast_link_local())
    }
}

/// A socket that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Where.
    pub address: SocketAddr,
    /// Whose; 0: cannot be seen.
    pub pid: i32,
    /// The program's name.
    pub name: String,
}

/// Every address of the host.
pub fn host_addresses() -> Vec<HostAddress> {
    let list = nix::ifaddrs::getifaddrs().into_iter().flatten();
    let address = |one: nix::ifaddrs::InterfaceAddress| {
        let storage = one.address?;
        let ip = match storage.family()? {
            AddressFamily::Inet => IpAddr::V4(storage.as_sockaddr_in()?.ip()),
            AddressFamily::Inet6 => IpAddr::V6(storage.as_sockaddr_in6()?.ip()),
            _ => return None,
        };
        Some(HostAddress { interface: one.interface_name, address: ip })
    };
    list.filter_map(address).collect()
}

/// By which interface an address is reached; `None`: it is the host's own, or nowhere.
pub fn output(address: IpAddr) -> Option<String> {
    if host_addresses().iter().any(|a| a.address == address) || address.is_loopback() {
        return None;
    }
    let routes = match address {
        IpAddr::V4(_) => {
            fs::read_to_string("/proc/net/route").unwrap_or_default().lines().filter_map(parse_v4).collect()
        }
        IpAddr::V6(_) => {
            fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default().lines().filter_map(parse_v6).collect()
        }
    };
    best(routes, address)
}

struct Route {
    destination: super::super::cidr::Block,
    metric: u32,
    interface: String,
}

fn best(mut routes: Vec<Route>, address: IpAddr) -> Option<String> {
    routes.retain(|r| r.destination.contains(address));
    let chosen = routes.into_iter().min_by_key(|r| (u8::MAX - r.destination.prefix(), r.metric))?;
    (chosen.interface != "lo").then_some(chosen.interface)
}

fn parse_v4(line: &str) -> Option<Route> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let number = |at: usize| u32::from_str_radix(fields.get(at)?, 16).ok().map(u32::from_be);
    let mask = number(7)?;
    Some(Route {
        destination: super::super::cidr::Block::containing(
            Ipv4Addr::from(number(1)?).into(),
            mask.leading_ones() as u8,
        ),
        metric: fields.get(6)?.parse().ok()?,
        interface: (*fields.first()?).to_owned(),
    })
}

fn parse_v6(line: &str) -> Option<Route> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let destination = u128::from_str_radix(fields.first()?, 16).ok()?;
    let prefix = u8::from_str_radix(fields.get(1)?, 16).ok()?;
    Some(Route {
        destination: super::super::cidr::Block::containing(Ipv6Addr::from(destination).into(), prefix),
        metric: u32::from_str_radix(fields.get(5)?, 16).ok()?,
        interface: (*fields.last()?).to_owned(),
    })
}

/// The sockets that listen on a port.
pub fn listeners(port: u16, protocol: u8) -> Vec<Listener> {
    const LISTEN: &str = "0A";
    let files: &[&str] = match protocol {
        6 => &["tcp", "tcp6"],
        17 => &["udp", "udp6"],
        _ => &[],
    };
    let mut found: Vec<(SocketAddr, u64)> = Vec::new();
    for line in files.iter().flat_map(|file| fs::read_to_string(format!("/proc/net/{file}")).into_iter()) {
        for fields in line.lines().skip(1).map(|l| l.split_whitespace().collect::<Vec<_>>()) {
            let local = fields.get(1).and_then(|text| super::super::listeners::parse_local(text));
            let (Some((ip, own)), Some(state), Some(inode)) = (local, fields.get(3), fields.get(9)) else { continue };
            if own == port && (protocol == 17 || *state == LISTEN) {
                found.push((SocketAddr::new(ip, own), inode.parse().unwrap_or(0)));
            }
        }
    }
    if found.is_empty() {
        return Vec::new();
    }
    let owners = owners(&found.iter().map(|(_, inode)| *inode).collect::<Vec<_>>());
    let owner = |inode: &u64| owners.get(inode).cloned().unwrap_or_default();
    found
        .iter()
        .map(|(address, inode)| (address, owner(inode)))
        .map(|(a, (pid, name))| Listener { address: *a, pid, name })
        .collect()
}

/// Which process has which socket.
fn owners(inodes: &[u64]) -> HashMap<u64, (i32, String)> {
    let mut found = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
        for fd in fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten() {
            let target = fs::read_link(fd.path()).unwrap_or_default();
            let inode =
                target.to_str().and_then(|t| t.strip_prefix("socket:[")?.strip_suffix(']')?.parse::<u64>().ok());
            if let Some(inode) = inode.filter(|i| inodes.contains(i)) {
                let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default().trim().to_owned();
                found.entry(inode).or_insert((pid, name));
            }
        }
    }
    found
}

/// Parts of the host's packet filter that cannot be looked into.
pub fn blind_spots() -> Vec<String> {
    [false, true].into_iter().filter_map(blind_spot).collect()
}

/// The tables of the old iptables that are in use for a family: nf_tables does not tell of them.
pub fn blind_spot(v6: bool) -> Option<String> {
    let (file, name) = if v6 { ("ip6_tables_names", "ip6tables") } else { ("ip_tables_names", "iptables") };
    let tables = fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap_or_default();
    let tables: Vec<&str> = tables.lines().filter(|t| !t.is_empty()).collect();
    let list = tables.join(", ");
    (!tables.is_empty()).then(|| format!("legacy {name} has tables that are not judged ({name}-legacy -S): {list}"))
}

/// Whether the host forwards at all for what a container has.
pub fn forwarding(endpoints: &[EndpointRecord]) -> Vec<String> {
    let off = |path: &str| fs::read_to_string(path).is_ok_and(|text| text.trim() == "0");
    let mut notes = Vec::new();
    if endpoints.iter().any(|e| e.default4) && off("/proc/sys/net/ipv4/ip_forward") {
        notes.push("the host does not forward IPv4: net.ipv4.ip_forward is 0".to_owned());
    }
    if endpoints.iter().any(|e| e.default6) && off("/proc/sys/net/ipv6/conf/all/forwarding") {
        notes.push("the host does not forward IPv6: net.ipv6.conf.all.forwarding is 0".to_owned());
    }
    notes
}
