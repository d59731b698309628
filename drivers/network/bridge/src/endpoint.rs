//! One container's link: a veth pair, made by one message with both ends named and in place, the host's on the bridge and
//! up; then the container's side in two batches through a socket that was opened in its namespace: up, so that the bridge
//! learns of the carrier, and addresses and routes, announced to a bridge that forwards.
//!
//! The container's end cannot come up in the first message: the kernel connects the two only after making both.

use crate::error::{Error, Result};
use crate::{bridge, fault};
use gantry_driver_shared::inside::{self, Interface, family};
use gantry_driver_shared::link;
use gantry_driver_shared::netlink::{self, Batch, Socket};
use gantry_driver_shared::netns::Errand;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo,
    LinkMessage,
};
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

const GET_LINK: u16 = 18;
const IFNAME: u16 = 3;
const EXTENDED_MASK: u16 = 29;
const WITHOUT_STATISTICS: u32 = 1 << 3;
const MAKE: i32 = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
const REPLACE: i32 = libc::NLM_F_CREATE | libc::NLM_F_REPLACE;

/// What to make.
pub struct Plan {
    /// Name of the host's end.
    pub host_name: String,
    /// The bridge's index.
    pub bridge: u32,
    /// The container's end.
    pub inside: Interface,
    /// Those of its addresses that the host knows how to reach.
    pub neighbours: Vec<IpAddr>,
    /// Its settings below /proc/sys.
    pub sysctls: Vec<(String, String)>,
    /// Largest packet, if it was chosen.
    pub mtu: Option<u32>,
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
pub fn connect(
    host: &mut Socket,
    plan: &Plan,
    netns: BorrowedFd<'_>,
    entered: Errand<netlink::Result<Socket>>,
) -> Result<()> {
    let mut inside = entered.join().map_err(Error::Namespace)??;
    let made = make_pair(host, plan, netns, &inside)?;
    let finished = finish(host, &mut inside, plan, netns);
    if finished.is_err() && made {
        // The error that led here is the one to tell.
        let _ = remove(host, &plan.host_name);
    }
    finished
}

fn finish(host: &mut Socket, socket: &mut Socket, plan: &Plan, netns: BorrowedFd<'_>) -> Result<()> {
    fault::step("veth")?;
    let name = &plan.inside.name;
    let index = index(socket, name)?.ok_or_else(|| vanished(name))?;
    inside::rise(socket, name, index)?;
    settle(host, plan)?;
    let written = inside::write_settings(netns, &plan.sysctls);
    written.map_err(|(path, source)| Error::SettingInside { path, source })?;
    fault::step("up")?;
    introduce(host, plan)?;
    // Last of all, because a default route taken over from another interface is put back only when this fails itself.
    Ok(inside::configure(socket, &plan.inside, index)?)
}

/// Makes the default routes by the container's interface what they should be. True when the interface is there.
pub fn reroute(socket: &mut Socket, name: &str, wanted: &[IpAddr], others: &[IpAddr]) -> Result<bool> {
    let Some(index) = index(socket, name)? else { return Ok(false) };
    inside::reroute(socket, index, wanted, others)?;
    Ok(true)
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
    for address in &plan.neighbours {
        let act = format!("note the container as neighbour {address}");
        batch.route(act, &neighbour(plan, *address), REPLACE);
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
    let there = index(inside, &plan.inside.name)?;
    if index(host, &plan.host_name)?.is_none() {
        return Err(Error::Occupied(plan.inside.name.clone()));
    }
    if there.is_some() && peer_name_matches(host, inside, plan)? {
        return Ok(false);
    }
    remove(host, &plan.host_name)?;
    if there.is_some() {
        return Err(Error::Occupied(plan.inside.name.clone()));
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
    Ok(peer.map(u32::from_ne_bytes) == index(inside, &plan.inside.name)?)
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
    let mut peer = named(&plan.inside.name);
    peer.attributes.push(LinkAttribute::Address(plan.inside.mac.to_vec()));
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
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(plan.inside.mac.to_vec()));
    RouteNetlinkMessage::NewNeighbour(message)
}
