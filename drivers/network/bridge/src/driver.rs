//! The driver: what each call of the engine does, in order, and how it is undone.

use crate::endpoint::{self, Plan, Port};
use crate::error::{Error, Result};
use crate::firewall::Firewall;
use crate::options::{DEFAULT_BRIDGE, Mode, OPTIONS, Pool, Settings};
use crate::ports::Doors;
use crate::records::{Entry, Outward, Published, Records, Zone, ZoneSubnet};
use crate::{advice, bridge, fault, ports, sysctl};
use gantry_driver_shared::inside::{self, Interface};
use gantry_driver_shared::netlink::{Protocol as Netlink, Socket};
use gantry_driver_shared::{nft, report};
use gantry_plugin_api as api;
use gantry_plugin_api::prelude::*;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

/// The network driver `bridge`.
#[derive(Clone, Copy, Default, Debug)]
pub struct Bridge;

/// What the engine keeps for an endpoint.
#[derive(Serialize, Deserialize)]
struct Link {
    bridge: String,
    link: String,
}

impl NetworkDriver for Bridge {
    const OPTIONS: &'static [OptionSpec] = OPTIONS;

    fn capabilities(&self) -> NetworkCapabilities {
        NetworkCapabilities {
            addresses: true,
            ports: true,
            dns: true,
            create: true,
            gateway: true,
            ..NetworkCapabilities::default()
        }
    }

    fn validate(&self, network: &NetworkSpec) -> api::Result<()> {
        Settings::of(network).map(drop)
    }

    fn create(&self, network: &NetworkSpec, _: &[u8], dirs: &Dirs, host: &Host) -> api::Result<Blob> {
        let work = Work::new(network, dirs, host)?;
        if !network.predefined && work.settings.bridge == DEFAULT_BRIDGE {
            return Err(Error::Predefined.during(format!("cannot create network {}", network.name)));
        }
        let mut undo = Undo::default();
        let made = work.open().and_then(|mut socket| work.network(&mut socket, &mut undo));
        made.inspect_err(|_| work.undo(&mut undo))
            .map_err(|error| error.during(format!("cannot create network {}", network.name)))?;
        Ok(blob(&work.settings.bridge))
    }

    fn delete(&self, network: &NetworkSpec, _: &[u8], dirs: &Dirs, host: &Host) -> api::Result<()> {
        let work = Work::new(network, dirs, host)?;
        let firewall = work.forget();
        let deleted = bridge::delete(&work.settings);
        firewall.and(deleted).map_err(|error| error.during(format!("cannot delete network {}", network.name)))
    }

    fn attach(
        &self,
        network: &NetworkSpec,
        _: &[u8],
        endpoint: &EndpointSpec,
        netns: BorrowedFd<'_>,
        dirs: &Dirs,
        host: &Host,
    ) -> api::Result<Attachment> {
        let work = Work::new(network, dirs, host)?;
        let interface = work.settings.interface(endpoint)?;
        work.attach(endpoint, interface, netns).map_err(|error| error.during(report::connect(network, endpoint)))
    }

    fn detach(
        &self,
        network: &NetworkSpec,
        _: &[u8],
        endpoint: &EndpointSpec,
        _: &[u8],
        netns: Option<BorrowedFd<'_>>,
        dirs: &Dirs,
        host: &Host,
    ) -> api::Result<()> {
        let work = Work::new(network, dirs, host)?;
        work.detach(endpoint, netns.is_some()).map_err(|error| error.during(report::disconnect(network, endpoint)))
    }

    fn route(
        &self,
        network: &NetworkSpec,
        _: &[u8],
        endpoint: &EndpointSpec,
        _: &[u8],
        netns: BorrowedFd<'_>,
        dirs: &Dirs,
        host: &Host,
    ) -> api::Result<Vec<Route>> {
        let work = Work::new(network, dirs, host)?;
        let interface = work.settings.interface(endpoint)?;
        work.route(endpoint, &interface, netns).map_err(|error| error.during(report::route(network, endpoint)))
    }

    fn publish(
        &self,
        network: &NetworkSpec,
        endpoint: &EndpointSpec,
        _: &[u8],
        ports: &[PortMapping],
        dirs: &Dirs,
        host: &Host,
    ) -> api::Result<Vec<PortMapping>> {
        let work = Work::new(network, dirs, host)?;
        let published = work.publish_more(endpoint, ports);
        published.map_err(|error| error.during(format!("cannot publish ports of {}", endpoint.container_name)))
    }

    fn unpublish(
        &self,
        network: &NetworkSpec,
        endpoint: &EndpointSpec,
        _: &[u8],
        ports: &[PortMapping],
        dirs: &Dirs,
        host: &Host,
    ) -> api::Result<()> {
        let work = Work::new(network, dirs, host)?;
        work.unpublish(endpoint, ports)
            .map_err(|error| error.during(format!("cannot take back ports of {}", endpoint.container_name)))
    }

    fn reconcile(
        &self,
        network: &NetworkSpec,
        _: &[u8],
        live: &[LiveEndpoint<'_>],
        dirs: &Dirs,
        host: &Host,
    ) -> api::Result<()> {
        let work = Work::new(network, dirs, host)?;
        if network.predefined && live.is_empty() && work.is_unmade() {
            return Ok(());
        }
        work.reconcile(live).map_err(|error| error.during(format!("cannot reconcile network {}", network.name)))
    }
}

/// Inverses of what an attach did.
type Undo<'a> = gantry_driver_shared::undo::Undo<'a, Error>;

/// One call's view of the network.
struct Work<'a> {
    settings: Settings,
    dirs: &'a Dirs,
    host: &'a Host,
}

/// The network as an attach finds it, or makes it.
struct Ground {
    bridge: u32,
    warnings: Vec<String>,
}

impl<'a> Work<'a> {
    fn new(network: &NetworkSpec, dirs: &'a Dirs, host: &'a Host) -> api::Result<Work<'a>> {
        Ok(Work { settings: Settings::of(network)?, dirs, host })
    }

    fn open(&self) -> Result<Socket> {
        Ok(Socket::open(Netlink::Route)?)
    }

    /// Bridge, settings of the kernel, firewall: made if missing.
    fn network<'u>(&'u self, socket: &mut Socket, undo: &mut Undo<'u>) -> Result<Ground> {
        let bridge = match bridge::ready(socket, &self.settings)? {
            Some(index) => index,
            None => self.make_bridge(socket, undo)?,
        };
        fault::step("bridge")?;
        let unforwarded = sysctl::unforwarded(&self.settings);
        let warnings = self.firewall(&unforwarded, undo)?;
        sysctl::forward(&unforwarded, self.host)?;
        fault::step("firewall")?;
        Ok(Ground { bridge, warnings })
    }

    fn make_bridge<'u>(&'u self, socket: &Socket, undo: &mut Undo<'u>) -> Result<u32> {
        let (records, settings) = (Records::new(&self.dirs.state), &self.settings);
        if bridge::ensure(settings, |network| records.zone(network).is_some())? {
            undo.push(|| bridge::delete_unused(settings));
        }
        sysctl::route_localnet(&settings.bridge)?;
        if settings.pools().any(|p| p.mode == Mode::Isolated)
            && settings.pools().all(|p| p.network.is_ipv4() || !p.on_bridge)
        {
            sysctl::disable_ipv6(&settings.bridge)?;
        }
        let failed = |source| Error::LookUp { name: settings.bridge.clone(), source };
        let index = gantry_driver_shared::link::index(socket, &settings.bridge).map_err(failed)?;
        index.ok_or_else(|| failed(std::io::Error::from_raw_os_error(libc::ENODEV)))
    }

    /// Without nf_tables in the kernel networks still work, but say what is missing. Sentences for the user.
    fn firewall<'u>(&'u self, unforwarded: &[u8], undo: &mut Undo<'u>) -> Result<Vec<String>> {
        let ensured = Firewall::open(&self.dirs.state).and_then(|mut firewall| {
            let new = firewall.ensure(&self.zone(), unforwarded, self.host)?;
            Ok((new, firewall))
        });
        match ensured {
            Ok((true, mut firewall)) => {
                undo.push(|| self.forget_unused());
                let droppers = if self.settings.internal { Vec::new() } else { firewall.droppers()? };
                Ok(advice::about(&self.settings, &droppers))
            }
            Ok((false, _)) => Ok(Vec::new()),
            Err(Error::Netlink(error)) if nft::is_missing(&error) => {
                let lacks = "the kernel has no nf_tables";
                let bridge = &self.settings.bridge;
                self.host.warn(&format!("{lacks}: network {bridge} has neither masquerade nor isolation nor ports"));
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    fn zone(&self) -> Zone {
        let s = &self.settings;
        let subnet = |pool: &Pool| ZoneSubnet {
            address: pool.network,
            prefix: pool.prefix,
            outward: match pool.snat {
                _ if !s.masquerade || matches!(pool.mode, Mode::Routed | Mode::Isolated) => Outward::Own,
                Some(source) => Outward::Chosen(source),
                None => Outward::Masquerade,
            },
            unprotected: pool.mode == Mode::NatUnprotected,
            pings: pool.mode == Mode::Routed,
        };
        Zone {
            network: s.network.clone(),
            bridge: s.bridge.clone(),
            subnets: s.pools().map(subnet).collect(),
            icc: s.icc,
            internal: s.internal,
            trusted: s.trusted.clone(),
        }
    }

    fn forget(&self) -> Result<()> {
        match Firewall::open(&self.dirs.state) {
            Err(Error::Netlink(error)) if nft::is_missing(&error) => Ok(()),
            other => other?.forget(&self.zone()),
        }
    }

    /// Undoes the network's elements, unless somebody else has connected to it meanwhile.
    fn forget_unused(&self) -> Result<()> {
        let others = Records::new(&self.dirs.state).all_ports()?;
        if others.iter().any(|p| p.network == self.settings.network) { Ok(()) } else { self.forget() }
    }

    fn attach(&self, endpoint: &EndpointSpec, interface: String, netns: BorrowedFd<'_>) -> Result<Attachment> {
        let mut undo = Undo::default();
        let attached = self.attach_steps(endpoint, interface, netns, &mut undo);
        attached.inspect_err(|_| self.undo(&mut undo))
    }

    fn undo(&self, undo: &mut Undo<'_>) {
        undo.run(|error| {
            self.host.warn(&error.during("undoing a failed connection left something behind").to_string());
        });
    }

    fn attach_steps<'u>(
        &'u self,
        endpoint: &'u EndpointSpec,
        interface: String,
        netns: BorrowedFd<'_>,
        undo: &mut Undo<'u>,
    ) -> Result<Attachment> {
        let mut plan = self.plan(endpoint, interface)?;
        let entered = inside::enter(netns, plan.inside.has_ipv6()).map_err(Error::Namespace)?;
        let mut socket = self.open()?;
        let ground = self.network(&mut socket, undo)?;
        let doors = self.attach_ports(endpoint, undo)?;
        fault::step("ports")?;
        plan.bridge = ground.bridge;
        endpoint::connect(&mut socket, &plan, netns, entered)?;
        let mut warnings = ground.warnings;
        warnings.extend(ports::warnings(&self.settings, endpoint, &doors));
        if plan.port.isolated && !endpoint.links.is_empty() {
            let lacks = "links do not open ports of this network without br_netfilter";
            warnings.push(format!("{lacks}: load it, or publish the ports"));
        }
        Ok(Attachment { published: doors.published, warnings, ..self.attachment(endpoint, plan) })
    }

    fn attach_ports<'u>(&'u self, endpoint: &'u EndpointSpec, undo: &mut Undo<'u>) -> Result<Doors> {
        let mut doors = ports::doors(&self.settings, endpoint, &endpoint.ports)?;
        doors.entries.extend(ports::links(&self.settings, endpoint));
        if !doors.entries.is_empty() {
            undo.push(|| Firewall::open(&self.dirs.state)?.withdraw(&endpoint.id, None));
            self.publish(endpoint, &doors)?;
        }
        Ok(doors)
    }

    fn publish(&self, endpoint: &EndpointSpec, doors: &Doors) -> Result<()> {
        if doors.entries.is_empty() {
            return Ok(());
        }
        self.answer_loopback(&doors.entries)?;
        let opened = Firewall::open(&self.dirs.state);
        let published = opened.and_then(|mut f| f.publish(&self.settings.network, &endpoint.id, &doors.entries));
        published.map_err(|error| match error {
            Error::Netlink(error) if nft::is_missing(&error) => Error::NoFirewall(error),
            other => other,
        })
    }

    fn answer_loopback<'e>(&self, entries: impl IntoIterator<Item = &'e Entry>) -> Result<()> {
        let wanted = entries.into_iter().any(Entry::is_on_loopback6);
        if wanted { bridge::answer_loopback(&mut self.open()?, &self.settings.bridge) } else { Ok(()) }
    }

    fn publish_more(&self, endpoint: &EndpointSpec, ports: &[PortMapping]) -> Result<Vec<PortMapping>> {
        let doors = ports::doors(&self.settings, endpoint, ports)?;
        self.publish(endpoint, &doors)?;
        self.rejoin(&mut self.open()?, endpoint, false)?;
        Ok(doors.published)
    }

    fn unpublish(&self, endpoint: &EndpointSpec, ports: &[PortMapping]) -> Result<()> {
        let doors = ports::doors(&self.settings, endpoint, ports)?;
        if !self.has_ports(endpoint) {
            return Ok(());
        }
        Firewall::open(&self.dirs.state)?.withdraw(&endpoint.id, Some(&doors.entries))
    }

    fn plan(&self, endpoint: &EndpointSpec, name: String) -> Result<Plan> {
        let sysctls = inside::settings(endpoint.options.text("sysctls"), &name)
            .map_err(|text| Error::Option(api::Error::invalid(format!("invalid option \"sysctls\": {text}"))))?;
        let (gateways, _) = self.routes(endpoint);
        Ok(Plan {
            host_name: endpoint::host_name(&endpoint.id),
            bridge: 0,
            inside: Interface {
                name,
                mac: endpoint.mac.unwrap_or_else(|| hardware_address(endpoint)),
                addresses: endpoint.addresses.iter().map(|c| (c.addr, c.prefix)).collect(),
                link_local: endpoint.link_local_addresses.clone(),
                gateways,
                announcements: self.settings.announcements,
            },
            neighbours: endpoint.addresses.iter().map(|c| c.addr).filter(|a| self.is_on_bridge(*a)).collect(),
            sysctls,
            mtu: self.settings.mtu,
            port: self.port(endpoint.ports.is_empty()),
        })
    }

    fn is_on_bridge(&self, address: IpAddr) -> bool {
        self.settings.pool_of(address).is_some_and(|pool| pool.on_bridge)
    }

    /// Neighbours that must not talk are kept apart on the bridge, but where the firewall sees bridged packets of all the
    /// network's families it does so, and lets published ports through. Where it sees those of one, they may be led back
    /// to where they came from.
    fn port(&self, no_ports: bool) -> Port {
        if no_ports && self.settings.icc {
            return Port { isolated: false, hairpin: false };
        }
        let seen: Vec<bool> =
            self.settings.pools().map(|pool| sysctl::filters_bridged(pool.network.is_ipv6())).collect();
        let filtered = seen.iter().all(|family| *family);
        Port { isolated: !self.settings.icc && !filtered, hairpin: !no_ports && seen.contains(&true) }
    }

    /// The gateways that the endpoint can use: none on an internal network.
    fn ways_out(&self, endpoint: &EndpointSpec) -> Vec<IpAddr> {
        if self.settings.internal {
            return Vec::new();
        }
        let reachable = |g: &IpAddr| endpoint.addresses.iter().any(|a| a.addr.is_ipv4() == g.is_ipv4());
        self.settings.pools().filter_map(|pool| pool.gateway).filter(reachable).collect()
    }

    /// The gateways by which it has the container's default routes, and the others.
    fn routes(&self, endpoint: &EndpointSpec) -> (Vec<IpAddr>, Vec<IpAddr>) {
        self.ways_out(endpoint).into_iter().partition(|gateway| inside::carries(endpoint, gateway))
    }

    fn attachment(&self, endpoint: &EndpointSpec, plan: Plan) -> Attachment {
        Attachment {
            routes: plan.inside.gateways.iter().map(inside::told).collect(),
            mac: Some(plan.inside.mac),
            addresses: endpoint.addresses.clone(),
            gateways: self.ways_out(endpoint),
            state: blob(&Link { bridge: self.settings.bridge.clone(), link: plan.host_name }),
            interface: plan.inside.name,
            ..Attachment::default()
        }
    }

    fn route(&self, endpoint: &EndpointSpec, interface: &str, netns: BorrowedFd<'_>) -> Result<Vec<Route>> {
        let mut socket = inside::open(netns).map_err(Error::Namespace)??;
        let (wanted, others) = self.routes(endpoint);
        if !endpoint::reroute(&mut socket, interface, &wanted, &others)? {
            return Err(Error::NotAttached(interface.to_owned()));
        }
        Ok(wanted.iter().map(inside::told).collect())
    }

    /// A link whose namespace is gone goes with it; only one that is left by a living container is deleted here.
    fn detach(&self, endpoint: &EndpointSpec, alive: bool) -> Result<()> {
        let ports = if endpoint.ports.is_empty() && !self.has_ports(endpoint) {
            Ok(())
        } else {
            Firewall::open(&self.dirs.state).and_then(|mut f| f.withdraw(&endpoint.id, None))
        };
        if !alive {
            return ports;
        }
        let link = self.open().and_then(|mut socket| endpoint::remove(&mut socket, &endpoint::host_name(&endpoint.id)));
        ports.and(link)
    }

    fn has_ports(&self, endpoint: &EndpointSpec) -> bool {
        Records::new(&self.dirs.state).ports_of(&endpoint.id).is_some()
    }

    /// True when nobody has used the network yet: then nothing of it need be there.
    fn is_unmade(&self) -> bool {
        let there = gantry_driver_shared::link::flags(&self.settings.bridge);
        matches!(there, Ok(None)) && Records::new(&self.dirs.state).zone(&self.settings.network).is_none()
    }

    fn reconcile(&self, live: &[LiveEndpoint<'_>]) -> Result<()> {
        let mut socket = self.open()?;
        if bridge::ready(&socket, &self.settings)?.is_none() {
            self.make_bridge(&socket, &mut Undo::default())?;
        }
        let unforwarded = sysctl::unforwarded(&self.settings);
        let names: Vec<String> = live.iter().map(|l| endpoint::host_name(&l.endpoint.id)).collect();
        let mut outcome = bridge::sweep(&self.settings, &names);
        for living in live {
            outcome = outcome.and(self.mend(&mut socket, living));
        }
        let published = live.iter().map(|l| self.published(&l.endpoint)).collect::<Result<Vec<_>>>()?;
        let outcome = outcome.and(self.reconcile_firewall(&published, &unforwarded));
        sysctl::forward(&unforwarded, self.host).and(outcome)
    }

    /// One endpoint: its link, its place on the bridge, and what its container should find.
    fn mend(&self, socket: &mut Socket, living: &LiveEndpoint<'_>) -> Result<()> {
        let endpoint = &living.endpoint;
        let Some(netns) = living.netns else { return self.rejoin(socket, endpoint, endpoint.ports.is_empty()) };
        let name = self.settings.interface(endpoint).map_err(Error::Option)?;
        let mut plan = self.plan(endpoint, name)?;
        plan.bridge = bridge::ready(socket, &self.settings)?.unwrap_or_default();
        let entered = inside::enter(netns, plan.inside.has_ipv6()).map_err(Error::Namespace)?;
        endpoint::connect(socket, &plan, netns, entered)?;
        self.rejoin(socket, endpoint, endpoint.ports.is_empty())?;
        self.route(endpoint, &plan.inside.name, netns).map(drop)
    }

    /// A bridge that was deleted and made again has lost its ports; one that gets its first published port needs another
    /// kind of port.
    fn rejoin(&self, socket: &mut Socket, endpoint: &EndpointSpec, no_ports: bool) -> Result<()> {
        let link = (endpoint::host_name(&endpoint.id), self.port(no_ports));
        match bridge::ready(socket, &self.settings)? {
            Some(index) => endpoint::enslave(socket, index, &[link]),
            None => Ok(()),
        }
    }

    fn reconcile_firewall(&self, published: &[Published], unforwarded: &[u8]) -> Result<()> {
        self.answer_loopback(published.iter().flat_map(|p| &p.entries))?;
        let opened = Firewall::open(&self.dirs.state);
        match opened.and_then(|mut f| f.reconcile(&self.zone(), published, unforwarded)) {
            Err(Error::Netlink(error)) if nft::is_missing(&error) && published.iter().all(|p| p.entries.is_empty()) => {
                Ok(())
            }
            other => other,
        }
    }

    fn published(&self, endpoint: &EndpointSpec) -> Result<Published> {
        let mut entries = ports::doors(&self.settings, endpoint, &endpoint.ports)?.entries;
        entries.extend(ports::links(&self.settings, endpoint));
        Ok(Published { network: self.settings.network.clone(), endpoint: endpoint.id.clone(), entries })
    }
}

/// 02:42 and the IPv4 address, as Docker did for long: whoever gets the address again has the same hardware address, and
/// no neighbour remembers a wrong one.
fn hardware_address(endpoint: &EndpointSpec) -> [u8; 6] {
    let ipv4 = |cidr: &Cidr| if let IpAddr::V4(address) = cidr.addr { Some(address.octets()) } else { None };
    let octets = endpoint.addresses.iter().find_map(ipv4);
    let [a, b, c, d] = octets.unwrap_or_else(|| {
        let byte = |at: usize| endpoint.id.get(at..at + 2).and_then(|d| u8::from_str_radix(d, 16).ok()).unwrap_or(0);
        [byte(0), byte(2), byte(4), byte(6)]
    });
    [0x02, 0x42, a, b, c, d]
}

fn blob(value: &impl Serialize) -> Blob {
    serde_json::to_vec(value).unwrap_or_default()
}
