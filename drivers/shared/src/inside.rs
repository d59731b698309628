//! A container's own side of an interface, whatever made the interface: brought up, given its addresses, announced to the
//! neighbours, and the default routes by it.
//!
//! The container may be running and have other interfaces. A default route that is taken over from one of them is put
//! back when the act fails.

use crate::netlink::{Answer, Batch, Protocol, Result, Socket};
use crate::netns::{self, Errand};
use gantry_plugin_api::prelude::{Cidr, EndpointSpec, Route};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::{fs, io};

const NEW_ROUTE: u16 = 24;
const GET_ROUTE: u16 = 26;
const LOOPBACK: u32 = 1;
const REPLACE: i32 = libc::NLM_F_CREATE | libc::NLM_F_REPLACE;

/// What the container's interface must be like.
#[derive(Clone, Debug)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Its addresses and the length of their prefixes.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Further addresses, of link scope.
    pub link_local: Vec<IpAddr>,
    /// Gateways of default routes.
    pub gateways: Vec<IpAddr>,
    /// How often the addresses are announced.
    pub announcements: u8,
}

impl Interface {
    /// True when it has an IPv6 address.
    pub fn has_ipv6(&self) -> bool {
        self.addresses.iter().map(|(a, _)| a).chain(&self.link_local).any(IpAddr::is_ipv6)
    }
}

/// Fetches a socket in the container's namespace, while the caller does other things; on the way, defaults for the
/// interface to come: no IPv6 unless it gets an address, and word to the neighbours when an address appears.
pub fn enter(netns: BorrowedFd<'_>, ipv6: bool) -> io::Result<Errand<Result<Socket>>> {
    let no_ipv6 = if ipv6 { "0" } else { "1" };
    netns::send(netns, move || {
        // Kernels without IPv6 have no such files, and need none.
        let _ = fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", no_ipv6);
        if ipv6 {
            let _ = fs::write("/proc/sys/net/ipv6/conf/default/ndisc_notify", "1");
            // What routers say is not for containers: the engine gives addresses and routes.
            let _ = fs::write("/proc/sys/net/ipv6/conf/default/accept_ra", "0");
        }
        let _ = fs::write("/proc/sys/net/ipv4/conf/default/arp_notify", "1");
        Socket::open(Protocol::Route)
    })
}

/// Settings of an interface as users write them, `net.ipv4.conf.IFNAME.key=value,…`: files below /proc/sys and values. The
/// error says which is none.
pub fn settings(text: &str, interface: &str) -> Result<Vec<(String, String)>, String> {
    text.split(',').filter(|setting| !setting.is_empty()).map(|setting| one_setting(setting, interface)).collect()
}

fn one_setting(setting: &str, interface: &str) -> Result<(String, String), String> {
    let bad = || format!("\"{setting}\" is not of the form net.ipv4.conf.IFNAME.key=value");
    let (key, value) = setting.split_once('=').ok_or_else(bad)?;
    let plain = |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    match key.trim().split('.').collect::<Vec<_>>()[..] {
        ["net", family, table, "IFNAME", name] if [family, table, name].iter().all(plain) => {
            Ok((format!("/proc/sys/net/{family}/{table}/{interface}/{name}"), value.trim().to_owned()))
        }
        _ => Err(bad()),
    }
}

/// Writes settings below /proc/sys of the container's namespace; the error names the file.
pub fn write_settings(netns: BorrowedFd<'_>, settings: &[(String, String)]) -> Result<(), (String, io::Error)> {
    if settings.is_empty() {
        return Ok(());
    }
    let write = || settings.iter().try_for_each(|(path, value)| fs::write(path, value).map_err(|e| (path.clone(), e)));
    netns::within(netns, write).map_err(|e| ("the container's network namespace".to_owned(), e))?
}

/// Both the loopback and the interface up.
pub fn rise(socket: &mut Socket, name: &str, index: u32) -> Result<()> {
    let mut batch = Batch::default();
    batch.route("bring up the loopback interface", &bring_up(LOOPBACK), 0);
    batch.route(format!("bring up interface {name}"), &bring_up(index), 0);
    socket.send(batch)
}

/// Addresses and default routes of an interface that is up, in one message: the kernel takes it in order.
pub fn configure(socket: &mut Socket, interface: &Interface, index: u32) -> Result<()> {
    // The first interface of a namespace comes right after its loopback: then nobody had a route before.
    let may_have_routes = index > LOOPBACK + 1 && !interface.gateways.is_empty();
    let before = if may_have_routes { defaults(socket, &interface.gateways)? } else { Vec::new() };
    let mut batch = addresses(interface, index);
    interface.gateways.iter().for_each(|gateway| set_default(&mut batch, index, *gateway));
    socket.send(batch).inspect_err(|_| {
        // The error that led here is the one to tell.
        let _ = restore(socket, &before);
    })
}

/// Sets the default routes by these gateways, and removes those by the others.
pub fn reroute(socket: &mut Socket, index: u32, wanted: &[IpAddr], others: &[IpAddr]) -> Result<()> {
    let mut batch = Batch::default();
    wanted.iter().for_each(|gateway| set_default(&mut batch, index, *gateway));
    for gateway in others {
        let message = RouteNetlinkMessage::DelRoute(default_route(index, *gateway));
        batch.route(format!("remove the default route via {gateway}"), &message, 0);
        batch.tolerate(libc::ESRCH);
    }
    socket.send(batch)
}

/// The default routes of the gateways' families, as the kernel tells them.
pub fn defaults(socket: &mut Socket, gateways: &[IpAddr]) -> Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    for v4 in [true, false] {
        if gateways.iter().any(|g| g.is_ipv4() == v4) {
            let family = if v4 { libc::AF_INET } else { libc::AF_INET6 } as u8;
            let mut header = [0; 12];
            header[0] = family;
            let routes = socket.dump("list routes", GET_ROUTE, |b| b.raw(&header))?;
            found.extend(routes.into_iter().filter_map(|route| default_of(route, family)));
        }
    }
    Ok(found)
}

/// A socket in the container's namespace.
pub fn open(netns: BorrowedFd<'_>) -> io::Result<Result<Socket>> {
    netns::within(netns, || Socket::open(Protocol::Route))
}

/// True when the endpoint has the default route of the gateway's family.
pub fn carries(endpoint: &EndpointSpec, gateway: &IpAddr) -> bool {
    if gateway.is_ipv4() { endpoint.default_route4 } else { endpoint.default_route6 }
}

/// A default route, as the engine is told of it.
pub fn told(gateway: &IpAddr) -> Route {
    let any = if gateway.is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from([0u16; 8]) };
    Route::new(Cidr { addr: any, prefix: 0 }, Some(*gateway))
}

/// Puts default routes back.
pub fn restore(socket: &mut Socket, routes: &[Vec<u8>]) -> Result<()> {
    let mut batch = Batch::default();
    for route in routes {
        batch.request("put the default route back", NEW_ROUTE, REPLACE as u16, |b| b.raw(route));
    }
    socket.send(batch)
}

/// The route's message if it is a default route of the main table, in a form that can be sent again.
fn default_of(mut route: Answer, family: u8) -> Option<Vec<u8>> {
    const MAIN: u8 = 254;
    const UNICAST: u8 = 1;
    const ON_LINK: u8 = 4;
    let header = route.body.get_mut(..12)?;
    let is_default = header[0] == family && header[1] == 0 && header[4] == MAIN && header[7] == UNICAST;
    header[8] &= ON_LINK;
    is_default.then_some(route.body)
}

fn addresses(interface: &Interface, index: u32) -> Batch {
    let mut batch = Batch::default();
    for (address, prefix) in &interface.addresses {
        let act = format!("give the container the address {address}/{prefix}");
        batch.route(act, &new_address(index, *address, *prefix, AddressScope::Universe), REPLACE);
    }
    for address in &interface.link_local {
        let prefix = if address.is_ipv4() { 16 } else { 64 };
        let act = format!("give the container the address {address}/{prefix}");
        batch.route(act, &new_address(index, *address, prefix, AddressScope::Link), REPLACE);
    }
    if !interface.addresses.is_empty() {
        for _ in 0..interface.announcements {
            batch.route("announce the container's address", &announcement(index, interface.mac), 0);
        }
    }
    batch
}

/// Setting the hardware address it has already makes the kernel announce the IP address (`arp_notify`, `ndisc_notify`):
/// neighbours that remember its former owner learn the new one.
fn announcement(index: u32, mac: [u8; 6]) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes.push(LinkAttribute::Address(mac.to_vec()));
    RouteNetlinkMessage::SetLink(message)
}

fn bring_up(index: u32) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    RouteNetlinkMessage::SetLink(message)
}

/// IPv6 duplicate-address detection is off: the engine gave the address to nobody else, and it would cost a second.
pub fn new_address(index: u32, address: IpAddr, prefix: u8, scope: AddressScope) -> RouteNetlinkMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(address);
    message.header.prefix_len = prefix;
    message.header.scope = scope;
    message.header.index = index;
    message.attributes.push(AddressAttribute::Address(address));
    message.attributes.push(AddressAttribute::Local(address));
    match address {
        IpAddr::V4(v4) => {
            let host = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
            message.attributes.push(AddressAttribute::Broadcast((u32::from(v4) | host).into()));
        }
        IpAddr::V6(_) => message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad)),
    }
    RouteNetlinkMessage::NewAddress(message)
}

fn set_default(batch: &mut Batch, index: u32, gateway: IpAddr) {
    let message = RouteNetlinkMessage::NewRoute(default_route(index, gateway));
    batch.route(format!("set the default route via {gateway}"), &message, REPLACE);
}

fn default_route(index: u32, gateway: IpAddr) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(gateway);
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Boot;
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    let via = match gateway {
        IpAddr::V4(v4) => RouteAddress::Inet(v4),
        IpAddr::V6(v6) => RouteAddress::Inet6(v6),
    };
    message.attributes.push(RouteAttribute::Gateway(via));
    message.attributes.push(RouteAttribute::Oif(index));
    message
}

/// An address's family as rtnetlink names it.
pub fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_an_interface() {
        let good = settings("net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.conf.IFNAME.accept_ra = 2", "eth0");
        let pair = |path: &str, value: &str| (path.to_owned(), value.to_owned());
        let (first, second) = ("/proc/sys/net/ipv4/conf/eth0/log_martians", "/proc/sys/net/ipv6/conf/eth0/accept_ra");
        assert_eq!(good, Ok(vec![pair(first, "1"), pair(second, "2")]));
        for bad in ["net.ipv4.conf.eth0.x=1", "net.ipv4.conf.IFNAME.x", "kernel.x.y.IFNAME.z=1", "net./.c.IFNAME.x=1"] {
            assert!(settings(bad, "eth0").is_err(), "{bad}");
        }
    }
}
