//! The driver: what each call of the engine does, in order, and how it is undone.

use crate::endpoint::{self, Plan, Port};
use crate::error::{Error, Result};
use crate::firewall::Firewall;
use crate::options::{OPTIONS, Settings};
use crate::records::{Published, Records, Zone};
use crate::{bridge, fault, ports, sysctl};
use gantry_driver_shared::netlink::{Protocol as Netlink, Socket};
use gantry_driver_shared::nft;
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
        let made = work.open().and_then(|mut socket| work.network(&mut socket, &mut Undo::default()));
        made.map_err(|error| error.during(format!("cannot create network {}", network.name)))?;
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
        work.attach(endpoint, interface, netns).map_err(|error| {
            let (container, network) = (&endpoint.container_name, &network.name);
            error.during(format!("cannot connect container {container} to network {network}"))
        })
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
        work.detach(endpoint, netns.is_some()).map_err(|error| {
            let (container, network) = (&endpoint.container_name, &network.name);
            error.during(format!("cannot disconnect container {container} from network {network}"))
        })
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
        let published = work.publish_more(endpoint, ports).map(|()| ports.to_vec());
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
        let entries = ports::entries(&work.settings, endpoint, ports);
        let taken = entries.and_then(|e| Firewall::open(&dirs.state)?.withdraw(&endpoint.id, Some(&e)));
        taken.map_err(|error| error.during(format!("cannot take back ports of {}", endpoint.container_name)))
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
        work.reconcile(live).map_err(|error| error.during(format!("cannot reconcile network {}", network.name)))
    }
}

/// Inverses of what was done, undone in reverse.
#[derive(Default)]
struct Undo<'a> {
    acts: Vec<Box<dyn FnOnce() -> Result<()> + 'a>>,
}

impl<'a> Undo<'a> {
    fn push(&mut self, act: impl FnOnce() -> Result<()> + 'a) {
        self.acts.push(Box::new(act));
    }

    /// Undoes everything; goes on after a failure and tells the operators of each.
    fn run(&mut self, host: &Host) {
        while let Some(act) = self.acts.pop() {
            if let Err(error) = act() {
                host.warn(&error.during("undoing a failed connection left something behind").to_string());
            }
        }
    }
}

/// One call's view of the network.
struct Work<'a> {
    settings: Settings,
    dirs: &'a Dirs,
    host: &'a Host,
}

impl<'a> Work<'a> {
    fn new(network: &NetworkSpec, dirs: &'a Dirs, host: &'a Host) -> api::Result<Work<'a>> {
        Ok(Work { settings: Settings::of(network)?, dirs, host })
    }

    fn open(&self) -> Result<Socket> {
        Ok(Socket::open(Netlink::Route)?)
    }

    /// Bridge, settings of the kernel, firewall: made if missing. The bridge's index.
    fn network<'u>(&'u self, socket: &mut Socket, undo: &mut Undo<'u>) -> Result<u32> {
        let index = match bridge::ready(socket, &self.settings)? {
            Some(index) => index,
            None => self.make_bridge(socket, undo)?,
        };
        sysctl::forward(&self.settings, self.host)?;
        fault::step("bridge")?;
        self.firewall(undo)?;
        fault::step("firewall")?;
        Ok(index)
    }

    fn make_bridge<'u>(&'u self, socket: &Socket, undo: &mut Undo<'u>) -> Result<u32> {
        let records = Records::new(&self.dirs.state);
        if bridge::ensure(&self.settings, |network| records.zone(network).is_some())? {
            undo.push(|| bridge::delete_unused(&self.settings));
        }
        sysctl::route_localnet(&self.settings.bridge)?;
        let failed = |source| Error::LookUp { name: self.settings.bridge.clone(), source };
        let index = gantry_driver_shared::link::index(socket, &self.settings.bridge).map_err(failed)?;
        index.ok_or_else(|| failed(std::io::Error::from_raw_os_error(libc::ENODEV)))
    }

    /// Without nf_tables in the kernel networks still work, but say what is missing.
    fn firewall<'u>(&'u self, undo: &mut Undo<'u>) -> Result<()> {
        let ensured = Firewall::open(&self.dirs.state).and_then(|mut f| f.ensure(&self.zone(), self.host));
        match ensured {
            Ok(true) => undo.push(|| self.forget_unused()),
            Ok(false) => {}
            Err(Error::Netlink(error)) if nft::is_missing(&error) => self.host.warn(&format!(
                "the kernel has no nf_tables: network {} has neither masquerade nor isolation nor ports",
                self.settings.bridge
            )),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn zone(&self) -> Zone {
        let s = &self.settings;
        Zone {
            network: s.network.clone(),
            bridge: s.bridge.clone(),
            ipv4: s.ipv4.map(|p| (p.network, p.prefix)),
            ipv6: s.ipv6.map(|p| (p.network, p.prefix)),
            masquerade: s.masquerade,
            snat: s.snat,
            icc: s.icc,
            internal: s.internal,
            trusted: s.trusted.clone(),
        }
    }

    fn forget(&self) -> Result<()> {
        match Firewall::open(&self.dirs.state) {
            Err(Error::Netlink(error)) if nft::is_missing(&error) => Ok(()),
            other => other?.forget(&self.settings.network),
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
        if attached.is_err() {
            undo.run(self.host);
        }
        attached
    }

    fn attach_steps<'u>(
        &'u self,
        endpoint: &'u EndpointSpec,
        interface: String,
        netns: BorrowedFd<'_>,
        undo: &mut Undo<'u>,
    ) -> Result<Attachment> {
        let inside = endpoint::enter(netns, &endpoint.addresses)?;
        let mut socket = self.open()?;
        let bridge = self.network(&mut socket, undo)?;
        self.attach_ports(endpoint, undo)?;
        fault::step("ports")?;
        let plan = self.plan(endpoint, interface, bridge);
        endpoint::connect(&mut socket, &plan, netns, inside)?;
        Ok(self.attachment(endpoint, plan))
    }

    fn attach_ports<'u>(&'u self, endpoint: &'u EndpointSpec, undo: &mut Undo<'u>) -> Result<()> {
        if endpoint.ports.is_empty() {
            return Ok(());
        }
        undo.push(|| Firewall::open(&self.dirs.state)?.withdraw(&endpoint.id, None));
        self.publish(endpoint, &endpoint.ports)
    }

    fn publish(&self, endpoint: &EndpointSpec, ports: &[PortMapping]) -> Result<()> {
        if self.settings.internal && !ports.is_empty() {
            self.host.warn(&format!("network {} is internal: no port is published", self.settings.bridge));
        }
        let entries = ports::entries(&self.settings, endpoint, ports)?;
        Firewall::open(&self.dirs.state)?.publish(&self.settings.network, &endpoint.id, &entries)
    }

    fn publish_more(&self, endpoint: &EndpointSpec, ports: &[PortMapping]) -> Result<()> {
        self.publish(endpoint, ports)?;
        self.rejoin(&mut self.open()?, endpoint, false)
    }

    fn plan(&self, endpoint: &EndpointSpec, name: String, bridge: u32) -> Plan {
        Plan {
            host_name: endpoint::host_name(&endpoint.id),
            bridge,
            name,
            mac: endpoint.mac.unwrap_or_else(|| hardware_address(endpoint)),
            mtu: self.settings.mtu,
            addresses: endpoint.addresses.clone(),
            gateways: self.ways_out(endpoint).into_iter().filter(|g| carries(endpoint, g)).collect(),
            port: self.port(endpoint.ports.is_empty()),
        }
    }

    /// Neighbours that must not talk are kept apart on the bridge, but where the firewall sees bridged packets it does
    /// so, and lets published ports through.
    fn port(&self, no_ports: bool) -> Port {
        let filtered = (!no_ports || !self.settings.icc) && sysctl::filters_bridged(self.settings.ipv6.is_some());
        Port { isolated: !self.settings.icc && !filtered, hairpin: !no_ports && filtered }
    }

    /// The gateways that the endpoint can use: none on an internal network.
    fn ways_out(&self, endpoint: &EndpointSpec) -> Vec<IpAddr> {
        if self.settings.internal {
            return Vec::new();
        }
        let v4 = self.settings.ipv4.and_then(|p| p.gateway).map(IpAddr::V4);
        let v6 = self.settings.ipv6.and_then(|p| p.gateway).map(IpAddr::V6);
        let reachable = |g: &IpAddr| endpoint.addresses.iter().any(|a| a.addr.is_ipv4() == g.is_ipv4());
        v4.into_iter().chain(v6).filter(reachable).collect()
    }

    fn attachment(&self, endpoint: &EndpointSpec, plan: Plan) -> Attachment {
        let any = |g: &IpAddr| if g.is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from([0u16; 8]) };
        let route = |g: &IpAddr| Route { destination: Cidr { addr: any(g), prefix: 0 }, gateway: Some(*g) };
        Attachment {
            routes: plan.gateways.iter().map(route).collect(),
            interface: plan.name,
            mac: Some(plan.mac),
            addresses: plan.addresses,
            gateways: self.ways_out(endpoint),
            published: if self.settings.internal { Vec::new() } else { endpoint.ports.clone() },
            warnings: Vec::new(),
            state: blob(&Link { bridge: self.settings.bridge.clone(), link: plan.host_name }),
        }
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

    fn reconcile(&self, live: &[LiveEndpoint<'_>]) -> Result<()> {
        let mut socket = self.open()?;
        if bridge::ready(&socket, &self.settings)?.is_none() {
            self.make_bridge(&socket, &mut Undo::default())?;
        }
        sysctl::forward(&self.settings, self.host)?;
        let endpoints: Vec<&EndpointSpec> = live.iter().map(|l| &l.endpoint).collect();
        let names: Vec<String> = endpoints.iter().map(|e| endpoint::host_name(&e.id)).collect();
        let swept = bridge::sweep(&self.settings, &names);
        for endpoint in endpoints {
            self.rejoin(&mut socket, endpoint, endpoint.ports.is_empty())?;
        }
        let published = live.iter().map(|l| self.published(&l.endpoint)).collect::<Result<Vec<_>>>()?;
        swept.and(self.reconcile_firewall(&published))
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

    fn reconcile_firewall(&self, published: &[Published]) -> Result<()> {
        match Firewall::open(&self.dirs.state).and_then(|mut f| f.reconcile(&self.zone(), published)) {
            Err(Error::Netlink(error)) if nft::is_missing(&error) && published.iter().all(|p| p.entries.is_empty()) => {
                Ok(())
            }
            other => other,
        }
    }

    fn published(&self, endpoint: &EndpointSpec) -> Result<Published> {
        let entries = ports::entries(&self.settings, endpoint, &endpoint.ports)?;
        Ok(Published { network: self.settings.network.clone(), endpoint: endpoint.id.clone(), entries })
    }
}

/// True when the endpoint has the default route of the gateway's family.
fn carries(endpoint: &EndpointSpec, gateway: &IpAddr) -> bool {
    if gateway.is_ipv4() { endpoint.default_route4 } else { endpoint.default_route6 }
}

/// 02:42 and the IPv4 address, as Docker did for long: whoever gets the address again has the same hardware address, and
/// no neighbour remembers a wrong one.
fn hardware_address(endpoint: &EndpointSpec) -> [u8; 6] {
    let octets = endpoint.addresses.iter().find_map(|c| ports::ipv4(c.addr)).map(|a| a.octets());
    let [a, b, c, d] = octets.unwrap_or_else(|| {
        let byte = |at: usize| endpoint.id.get(at..at + 2).and_then(|d| u8::from_str_radix(d, 16).ok()).unwrap_or(0);
        [byte(0), byte(2), byte(4), byte(6)]
    });
    [0x02, 0x42, a, b, c, d]
}

fn blob(value: &impl Serialize) -> Blob {
    serde_json::to_vec(value).unwrap_or_default()
}
