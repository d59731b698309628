//! The network kind on the wire.

use super::data::{AbiResult, DirsAbi};
use super::guard::{Quiet, guarded, install, raw};
use super::host::{HostBox, author_side};
use super::mirror::{Mirror, bits, mirror, number};
use super::{RootModuleResult, erased};
use crate::host::Host;
use crate::network::*;
use crate::options::Options;
use crate::types::{Blob, Dirs};
use abi_stable::library::{CheckTypeLayout, LibHeader, RootModule};
use abi_stable::prefix_type::PrefixTypeTrait;
use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::sabi_types::VersionStrings;
use abi_stable::std_types::{RBox, RSlice, RVec};
use abi_stable::{StableAbi, sabi_trait};
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

number!(Protocol = u8);

mirror! {
    struct CidrAbi for Cidr { addr: IpAddr, prefix: u8 }
    struct SubnetAbi for Subnet + ext {
        subnet: Cidr, gateway: Option<IpAddr>, ip_range: Option<Cidr>, aux_addresses: Vec<(String, IpAddr)>,
    }
    struct NetworkSpecAbi for NetworkSpec + ext {
        id: String, name: String, subnets: Vec<Subnet>, internal: bool, ipv6: bool, predefined: bool,
        labels: Vec<(String, String)>, options: Options,
    }
    struct PortMappingAbi for PortMapping + ext {
        host_ip: IpAddr, host_port: u16, container_port: u16, count: u16, protocol: Protocol,
    }
    struct PeerPortAbi for PeerPort { address: IpAddr, port: u16, protocol: Protocol }
    struct EndpointSpecAbi for EndpointSpec + ext {
        id: String, container_id: String, container_name: String, addresses: Vec<Cidr>,
        link_local_addresses: Vec<IpAddr>, mac: Option<[u8; 6]>, index: u32, default_route4: bool, default_route6: bool,
        ports: Vec<PortMapping>, links: Vec<PeerPort>, options: Options,
    }
    struct RouteAbi for Route + ext { destination: Cidr, gateway: Option<IpAddr> }
    struct AttachmentAbi for Attachment + ext {
        interface: String, mac: Option<[u8; 6]>, addresses: Vec<Cidr>, routes: Vec<Route>, gateways: Vec<IpAddr>,
        published: Vec<PortMapping>, warnings: Vec<String>, state: Blob,
    }
}

bits!(NetworkCapabilities, host_namespace, addresses, own_ipam, ports, dns, rootless, create, gateway);

impl Mirror for NetworkCapabilities {
    type Abi = u64;
    fn to_abi(&self) -> u64 {
        to_bits(self)
    }
    fn from_abi(abi: &u64) -> Self {
        from_bits(*abi)
    }
}

/// An endpoint that lives: its blob, and the descriptor of its namespace (negative: none), which the host keeps open
/// during the call.
#[repr(C)]
#[derive(StableAbi)]
pub struct LiveEndpointAbi {
    pub endpoint: EndpointSpecAbi,
    pub attachment: RVec<u8>,
    pub netns: i32,
}

/// The endpoints that live.
pub type LiveAbi = RVec<LiveEndpointAbi>;
/// Published ports.
pub type PortsAbi = RVec<PortMappingAbi>;
type Bytes<'a> = RSlice<'a, u8>;

#[sabi_trait]
pub trait NetworkDriverAbi: Send + Sync {
    fn capabilities(&self) -> AbiResult<u64>;
    fn validate(&self, network: &NetworkSpecAbi) -> AbiResult<()>;
    fn create(&self, network: &NetworkSpecAbi, state: RSlice<'_, u8>, dirs: &DirsAbi) -> AbiResult<RVec<u8>>;
    fn delete(&self, network: &NetworkSpecAbi, state: RSlice<'_, u8>, dirs: &DirsAbi) -> AbiResult<()>;
    fn attach(
        &self,
        network: &NetworkSpecAbi,
        state: RSlice<'_, u8>,
        endpoint: &EndpointSpecAbi,
        netns: i32,
        dirs: &DirsAbi,
    ) -> AbiResult<AttachmentAbi>;
    fn detach(
        &self,
        network: &NetworkSpecAbi,
        state: RSlice<'_, u8>,
        endpoint: &EndpointSpecAbi,
        attachment: RSlice<'_, u8>,
        netns: i32,
        dirs: &DirsAbi,
    ) -> AbiResult<()>;
    fn route(
        &self,
        network: &NetworkSpecAbi,
        state: RSlice<'_, u8>,
        endpoint: &EndpointSpecAbi,
        attachment: RSlice<'_, u8>,
        netns: i32,
        dirs: &DirsAbi,
    ) -> AbiResult<RVec<RouteAbi>>;
    fn publish(
        &self,
        network: &NetworkSpecAbi,
        endpoint: &EndpointSpecAbi,
        attachment: RSlice<'_, u8>,
        ports: &PortsAbi,
        dirs: &DirsAbi,
    ) -> AbiResult<PortsAbi>;
    fn unpublish(
        &self,
        network: &NetworkSpecAbi,
        endpoint: &EndpointSpecAbi,
        attachment: RSlice<'_, u8>,
        ports: &PortsAbi,
        dirs: &DirsAbi,
    ) -> AbiResult<()>;
    #[sabi(last_prefix_field)]
    fn reconcile(
        &self,
        network: &NetworkSpecAbi,
        state: RSlice<'_, u8>,
        live: &LiveAbi,
        dirs: &DirsAbi,
    ) -> AbiResult<()>;
}

pub type DriverBox = NetworkDriverAbi_TO<'static, RBox<()>>;

struct Guard<D> {
    driver: Quiet<D>,
    host: Host,
}

/// A descriptor that the host keeps open during the call; negative: none.
fn borrowed<'a>(fd: i32) -> Option<BorrowedFd<'a>> {
    // SAFETY: the host owns the descriptor until the call returns, and no reference outlives the call.
    (fd >= 0).then(|| unsafe { BorrowedFd::borrow_raw(fd) })
}

fn living(abi: &LiveEndpointAbi) -> LiveEndpoint<'_> {
    LiveEndpoint {
        endpoint: EndpointSpec::from_abi(&abi.endpoint),
        attachment: abi.attachment.to_vec(),
        netns: borrowed(abi.netns),
    }
}

impl<D: NetworkDriver> NetworkDriverAbi for Guard<D> {
    fn capabilities(&self) -> AbiResult<u64> {
        guarded("capabilities", || Ok(self.driver.capabilities()))
    }

    fn validate(&self, network: &NetworkSpecAbi) -> AbiResult<()> {
        guarded("validate", || self.driver.validate(&NetworkSpec::from_abi(network)))
    }

    fn create(&self, network: &NetworkSpecAbi, state: Bytes<'_>, dirs: &DirsAbi) -> AbiResult<RVec<u8>> {
        let (network, dirs) = (NetworkSpec::from_abi(network), Dirs::from_abi(dirs));
        guarded("create", || self.driver.create(&network, &state, &dirs, &self.host))
    }

    fn delete(&self, network: &NetworkSpecAbi, state: Bytes<'_>, dirs: &DirsAbi) -> AbiResult<()> {
        let (network, dirs) = (NetworkSpec::from_abi(network), Dirs::from_abi(dirs));
        guarded("delete", || self.driver.delete(&network, &state, &dirs, &self.host))
    }

    fn attach(
        &self,
        network: &NetworkSpecAbi,
        state: Bytes<'_>,
        endpoint: &EndpointSpecAbi,
        netns: i32,
        dirs: &DirsAbi,
    ) -> AbiResult<AttachmentAbi> {
        let (network, dirs) = (NetworkSpec::from_abi(network), Dirs::from_abi(dirs));
        let endpoint = EndpointSpec::from_abi(endpoint);
        guarded("attach", || {
            let no_fd = || crate::Error::new(crate::Class::INTERNAL, "attach without a namespace");
            let netns = borrowed(netns).ok_or_else(no_fd)?;
            self.driver.attach(&network, &state, &endpoint, netns, &dirs, &self.host)
        })
    }

    fn detach(
        &self,
        network: &NetworkSpecAbi,
        state: Bytes<'_>,
        endpoint: &EndpointSpecAbi,
        attachment: Bytes<'_>,
        netns: i32,
        dirs: &DirsAbi,
    ) -> AbiResult<()> {
        let (network, dirs) = (NetworkSpec::from_abi(network), Dirs::from_abi(dirs));
        let endpoint = EndpointSpec::from_abi(endpoint);
        guarded("detach", || {
            self.driver.detach(&network, &state, &endpoint, &attachment, borrowed(netns), &dirs, &self.host)
        })
    }

    fn route(
        &self,
        network: &NetworkSpecAbi,
        state: Bytes<'_>,
        endpoint: &EndpointSpecAbi,
        attachment: Bytes<'_>,
        netns: i32,
        dirs: &DirsAbi,
    ) -> AbiResult<RVec<RouteAbi>> {
        let (network, dirs) = (NetworkSpec::from_abi(network), Dirs::from_abi(dirs));
        let endpoint = EndpointSpec::from_abi(endpoint);
        guarded("route", || {
            let no_fd = || crate::Error::new(crate::Class::INTERNAL, "route without a namespace");
            let netns = borrowed(netns).ok_or_else(no_fd)?;
            self.driver.route(&network, &state, &endpoint, &attachment, netns, &dirs, &self.host)
        })
    }

    fn publish(
        &self,
        network: &NetworkSpecAbi,
        endpoint: &EndpointSpecAbi,
        attachment: Bytes<'_>,
        ports: &PortsAbi,
        dirs: &DirsAbi,
    ) -> AbiResult<PortsAbi> {
        let (network, dirs) = (NetworkSpec::from_abi(network), Dirs::from_abi(dirs));
        let (endpoint, ports) = (EndpointSpec::from_abi(endpoint), Vec::from_abi(ports));
        guarded("publish", || self.driver.publish(&network, &endpoint, &attachment, &ports, &dirs, &self.host))
    }

    fn unpublish(
        &self,
        network: &NetworkSpecAbi,
        endpoint: &EndpointSpecAbi,
        attachment: Bytes<'_>,
        ports: &PortsAbi,
        dirs: &DirsAbi,
    ) -> AbiResult<()> {
        let (network, dirs) = (NetworkSpec::from_abi(network), Dirs::from_abi(dirs));
        let (endpoint, ports) = (EndpointSpec::from_abi(endpoint), Vec::from_abi(ports));
        guarded("unpublish", || self.driver.unpublish(&network, &endpoint, &attachment, &ports, &dirs, &self.host))
    }

    fn reconcile(&self, network: &NetworkSpecAbi, state: Bytes<'_>, live: &LiveAbi, dirs: &DirsAbi) -> AbiResult<()> {
        let (network, dirs) = (NetworkSpec::from_abi(network), Dirs::from_abi(dirs));
        let live: Vec<LiveEndpoint<'_>> = live.iter().map(living).collect();
        guarded("reconcile", || self.driver.reconcile(&network, &state, &live, &dirs, &self.host))
    }
}

/// What a library with a network driver exports.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = NetworkModule)))]
pub struct NetworkModuleVal {
    #[sabi(last_prefix_field)]
    pub new: extern "C" fn(HostBox) -> AbiResult<DriverBox>,
}

impl RootModule for NetworkModule {
    abi_stable::declare_root_module_statics! {NetworkModule}
    const BASE_NAME: &'static str = "gantry_network";
    const NAME: &'static str = "gantry_network";
    const VERSION_STRINGS: VersionStrings = abi_stable::package_version_strings!();
}

/// A driver as it crosses, with the engine's handle for it.
pub fn boxed<D: NetworkDriver>(driver: D, host: Host) -> DriverBox {
    NetworkDriverAbi_TO::from_value(Guard { driver: Quiet::new(driver), host }, TD_Opaque)
}

extern "C" fn new<D: NetworkDriver + Default>(host: HostBox) -> AbiResult<DriverBox> {
    raw("new", || {
        let host = author_side(host);
        install(&host);
        Ok(boxed(D::default(), host))
    })
}

extern "C" fn module<D: NetworkDriver + Default>() -> RootModuleResult {
    erased(|| NetworkModuleVal { new: new::<D> }.leak_into_prefix())
}

/// The header that [`crate::export_plugin!`] exports.
pub const fn header<D: NetworkDriver + Default>() -> LibHeader {
    // SAFETY: `module` returns the erased form of a `NetworkModule`.
    unsafe { LibHeader::from_constructor::<NetworkModule>(module::<D>, CheckTypeLayout::Yes) }
}
