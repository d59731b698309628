//! The way between a host and its own macvlan containers, which the kernel keeps apart: the device below hands frames of
//! the host to the wire only.
//!
//! A macvlan interface of the host's own (the shim) hears the containers, and a route for each container leads over it.
//! It needs no address of the network: packets go out with the parent's own, and containers that ask who has that
//! address are answered by the shim, nobody else is (`arp_filter`). IPv6 answers only for addresses on the very
//! interface, so there the shim has the parent's too.

use crate::error::{Error, Result};
use crate::options::{Mode, Settings};
use gantry_driver_shared::attributes::{Buffer, find};
use gantry_driver_shared::device::{self, Device, New};
use gantry_driver_shared::inside;
use gantry_driver_shared::netlink::{Batch, Socket};
use gantry_driver_shared::nft::ends;
use netlink_packet_route::address::AddressScope;
use std::fs;
use std::net::IpAddr;

const GET_ADDRESS: u16 = 22;
const NEW_ROUTE: u16 = 24;
const DELETE_ROUTE: u16 = 25;
const GET_ROUTE: u16 = 26;
const REPLACE: i32 = libc::NLM_F_CREATE | libc::NLM_F_REPLACE;
const MAIN: u8 = 254;
const STATIC: u8 = 4;
const LINK_SCOPE: u8 = 253;
const UNICAST: u8 = 1;

/// The shim of a network, and the parent's addresses.
pub struct Shim {
    index: u32,
    addresses: Vec<(IpAddr, u8)>,
    /// True when it was not there before.
    pub made: bool,
}

/// The shim's name.
pub fn name(settings: &Settings) -> String {
    format!("ms-{}", settings.short)
}

/// Finds the shim, or makes it.
pub fn ensure(socket: &mut Socket, settings: &Settings, parent: &Device) -> Result<Shim> {
    let name = name(settings);
    let (device, made) = match device::named(socket, &name)? {
        Some(device) if device.up => (device, false),
        found => (make(socket, &name, parent, found.is_none())?, true),
    };
    let addresses = addresses(socket, parent.index)?;
    for (address, _) in addresses.iter().filter(|(a, _)| a.is_ipv6()) {
        let mut batch = Batch::default();
        let message = inside::new_address(device.index, *address, 128, AddressScope::Universe);
        batch.route(format!("give {name} the address {address}"), &message, REPLACE);
        socket.send(batch)?;
    }
    Ok(Shim { index: device.index, addresses, made })
}

/// Removes it, and its routes with it.
pub fn remove(socket: &mut Socket, settings: &Settings) -> Result<()> {
    Ok(device::remove(socket, &name(settings))?)
}

impl Shim {
    /// Families of containers' addresses in which the host has none on the parent.
    pub fn lacks(&self, containers: &[IpAddr]) -> Vec<&'static str> {
        let wanted = [(true, "IPv4"), (false, "IPv6")].into_iter();
        let missing = wanted.filter(|(v4, _)| {
            let has_it = self.addresses.iter().any(|(address, _)| address.is_ipv4() == *v4);
            !has_it && containers.iter().any(|address| address.is_ipv4() == *v4)
        });
        missing.map(|(_, name)| name).collect()
    }

    /// Leads packets for a container over the shim.
    pub fn allow(&self, socket: &mut Socket, containers: &[IpAddr]) -> Result<()> {
        let mut batch = Batch::default();
        for address in containers {
            let body = route(self.index, *address, self.source_for(*address));
            batch.request(format!("set a route to {address}"), NEW_ROUTE, REPLACE as u16, |b| b.raw(body.bytes()));
        }
        Ok(socket.send(batch)?)
    }

    /// The parent's address that a container knows how to answer: one on its own subnet, or else any.
    fn source_for(&self, container: IpAddr) -> Option<IpAddr> {
        let same = self.addresses.iter().filter(|(a, _)| a.is_ipv4() == container.is_ipv4());
        let near = same.clone().find(|(address, prefix)| {
            let (first, last) = ends(*address, *prefix);
            (first..=last).contains(&container)
        });
        near.or_else(|| same.clone().next()).map(|(address, _)| *address).filter(IpAddr::is_ipv4)
    }

    /// Keeps routes to these containers only.
    pub fn keep(&self, socket: &mut Socket, containers: &[IpAddr]) -> Result<()> {
        for family in [libc::AF_INET, libc::AF_INET6] {
            for stale in routes(socket, self.index, family as u8)?.iter().filter(|a| !containers.contains(a)) {
                forbid_on(socket, self.index, &[*stale])?;
            }
        }
        self.allow(socket, containers)
    }
}

/// Takes the routes to a container back; nothing there is no error.
pub fn forbid(socket: &mut Socket, settings: &Settings, containers: &[IpAddr]) -> Result<()> {
    match device::named(socket, &name(settings))? {
        Some(shim) => forbid_on(socket, shim.index, containers),
        None => Ok(()),
    }
}

fn forbid_on(socket: &mut Socket, shim: u32, containers: &[IpAddr]) -> Result<()> {
    let mut batch = Batch::default();
    for address in containers {
        let body = route(shim, *address, None);
        batch.request(format!("remove the route to {address}"), DELETE_ROUTE, 0, |b| b.raw(body.bytes()));
        batch.tolerate(libc::ESRCH);
    }
    Ok(socket.send(batch)?)
}

fn make(socket: &mut Socket, name: &str, parent: &Device, missing: bool) -> Result<Device> {
    let mut data = Buffer::default();
    data.ne32(1, Mode::Bridge as u32);
    if missing {
        let mut batch = Batch::default();
        device::add(&mut batch, &New { name, kind: "macvlan", data, lower: Some(parent.index), ..New::default() });
        socket.send(batch)?;
    }
    let made = set_up(socket, name);
    if made.is_err() && missing {
        // The error that led here is the one to tell.
        let _ = device::remove(socket, name);
    }
    made
}

fn set_up(socket: &mut Socket, name: &str) -> Result<Device> {
    let path = format!("/proc/sys/net/ipv4/conf/{name}/arp_filter");
    fs::write(&path, "1").map_err(|source| Error::Setting { path, source })?;
    let mut batch = Batch::default();
    device::bring_up(&mut batch, name);
    socket.send(batch)?;
    device::named(socket, name)?.ok_or_else(|| Error::NoParent(name.to_owned()))
}

/// The addresses of a device, but for IPv6 ones of link scope.
fn addresses(socket: &mut Socket, device: u32) -> Result<Vec<(IpAddr, u8)>> {
    let found = socket.dump("list addresses", GET_ADDRESS, |b| b.raw(&[0; 8]))?;
    let on_device = |body: &&[u8]| body.get(4..8).is_some_and(|index| index == device.to_ne_bytes());
    let bodies = found.iter().map(|answer| answer.body.as_slice()).filter(on_device);
    let pair = |body: &[u8]| {
        let (attributes, prefix, scope) = (body.get(8..)?, *body.get(1)?, *body.get(3)?);
        let address = read_address(find(attributes, 2).or_else(|| find(attributes, 1))?)?;
        (address.is_ipv4() || scope == 0).then_some((address, prefix))
    };
    Ok(bodies.filter_map(pair).collect())
}

/// The destinations of a device's routes to single addresses that were set by us.
fn routes(socket: &mut Socket, device: u32, family: u8) -> Result<Vec<IpAddr>> {
    let mut header = [0; 12];
    header[0] = family;
    let found = socket.dump("list routes", GET_ROUTE, |b| b.raw(&header))?;
    let destination = |body: &[u8]| {
        let attributes = body.get(12..)?;
        let ours = body.get(4) == Some(&MAIN) && body.get(5) == Some(&STATIC);
        let by_device = find(attributes, 4)? == device.to_ne_bytes();
        if ours && by_device { read_address(find(attributes, 1)?) } else { None }
    };
    Ok(found.iter().filter_map(|answer| destination(&answer.body)).collect())
}

fn route(device: u32, to: IpAddr, source: Option<IpAddr>) -> Buffer {
    let (family, length) = if to.is_ipv4() { (libc::AF_INET, 32) } else { (libc::AF_INET6, 128) };
    let mut body = Buffer::default();
    body.raw(&[family as u8, length, 0, 0, MAIN, STATIC, LINK_SCOPE, UNICAST, 0, 0, 0, 0]);
    body.attribute(1, &bytes(to));
    body.ne32(4, device);
    source.iter().for_each(|source| body.attribute(7, &bytes(*source)));
    body
}

fn bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn read_address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from).ok();
    v4.or_else(|| <[u8; 16]>::try_from(bytes).map(IpAddr::from).ok())
}
