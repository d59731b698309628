//! Network drivers: how a container's namespace is connected.
//!
//! Addresses come from the engine's IPAM unless the driver says it brings its own. All calls are idempotent; a driver
//! keeps nothing between processes but the blobs it returns, so a half-done act is found again by looking at the kernel.
//!
//! IPv4 and IPv6 are treated alike: a network has at most one way into each family per subnet, an endpoint has addresses
//! of either family or both, and every list may mix them. What differs by family is said by the address itself.

use crate::error::{Error, Result};
use crate::host::Host;
use crate::options::{OptionSpec, Options};
use crate::types::{Blob, Dirs};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::BorrowedFd;

/// An address with its prefix length. Never changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cidr {
    /// The address.
    pub addr: IpAddr,
    /// Prefix length.
    pub prefix: u8,
}

/// Everything of IPv4.
impl Default for Cidr {
    fn default() -> Self {
        Cidr { addr: IpAddr::V4(Ipv4Addr::UNSPECIFIED), prefix: 0 }
    }
}

impl Cidr {
    /// True when the address is of the same family and lies inside.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.addr, address) {
            (IpAddr::V4(net), IpAddr::V4(address)) => {
                let host = u32::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
                (net.to_bits() ^ address.to_bits()) & !host == 0
            }
            (IpAddr::V6(net), IpAddr::V6(address)) => {
                let host = u128::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
                (net.to_bits() ^ address.to_bits()) & !host == 0
            }
            _ => false,
        }
    }
}

/// One address pool of a network.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Subnet {
    /// The network address and prefix.
    pub subnet: Cidr,
    /// The gateway inside it, when there is one: an address of the host for drivers with the capability
    /// [`gateway`](NetworkCapabilities::gateway), else of some router.
    pub gateway: Option<IpAddr>,
    /// The part given to containers.
    pub ip_range: Option<Cidr>,
    /// Addresses with a name that are given to nobody (`--aux-address`).
    pub aux_addresses: Vec<(String, IpAddr)>,
}

/// A network as the engine knows it.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct NetworkSpec {
    /// 64 hex digits.
    pub id: String,
    /// The user's name for it.
    pub name: String,
    /// Its pools.
    pub subnets: Vec<Subnet>,
    /// No way out.
    pub internal: bool,
    /// IPv6 wanted.
    pub ipv6: bool,
    /// True for the engine's predefined network of this driver.
    pub predefined: bool,
    /// Labels.
    pub labels: Vec<(String, String)>,
    /// The driver's options for the network.
    pub options: Options,
}

impl NetworkSpec {
    /// The gateway of the subnet in which an address lies.
    pub fn gateway_for(&self, address: IpAddr) -> Option<IpAddr> {
        self.subnets.iter().find(|s| s.subnet.contains(address)).and_then(|s| s.gateway)
    }
}

/// Transport of a published port, an IP protocol number: 6 tcp, 17 udp, 132 sctp.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Protocol(pub u8);

impl Protocol {
    /// TCP.
    pub const TCP: Protocol = Protocol(6);
    /// UDP.
    pub const UDP: Protocol = Protocol(17);
    /// SCTP.
    pub const SCTP: Protocol = Protocol(132);
}

/// A published port, or a range of them: `count` ports of the host lead to as many of the container, in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PortMapping {
    /// The address on the host. Unspecified: all of that family (`0.0.0.0` all IPv4 ones, `::` all IPv6 ones; whoever
    /// wants both gives two mappings).
    pub host_ip: IpAddr,
    /// The first port on the host.
    pub host_port: u16,
    /// The first port in the container.
    pub container_port: u16,
    /// How many ports; at least 1, and neither end passes 65535.
    pub count: u16,
    /// Transport.
    pub protocol: Protocol,
}

/// No port: a start for what later versions may add.
impl Default for PortMapping {
    fn default() -> Self {
        PortMapping::one(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0, 0, Protocol::TCP)
    }
}

impl PortMapping {
    /// A single port.
    pub const fn one(host_ip: IpAddr, host_port: u16, container_port: u16, protocol: Protocol) -> Self {
        PortMapping { host_ip, host_port, container_port, count: 1, protocol }
    }
}

/// A port of a neighbour on the same network that this endpoint may use although the network keeps its containers apart
/// (`--link` on a network with `icc=false`). Never changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerPort {
    /// The neighbour's address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// Transport.
    pub protocol: Protocol,
}

/// One container's attachment to one network.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct EndpointSpec {
    /// 64 hex digits.
    pub id: String,
    /// The container's id.
    pub container_id: String,
    /// The container's name.
    pub container_name: String,
    /// Addresses chosen by IPAM: at most one of each family, the prefix being that of the subnet.
    pub addresses: Vec<Cidr>,
    /// Further addresses the user wants on the interface, of link scope (`--link-local-ip`).
    pub link_local_addresses: Vec<IpAddr>,
    /// The MAC address chosen by the engine.
    pub mac: Option<[u8; 6]>,
    /// Index N for the interface name (`eth0`), when the driver names it: the lowest that no other endpoint of the
    /// container has.
    pub index: u32,
    /// This endpoint carries the container's IPv4 default route.
    pub default_route4: bool,
    /// This endpoint carries the container's IPv6 default route.
    pub default_route6: bool,
    /// Published ports: all that the endpoint has, also in calls of `publish` and `unpublish`.
    pub ports: Vec<PortMapping>,
    /// Ports of neighbours this endpoint may use on a network that keeps its containers apart.
    pub links: Vec<PeerPort>,
    /// Options of [`crate::options::Scope::ENDPOINT`].
    pub options: Options,
}

/// A route inside the container.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Route {
    /// Where to; prefix 0: default.
    pub destination: Cidr,
    /// By which gateway; `None`: on link.
    pub gateway: Option<IpAddr>,
}

impl Route {
    /// A route through a gateway, or on link.
    pub const fn new(destination: Cidr, gateway: Option<IpAddr>) -> Self {
        Route { destination, gateway }
    }
}

/// What an attach made.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Attachment {
    /// Interface name inside the container; empty when there is none.
    pub interface: String,
    /// Its MAC address.
    pub mac: Option<[u8; 6]>,
    /// Its addresses (those of the driver's own IPAM when it brings one).
    pub addresses: Vec<Cidr>,
    /// Routes set.
    pub routes: Vec<Route>,
    /// The gateways through which this endpoint reaches the outside, whether or not it carries the default route now;
    /// at most one of each family.
    pub gateways: Vec<IpAddr>,
    /// Ports that lead to the endpoint now: those asked for, but for what the network cannot have (none on an internal
    /// network; none on all IPv6 addresses of the host when the endpoint has no IPv6 address).
    pub published: Vec<PortMapping>,
    /// Sentences for the user about what was asked for and is not so.
    pub warnings: Vec<String>,
    /// Kept by the engine for `detach`, `publish` and `reconcile`.
    pub state: Blob,
}

/// An endpoint whose container runs, as `reconcile` gets it. Never changes; `endpoint` may get more fields.
#[derive(Clone, Debug)]
pub struct LiveEndpoint<'a> {
    /// As the engine has it now: addresses, ports and default routes are those it should have.
    pub endpoint: EndpointSpec,
    /// What `attach` returned as `state`; empty when the engine died before it could note it.
    pub attachment: Blob,
    /// The container's namespace. `None` when it cannot be had just now: then only the host's side is looked at.
    pub netns: Option<BorrowedFd<'a>>,
}

/// What a network driver can do.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct NetworkCapabilities {
    /// The container shares the host's namespace: no namespace is made, `attach` is not called.
    pub host_namespace: bool,
    /// Endpoints have addresses (from IPAM).
    pub addresses: bool,
    /// The driver brings its own IPAM. What a user asks for (`--ip`, `--ip6`) comes as the option `ip` of the endpoint,
    /// with commas between, when the schema has such an option of [`crate::options::Scope::ENDPOINT`]; else it is refused.
    pub own_ipam: bool,
    /// `publish` works.
    pub ports: bool,
    /// Names resolve on networks of this driver.
    pub dns: bool,
    /// Works without root.
    pub rootless: bool,
    /// Users may create networks of this driver; else there is only the predefined one.
    pub create: bool,
    /// The host is the gateway of a network's subnets: IPAM reserves an address for it when the user chose none. Without
    /// it, a subnet has a gateway only when the user named one.
    pub gateway: bool,
}

/// A network driver. A plugin's is made once per process with `Default`.
///
/// Life cycle: `validate` at `network create`; `create` before the first attach (and again by later processes: it must
/// cost next to nothing when all is there); `attach` while the container's init waits at its gate, or later, to connect
/// a running container; `detach` when the container is gone (its namespace, and so its interfaces, may have vanished
/// already), or to disconnect a running one; `delete` with the network.
///
/// **Default routes.** The engine decides which endpoint carries a container's default route, for each family on its
/// own, and says so by `default_route4` and `default_route6`. `attach` with such a flag takes the route over from
/// whoever has it; `attach` without leaves it alone. After `detach` of the endpoint that had it, the engine calls
/// `route` for the next one. So: connect is `attach`, then `route` for the endpoint that lost the route; disconnect is
/// `detach`, then `route` for the one that gets it; the inverse of either is the same calls the other way round.
///
/// **Crashes.** A process may be killed between any two system calls. The engine then either calls `detach` for an
/// endpoint that it noted but that never became whole, or `reconcile` with those that live; either leaves nothing of
/// the half-done act, and nothing that lives is harmed.
pub trait NetworkDriver: Send + Sync + 'static {
    /// The schema, for networks and endpoints.
    const OPTIONS: &'static [OptionSpec];

    /// What this driver can do.
    fn capabilities(&self) -> NetworkCapabilities;

    /// Checks across options and subnets. No I/O.
    fn validate(&self, _network: &NetworkSpec) -> Result<()> {
        Ok(())
    }

    /// Makes what the network needs on the host; idempotent and quick when it is there. `state` is what the last call
    /// returned, empty at first.
    fn create(&self, network: &NetworkSpec, state: &[u8], dirs: &Dirs, host: &Host) -> Result<Blob>;

    /// Undoes `create`.
    fn delete(&self, network: &NetworkSpec, state: &[u8], dirs: &Dirs, host: &Host) -> Result<()>;

    /// Connects a namespace. Includes `create` when the network is not there, so that a start is one call; includes the
    /// ports of the endpoint. On error nothing is left behind, and a default route that was taken over is back where it
    /// was. An endpoint that is attached already is completed.
    fn attach(
        &self,
        network: &NetworkSpec,
        state: &[u8],
        endpoint: &EndpointSpec,
        netns: BorrowedFd<'_>,
        dirs: &Dirs,
        host: &Host,
    ) -> Result<Attachment>;

    /// Disconnects. `netns` is `None` when the namespace is gone. Nothing there is no error, and `attachment` may be empty
    /// (the engine died before it could note it).
    #[allow(clippy::too_many_arguments)]
    fn detach(
        &self,
        network: &NetworkSpec,
        state: &[u8],
        endpoint: &EndpointSpec,
        attachment: &[u8],
        netns: Option<BorrowedFd<'_>>,
        dirs: &Dirs,
        host: &Host,
    ) -> Result<()>;

    /// Makes the default routes of an attached endpoint what its `default_route4` and `default_route6` say: sets them, or
    /// removes those that lead through this endpoint; those of other endpoints are left. Answers what is set.
    #[allow(clippy::too_many_arguments)]
    fn route(
        &self,
        _network: &NetworkSpec,
        _state: &[u8],
        _endpoint: &EndpointSpec,
        _attachment: &[u8],
        _netns: BorrowedFd<'_>,
        _dirs: &Dirs,
        _host: &Host,
    ) -> Result<Vec<Route>> {
        Ok(Vec::new())
    }

    /// Publishes more ports of a running endpoint; all or none. Answers those that lead to it now, as
    /// [`Attachment::published`] does, of the ones given.
    fn publish(
        &self,
        _network: &NetworkSpec,
        _endpoint: &EndpointSpec,
        _attachment: &[u8],
        _ports: &[PortMapping],
        _dirs: &Dirs,
        _host: &Host,
    ) -> Result<Vec<PortMapping>> {
        Err(Error::unsupported("this network driver publishes no ports"))
    }

    /// Takes ports back. A part of a range that was published may be given.
    fn unpublish(
        &self,
        _network: &NetworkSpec,
        _endpoint: &EndpointSpec,
        _attachment: &[u8],
        _ports: &[PortMapping],
        _dirs: &Dirs,
        _host: &Host,
    ) -> Result<()> {
        Ok(())
    }

    /// Makes the host agree with the endpoints that live: what belongs to others of this network goes, what is missing
    /// comes back (the network itself, links, addresses, routes, ports, rules that somebody flushed). With no live
    /// endpoint the network itself stays. Costs no established connection of a living endpoint that was whole.
    fn reconcile(
        &self,
        network: &NetworkSpec,
        state: &[u8],
        live: &[LiveEndpoint<'_>],
        dirs: &Dirs,
        host: &Host,
    ) -> Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_inside() {
        let cidr = |addr: &str, prefix| Cidr { addr: addr.parse().expect("an address"), prefix };
        for (net, address, inside) in [
            (cidr("10.1.0.0", 16), "10.1.255.255", true),
            (cidr("10.1.0.0", 16), "10.2.0.0", false),
            (cidr("0.0.0.0", 0), "192.0.2.1", true),
            (cidr("10.1.2.3", 32), "10.1.2.3", true),
            (cidr("10.1.2.3", 32), "10.1.2.2", false),
            (cidr("fd00:1::", 64), "fd00:1::ffff", true),
            (cidr("fd00:1::", 64), "fd00:1:0:1::", false),
            (cidr("::", 0), "10.1.2.3", false),
        ] {
            assert_eq!(net.contains(address.parse().expect("an address")), inside, "{address} in {net:?}");
        }
    }
}
