//! One call's view of a network, and what each call does in order.

use crate::cache::{self, Cache, Note};
use crate::chain::Connection;
use crate::error::{Error, Result};
use crate::list::List;
use crate::options::{Settings, Source, bridge_name, wanted_addresses};
use crate::ports;
use crate::program;
use crate::result;
use crate::ways::{Inside, Way};
use gantry_driver_shared::device;
use gantry_driver_shared::netlink::{Batch, Protocol, Socket};
use gantry_driver_shared::report;
use gantry_plugin_api::network::{Attachment, EndpointSpec, LiveEndpoint, NetworkSpec, PortMapping, Route};
use gantry_plugin_api::prelude::{Dirs, Host};
use std::fs;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

/// See the module.
pub struct Work<'a> {
    settings: Settings,
    network: &'a NetworkSpec,
    dirs: &'a Dirs,
    host: &'a Host,
    cache: Cache,
    until: Instant,
}

/// A call of the engine ends after ten seconds.
const CALL_LIMIT: Duration = Duration::from_secs(9);
/// What is left of it for undoing what failed.
const FOR_UNDOING: Duration = Duration::from_secs(2);

/// Where the plugins find a namespace: among the descriptors of this process.
fn path_of(netns: BorrowedFd<'_>) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), netns.as_raw_fd())
}

fn number_of(netns: BorrowedFd<'_>) -> Result<u64> {
    fs::metadata(path_of(netns)).map(|metadata| metadata.ino()).map_err(Error::Namespace)
}

impl<'a> Work<'a> {
    pub fn new(network: &'a NetworkSpec, dirs: &'a Dirs, host: &'a Host) -> Result<Work<'a>> {
        let settings = Settings::of(network).map_err(Error::Option)?;
        let until = Instant::now() + CALL_LIMIT;
        Ok(Work { settings, network, dirs, host, cache: Cache::new(dirs, &network.id), until })
    }

    fn list(&self) -> Result<List> {
        List::load(&self.settings.source, self.network, self.dirs)
    }

    /// What plugins make is made for the first container; but that it can be made is found out now.
    pub fn create(&self) -> Result<()> {
        let list = self.list()?;
        list.types().try_for_each(|plugin| program::find(plugin, &self.settings.places).map(drop))?;
        self.own_bridge().map_or(Ok(()), make_bridge)
    }

    /// The bridge that is ours to make and remove: the plugin would make it, but never removes it.
    fn own_bridge(&self) -> Option<&str> {
        let Source::Built(build) = &self.settings.source else { return None };
        let ours = build.plugin == "bridge" && build.bridge == bridge_name(&self.network.id);
        ours.then_some(build.bridge.as_str())
    }

    /// Takes back what is left.
    pub fn delete(&self) -> Result<()> {
        let mut outcome = Ok(());
        for endpoint in self.cache.endpoints() {
            outcome = outcome.and(self.detach(&endpoint, &[], None));
        }
        if let Some(bridge) = self.own_bridge() {
            device::remove(&mut Socket::open(Protocol::Route)?, bridge)?;
        }
        self.cache.clear();
        outcome
    }

    pub fn attach(&self, endpoint: &EndpointSpec, netns: BorrowedFd<'_>) -> Result<Attachment> {
        let mut inside = Inside::open(netns)?;
        let wanted = ports::single(&endpoint.ports)?;
        let wanted = if self.network.internal { Default::default() } else { wanted };
        let noted = self.cache.get(&endpoint.id)?;
        if let Some(mut note) = noted {
            if !note.connection.result.is_null() && inside.device(&note.connection.interface)?.is_some() {
                self.publish_to(&endpoint.id, &mut note, wanted, netns)?;
                let routes = inside.arrange(&note.ways, endpoint)?;
                return self.attachment(endpoint, &note, &mut inside, routes);
            }
            // What a killed process left, or what somebody took away in the container.
            self.take_back(&endpoint.id, &note, &path_of(netns))?;
        }
        let mut connection = self.connection(endpoint)?;
        if connection.publishes() {
            connection.ports = wanted;
        }
        let mended = !connection.addresses.is_empty() && endpoint.options.get("ip").is_none();
        match self.add(endpoint, connection.clone(), netns, &mut inside) {
            // Its addresses are somebody else's now, perhaps.
            Err(_) if mended => {
                connection.addresses.clear();
                self.add(endpoint, connection, netns, &mut inside)
            }
            added => added,
        }
    }

    fn connection(&self, endpoint: &EndpointSpec) -> Result<Connection> {
        let mac = endpoint.mac.map(|mac| mac.map(|byte| format!("{byte:02x}")).join(":"));
        let asked = wanted_addresses(endpoint).map_err(Error::Option)?;
        // An endpoint that is mended keeps its addresses, if the plugins can do that.
        let known = endpoint.addresses.iter().map(|cidr| cidr.addr).collect();
        Ok(Connection {
            list: self.list()?,
            places: self.settings.places.clone(),
            container: endpoint.container_id.clone(),
            interface: report::interface(endpoint, "eth").map_err(Error::Option)?,
            mac: mac.unwrap_or_default(),
            addresses: if asked.is_empty() { known } else { asked },
            ports: Default::default(),
            result: serde_json::Value::Null,
        })
    }

    /// Plugins fail when there is a default route already: those of others step aside meanwhile.
    fn add(
        &self,
        endpoint: &EndpointSpec,
        connection: Connection,
        netns: BorrowedFd<'_>,
        inside: &mut Inside,
    ) -> Result<Attachment> {
        let mut note = Note { connection, ways: Vec::new(), netns: number_of(netns)? };
        self.cache.put(&endpoint.id, &note)?;
        let before = inside.ways()?;
        inside.remove(&before)?;
        let added = note.connection.add(&path_of(netns), self.until - FOR_UNDOING);
        let added = added.and_then(|()| self.settle(endpoint, &mut note, inside, &before));
        added.inspect_err(|_| {
            self.host.count("failed-adds", 1);
            let undone = self.take_back(&endpoint.id, &note, &path_of(netns)).and(inside.set(&before));
            if let Err(error) = undone {
                self.host.warn(&error.during("undoing a failed connection left something behind").to_string());
            }
        })
    }

    fn settle(
        &self,
        endpoint: &EndpointSpec,
        note: &mut Note,
        inside: &mut Inside,
        before: &[Way],
    ) -> Result<Attachment> {
        let interface = note.connection.interface.clone();
        let made = inside.device(&interface)?.ok_or(Error::NoInterface(interface))?;
        note.ways = inside.ways_through(made.index)?;
        if self.network.internal {
            inside.remove(&std::mem::take(&mut note.ways))?;
        }
        self.cache.put(&endpoint.id, note)?;
        inside.put_back(before, &note.ways, endpoint)?;
        let routes = inside.arrange(&note.ways, endpoint)?;
        self.attachment(endpoint, note, inside, routes)
    }

    fn attachment(
        &self,
        endpoint: &EndpointSpec,
        note: &Note,
        inside: &mut Inside,
        routes: Vec<Route>,
    ) -> Result<Attachment> {
        let interface = note.connection.interface.clone();
        let mac = inside.device(&interface)?.and_then(|device| device.mac);
        let addresses = result::addresses(&note.connection.result, &interface);
        let has = |v4: bool| addresses.iter().any(|cidr| cidr.addr.is_ipv4() == v4);
        let can =
            |port: &PortMapping| note.connection.publishes() && has(port.host_ip.is_ipv4()) && !self.network.internal;
        let published = endpoint.ports.iter().copied().filter(can).collect();
        Ok(Attachment {
            interface,
            mac,
            routes,
            gateways: one_of_each_family(note.ways.iter().filter_map(|way| way.gateway)),
            published,
            warnings: self.warnings(endpoint, note),
            state: serde_json::to_vec(note).unwrap_or_default(),
            addresses,
        })
    }

    fn warnings(&self, endpoint: &EndpointSpec, note: &Note) -> Vec<String> {
        let name = &self.network.name;
        match (endpoint.ports.is_empty(), self.network.internal, note.connection.publishes()) {
            (true, ..) | (false, false, true) => Vec::new(),
            (_, true, _) => vec![format!("network {name} is internal: it publishes no ports")],
            _ => vec![format!("network {name} publishes no ports: there is no plugin for it in its list (portmap)")],
        }
    }

    /// The namespace may be gone, and so may the note.
    pub fn detach(&self, endpoint: &str, attachment: &[u8], netns: Option<BorrowedFd<'_>>) -> Result<()> {
        let noted = match self.cache.get(endpoint)? {
            None if attachment.is_empty() => None,
            None => cache::parse(attachment).ok(),
            noted => noted,
        };
        let Some(note) = noted else { return Ok(()) };
        self.take_back(endpoint, &note, &netns.map(path_of).unwrap_or_default())
    }

    fn take_back(&self, endpoint: &str, note: &Note, netns: &str) -> Result<()> {
        note.connection.del(netns, self.until)?;
        if netns.is_empty() {
            self.remove_pairs(note)?;
        }
        self.cache.remove(endpoint)
    }

    /// Without the namespace plugins leave their devices to its end, which may be far.
    fn remove_pairs(&self, note: &Note) -> Result<()> {
        let mut socket = Socket::open(Protocol::Route)?;
        for name in result::on_host(&note.connection.result) {
            if device::named(&mut socket, &name)?.is_some_and(|device| device.kind == "veth") {
                device::remove(&mut socket, &name)?;
            }
        }
        Ok(())
    }

    pub fn route(&self, endpoint: &EndpointSpec, netns: BorrowedFd<'_>) -> Result<Vec<Route>> {
        let note = self.cache.get(&endpoint.id)?.ok_or(Error::Unconnected)?;
        Inside::open(netns)?.arrange(&note.ways, endpoint)
    }

    pub fn publish(&self, endpoint: &EndpointSpec, more: &[PortMapping]) -> Result<Vec<PortMapping>> {
        let more_ports = ports::single(more)?;
        let mut note = self.cache.get(&endpoint.id)?.ok_or(Error::Unconnected)?;
        let ports = note.connection.ports.union(&more_ports).copied().collect();
        self.change_ports(&endpoint.id, &mut note, ports)?;
        let addresses = result::addresses(&note.connection.result, &note.connection.interface);
        let has = |v4: bool| addresses.iter().any(|cidr| cidr.addr.is_ipv4() == v4);
        Ok(more.iter().copied().filter(|port| has(port.host_ip.is_ipv4())).collect())
    }

    pub fn unpublish(&self, endpoint: &EndpointSpec, fewer: &[PortMapping]) -> Result<()> {
        let fewer = ports::single(fewer)?;
        let Some(mut note) = self.cache.get(&endpoint.id)? else { return Ok(()) };
        let ports = note.connection.ports.difference(&fewer).copied().collect();
        self.change_ports(&endpoint.id, &mut note, ports)
    }

    /// Plugins want to be shown a namespace: some process of the container has it.
    fn change_ports(
        &self,
        endpoint: &str,
        note: &mut Note,
        ports: std::collections::BTreeSet<ports::Port>,
    ) -> Result<()> {
        if ports == note.connection.ports {
            return Ok(());
        }
        let netns = find_namespace(note.netns).ok_or(Error::NoProcess)?;
        note.connection.change_ports(ports, &netns, self.until)?;
        self.cache.put(endpoint, note)
    }

    fn publish_to(
        &self,
        endpoint: &str,
        note: &mut Note,
        ports: std::collections::BTreeSet<ports::Port>,
        netns: BorrowedFd<'_>,
    ) -> Result<()> {
        if ports == note.connection.ports || !note.connection.publishes() {
            return Ok(());
        }
        note.connection.change_ports(ports, &path_of(netns), self.until)?;
        self.cache.put(endpoint, note)
    }

    /// What lives is looked at, and connected again if its interface is gone; what does not is taken back.
    pub fn reconcile(&self, live: &[LiveEndpoint<'_>]) -> Result<()> {
        let mut outcome = Ok(());
        for endpoint in self.cache.endpoints() {
            if !live.iter().any(|one| one.endpoint.id == endpoint) {
                outcome = outcome.and(self.detach(&endpoint, &[], None));
            }
        }
        for one in live {
            if let Some(netns) = one.netns {
                // Each has a time of its own: there may be many.
                let work = Work::new(self.network, self.dirs, self.host)?;
                outcome = outcome.and(work.mend(one, netns));
            }
        }
        outcome
    }

    fn mend(&self, live: &LiveEndpoint<'_>, netns: BorrowedFd<'_>) -> Result<()> {
        if self.cache.get(&live.endpoint.id)?.is_none()
            && let Ok(note) = cache::parse(&live.attachment)
        {
            self.cache.put(&live.endpoint.id, &note)?;
        }
        self.attach(&live.endpoint, netns)?;
        let Some(note) = self.cache.get(&live.endpoint.id)? else { return Ok(()) };
        if let Err(error) = note.connection.check(&path_of(netns), self.until) {
            let name = &live.endpoint.container_name;
            let act = format!("container {name} is not connected to network {} as it was", self.network.name);
            self.host.warn(&error.during(act).to_string());
            self.host.count("failed-checks", 1);
        }
        Ok(())
    }
}

fn make_bridge(name: &str) -> Result<()> {
    let mut socket = Socket::open(Protocol::Route)?;
    if device::named(&mut socket, name)?.is_some() {
        return Ok(());
    }
    let mut batch = Batch::default();
    device::add(&mut batch, &device::New { name, kind: "bridge", up: true, ..device::New::default() });
    Ok(socket.send(batch)?)
}

fn one_of_each_family(gateways: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    for gateway in gateways {
        if !found.iter().any(|other| other.is_ipv4() == gateway.is_ipv4()) {
            found.push(gateway);
        }
    }
    found
}

/// The namespace of this number, by a process or thread that is in it, or by a descriptor of ours.
fn find_namespace(number: u64) -> Option<String> {
    let list = |dir: &str| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_it = |path: &std::path::PathBuf| fs::metadata(path).is_ok_and(|metadata| metadata.ino() == number);
    let processes = list("/proc").map(|path| path.join("ns/net"));
    let own = list(&format!("/proc/{}/fd", std::process::id()));
    processes.chain(own).find(is_it).map(|path| path.display().to_string())
}
