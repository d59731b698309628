//! One container's endpoints: what is noted of them while the container runs, and what drivers are told. Planning is in
//! `plan`, changes of running containers in `connect`.

use super::dhcp::{self, LeaseRecord};
use super::record::NetworkRecord;
use crate::Engine;
use crate::error::{Error, Result};
use gantry_host::NetworkDriver;
use gantry_host::api::network::{Attachment, Cidr, EndpointSpec, NetworkSpec, PeerPort, PortMapping, Protocol, Subnet};
use gantry_host::api::options::Options;
use gantry_store::atomic::{self, Durability};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

/// What is kept of an endpoint while its container runs, in the container's runtime directory. What must outlive a run
/// is the lease; identity and MAC address follow from the container's and the network's ids.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointRecord {
    /// The network's name.
    pub network: String,
    /// The network's id.
    pub network_id: String,
    /// 64 hex digits.
    pub id: String,
    /// Interface name in the container.
    pub interface: String,
    /// IPv4 address; empty: none.
    pub address: String,
    /// Its prefix length.
    pub prefix: u8,
    /// The gateway; empty: none.
    pub gateway: String,
    /// IPv6 address; empty: none.
    pub address6: String,
    /// Its prefix length.
    pub prefix6: u8,
    /// The IPv6 gateway; empty: none.
    pub gateway6: String,
    /// Further addresses of link scope.
    pub link_local: Vec<IpAddr>,
    /// `aa:bb:…`; empty: none.
    pub mac: String,
    /// N of its interface.
    pub index: u32,
    /// Whose default route wins.
    pub priority: i64,
    /// It carries the IPv4 default route.
    pub default4: bool,
    /// It carries the IPv6 default route.
    pub default6: bool,
    /// The network has no way out.
    pub internal: bool,
    /// Names under which others on the network find the container; none: names do not resolve there.
    pub names: Vec<String>,
    /// Published ports.
    pub ports: Vec<PortRecord>,
    /// Neighbours' ports it may use though the network keeps its containers apart.
    pub links: Vec<PeerRecord>,
    /// Options of the endpoint, checked.
    pub options: BTreeMap<String, String>,
    /// What the driver wants back.
    pub attachment: Vec<u8>,
    /// What a DHCP server gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseRecord>,
    /// False after the end of the run was undone.
    pub attached: bool,
}

/// A published port, or a range of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRecord {
    /// Address on the host.
    pub host_ip: IpAddr,
    /// First port on the host.
    pub host_port: u16,
    /// First port in the container.
    pub container_port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// How many.
    #[serde(default = "one")]
    pub count: u16,
}

fn one() -> u16 {
    1
}

/// A port of a linked container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRecord {
    /// Its address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// IP protocol number.
    pub protocol: u8,
}

impl PortRecord {
    /// As drivers see it.
    pub fn mapping(&self) -> PortMapping {
        let one = PortMapping::one(self.host_ip, self.host_port, self.container_port, Protocol(self.protocol));
        PortMapping { count: self.count, ..one }
    }
}

impl From<&PortMapping> for PortRecord {
    fn from(mapping: &PortMapping) -> PortRecord {
        PortRecord {
            host_ip: mapping.host_ip,
            host_port: mapping.host_port,
            container_port: mapping.container_port,
            protocol: mapping.protocol.0,
            count: mapping.count,
        }
    }
}

/// An endpoint about to be attached, or one whose network is at hand.
pub(crate) struct Planned {
    pub network: NetworkRecord,
    pub driver: NetworkDriver,
    pub endpoint: EndpointRecord,
}

impl EndpointRecord {
    /// As the driver sees it.
    pub fn spec(&self, container: &str, name: &str) -> EndpointSpec {
        let peer = |p: &PeerRecord| PeerPort { address: p.address, port: p.port, protocol: Protocol(p.protocol) };
        EndpointSpec {
            id: self.id.clone(),
            container_id: container.to_owned(),
            container_name: name.to_owned(),
            addresses: self.cidrs(),
            link_local_addresses: self.link_local.clone(),
            mac: parse_mac(&self.mac),
            index: self.index,
            default_route4: self.default4,
            default_route6: self.default6,
            ports: self.port_mappings(),
            links: self.links.iter().map(peer).collect(),
            options: Options::from_pairs(self.options.clone()),
        }
    }

    /// The endpoint's network as the driver sees it: what a DHCP server told of the subnet is known to the endpoint alone.
    pub fn network_spec(&self, network: &NetworkRecord) -> NetworkSpec {
        let mut spec = network.spec();
        if let (true, Ok(address)) = (network.ipam_driver == dhcp::NAME, self.address.parse::<Ipv4Addr>()) {
            let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix.min(32))).unwrap_or(0);
            let subnet = Cidr { addr: Ipv4Addr::from(u32::from(address) & mask).into(), prefix: self.prefix };
            let gateway = self.gateway.parse().ok();
            spec.subnets.push(Subnet { subnet, gateway, ip_range: None, aux_addresses: Vec::new() });
        }
        spec
    }

    fn cidrs(&self) -> Vec<Cidr> {
        let cidr = |address: &str, prefix| Some(Cidr { addr: address.parse().ok()?, prefix });
        cidr(&self.address, self.prefix).into_iter().chain(cidr(&self.address6, self.prefix6)).collect()
    }

    /// Its addresses, IPv4 first.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        [&self.address, &self.address6].into_iter().filter_map(|a| a.parse().ok())
    }

    /// Its address of a family; empty: none.
    pub fn address_of(&self, v6: bool) -> &str {
        if v6 { &self.address6 } else { &self.address }
    }

    /// Its ports as drivers see them.
    pub fn port_mappings(&self) -> Vec<PortMapping> {
        self.ports.iter().map(PortRecord::mapping).collect()
    }

    /// Notes an address and the gateway to it.
    pub fn set_address(&mut self, address: IpAddr, prefix: u8, gateway: Option<IpAddr>) {
        let gateway = gateway.map(|g| g.to_string()).unwrap_or_default();
        if address.is_ipv6() {
            (self.address6, self.prefix6, self.gateway6) = (address.to_string(), prefix, gateway);
        } else {
            (self.address, self.prefix, self.gateway) = (address.to_string(), prefix, gateway);
        }
    }

    /// What the driver made of it.
    fn take(&mut self, attachment: Attachment) -> Vec<String> {
        for own in attachment.addresses.iter().filter(|a| !a.addr.is_multicast()) {
            if self.address_of(own.addr.is_ipv6()).is_empty() {
                let gateway = attachment.gateways.iter().find(|g| g.is_ipv6() == own.addr.is_ipv6()).copied();
                self.set_address(own.addr, own.prefix, gateway);
            }
        }
        if let Some(mac) = attachment.mac {
            self.mac = format_mac(mac);
        }
        self.interface = attachment.interface;
        self.ports = attachment.published.iter().map(PortRecord::from).collect();
        self.attachment = attachment.state;
        self.attached = true;
        attachment.warnings
    }
}

impl Engine {
    fn endpoints_path(&self, id: &str) -> PathBuf {
        self.layout.container_state(id).join("network.json")
    }

    /// The endpoints noted for a container.
    pub(crate) fn endpoints(&self, id: &str) -> Result<Vec<EndpointRecord>> {
        Ok(atomic::read_json_optional(&self.endpoints_path(id))?.unwrap_or_default())
    }

    pub(crate) fn write_endpoints(&self, id: &str, endpoints: &[EndpointRecord]) -> Result<()> {
        Ok(atomic::write_json(&self.endpoints_path(id), &endpoints, Durability::Rename)?)
    }

    /// An endpoint's network and driver; `None` when the network is gone.
    pub(crate) fn planned(&self, endpoint: &EndpointRecord) -> Result<Option<Planned>> {
        let Some(network) = self.read_network(&endpoint.network)?.filter(|n| n.id == endpoint.network_id) else {
            return Ok(None);
        };
        let driver = self.plugins.network(&network.driver)?;
        Ok(Some(Planned { network, driver, endpoint: endpoint.clone() }))
    }

    /// Connects the namespace; the endpoint must be noted before. Answers warnings.
    pub(crate) fn attach_endpoint(
        &self,
        id: &str,
        name: &str,
        planned: &mut Planned,
        netns: BorrowedFd<'_>,
    ) -> Result<Vec<String>> {
        let mut warnings = self.attach_once(id, name, planned, netns)?;
        if planned.network.ipam_driver == dhcp::NAME && planned.endpoint.lease.is_none() {
            self.obtain_lease(id, &planned.network, &mut planned.endpoint, netns)?;
            warnings = self.attach_once(id, name, planned, netns)?;
        }
        let network = &planned.network;
        self.tell_network("connect", &network.id, &network.name, &network.driver, Some(id));
        Ok(warnings)
    }

    /// The driver's part. An interface that is there gets what it lacks.
    pub(super) fn attach_once(
        &self,
        id: &str,
        name: &str,
        planned: &mut Planned,
        netns: BorrowedFd<'_>,
    ) -> Result<Vec<String>> {
        let Planned { network, driver, endpoint } = planned;
        let dirs = self.driver_dirs("network", &network.driver);
        let (network_spec, spec) = (endpoint.network_spec(network), endpoint.spec(id, name));
        let attachment = driver.attach(&network_spec, &network.state, &spec, netns, &dirs)?;
        Ok(endpoint.take(attachment))
    }

    /// Undoes what is noted; goes on after a failure and reports the first.
    pub(crate) fn detach_endpoints(&self, id: &str, name: &str) -> Result<()> {
        let mut endpoints = self.endpoints(id)?;
        let mut failure = None;
        for endpoint in endpoints.iter_mut() {
            match self.detach_endpoint(id, name, endpoint, None) {
                Ok(()) => endpoint.attached = false,
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        match failure {
            // Nothing is left of them, and their note goes with the runtime directory.
            None => super::claims::Claims::new(&self.layout).release_all(id),
            Some(error) => self.write_endpoints(id, &endpoints).and(Err(error)),
        }
    }

    /// Takes one endpoint away; `netns` is there when its container lives on.
    pub(crate) fn detach_endpoint(
        &self,
        id: &str,
        name: &str,
        endpoint: &EndpointRecord,
        netns: Option<BorrowedFd<'_>>,
    ) -> Result<()> {
        if !endpoint.attached {
            return Ok(());
        }
        self.forget_member(id, endpoint)?;
        let Some(planned) = self.planned(endpoint)? else { return Ok(()) };
        self.release_lease(&planned, (id, name), netns);
        let Planned { network, driver, .. } = planned;
        let dirs = self.driver_dirs("network", &network.driver);
        let spec = endpoint.spec(id, name);
        driver.detach(&endpoint.network_spec(&network), &network.state, &spec, &endpoint.attachment, netns, &dirs)?;
        self.tell_network("disconnect", &network.id, &network.name, &network.driver, Some(id));
        Ok(())
    }

    /// Gives the addresses of a removed container back.
    pub(crate) fn release_addresses(&self, id: &str) -> Result<()> {
        self.recorded_networks().iter().try_for_each(|name| self.release_addresses_on(name, id))
    }

    /// Gives a container's addresses on one network back.
    pub(crate) fn release_addresses_on(&self, network: &str, id: &str) -> Result<()> {
        for path in super::ipam::held(&self.leases_dir(network), id)? {
            match std::fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io(format!("release address {}", path.display()))(e));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// One container has one endpoint on one network, whenever it runs.
pub(crate) fn endpoint_id(container: &str, network: &str) -> String {
    gantry_image::sha256(format!("{container} {network}").as_bytes()).hex()
}

/// The address given, or one of the endpoint's own: locally administered, unicast, the same in every run.
pub(crate) fn mac_for(given: &str, endpoint: &str) -> Result<String> {
    if !given.is_empty() {
        return gantry_model::network::parse_mac(given).map_err(|error| Error::invalid(error.to_string()));
    }
    let digit = |i: usize| u8::from_str_radix(endpoint.get(i..i + 2).unwrap_or("00"), 16).unwrap_or(0);
    let mut mac: [u8; 6] = std::array::from_fn(|i| digit(2 * i));
    mac[0] = (mac[0] & 0xfc) | 0x02;
    Ok(format_mac(mac))
}

pub(super) fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0u8; 6];
    let mut parts = text.split([':', '-']);
    for byte in &mut mac {
        *byte = u8::from_str_radix(parts.next().filter(|p| p.len() == 2)?, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}

fn format_mac(mac: [u8; 6]) -> String {
    mac.map(|b| format!("{b:02x}")).join(":")
}
