//! One container's link: a veth pair, made by one message with both ends named and in place, the host's on the bridge and
//! up; then the container's side in two batches through a socket that was opened in its namespace: up, so that the bridge
//! learns of the carrier, and addresses and routes, announced to a bridge that forwards.
//!
//! The container's end cannot come up in the first message: the kernel connects the two only after making both.

use crate::error::{Error, Result};
use crate::{bridge, fault};
use gantry_driver_shared::link;
use gantry_driver_shared::netlink::{Batch, Protocol, Socket};
use gantry_driver_shared::netns::{self, Errand};
use gantry_plugin_api::prelude::*;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{
    InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo,
    LinkMessage,
};
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use std::fs;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

const GET_LINK: u16 = 18;
const IFNAME: u16 = 3;
const EXTENDED_MASK: u16 = 29;
const WITHOUT_STATISTICS: u32 = 1 << 3;
const LOOPBACK: u32 = 1;
const MAKE: i32 = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
const REPLACE: i32 = libc::NLM_F_CREATE | libc::NLM_F_REPLACE;

/// What to make.
pub struct Plan {
    /// Name of the host's end.
    pub host_name: String,
    /// The bridge's index.
    pub bridge: u32,
    /// Name of the container's end.
    pub name: String,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Largest packet, if it was chosen.
    pub mtu: Option<u32>,
    /// Its addresses.
    pub addresses: Vec<Cidr>,
    /// Default gateways.
    pub gateways: Vec<IpAddr>,
    /// How its place on the bridge differs from others.
    pub port: Port,
}

/// How a link's place on the bridge behaves.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Port {
    /// Frames do not go to other isolated ones.
    pub isolated: bool,
    /// Frames may leave where they came in: with br_netfilter, a container that calls its own published port is answered
    /// on the bridge.
    pub hairpin: bool,
}

/// The name of the host's end: the same for every call about this endpoint.
pub fn host_name(endpoint: &str) -> String {
    format!("{}{}", bridge::LINK_PREFIX, endpoint.get(..7).unwrap_or(endpoint))
}

/// Makes the link, or completes it. On error nothing of it is left.
pub fn connect(host: &mut Socket, plan: &Plan, netns: BorrowedFd<'_>, inside: Errand<Entered>) -> Result<()> {
    let mut inside = inside.join().map_err(Error::Namespace)??;
    let made = make_pair(host, plan, netns, &inside)?;
    let finished = finish(host, &mut inside, plan);
    if finished.is_err() && made {
        // The error that led here is the one to tell.
        let _ = remove(host, &plan.host_name);
    }
    finished.and_then(|()| introduce(host, plan))
}

fn finish(host: &mut Socket, inside: &mut Socket, plan: &Plan) -> Result<()> {
    fault::step("veth")?;
    let index = index(inside, &plan.name)?.ok_or_else(|| vanished(&plan.name))?;
    inside.send(rise(plan, index))?;
    settle(host, plan)?;
    inside.send(configuration(plan, index))?;
    fault::step("address")
}

fn vanished(name: &str) -> Error {
    Error::LookUp { name: name.to_owned(), source: std::io::Error::from_raw_os_error(libc::ENODEV) }
}

/// Makes the bridge forward now. The kernel acts on the carrier (of the link, then of a bridge whose first port it is)
/// from a work queue, and until then the container's first packets are lost; being asked for a link, it does so at once
/// (since Linux 6.8).
fn settle(host: &mut Socket, plan: &Plan) -> Result<()> {
    let mut batch = Batch::default();
    batch.request("look at the link made", GET_LINK, 0, |b| {
        b.raw(&[0; 16]);
        b.text(IFNAME, &plan.host_name);
        b.ne32(EXTENDED_MASK, WITHOUT_STATISTICS);
    });
    batch.request("look at the bridge", GET_LINK, 0, |b| {
        let index = plan.bridge.to_ne_bytes();
        b.raw(&[0, 0, 0, 0, index[0], index[1], index[2], index[3], 0, 0, 0, 0, 0, 0, 0, 0]);
        b.ne32(EXTENDED_MASK, WITHOUT_STATISTICS);
    });
    Ok(host.send(batch)?)
}

/// Tells the host who has the addresses now: it may remember another container's hardware address under them, and would
/// miss this one until that memory fades.
fn introduce(host: &mut Socket, plan: &Plan) -> Result<()> {
    let mut batch = Batch::default();
    for address in &plan.addresses {
        let act = format!("note the container as neighbour {}", address.addr);
        batch.route(act, &neighbour(plan, address.addr), REPLACE);
    }
    Ok(host.send(batch)?)
}

/// Deletes the pair, which costs the kernel 10 to 40 ms. Nothing there is no error.
pub fn remove(host: &mut Socket, host_name: &str) -> Result<()> {
    if index(host, host_name)?.is_none() {
        return Ok(());
    }
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(host_name.to_owned()));
    let mut batch = Batch::default();
    batch.route(format!("delete interface {host_name}"), &RouteNetlinkMessage::DelLink(message), 0);
    batch.tolerate(libc::ENODEV);
    Ok(host.send(batch)?)
}

/// Puts links that are there (back) onto the bridge, each with its kind of port.
pub fn enslave(host: &mut Socket, bridge: u32, links: &[(String, Port)]) -> Result<()> {
    let mut batch = Batch::default();
    for (name, port) in links {
        if index(host, name)?.is_some() {
            let mut message = up(name);
            message.attributes.push(LinkAttribute::Controller(bridge));
            batch.route(format!("put interface {name} onto the bridge"), &RouteNetlinkMessage::SetLink(message), 0);
            set_port(&mut batch, name, *port);
        }
    }
    Ok(host.send(batch)?)
}

/// What [`enter`] brings.
pub type Entered = gantry_driver_shared::netlink::Result<Socket>;

/// Fetches a socket in the container's namespace, while the caller does other things; on the way, defaults for the interface to come: no IPv6 unless it gets an
/// address, and word to the neighbours when an address appears.
pub fn enter(netns: BorrowedFd<'_>, addresses: &[Cidr]) -> Result<Errand<Entered>> {
    let no_ipv6 = if addresses.iter().any(|c| c.addr.is_ipv6()) { "0" } else { "1" };
    let errand = netns::send(netns, move || {
        // Kernels without IPv6 have no such file, and need none.
        let _ = fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", no_ipv6);
        let _ = fs::write("/proc/sys/net/ipv4/conf/default/arp_notify", "1");
        Socket::open(Protocol::Route)
    });
    errand.map_err(Error::Namespace)
}

/// True when the pair was made now, false when it was there.
fn make_pair(host: &mut Socket, plan: &Plan, netns: BorrowedFd<'_>, inside: &Socket) -> Result<bool> {
    match host.send(pair(plan, netns)) {
        Ok(()) => Ok(true),
        Err(error) if error.errno() == Some(libc::EEXIST) => resolve(host, plan, netns, inside),
        Err(error) => {
            let _ = remove(host, &plan.host_name);
            Err(error.into())
        }
    }
}

/// Some name is taken. Our own pair from an earlier call is kept; a dying one from an earlier start makes place.
fn resolve(host: &mut Socket, plan: &Plan, netns: BorrowedFd<'_>, inside: &Socket) -> Result<bool> {
    let there = index(inside, &plan.name)?;
    if index(host, &plan.host_name)?.is_none() {
        return Err(Error::Occupied(plan.name.clone()));
    }
    if there.is_some() && peer_name_matches(host, inside, plan)? {
        return Ok(false);
    }
    remove(host, &plan.host_name)?;
    if there.is_some() {
        return Err(Error::Occupied(plan.name.clone()));
    }
    host.send(pair(plan, netns))?;
    Ok(true)
}

/// True when the container's interface is the other end of the host's.
fn peer_name_matches(host: &mut Socket, inside: &Socket, plan: &Plan) -> Result<bool> {
    const PEER: u16 = 5;
    let answer = host.ask("look up the other end of a link", GET_LINK, 0, |b| {
        b.raw(&[0; 16]);
        b.text(IFNAME, &plan.host_name);
    })?;
    let attributes = answer.body.get(16..).unwrap_or_default();
    let peer = gantry_driver_shared::attributes::find(attributes, PEER).and_then(|v| v.try_into().ok());
    Ok(peer.map(u32::from_ne_bytes) == index(inside, &plan.name)?)
}

fn index(socket: &Socket, name: &str) -> Result<Option<u32>> {
    link::index(socket, name).map_err(|source| Error::LookUp { name: name.to_owned(), source })
}

/// Everything on the host's side.
fn pair(plan: &Plan, netns: BorrowedFd<'_>) -> Batch {
    let mut batch = Batch::default();
    batch.route(format!("create interface {} on the bridge", plan.host_name), &veth(plan, netns), MAKE);
    set_port(&mut batch, &plan.host_name, plan.port);
    batch
}

fn veth(plan: &Plan, netns: BorrowedFd<'_>) -> RouteNetlinkMessage {
    let mut peer = named(&plan.name);
    peer.attributes.push(LinkAttribute::Address(plan.mac.to_vec()));
    peer.attributes.push(LinkAttribute::NetNsFd(netns.as_raw_fd()));
    let mut host = up(&plan.host_name);
    host.attributes.push(LinkAttribute::Controller(plan.bridge));
    for message in [&mut peer, &mut host] {
        message.attributes.extend(plan.mtu.map(LinkAttribute::Mtu));
        // The default is a queue per processor, each registered and announced to user space; a veth has no use for them.
        message.attributes.extend([LinkAttribute::NumTxQueues(1), LinkAttribute::NumRxQueues(1)]);
    }
    let data = LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer)));
    host.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth), data]));
    RouteNetlinkMessage::NewLink(host)
}

/// An interface of that name.
fn named(name: &str) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    message
}

/// An interface of that name, up.
fn up(name: &str) -> LinkMessage {
    let mut message = named(name);
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    message
}

fn set_port(batch: &mut Batch, name: &str, port: Port) {
    if port == Port::default() {
        return;
    }
    let mut message = named(name);
    let isolated = port.isolated.then_some(InfoBridgePort::Isolated(true));
    let hairpin = port.hairpin.then_some(InfoBridgePort::HairpinMode(true));
    let port = LinkInfo::PortData(InfoPortData::BridgePort(isolated.into_iter().chain(hairpin).collect()));
    message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::PortKind(InfoPortKind::Bridge), port]));
    batch.route(format!("set up the bridge port {name}"), &RouteNetlinkMessage::NewLink(message), 0);
}

fn neighbour(plan: &Plan, address: IpAddr) -> RouteNetlinkMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family(address);
    message.header.ifindex = plan.bridge;
    message.header.state = NeighbourState::Reachable;
    let destination = match address {
        IpAddr::V4(v4) => NeighbourAddress::Inet(v4),
        IpAddr::V6(v6) => NeighbourAddress::Inet6(v6),
    };
    message.attributes.push(NeighbourAttribute::Destination(destination));
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(plan.mac.to_vec()));
    RouteNetlinkMessage::NewNeighbour(message)
}

/// Both of the container's interfaces up.
fn rise(plan: &Plan, index: u32) -> Batch {
    let mut batch = Batch::default();
    batch.route("bring up the loopback interface", &bring_up(LOOPBACK), 0);
    batch.route(format!("bring up interface {}", plan.name), &bring_up(index), 0);
    batch
}

/// Addresses and routes.
fn configuration(plan: &Plan, index: u32) -> Batch {
    let mut batch = Batch::default();
    for address in &plan.addresses {
        let act = format!("give the container the address {}/{}", address.addr, address.prefix);
        batch.route(act, &new_address(index, address), REPLACE);
    }
    if !plan.addresses.is_empty() {
        batch.route("announce the container's address", &announcement(index, plan), 0);
    }
    for gateway in &plan.gateways {
        batch.route(format!("set the default route via {gateway}"), &default_route(index, *gateway), REPLACE);
    }
    batch
}

/// Setting the hardware address it has already makes the kernel announce the IP address (`arp_notify`): neighbours that
/// remember its former owner learn the new one.
fn announcement(index: u32, plan: &Plan) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes.push(LinkAttribute::Address(plan.mac.to_vec()));
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
fn new_address(index: u32, cidr: &Cidr) -> RouteNetlinkMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(cidr.addr);
    message.header.prefix_len = cidr.prefix;
    message.header.scope = AddressScope::Universe;
    message.header.index = index;
    message.attributes.push(AddressAttribute::Address(cidr.addr));
    message.attributes.push(AddressAttribute::Local(cidr.addr));
    match cidr.addr {
        IpAddr::V4(v4) => {
            let host = u32::MAX.checked_shr(cidr.prefix.into()).unwrap_or(0);
            message.attributes.push(AddressAttribute::Broadcast((u32::from(v4) | host).into()));
        }
        IpAddr::V6(_) => message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad)),
    }
    RouteNetlinkMessage::NewAddress(message)
}

fn default_route(index: u32, gateway: IpAddr) -> RouteNetlinkMessage {
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
    RouteNetlinkMessage::NewRoute(message)
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}
