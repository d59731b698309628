//! Network drivers in C.

use super::texts::{Keep, blob, borrowed, bytes, items, lossy, strings};
use super::{Its, Table, Words, abi, at, bit, dirs, needed, place, start, table, taken};
use gantry_plugin_api::abi::network::{DriverBox, boxed};
use gantry_plugin_api::host::Host;
use gantry_plugin_api::network::*;
use gantry_plugin_api::options::OptionSpec;
use gantry_plugin_api::types::{Blob, Dirs};
use gantry_plugin_api::{Class, Error, Result};
use std::ffi::{c_int, c_void};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

/// The network driver of a plugin.
pub fn driver(plugin: &abi::Plugin, host: Host) -> Result<DriverBox> {
    let table = table(plugin.network, "network")?;
    let its = start(table.0.start, &host)?;
    Ok(boxed(Driver { table, its }, host))
}

struct Driver {
    table: Table<abi::NetworkDriver>,
    its: Its,
}

const NO_IP: abi::Ip = abi::Ip { len: 0, bytes: [0; 16] };

fn ip(address: IpAddr) -> abi::Ip {
    let mut bytes = [0; 16];
    let len = match address {
        IpAddr::V4(v4) => {
            bytes[..4].copy_from_slice(&v4.octets());
            4
        }
        IpAddr::V6(v6) => {
            bytes = v6.octets();
            16
        }
    };
    abi::Ip { len, bytes }
}

fn from_ip(ip: &abi::Ip) -> Option<IpAddr> {
    let [a, b, c, d, ..] = ip.bytes;
    match ip.len {
        4 => Some(Ipv4Addr::new(a, b, c, d).into()),
        16 => Some(Ipv6Addr::from(ip.bytes).into()),
        _ => None,
    }
}

fn cidr(cidr: &Cidr) -> abi::Cidr {
    abi::Cidr { addr: ip(cidr.addr), prefix: cidr.prefix }
}

fn from_cidr(cidr: &abi::Cidr) -> Option<Cidr> {
    Some(Cidr { addr: from_ip(&cidr.addr)?, prefix: cidr.prefix })
}

fn port(port: &PortMapping) -> abi::PortMapping {
    abi::PortMapping {
        host_ip: ip(port.host_ip),
        protocol: port.protocol.0,
        host_port: port.host_port,
        container_port: port.container_port,
        count: port.count,
    }
}

fn from_port(port: &abi::PortMapping) -> Option<PortMapping> {
    Some(PortMapping {
        host_ip: from_ip(&port.host_ip)?,
        host_port: port.host_port,
        container_port: port.container_port,
        count: port.count,
        protocol: Protocol(port.protocol),
    })
}

fn from_route(route: &abi::Route) -> Option<Route> {
    Some(Route::new(from_cidr(&route.destination)?, from_ip(&route.gateway)))
}

fn subnet(keep: &mut Keep, subnet: &Subnet) -> Result<abi::Subnet> {
    let named = |(name, address): &(String, IpAddr)| Ok(abi::NamedIp { name: keep.text(name)?, address: ip(*address) });
    let aux = subnet.aux_addresses.iter().map(named).collect::<Result<Vec<_>>>()?;
    let (aux_addresses, aux_addresses_len) = keep.list(aux);
    Ok(abi::Subnet {
        subnet: cidr(&subnet.subnet),
        ip_range: subnet.ip_range.as_ref().map_or(abi::Cidr { addr: NO_IP, prefix: 0 }, cidr),
        gateway: subnet.gateway.map_or(NO_IP, ip),
        aux_addresses,
        aux_addresses_len,
    })
}

fn network(keep: &mut Keep, network: &NetworkSpec) -> Result<abi::Network> {
    let subnets = network.subnets.iter().map(|s| subnet(keep, s)).collect::<Result<Vec<_>>>()?;
    let (subnets, subnets_len) = keep.list(subnets);
    Ok(abi::Network {
        size: size_of::<abi::Network>(),
        id: keep.text(&network.id)?,
        name: keep.text(&network.name)?,
        subnets,
        subnets_len,
        internal: network.internal.into(),
        ipv6: network.ipv6.into(),
        predefined: network.predefined.into(),
        reserved: 0,
        labels: keep.pairs(borrowed(&network.labels))?,
        options: keep.pairs(network.options.iter())?,
    })
}

fn endpoint(keep: &mut Keep, e: &EndpointSpec) -> Result<abi::Endpoint> {
    let (addresses, addresses_len) = keep.list(e.addresses.iter().map(cidr).collect());
    let (link_local_addresses, link_local_addresses_len) =
        keep.list(e.link_local_addresses.iter().copied().map(ip).collect());
    let (ports, ports_len) = keep.list(e.ports.iter().map(port).collect());
    let peer = |p: &PeerPort| abi::PeerPort { address: ip(p.address), protocol: p.protocol.0, port: p.port };
    let (links, links_len) = keep.list(e.links.iter().map(peer).collect());
    Ok(abi::Endpoint {
        size: size_of::<abi::Endpoint>(),
        id: keep.text(&e.id)?,
        container_id: keep.text(&e.container_id)?,
        container_name: keep.text(&e.container_name)?,
        addresses,
        addresses_len,
        link_local_addresses,
        link_local_addresses_len,
        mac: e.mac.unwrap_or_default(),
        has_mac: e.mac.is_some().into(),
        reserved: 0,
        index: e.index,
        default_route4: e.default_route4.into(),
        default_route6: e.default_route6.into(),
        ports,
        ports_len,
        links,
        links_len,
        options: keep.pairs(e.options.iter())?,
    })
}

/// What the calls about a network share.
struct Told {
    keep: Keep,
    network: abi::Network,
    dirs: abi::Dirs,
}

impl Told {
    fn new(of: &NetworkSpec, at: &Dirs) -> Result<Told> {
        let mut keep = Keep::default();
        let (network, dirs) = (network(&mut keep, of)?, dirs(&mut keep, at)?);
        Ok(Told { keep, network, dirs })
    }
}

unsafe extern "C" fn take_bytes(to: *mut c_void, data: *const u8, len: usize) {
    // SAFETY: so many bytes, or null.
    let data = unsafe { items(data, len) };
    // SAFETY: `to` is the place of the call under way.
    *unsafe { at::<Blob>(to) } = data.to_vec();
}

unsafe extern "C" fn take_route(to: *mut c_void, route: *const abi::Route) {
    // SAFETY: null or a route.
    let route = unsafe { route.as_ref() }.and_then(from_route);
    // SAFETY: `to` is the list of the call under way.
    unsafe { at::<Vec<Route>>(to) }.extend(route);
}

unsafe extern "C" fn take_port(to: *mut c_void, port: *const abi::PortMapping) {
    // SAFETY: null or a port.
    let port = unsafe { port.as_ref() }.and_then(from_port);
    // SAFETY: `to` is the list of the call under way.
    unsafe { at::<Vec<PortMapping>>(to) }.extend(port);
}

unsafe extern "C" fn take_attachment(to: *mut c_void, from: *const abi::Attachment) {
    // SAFETY: the plugin passes what the header says.
    let Some(a) = (unsafe { taken(from) }) else { return };
    let attachment = Attachment {
        // SAFETY: a text of the plugin's struct.
        interface: unsafe { lossy(a.interface) },
        mac: (a.has_mac != 0).then_some(a.mac),
        // SAFETY: lists of the plugin's struct.
        addresses: unsafe { items(a.addresses, a.addresses_len) }.iter().filter_map(from_cidr).collect(),
        // SAFETY: as above.
        routes: unsafe { items(a.routes, a.routes_len) }.iter().filter_map(from_route).collect(),
        // SAFETY: as above.
        gateways: unsafe { items(a.gateways, a.gateways_len) }.iter().filter_map(from_ip).collect(),
        // SAFETY: as above.
        published: unsafe { items(a.published, a.published_len) }.iter().filter_map(from_port).collect(),
        // SAFETY: as above.
        warnings: unsafe { strings(a.warnings, a.warnings_len) },
        // SAFETY: as above.
        state: unsafe { blob(&a.state) },
    };
    // SAFETY: `to` is the place of the call under way.
    *unsafe { at::<Option<Attachment>>(to) } = Some(attachment);
}

impl NetworkDriver for Driver {
    /// The schema stands in the file's note.
    const OPTIONS: &'static [OptionSpec] = &[];

    fn capabilities(&self) -> NetworkCapabilities {
        let bits = self.table.0.capabilities;
        let [host_namespace, addresses, own_ipam, ports, dns, rootless, create, gateway] =
            [0, 1, 2, 3, 4, 5, 6, 7].map(|number| bit(bits, number));
        NetworkCapabilities { host_namespace, addresses, own_ipam, ports, dns, rootless, create, gateway }
    }

    fn validate(&self, of: &NetworkSpec) -> Result<()> {
        let Some(validate) = self.table.0.validate else { return Ok(()) };
        let mut keep = Keep::default();
        let network = network(&mut keep, of)?;
        // SAFETY: the network is kept until the call returns.
        Words::new().ask("validate", |error| unsafe { validate(self.its.0, &network, error) })
    }

    fn create(&self, of: &NetworkSpec, state: &[u8], dirs: &Dirs, _: &Host) -> Result<Blob> {
        let (create, told, mut answer) = (needed(self.table.0.create, "create")?, Told::new(of, dirs)?, vec![]);
        let (state, to) = (bytes(state), place::<Blob>(&mut answer));
        Words::new().ask("create", |error| {
            // SAFETY: all that is pointed to lives until the call returns.
            unsafe { create(self.its.0, &told.network, state, &told.dirs, take_bytes, to, error) }
        })?;
        Ok(answer)
    }

    fn delete(&self, of: &NetworkSpec, state: &[u8], dirs: &Dirs, _: &Host) -> Result<()> {
        let (remove, told, state) = (needed(self.table.0.remove, "remove")?, Told::new(of, dirs)?, bytes(state));
        Words::new().ask("remove", |error| {
            // SAFETY: all that is pointed to lives until the call returns.
            unsafe { remove(self.its.0, &told.network, state, &told.dirs, error) }
        })
    }

    fn attach(
        &self,
        of: &NetworkSpec,
        state: &[u8],
        to_attach: &EndpointSpec,
        netns: BorrowedFd<'_>,
        dirs: &Dirs,
        _: &Host,
    ) -> Result<Attachment> {
        let (attach, mut told, mut answer) = (needed(self.table.0.attach, "attach")?, Told::new(of, dirs)?, None);
        let endpoint = endpoint(&mut told.keep, to_attach)?;
        let (state, netns, to) = (bytes(state), netns.as_raw_fd(), place::<Option<Attachment>>(&mut answer));
        Words::new().ask("attach", |error| {
            let (network, dirs) = (&told.network, &told.dirs);
            // SAFETY: all that is pointed to lives until the call returns.
            unsafe { attach(self.its.0, network, state, &endpoint, netns, dirs, take_attachment, to, error) }
        })?;
        answer.ok_or_else(|| Error::new(Class::DRIVER, "attach answered nothing"))
    }

    fn detach(
        &self,
        of: &NetworkSpec,
        state: &[u8],
        to_detach: &EndpointSpec,
        attachment: &[u8],
        netns: Option<BorrowedFd<'_>>,
        dirs: &Dirs,
        _: &Host,
    ) -> Result<()> {
        let (detach, mut told) = (needed(self.table.0.detach, "detach")?, Told::new(of, dirs)?);
        let endpoint = endpoint(&mut told.keep, to_detach)?;
        let (state, attachment, netns) = (bytes(state), bytes(attachment), number(netns));
        Words::new().ask("detach", |error| {
            // SAFETY: all that is pointed to lives until the call returns.
            unsafe { detach(self.its.0, &told.network, state, &endpoint, attachment, netns, &told.dirs, error) }
        })
    }

    fn route(
        &self,
        of: &NetworkSpec,
        state: &[u8],
        about: &EndpointSpec,
        attachment: &[u8],
        netns: BorrowedFd<'_>,
        dirs: &Dirs,
        _: &Host,
    ) -> Result<Vec<Route>> {
        let Some(route) = self.table.0.route else { return Ok(vec![]) };
        let (mut told, mut answer) = (Told::new(of, dirs)?, vec![]);
        let endpoint = endpoint(&mut told.keep, about)?;
        let (state, attachment, to) = (bytes(state), bytes(attachment), place::<Vec<Route>>(&mut answer));
        let netns = netns.as_raw_fd();
        Words::new().ask("route", |error| {
            let (network, dirs) = (&told.network, &told.dirs);
            // SAFETY: all that is pointed to lives until the call returns.
            unsafe { route(self.its.0, network, state, &endpoint, attachment, netns, dirs, take_route, to, error) }
        })?;
        Ok(answer)
    }

    fn publish(
        &self,
        of: &NetworkSpec,
        about: &EndpointSpec,
        attachment: &[u8],
        ports: &[PortMapping],
        dirs: &Dirs,
        _: &Host,
    ) -> Result<Vec<PortMapping>> {
        let Some(publish) = self.table.0.publish else {
            return Err(Error::unsupported("this network driver publishes no ports"));
        };
        let (mut told, mut answer) = (Told::new(of, dirs)?, vec![]);
        let endpoint = endpoint(&mut told.keep, about)?;
        let (ports, len) = told.keep.list(ports.iter().map(port).collect());
        let (attachment, to) = (bytes(attachment), place::<Vec<PortMapping>>(&mut answer));
        Words::new().ask("publish", |error| {
            let (network, dirs) = (&told.network, &told.dirs);
            // SAFETY: all that is pointed to lives until the call returns.
            unsafe { publish(self.its.0, network, &endpoint, attachment, ports, len, dirs, take_port, to, error) }
        })?;
        Ok(answer)
    }

    fn unpublish(
        &self,
        of: &NetworkSpec,
        about: &EndpointSpec,
        attachment: &[u8],
        ports: &[PortMapping],
        dirs: &Dirs,
        _: &Host,
    ) -> Result<()> {
        let Some(unpublish) = self.table.0.unpublish else { return Ok(()) };
        let mut told = Told::new(of, dirs)?;
        let endpoint = endpoint(&mut told.keep, about)?;
        let (ports, len) = told.keep.list(ports.iter().map(port).collect());
        let attachment = bytes(attachment);
        Words::new().ask("unpublish", |error| {
            // SAFETY: all that is pointed to lives until the call returns.
            unsafe { unpublish(self.its.0, &told.network, &endpoint, attachment, ports, len, &told.dirs, error) }
        })
    }

    fn reconcile(
        &self,
        of: &NetworkSpec,
        state: &[u8],
        live: &[LiveEndpoint<'_>],
        dirs: &Dirs,
        _: &Host,
    ) -> Result<()> {
        let (reconcile, mut told) = (needed(self.table.0.reconcile, "reconcile")?, Told::new(of, dirs)?);
        let endpoints = live.iter().map(|l| endpoint(&mut told.keep, &l.endpoint)).collect::<Result<Vec<_>>>()?;
        let living = live.iter().zip(&endpoints).map(|(l, endpoint)| abi::LiveEndpoint {
            endpoint,
            attachment: bytes(&l.attachment),
            netns: number(l.netns),
        });
        let (living, state): (Vec<_>, _) = (living.collect(), bytes(state));
        Words::new().ask("reconcile", |error| {
            let (network, dirs) = (&told.network, &told.dirs);
            // SAFETY: all that is pointed to lives until the call returns.
            unsafe { reconcile(self.its.0, network, state, living.as_ptr(), living.len(), dirs, error) }
        })
    }
}

fn number(netns: Option<BorrowedFd<'_>>) -> c_int {
    netns.map_or(-1, |fd| fd.as_raw_fd())
}
