//! One container's endpoints: planned (addresses, ports), noted in the container's directory, attached, detached.

use super::ports::{self, Wanted};
use super::record::NetworkRecord;
use crate::Engine;
use crate::error::{Error, Result};
use gantry_host::Kind;
use gantry_host::NetworkDriver;
use gantry_host::api::network::{Attachment, Cidr, EndpointSpec, PortMapping, Protocol};
use gantry_host::api::options::{Options, Scope};
use gantry_model::container::{Config, EndpointSettings, HostConfig};
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
    /// `aa:bb:…`; empty: none.
    pub mac: String,
    /// N of its interface.
    pub index: u32,
    /// Published ports.
    pub ports: Vec<PortRecord>,
    /// Options of the endpoint, checked.
    pub options: BTreeMap<String, String>,
    /// What the driver wants back.
    pub attachment: Vec<u8>,
    /// False after the end of the run was undone.
    pub attached: bool,
}

/// A published port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRecord {
    /// Address on the host.
    pub host_ip: IpAddr,
    /// Port on the host.
    pub host_port: u16,
    /// Port in the container.
    pub container_port: u16,
    /// IP protocol number.
    pub protocol: u8,
}

impl PortRecord {
    fn mapping(&self) -> PortMapping {
        PortMapping::one(self.host_ip, self.host_port, self.container_port, Protocol(self.protocol))
    }
}

/// An endpoint about to be attached.
pub(crate) struct Planned {
    pub network: NetworkRecord,
    pub driver: NetworkDriver,
    pub endpoint: EndpointRecord,
}

impl EndpointRecord {
    fn spec(&self, container: &str, name: &str) -> EndpointSpec {
        let address = self.address.parse::<Ipv4Addr>().ok();
        EndpointSpec {
            id: self.id.clone(),
            container_id: container.to_owned(),
            container_name: name.to_owned(),
            addresses: address.map(|a| Cidr { addr: a.into(), prefix: self.prefix }).into_iter().collect(),
            mac: parse_mac(&self.mac),
            index: self.index,
            default_route4: self.index == 0,
            default_route6: self.index == 0,
            ports: self.port_mappings(),
            options: Options::from_pairs(self.options.clone()),
            ..EndpointSpec::default()
        }
    }

    /// Its ports as drivers see them.
    pub fn port_mappings(&self) -> Vec<PortMapping> {
        self.ports.iter().map(PortRecord::mapping).collect()
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

    /// Leases an address and claims ports for one endpoint, keeping what an earlier run had.
    pub(crate) fn plan_endpoint(
        &self,
        id: &str,
        (network, driver): (NetworkRecord, NetworkDriver),
        settings: &EndpointSettings,
        wanted: &[Wanted],
        index: u32,
    ) -> Result<Planned> {
        let capabilities = driver.capabilities();
        let mut endpoint = EndpointRecord { id: endpoint_id(id, &network.id), ..EndpointRecord::default() };
        endpoint.network.clone_from(&network.name);
        endpoint.network_id.clone_from(&network.id);
        endpoint.index = index;
        endpoint.options = self.endpoint_options(&network, settings)?;
        if capabilities.addresses && !capabilities.own_ipam {
            self.lease(id, &network, settings, &mut endpoint)?;
        }
        endpoint.mac = mac_for(settings, &endpoint)?;
        if capabilities.ports {
            let claimed = ports::claim_all(&self.layout, id, wanted)?;
            endpoint.ports = claimed.iter().map(port_record).collect();
        }
        Ok(Planned { network, driver, endpoint })
    }

    fn endpoint_options(
        &self,
        network: &NetworkRecord,
        settings: &EndpointSettings,
    ) -> Result<BTreeMap<String, String>> {
        let given: Vec<_> = settings.driver_opts.clone().unwrap_or_default().into_iter().collect();
        if given.is_empty() {
            return Ok(BTreeMap::new());
        }
        let options = self.plugins.check_options(Kind::Network, &network.driver, Scope::ENDPOINT, &given)?;
        Ok(options.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
    }

    fn lease(
        &self,
        id: &str,
        network: &NetworkRecord,
        settings: &EndpointSettings,
        endpoint: &mut EndpointRecord,
    ) -> Result<()> {
        let (Some(leases), Some(cidr)) = (self.leases(network), network.cidr()) else { return Ok(()) };
        let wanted = settings.ipam_config.as_ref().map_or("", |c| c.ipv4_address.as_str());
        let address = if wanted.is_empty() {
            leases.allocate(id)?
        } else {
            leases.allocate_static(static_address(wanted, network)?, id)?
        };
        endpoint.address = address.to_string();
        endpoint.prefix = cidr.prefix();
        endpoint.gateway = network.gateway().map(|g| g.to_string()).unwrap_or_default();
        Ok(())
    }

    /// Connects the namespace; the endpoint must be noted before.
    pub(crate) fn attach_endpoint(
        &self,
        id: &str,
        name: &str,
        planned: &mut Planned,
        netns: BorrowedFd<'_>,
    ) -> Result<()> {
        let spec = planned.endpoint.spec(id, name);
        let dirs = self.driver_dirs("network", &planned.network.driver);
        let attachment: Attachment =
            planned.driver.attach(&planned.network.spec(), &planned.network.state, &spec, netns, &dirs)?;
        planned.endpoint.interface = attachment.interface;
        planned.endpoint.attachment = attachment.state;
        planned.endpoint.attached = true;
        if let Some(mac) = attachment.mac {
            planned.endpoint.mac = format_mac(mac);
        }
        if let Some(own) = attachment.addresses.first().filter(|_| planned.endpoint.address.is_empty()) {
            planned.endpoint.address = own.addr.to_string();
            planned.endpoint.prefix = own.prefix;
        }
        Ok(())
    }

    /// Undoes what is noted; goes on after a failure and reports the first.
    pub(crate) fn detach_endpoints(&self, id: &str, name: &str) -> Result<()> {
        let mut endpoints = self.endpoints(id)?;
        let mut failure = None;
        for endpoint in endpoints.iter_mut() {
            match self.detach_endpoint(id, name, endpoint) {
                Ok(()) => endpoint.attached = false,
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        match failure {
            // Nothing is left of them, and their note goes with the runtime directory.
            None => Ok(()),
            Some(error) => self.write_endpoints(id, &endpoints).and(Err(error)),
        }
    }

    fn detach_endpoint(&self, id: &str, name: &str, endpoint: &EndpointRecord) -> Result<()> {
        if !endpoint.attached {
            return Ok(());
        }
        ports::release_all(&self.layout, id, &endpoint.port_mappings());
        let Some(network) = self.read_network(&endpoint.network)? else { return Ok(()) };
        let driver = self.plugins.network(&network.driver)?;
        let dirs = self.driver_dirs("network", &network.driver);
        let spec = endpoint.spec(id, name);
        Ok(driver.detach(&network.spec(), &network.state, &spec, &endpoint.attachment, None, &dirs)?)
    }

    /// Gives the addresses of a removed container back.
    pub(crate) fn release_addresses(&self, id: &str) -> Result<()> {
        for name in self.recorded_networks() {
            let Some(network) = self.read_network(&name)? else { continue };
            if let Some(leases) = self.leases(&network) {
                leases.release(id)?;
            }
        }
        Ok(())
    }
}

/// The ports a container wants published: its bindings, and all exposed ones with `-P`.
pub(crate) fn wanted_ports(config: &Config, host: &HostConfig) -> Result<Vec<Wanted>> {
    let mut wanted = Vec::new();
    for (key, bindings) in &host.port_bindings {
        let (container_port, protocol) = exposed_port(key)?;
        for binding in bindings.iter().flatten() {
            let (first, last) = host_range(&binding.host_port)?;
            let host_ip = ports::parse_host_ip(&binding.host_ip)?;
            wanted.push(Wanted { host_ip, first, last, container_port, protocol });
        }
    }
    if host.publish_all_ports {
        for key in config.exposed_ports.iter().flat_map(|m| m.keys()) {
            let (container_port, protocol) = exposed_port(key)?;
            if !wanted.iter().any(|w| (w.container_port, w.protocol) == (container_port, protocol)) {
                wanted.push(Wanted {
                    host_ip: Ipv4Addr::UNSPECIFIED.into(),
                    first: 0,
                    last: 0,
                    container_port,
                    protocol,
                });
            }
        }
    }
    Ok(wanted)
}

fn exposed_port(key: &str) -> Result<(u16, Protocol)> {
    ports::parse_port(key).ok_or_else(|| Error::invalid(format!("invalid containerPort: {key}")))
}

fn host_range(text: &str) -> Result<(u16, u16)> {
    let invalid = |_| Error::invalid(format!("invalid hostPort: {text}"));
    if text.is_empty() {
        return Ok((0, 0));
    }
    match text.split_once('-') {
        Some((first, last)) => Ok((first.parse().map_err(invalid)?, last.parse().map_err(invalid)?)),
        None => text.parse().map(|p| (p, p)).map_err(invalid),
    }
}

fn static_address(text: &str, network: &NetworkRecord) -> Result<Ipv4Addr> {
    let address: Ipv4Addr = text.parse().map_err(|_| Error::invalid(format!("invalid IPv4 address: {text}")))?;
    if network.cidr().is_some_and(|c| c.contains(address)) {
        return Ok(address);
    }
    Err(Error::invalid(format!("address {address} does not belong to any of this network's subnets")))
}

fn port_record(mapping: &PortMapping) -> PortRecord {
    PortRecord {
        host_ip: mapping.host_ip,
        host_port: mapping.host_port,
        container_port: mapping.container_port,
        protocol: mapping.protocol.0,
    }
}

/// One container has one endpoint on one network, whenever it runs.
fn endpoint_id(container: &str, network: &str) -> String {
    gantry_image::sha256(format!("{container} {network}").as_bytes()).hex()
}

/// The address given, or one of the endpoint's own: locally administered, unicast, the same in every run.
fn mac_for(settings: &EndpointSettings, endpoint: &EndpointRecord) -> Result<String> {
    if !settings.mac_address.is_empty() {
        let parsed = parse_mac(&settings.mac_address);
        let invalid = || Error::invalid(format!("{} is not a valid mac address", settings.mac_address));
        return parsed.map(format_mac).ok_or_else(invalid);
    }
    let digit = |i: usize| u8::from_str_radix(endpoint.id.get(i..i + 2).unwrap_or("00"), 16).unwrap_or(0);
    let mut mac: [u8; 6] = std::array::from_fn(|i| digit(2 * i));
    mac[0] = (mac[0] & 0xfc) | 0x02;
    Ok(format_mac(mac))
}

fn parse_mac(text: &str) -> Option<[u8; 6]> {
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
