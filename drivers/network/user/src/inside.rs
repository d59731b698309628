//! The container's side: which addresses its interface got, and its default routes.

use crate::error::{Error, Result};
use gantry_driver_shared::netlink::{Protocol, Socket};
use gantry_driver_shared::{device, inside, link, netns};
use gantry_plugin_api::network::{Cidr, EndpointSpec, Route};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::BorrowedFd;

/// What slirp4netns gives its only client, and pasta is told to give: outside it means nothing.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 100);
/// The length of its prefix.
pub const PREFIX: u8 = 24;
/// The way out.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

/// An interface as it is now.
pub struct Interface {
    socket: Socket,
    index: u32,
    pub mac: Option<[u8; 6]>,
    pub addresses: Vec<Cidr>,
    pub gateways: Vec<IpAddr>,
}

/// Brings up the loopback interface.
pub fn loopback_up(netns: BorrowedFd<'_>) -> Result<()> {
    netns::within(netns, link::loopback_up).and_then(|up| up).map_err(Error::Namespace)
}

/// Looks at an interface; `None` when it is not there.
pub fn look(netns: BorrowedFd<'_>, name: &str) -> Result<Option<Interface>> {
    let looked = netns::within(netns, || {
        let six = |file: &str| fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap_or_default();
        (Socket::open(Protocol::Route), link::ipv4(name), six("if_inet6"), six("ipv6_route"))
    });
    let (socket, four, addresses6, routes6) = looked.map_err(Error::Namespace)?;
    let mut socket = socket?;
    let Some(found) = device::named(&mut socket, name)? else { return Ok(None) };
    let four = four.map_err(Error::Namespace)?;
    let mut interface =
        Interface { socket, index: found.index, mac: found.mac, addresses: Vec::new(), gateways: Vec::new() };
    if let Some(addr) = four {
        interface.addresses.push(Cidr { addr: addr.into(), prefix: PREFIX });
        interface.gateways.push(GATEWAY.into());
    }
    if let Some(address) = global_address(&addresses6, name) {
        interface.addresses.push(address);
        interface.gateways.extend(default_gateway(&routes6, name).map(IpAddr::from));
    }
    Ok(Some(interface))
}

impl Interface {
    pub fn has_ipv6(&self) -> bool {
        self.addresses.iter().any(|cidr| cidr.addr.is_ipv6())
    }

    /// Makes the default routes what the endpoint says; answers those it has.
    pub fn route(&mut self, endpoint: &EndpointSpec) -> Result<Vec<Route>> {
        let (wanted, others): (Vec<IpAddr>, Vec<IpAddr>) =
            self.gateways.iter().partition(|gateway| inside::carries(endpoint, gateway));
        inside::reroute(&mut self.socket, self.index, &wanted, &others)?;
        Ok(wanted.iter().map(inside::told).collect())
    }
}

/// Of lines as `fd000000000000000000000000000002 02 40 00 80     eth0`: the address, index, length, scope, flags and name.
fn global_address(text: &str, name: &str) -> Option<Cidr> {
    let fields = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut ours = fields.filter(|f| f.len() == 6 && f[5] == name && f[3] == "00");
    let found = ours.next()?;
    Some(Cidr { addr: parse(found[0])?.into(), prefix: u8::from_str_radix(found[2], 16).ok()? })
}

/// Of lines with destination, length, source, length, next hop, metric, two counters, flags and name.
fn default_gateway(text: &str, name: &str) -> Option<Ipv6Addr> {
    let fields = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let is_default = |f: &Vec<&str>| f.len() == 10 && f[1] == "00" && f[9] == name && parse(f[0]) == Some(NOWHERE);
    let mut gateways = fields.filter(is_default).filter_map(|f| parse(f[4]));
    gateways.find(|gateway| *gateway != NOWHERE)
}

const NOWHERE: Ipv6Addr = Ipv6Addr::UNSPECIFIED;

fn parse(digits: &str) -> Option<Ipv6Addr> {
    if digits.len() == 32 { u128::from_str_radix(digits, 16).ok().map(Ipv6Addr::from) } else { None }
}

/// Whether this namespace, the host's, has a way out by IPv6.
pub fn host_has_ipv6() -> bool {
    let text = fs::read_to_string("/proc/thread-self/net/ipv6_route").unwrap_or_default();
    text.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.len() == 10 && fields[1] == "00" && fields[9] != "lo" && parse(fields[0]) == Some(NOWHERE)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_lists() {
        let addresses = "00000000000000000000000000000001 01 80 10 80       lo\n\
                         fe800000000000000000000000000001 02 40 20 80     eth0\n\
                         fd000000000000000000000000000002 02 40 00 80     eth0\n";
        let found = global_address(addresses, "eth0").unwrap();
        assert_eq!((found.addr, found.prefix), ("fd00::2".parse().unwrap(), 64));
        assert!(global_address(addresses, "eth1").is_none());
        let zero = "0".repeat(32);
        let hop = "fd000000000000000000000000000001";
        let routes = format!(
            "{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200 lo\n\
                              {zero} 00 {zero} 00 {hop} 00000400 00000002 00000000 00000003 eth0\n"
        );
        assert_eq!(default_gateway(&routes, "eth0"), "fd00::1".parse().ok());
        assert_eq!(default_gateway(&routes, "lo"), None);
    }
}
