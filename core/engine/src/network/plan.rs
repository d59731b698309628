//! From a container's networks to endpoints: addresses leased, ports claimed, the default route given to one of them.

use super::claims::Claims;
use super::endpoint::{EndpointRecord, Planned, endpoint_id, mac_for};
use super::ports::{self, Wanted};
use super::record::{NetworkRecord, Pool};
use crate::Engine;
use crate::container::ContainerFile;
use crate::error::{Error, Result};
use crate::spec::NetworkNamespace;
use gantry_host::api::options::Scope;
use gantry_host::{Kind, NetworkDriver};
use gantry_model::class::Class;
use gantry_model::container::{Config, EndpointSettings, HostConfig};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

/// A container's networks, before its namespace exists.
pub(crate) struct NetworkPlan {
    pub netns: NetworkNamespace,
    pub planned: Vec<Planned>,
    /// Bound ports, for the keeper to hold.
    pub sockets: Vec<OwnedFd>,
    pub warnings: Vec<String>,
}

impl NetworkPlan {
    fn without(netns: NetworkNamespace) -> NetworkPlan {
        NetworkPlan { netns, planned: Vec::new(), sockets: Vec::new(), warnings: Vec::new() }
    }
}

impl Engine {
    /// Leases and claims everything a container wants of its networks.
    pub(crate) fn plan_network(&self, file: &ContainerFile) -> Result<NetworkPlan> {
        if let Some(other) = file.host.network_mode.strip_prefix("container:") {
            let pid = self.running_pid(other, "network")?;
            return Ok(NetworkPlan::without(NetworkNamespace::Path(format!("/proc/{pid}/ns/net").into())));
        }
        let wanted = ports::wanted_ports(&file.config, &file.host, &self.everywhere())?;
        let mut plan = NetworkPlan::without(NetworkNamespace::New);
        for (name, settings) in self.joined(file) {
            let (network, driver) = self.network_by_reference(&name)?;
            if driver.capabilities().host_namespace {
                plan.netns = NetworkNamespace::Host;
                discard(&mut plan, &wanted, "when using host network mode");
                return Ok(plan);
            }
            let index = plan.planned.len() as u32;
            plan.planned.push(self.plan_endpoint(file, (network, driver), &settings, index)?);
        }
        choose_routes(&mut plan.planned);
        self.add_peers(file, &mut plan.planned)?;
        self.plan_ports(&file.id, &mut plan, &wanted)?;
        Ok(plan)
    }

    /// The networks of a request by their true names, and the order of joining: the mode's first, the others as they were
    /// given. Makes nothing but predefined networks.
    pub(crate) fn resolve_networks(
        &self,
        config: &Config,
        host: &mut HostConfig,
        given: Vec<(String, EndpointSettings)>,
    ) -> Result<(BTreeMap<String, EndpointSettings>, Vec<String>)> {
        if let Some(other) = host.network_mode.strip_prefix("container:") {
            if other.is_empty() {
                return Err(Error::invalid("invalid network mode: invalid container format container:<name|id>"));
            }
            self.resolve(other)?;
            check_shared(config, host)?;
            return Ok((BTreeMap::new(), Vec::new()));
        }
        let (first, driver) = self.network_by_reference(&host.network_mode)?;
        let private = |driver: &NetworkDriver| {
            let capabilities = driver.capabilities();
            capabilities.host_namespace || !capabilities.addresses
        };
        let mode = first.name.clone();
        let (mut networks, mut joined) = (BTreeMap::new(), vec![mode.clone()]);
        for (name, settings) in given {
            if self.network_name(&name) == mode {
                self.check_settings(&first, &settings)?;
                networks.insert(mode.clone(), settings);
                continue;
            }
            let (network, other) = self.network_by_reference(&name)?;
            self.check_settings(&network, &settings)?;
            if network.name != mode {
                if private(&driver) || private(&other) {
                    return Err(mixed_modes());
                }
                if joined.contains(&network.name) {
                    return Err(Error::invalid(format!("network \"{name}\" is specified multiple times")));
                }
                joined.push(network.name.clone());
            }
            networks.insert(network.name, settings);
        }
        // Kept as it was written, but for an id: those are for the moment.
        if self.network_name(&host.network_mode) != mode {
            host.network_mode = mode;
        }
        Ok((networks, joined))
    }

    /// The networks of a container in the order of joining.
    pub(crate) fn joined(&self, file: &ContainerFile) -> Vec<(String, EndpointSettings)> {
        let settings = |name: &String| file.networks.get(name).cloned().unwrap_or_default();
        if let Some(joined) = &file.joined {
            return joined.iter().map(|name| (name.clone(), settings(name))).collect();
        }
        let mode = self.network_name(&file.host.network_mode).to_owned();
        let others = file.networks.keys().filter(|name| **name != mode && *name != "default");
        std::iter::once(&mode).chain(others).map(|name| (name.clone(), settings(name))).collect()
    }

    /// Leases addresses for one endpoint, keeping what an earlier run had.
    pub(crate) fn plan_endpoint(
        &self,
        file: &ContainerFile,
        (network, driver): (NetworkRecord, NetworkDriver),
        settings: &EndpointSettings,
        index: u32,
    ) -> Result<Planned> {
        let capabilities = driver.capabilities();
        let mut endpoint = EndpointRecord {
            id: endpoint_id(&file.id, &network.id),
            network: network.name.clone(),
            network_id: network.id.clone(),
            index,
            priority: settings.gw_priority,
            internal: network.internal,
            options: self.endpoint_options(&network, settings)?,
            ..EndpointRecord::default()
        };
        if capabilities.addresses && !capabilities.own_ipam {
            network.pools.iter().try_for_each(|pool| self.lease(&file.id, &network, pool, settings, &mut endpoint))?;
            endpoint.link_local = link_locals(settings)?;
        }
        if capabilities.addresses || capabilities.own_ipam {
            endpoint.mac = mac_for(&settings.mac_address, &endpoint.id)?;
        }
        if capabilities.dns && !network.predefined {
            endpoint.names = self.endpoint_names(file, settings)?;
        }
        Ok(Planned { network, driver, endpoint })
    }

    fn endpoint_names(&self, file: &ContainerFile, settings: &EndpointSettings) -> Result<Vec<String>> {
        let name = gantry_store::containers::read(&self.layout, &file.id).map(|r| r.name)?;
        let mut names = vec![name];
        names.extend(settings.aliases.iter().flatten().cloned());
        names.push(file.id[..12].to_owned());
        names.push(file.config.hostname.clone());
        let mut seen = std::collections::BTreeSet::new();
        names.retain(|name| !name.is_empty() && seen.insert(name.to_lowercase()));
        Ok(names)
    }

    fn endpoint_options(
        &self,
        network: &NetworkRecord,
        settings: &EndpointSettings,
    ) -> Result<BTreeMap<String, String>> {
        let mut given = self.known_options(network, settings);
        given.extend(self.asks_driver(network, settings)?);
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
        pool: &Pool,
        settings: &EndpointSettings,
        endpoint: &mut EndpointRecord,
    ) -> Result<()> {
        let v6 = pool.subnet.is_v6();
        if !endpoint.address_of(v6).is_empty() {
            return Ok(());
        }
        let wanted = wanted_address(settings, v6);
        let inside = |address: &IpAddr| pool.subnet.contains(*address);
        let address = match static_address(wanted, v6, network)? {
            Some(address) if inside(&address) => self.leases(&network.name, pool).allocate_static(address, id)?,
            Some(_) => return Ok(()),
            None => self.leases(&network.name, pool).allocate(id)?,
        };
        let gateway = pool.gateway.filter(|_| !network.internal);
        endpoint.set_address(address, pool.subnet.prefix(), gateway);
        Ok(())
    }

    /// Gives the ports to the endpoint with the way out, or to the first that can have them.
    fn plan_ports(&self, id: &str, plan: &mut NetworkPlan, wanted: &[Wanted]) -> Result<()> {
        Claims::new(&self.layout).release_all(id)?;
        if wanted.is_empty() {
            return Ok(());
        }
        let Some(at) = carrier(&plan.planned) else {
            discard(plan, wanted, "because none of the container's networks publishes ports");
            return Ok(());
        };
        let listened = listens_itself(&plan.planned[at]);
        let claimed = Claims::new(&self.layout).listened(listened).claim(id, wanted)?;
        plan.planned[at].endpoint.ports = claimed.mappings.iter().map(Into::into).collect();
        if !listened {
            plan.sockets = claimed.sockets;
        }
        Ok(())
    }
}

/// Which endpoint published ports lead to.
pub(crate) fn carrier(planned: &[Planned]) -> Option<usize> {
    let able = |p: &Planned| p.driver.capabilities().ports && !p.network.internal;
    let routed = planned.iter().position(|p| able(p) && (p.endpoint.default4 || p.endpoint.default6));
    routed.or_else(|| planned.iter().position(able))
}

/// A driver that works without root cannot lead ports past the machine's own network: a process of its own listens there,
/// and nobody else may be in its way.
pub(super) fn listens_itself(planned: &Planned) -> bool {
    planned.driver.capabilities().rootless
}

/// The default route of each family goes to the endpoint of the highest priority that leads out; among equals to one
/// that leads out by both families, then to the one that was joined first.
pub(crate) fn choose_routes(planned: &mut [Planned]) {
    for v6 in [false, true] {
        let rank = |p: &Planned| (p.endpoint.priority, leads_out(p, false) && leads_out(p, true));
        let mut best: Option<usize> = None;
        for (at, one) in planned.iter().enumerate().filter(|(_, p)| leads_out(p, v6)) {
            if best.is_none_or(|b| rank(one) > rank(&planned[b])) {
                best = Some(at);
            }
        }
        for (at, one) in planned.iter_mut().enumerate() {
            let chosen = best == Some(at);
            if v6 { one.endpoint.default6 = chosen } else { one.endpoint.default4 = chosen }
        }
    }
}

fn leads_out(planned: &Planned, v6: bool) -> bool {
    let endpoint = &planned.endpoint;
    let gateway = if v6 { &endpoint.gateway6 } else { &endpoint.gateway };
    let comes_later = planned.driver.capabilities().own_ipam || planned.network.ipam_driver == super::dhcp::NAME;
    let unknown = comes_later && endpoint.address.is_empty() && endpoint.address6.is_empty();
    !planned.network.internal && (!gateway.is_empty() || unknown)
}

fn mixed_modes() -> Error {
    Error::invalid("conflicting options: cannot attach both user-defined and non-user-defined network-modes")
}

/// What a container cannot have of its own when it shares another's namespace.
fn check_shared(config: &Config, host: &HostConfig) -> Result<()> {
    let some = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|l| !l.is_empty());
    let conflicts = [
        ("hostname and the network mode", !config.hostname.is_empty()),
        ("container type network can't be used with links", some(&host.links)),
        (
            "dns and the network mode",
            !host.dns.is_empty() || !host.dns_search.is_empty() || !host.dns_options.is_empty(),
        ),
        ("custom host-to-IP mapping and the network mode", some(&host.extra_hosts)),
        (
            "port publishing and the container type network mode",
            !host.port_bindings.is_empty() || host.publish_all_ports,
        ),
    ];
    match conflicts.iter().find(|(_, is)| *is) {
        Some((what, _)) => Err(Error::invalid(format!("conflicting options: {what}"))),
        None => Ok(()),
    }
}

fn discard(plan: &mut NetworkPlan, wanted: &[Wanted], why: &str) {
    if !wanted.is_empty() {
        plan.warnings.push(format!("Published ports are discarded {why}"));
    }
}

/// What the user asked for of one family; empty: nothing.
fn wanted_address(settings: &EndpointSettings, v6: bool) -> &str {
    let ipam = settings.ipam_config.as_ref();
    ipam.map_or("", |c| if v6 { c.ipv6_address.as_str() } else { c.ipv4_address.as_str() })
}

fn static_address(text: &str, v6: bool, network: &NetworkRecord) -> Result<Option<IpAddr>> {
    if text.is_empty() {
        return Ok(None);
    }
    let family = if v6 { "IPv6" } else { "IPv4" };
    let parsed = text.parse::<IpAddr>().ok().filter(|a| a.is_ipv6() == v6);
    let address = parsed.ok_or_else(|| Error::invalid(format!("invalid {family} address: {text}")))?;
    if network.pools.iter().any(|p| p.subnet.contains(address)) {
        return Ok(Some(address));
    }
    let subnets: Vec<String> = network.pools.iter().map(|p| p.subnet.to_string()).collect();
    let message = format!("address {address} does not belong to any of this network's subnets");
    Err(Error::invalid(message).with_hint(format!("network {} has {}", network.name, subnets.join(", "))))
}

fn link_locals(settings: &EndpointSettings) -> Result<Vec<IpAddr>> {
    let texts = settings.ipam_config.iter().flat_map(|c| &c.link_local_ips);
    let invalid = |text: &String| Error::invalid(format!("invalid link-local IP address: {text}"));
    let parse = |text: &String| text.parse().ok().filter(is_link_local).ok_or_else(|| invalid(text));
    texts.map(parse).collect()
}

fn is_link_local(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

impl Engine {
    /// What may be said of a network only when its user made it.
    pub(crate) fn check_settings(&self, network: &NetworkRecord, settings: &EndpointSettings) -> Result<()> {
        let addressed = !wanted_address(settings, false).is_empty() || !wanted_address(settings, true).is_empty();
        if network.predefined && addressed {
            return Err(Error::invalid("user specified IP address is supported on user defined networks only"));
        }
        if network.predefined && settings.aliases.as_ref().is_some_and(|a| !a.is_empty()) {
            let message = "network-scoped aliases are only supported for user-defined networks";
            return Err(Error::request(Class::Invalid, message));
        }
        if self.asks_driver(network, settings)?.is_none() {
            [false, true].into_iter().try_for_each(|v6| check_address(network, wanted_address(settings, v6), v6))?;
        }
        link_locals(settings)?;
        mac_for(&settings.mac_address, "").map(drop)
    }

    /// The addresses that a user wants, as an option of the endpoint, for a driver that gives addresses itself and has
    /// this option.
    fn asks_driver(&self, network: &NetworkRecord, settings: &EndpointSettings) -> Result<Option<(String, String)>> {
        let wanted: Vec<&str> =
            [false, true].map(|v6| wanted_address(settings, v6)).into_iter().filter(|text| !text.is_empty()).collect();
        if wanted.is_empty() || !network.pools.is_empty() || network.ipam_driver == super::dhcp::NAME {
            return Ok(None);
        }
        let manifest = self.plugins.manifest(Kind::Network, &network.driver)?;
        let options = manifest.driver(Kind::Network).map(|driver| driver.options.as_slice()).unwrap_or_default();
        if !options.iter().any(|option| option.key == ADDRESSES && option.scope == Scope::ENDPOINT) {
            return Ok(None);
        }
        if settings.driver_opts.as_ref().is_some_and(|given| given.contains_key(ADDRESSES)) {
            return Err(Error::invalid("--ip and driver-opt=ip exclude each other"));
        }
        Ok(Some((ADDRESSES.to_owned(), wanted.join(","))))
    }
}

/// The option in which drivers with addresses of their own are told those that a user wants.
const ADDRESSES: &str = "ip";

fn check_address(network: &NetworkRecord, text: &str, v6: bool) -> Result<()> {
    static_address(text, v6, network)?;
    if !text.is_empty() && network.pool(v6).is_none() {
        let family = if v6 { "IPv6" } else { "IPv4" };
        return Err(Error::invalid(format!("network {} has no {family} subnet", network.name)));
    }
    Ok(())
}
