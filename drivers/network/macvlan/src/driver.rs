//! The driver: what each call of the engine does, in order, and how it is undone.

use crate::access::{self, Shim};
use crate::endpoint::{self, Plan};
use crate::error::{Error, Result};
use crate::fault;
use crate::options::{OPTIONS, Settings};
use crate::parent::{self, Below};
use gantry_driver_shared::inside::{self, Interface};
use gantry_driver_shared::netlink::{Protocol as Netlink, Socket};
use gantry_driver_shared::{device, report};
use gantry_plugin_api as api;
use gantry_plugin_api::prelude::*;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;

/// The network driver `macvlan`.
#[derive(Clone, Copy, Default, Debug)]
pub struct Macvlan;

impl NetworkDriver for Macvlan {
    const OPTIONS: &'static [OptionSpec] = OPTIONS;

    fn capabilities(&self) -> NetworkCapabilities {
        NetworkCapabilities { addresses: true, dns: true, create: true, ..NetworkCapabilities::default() }
    }

    fn validate(&self, network: &NetworkSpec) -> api::Result<()> {
        Settings::of(network).map(drop)
    }

    fn create(&self, network: &NetworkSpec, _: &[u8], dirs: &Dirs, host: &Host) -> api::Result<Blob> {
        let work = Work::new(network, dirs, host)?;
        work.create().map_err(|error| error.during(format!("cannot create network {}", network.name)))?;
        Ok(Blob::new())
    }

    fn delete(&self, network: &NetworkSpec, _: &[u8], dirs: &Dirs, host: &Host) -> api::Result<()> {
        let work = Work::new(network, dirs, host)?;
        work.delete().map_err(|error| error.during(format!("cannot delete network {}", network.name)))
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
        work.detach(endpoint, netns).map_err(|error| error.during(report::disconnect(network, endpoint)))
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

/// Inverses of what an attach did.
type Undo<'a> = gantry_driver_shared::undo::Undo<'a, Error>;

/// One call's view of the network.
struct Work<'a> {
    settings: Settings,
    network: &'a NetworkSpec,
    dirs: &'a Dirs,
    host: &'a Host,
}

/// The network as an attach finds it, or makes it.
struct Ground {
    below: Below,
    shim: Option<Shim>,
}

impl<'a> Work<'a> {
    fn new(network: &'a NetworkSpec, dirs: &'a Dirs, host: &'a Host) -> api::Result<Work<'a>> {
        Ok(Work { settings: Settings::of(network)?, network, dirs, host })
    }

    fn open(&self) -> Result<Socket> {
        Ok(Socket::open(Netlink::Route)?)
    }

    fn create(&self) -> Result<()> {
        let mut undo = Undo::default();
        let made = self.open().and_then(|mut socket| self.ground(&mut socket, &mut undo));
        made.map(drop).inspect_err(|_| self.undo(&mut undo))
    }

    fn undo(&self, undo: &mut Undo<'_>) {
        undo.run(|error| {
            self.host.warn(&error.during("undoing a failed connection left something behind").to_string());
        });
    }

    /// Device below and shim: made if missing.
    fn ground<'u>(&'u self, socket: &mut Socket, undo: &mut Undo<'u>) -> Result<Ground> {
        let found = parent::ensure(socket, &self.settings, &self.dirs.state)?;
        if found.made {
            undo.push(|| parent::remove(&mut self.open()?, &self.settings, &self.dirs.state));
        }
        fault::step("parent")?;
        let shim = match &found.below {
            Below::Device(device) if self.settings.host_access => Some(access::ensure(socket, &self.settings, device)?),
            _ => None,
        };
        if shim.as_ref().is_some_and(|shim| shim.made) {
            undo.push(|| access::remove(&mut self.open()?, &self.settings));
        }
        Ok(Ground { below: found.below, shim })
    }

    fn delete(&self) -> Result<()> {
        let mut socket = self.open()?;
        let shim = access::remove(&mut socket, &self.settings);
        parent::remove(&mut socket, &self.settings, &self.dirs.state).and(shim)
    }

    fn attach(&self, endpoint: &EndpointSpec, interface: String, netns: BorrowedFd<'_>) -> Result<Attachment> {
        let mut undo = Undo::default();
        let attached = self.attach_steps(endpoint, interface, netns, &mut undo);
        attached.inspect_err(|_| self.undo(&mut undo))
    }

    fn attach_steps<'u>(
        &'u self,
        endpoint: &'u EndpointSpec,
        interface: String,
        netns: BorrowedFd<'u>,
        undo: &mut Undo<'u>,
    ) -> Result<Attachment> {
        let plan = self.plan(endpoint, interface)?;
        let entered = inside::enter(netns, plan.inside.has_ipv6()).map_err(Error::Namespace)?;
        let mut socket = self.open()?;
        let ground = self.ground(&mut socket, undo);
        let mut inside = entered.join().map_err(Error::Namespace)??;
        let ground = ground?;
        if endpoint::make(&mut socket, &mut inside, &plan, &ground.below, netns)? {
            undo.push(move || self.remove(endpoint, netns));
        }
        fault::step("link")?;
        let index = endpoint::raise(&mut inside, &plan, netns)?;
        if let Some(shim) = &ground.shim {
            undo.push(|| access::forbid(&mut self.open()?, &self.settings, &addresses(endpoint)));
            shim.allow(&mut socket, &addresses(endpoint))?;
        }
        fault::step("access")?;
        // Last of all, because a default route taken over from another interface is put back only when this fails itself.
        inside::configure(&mut inside, &plan.inside, index)?;
        Ok(self.attachment(endpoint, plan, &ground))
    }

    fn plan(&self, endpoint: &EndpointSpec, name: String) -> Result<Plan> {
        let sysctls = inside::settings(endpoint.options.text("sysctls"), &name)
            .map_err(|text| Error::Option(api::Error::invalid(format!("invalid option \"sysctls\": {text}"))))?;
        Ok(Plan {
            inside: Interface {
                name,
                mac: endpoint.mac.unwrap_or_else(|| hardware_address(endpoint)),
                addresses: endpoint.addresses.iter().map(|c| (c.addr, c.prefix)).collect(),
                link_local: endpoint.link_local_addresses.clone(),
                gateways: self.routes(endpoint).0,
                announcements: 1,
            },
            sysctls,
            mode: self.settings.mode,
            mtu: self.settings.mtu,
            host_name: endpoint::host_name(&endpoint.id),
        })
    }

    /// The gateways that the endpoint can use: those of its subnets, unless nothing leads out.
    fn ways_out(&self, endpoint: &EndpointSpec) -> Vec<IpAddr> {
        if self.settings.parent.is_none() {
            return Vec::new();
        }
        endpoint.addresses.iter().filter_map(|cidr| self.network.gateway_for(cidr.addr)).collect()
    }

    /// The gateways by which it has the container's default routes, and the others.
    fn routes(&self, endpoint: &EndpointSpec) -> (Vec<IpAddr>, Vec<IpAddr>) {
        self.ways_out(endpoint).into_iter().partition(|gateway| inside::carries(endpoint, gateway))
    }

    fn attachment(&self, endpoint: &EndpointSpec, plan: Plan, ground: &Ground) -> Attachment {
        Attachment {
            routes: plan.inside.gateways.iter().map(inside::told).collect(),
            mac: Some(plan.inside.mac),
            addresses: endpoint.addresses.clone(),
            gateways: self.ways_out(endpoint),
            warnings: warnings(endpoint, ground),
            state: plan.inside.name.clone().into_bytes(),
            interface: plan.inside.name,
            ..Attachment::default()
        }
    }

    fn route(&self, endpoint: &EndpointSpec, interface: &str, netns: BorrowedFd<'_>) -> Result<Vec<Route>> {
        let mut inside = inside::open(netns).map_err(Error::Namespace)??;
        let (wanted, others) = self.routes(endpoint);
        let Some(device) = device::named(&mut inside, interface)? else {
            return Err(Error::NotAttached(interface.to_owned()));
        };
        inside::reroute(&mut inside, device.index, &wanted, &others)?;
        Ok(wanted.iter().map(inside::told).collect())
    }

    /// An interface whose namespace is gone goes with it.
    fn detach(&self, endpoint: &EndpointSpec, netns: Option<BorrowedFd<'_>>) -> Result<()> {
        let access = match self.settings.host_access {
            true => access::forbid(&mut self.open()?, &self.settings, &addresses(endpoint)),
            false => Ok(()),
        };
        netns.map_or(Ok(()), |netns| self.remove(endpoint, netns)).and(access)
    }

    fn remove(&self, endpoint: &EndpointSpec, netns: BorrowedFd<'_>) -> Result<()> {
        let name = self.settings.interface(endpoint).map_err(Error::Option)?;
        endpoint::remove(&mut inside::open(netns).map_err(Error::Namespace)??, &self.plan(endpoint, name)?)
    }

    fn reconcile(&self, live: &[LiveEndpoint<'_>]) -> Result<()> {
        let mut socket = self.open()?;
        let ground = self.ground(&mut socket, &mut Undo::default())?;
        let mut outcome = self.sweep(&mut socket, &ground, live);
        for living in live {
            outcome = outcome.and(self.mend(&mut socket, &ground, living));
        }
        let all: Vec<IpAddr> = live.iter().flat_map(|living| addresses(&living.endpoint)).collect();
        ground.shim.map_or(Ok(()), |shim| shim.keep(&mut socket, &all)).and(outcome)
    }

    /// Host ends of links, on a bridge of the network's own, that no living endpoint owns.
    fn sweep(&self, socket: &mut Socket, ground: &Ground, live: &[LiveEndpoint<'_>]) -> Result<()> {
        let Below::Bridge(bridge) = &ground.below else { return Ok(()) };
        let names: Vec<String> = live.iter().map(|living| endpoint::host_name(&living.endpoint.id)).collect();
        let ports = device::all(socket)?.into_iter().filter(|device| device.master == Some(bridge.index));
        let dead = ports.filter(|p| p.name.starts_with(endpoint::LINK_PREFIX) && !names.contains(&p.name));
        dead.map(|port| Ok(device::remove(socket, &port.name)?)).fold(Ok(()), Result::and)
    }

    /// One endpoint: its interface, and what its container should find.
    fn mend(&self, socket: &mut Socket, ground: &Ground, living: &LiveEndpoint<'_>) -> Result<()> {
        let (endpoint, Some(netns)) = (&living.endpoint, living.netns) else { return Ok(()) };
        let name = self.settings.interface(endpoint).map_err(Error::Option)?;
        let plan = self.plan(endpoint, name)?;
        let entered = inside::enter(netns, plan.inside.has_ipv6()).map_err(Error::Namespace)?;
        let mut inside = entered.join().map_err(Error::Namespace)??;
        endpoint::make(socket, &mut inside, &plan, &ground.below, netns)?;
        let index = endpoint::raise(&mut inside, &plan, netns)?;
        inside::configure(&mut inside, &plan.inside, index)?;
        self.route(endpoint, &plan.inside.name, netns).map(drop)
    }
}

fn warnings(endpoint: &EndpointSpec, ground: &Ground) -> Vec<String> {
    let mut sentences = Vec::new();
    if !endpoint.ports.is_empty() {
        sentences.push("macvlan publishes no ports: the container is reached at its own address".to_owned());
    }
    if let Below::Device(parent) = &ground.below
        && !parent.up
    {
        sentences.push(format!("parent interface {} is down: the container reaches nobody", parent.name));
    }
    for family in ground.shim.iter().flat_map(|shim| shim.lacks(&addresses(endpoint))) {
        sentences
            .push(format!("the host has no {family} address on the parent interface: containers may not answer it"));
    }
    sentences
}

fn addresses(endpoint: &EndpointSpec) -> Vec<IpAddr> {
    endpoint.addresses.iter().map(|cidr| cidr.addr).collect()
}

/// One of the endpoint's own: locally administered, unicast, the same in every run.
fn hardware_address(endpoint: &EndpointSpec) -> [u8; 6] {
    let digit = |at: usize| endpoint.id.get(at..at + 2).and_then(|d| u8::from_str_radix(d, 16).ok()).unwrap_or(0);
    let mut mac: [u8; 6] = std::array::from_fn(|n| digit(2 * n));
    mac[0] = (mac[0] & 0xfc) | 0x02;
    mac
}
