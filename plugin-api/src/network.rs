//! Network drivers: how a container's namespace is connected.
//!
//! Addresses come from the engine's IPAM unless the driver says it brings its own. All calls are idempotent; a driver
//! keeps nothing between processes but the blobs it returns, so a half-done act is found again by looking at the kernel.

use crate::error::{Error, Result};
use crate::host::Host;
use crate::options::{OptionSpec, Options};
use crate::types::{Blob, Dirs};
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

/// An address with its prefix length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cidr {
    /// The address.
    pub addr: IpAddr,
    /// Prefix length.
    pub prefix: u8,
}

/// One address pool of a network.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subnet {
    /// The network address and prefix.
    pub subnet: Cidr,
    /// The gateway inside it, when there is one.
    pub gateway: Option<IpAddr>,
    /// The part given to containers.
    pub ip_range: Option<Cidr>,
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

/// One published port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PortMapping {
    /// The address on the host; unspecified: all.
    pub host_ip: IpAddr,
    /// The port on the host.
    pub host_port: u16,
    /// The port in the container.
    pub container_port: u16,
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
    /// Addresses chosen by IPAM.
    pub addresses: Vec<Cidr>,
    /// The MAC address chosen by the engine.
    pub mac: Option<[u8; 6]>,
    /// Index N for the interface name (`eth0`), when the driver names it.
    pub index: u32,
    /// This endpoint carries the default route.
    pub default_route: bool,
    /// Published ports.
    pub ports: Vec<PortMapping>,
    /// Options of [`crate::options::Scope::ENDPOINT`].
    pub options: Options,
}

/// A route inside the container.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    /// Where to; prefix 0: default.
    pub destination: Cidr,
    /// By which gateway; `None`: on link.
    pub gateway: Option<IpAddr>,
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
    /// Kept by the engine for `detach`, `publish` and `reconcile`.
    pub state: Blob,
}

/// What a network driver can do.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct NetworkCapabilities {
    /// The container shares the host's namespace: no namespace is made, `attach` is not called.
    pub host_namespace: bool,
    /// Endpoints have addresses (from IPAM).
    pub addresses: bool,
    /// The driver brings its own IPAM.
    pub own_ipam: bool,
    /// `publish` works.
    pub ports: bool,
    /// Names resolve on networks of this driver.
    pub dns: bool,
    /// Works without root.
    pub rootless: bool,
    /// Users may create networks of this driver; else there is only the predefined one.
    pub create: bool,
}

/// A network driver. Made once per process with `Default`.
///
/// Life cycle: `validate` at `network create`; `create` before the first attach (and again by later processes: it must
/// cost next to nothing when all is there); `attach` while the container's init waits at its gate; `detach` when the
/// container is gone (its namespace, and so its interfaces, may have vanished already); `delete` with the network.
pub trait NetworkDriver: Default + Send + Sync + 'static {
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
    /// ports of the endpoint. On error nothing is left behind.
    fn attach(
        &self,
        network: &NetworkSpec,
        state: &[u8],
        endpoint: &EndpointSpec,
        netns: BorrowedFd<'_>,
        dirs: &Dirs,
        host: &Host,
    ) -> Result<Attachment>;

    /// Disconnects. `netns` is `None` when the namespace is gone. Nothing there is no error.
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

    /// Publishes more ports of a running endpoint; all or none.
    fn publish(
        &self,
        _network: &NetworkSpec,
        _endpoint: &EndpointSpec,
        _attachment: &[u8],
        _ports: &[PortMapping],
        _dirs: &Dirs,
        _host: &Host,
    ) -> Result<()> {
        Err(Error::unsupported("this network driver publishes no ports"))
    }

    /// Takes ports back.
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
    /// comes back.
    fn reconcile(
        &self,
        network: &NetworkSpec,
        state: &[u8],
        live: &[(EndpointSpec, Blob)],
        dirs: &Dirs,
        host: &Host,
    ) -> Result<()>;
}
