//! The IPAM driver `dhcp`: a container's IPv4 address on a network comes from a DHCP server that the network reaches.
//!
//! The network driver makes the interface without an address; the engine asks in the container's namespace, before its
//! program starts, and tells the driver address and gateway by attaching again. What was leased stands in the endpoint's
//! record. The container's keeper executes `internal renew` when half of the time is over: it only reads when that is.
//! The address goes back at the end of the run, and the next run asks for the same.

mod client;
mod domains;
mod message;

use super::connect::Live;
use super::endpoint::{EndpointRecord, Planned};
use super::record::NetworkRecord;
use crate::Engine;
use crate::error::{Error, Result};
use client::{Client, DhcpError, Leased};
use gantry_host::NetworkDriver;
use gantry_model::class::Class;
use gantry_store::atomic::{self, Durability};
use gantry_store::containers;
use nix::sched::{CloneFlags, unshare};
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// As `--ipam-driver` names it.
pub(crate) const NAME: &str = "dhcp";
/// The option that says how long to wait for a server.
const TIMEOUT: &str = "timeout";
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(15);
/// Which address the container had on which network, in its directory.
const KNOWN: &str = "dhcp.json";
/// All four tries of a renewal.
const RENEWAL: Duration = Duration::from_secs(4);
/// A renewal that failed is tried again after half of what is left, but not sooner than this.
const SOONEST: u64 = 10;
const FOR_EVER: u32 = u32::MAX;

/// What is kept of a lease. Times are seconds since boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRecord {
    server: Ipv4Addr,
    server_mac: [u8; 6],
    /// Name servers it told.
    dns: Vec<Ipv4Addr>,
    /// Domains in which short names are looked for.
    #[serde(default)]
    search: Vec<String>,
    renew_at: u64,
    ends_at: u64,
}

impl LeaseRecord {
    fn of(leased: &Leased) -> LeaseRecord {
        let answer = &leased.answer;
        let seconds = u64::from(answer.lease);
        let renew = answer.renew.map(u64::from).filter(|renew| *renew < seconds).unwrap_or(seconds / 2).max(1);
        let (renew, seconds) = if answer.lease == FOR_EVER { (u64::MAX / 2, u64::MAX / 2) } else { (renew, seconds) };
        let now = since_boot();
        let (renew_at, ends_at) = (now + renew, now + seconds);
        let (dns, search) = (answer.dns.clone(), answer.search.clone());
        LeaseRecord { server: answer.server, server_mac: leased.mac, dns, search, renew_at, ends_at }
    }

    /// True when both tell the same of names.
    fn names_alike(&self, other: &LeaseRecord) -> bool {
        (&self.dns, &self.search) == (&other.dns, &other.search)
    }
}

/// The name servers of all leases, in order; they are reached from where the lease came.
pub(crate) fn servers(endpoints: &[EndpointRecord]) -> Vec<IpAddr> {
    let leases = endpoints.iter().filter_map(|endpoint| endpoint.lease.as_ref());
    distinct(leases.flat_map(|lease| lease.dns.iter().copied().map(IpAddr::from)))
}

/// The domains of all leases, in order.
pub(crate) fn search(endpoints: &[EndpointRecord]) -> Vec<String> {
    distinct(endpoints.iter().filter_map(|endpoint| endpoint.lease.as_ref()).flat_map(|lease| lease.search.clone()))
}

fn distinct<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    all.fold(Vec::new(), |mut list, one| {
        if !list.contains(&one) {
            list.push(one);
        }
        list
    })
}

fn since_boot() -> u64 {
    // This clock exists on every Linux.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |time| time.tv_sec().unsigned_abs())
}

/// Judges the options of a network whose addresses come from a server.
pub(crate) fn check(options: &BTreeMap<String, String>) -> Result<()> {
    if let Some(unknown) = options.keys().find(|key| *key != TIMEOUT) {
        let error = Error::invalid(format!("IPAM driver dhcp has no option {unknown:?}"));
        return Err(error.with_hint("known: timeout"));
    }
    timeout(options).map(drop)
}

fn timeout(options: &BTreeMap<String, String>) -> Result<Duration> {
    let Some(text) = options.get(TIMEOUT) else { return Ok(DEFAULT_TIMEOUT) };
    let nanos = gantry_model::duration::parse(text).ok().and_then(|ns| u64::try_from(ns).ok());
    let time = nanos.map(Duration::from_nanos).filter(|time| (1..=300).contains(&time.as_secs()));
    time.ok_or_else(|| Error::invalid(format!("invalid IPAM option timeout={text}")).with_hint("from 1s to 300s"))
}

impl Engine {
    /// Asks for an address for an endpoint whose interface is there, best for that of the run before.
    pub(super) fn obtain_lease(
        &self,
        id: &str,
        network: &NetworkRecord,
        endpoint: &mut EndpointRecord,
        netns: BorrowedFd<'_>,
    ) -> Result<()> {
        let path = self.layout.container(id).join(KNOWN);
        let mut known: BTreeMap<String, Ipv4Addr> = atomic::read_json_optional(&path)?.unwrap_or_default();
        let host_name = self.container_file(id)?.config.hostname;
        let limit = timeout(&network.ipam_options)?;
        let client = client(endpoint, &host_name, netns)?;
        let leased = client.obtain(known.get(&network.id).copied(), limit).map_err(|error| refused(network, &error))?;
        note_lease(endpoint, &leased);
        known.insert(network.id.clone(), leased.answer.address);
        atomic::write_json(&path, &known, Durability::Rename)?;
        self.write_due(id, std::slice::from_ref(endpoint), true)
    }

    /// When the keeper is to see to the next renewal; `beside` what was to be done before.
    fn write_due(&self, id: &str, endpoints: &[EndpointRecord], beside: bool) -> Result<()> {
        let path = self.layout.container_state(id).join(gantry_supervisor::LEASE_DUE);
        let before = std::fs::read_to_string(&path).ok().filter(|_| beside).and_then(|text| text.parse().ok());
        let times = endpoints.iter().filter_map(|endpoint| Some(endpoint.lease.as_ref()?.renew_at));
        match times.chain(before).min() {
            Some(due) => Ok(atomic::write(&path, due.to_string().as_bytes(), Durability::Rename)?),
            None => match std::fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    Err(Error::io(format!("remove {}", path.display()))(e))
                }
                _ => Ok(()),
            },
        }
    }

    /// A running container got or lost a lease: its keeper looks when the next renewal is due.
    pub(super) fn tell_leases(&self, id: &str, endpoints: &[EndpointRecord]) -> Result<()> {
        let due = self.layout.container_state(id).join(gantry_supervisor::LEASE_DUE);
        if endpoints.iter().all(|endpoint| endpoint.lease.is_none()) && !due.exists() {
            return Ok(());
        }
        self.write_due(id, endpoints, false)?;
        gantry_supervisor::connect(&self.layout.container_state(id))?.status()?;
        Ok(())
    }

    /// Gives a lease back, as well as it goes: a server forgets it some day in any case. When the container's namespace is
    /// gone the interface is made once more, in one of its own.
    pub(super) fn release_lease(&self, planned: &Planned, container: (&str, &str), netns: Option<BorrowedFd<'_>>) {
        let Some(lease) = &planned.endpoint.lease else { return };
        let released = match netns {
            Some(netns) => release(&planned.endpoint, lease, netns),
            None => self.release_elsewhere(planned, lease, container),
        };
        if let Err(error) = released {
            tracing::warn!(container = %container.0, "address {} is not given back: {error}", planned.endpoint.address);
        }
    }

    fn release_elsewhere(&self, planned: &Planned, lease: &LeaseRecord, (id, name): (&str, &str)) -> Result<()> {
        let Planned { network, driver, endpoint } = planned;
        let netns = new_namespace()?;
        let dirs = self.driver_dirs("network", &network.driver);
        let (network_spec, spec) = (endpoint.network_spec(network), endpoint.spec(id, name));
        let made = driver.attach(&network_spec, &network.state, &spec, netns.as_fd(), &dirs)?;
        let released = release(endpoint, lease, netns.as_fd());
        driver.detach(&network_spec, &network.state, &spec, &made.state, Some(netns.as_fd()), &dirs)?;
        released
    }

    /// What the keeper asks for when a renewal is due. Servers are talked to before the act: nobody who stops the container
    /// waits for them.
    pub fn internal_renew(&self, id: &str) -> Result<()> {
        let (record, file) = (containers::read(&self.layout, id)?, self.container_file(id)?);
        let Some(live) = self.live(&record, &file)? else { return Ok(()) };
        let mut news = Vec::new();
        for endpoint in &live.before {
            if let Some(planned) = self.planned(endpoint)? {
                news.extend(self.renewed(&live, &planned, &file.config.hostname)?);
            }
        }
        let act = self.begin(id, "renew the addresses of")?;
        let outcome = match self.live(&act.record, &file)? {
            Some(live) => self.apply_leases(&live, &news),
            None => Ok(()),
        };
        act.finish(|_| {})?;
        outcome
    }

    /// What becomes of an endpoint whose lease is to be renewed; `None`: it is not due.
    fn renewed(&self, live: &Live<'_>, planned: &Planned, host_name: &str) -> Result<Option<EndpointRecord>> {
        let endpoint = &planned.endpoint;
        let now = since_boot();
        let Some(lease) = endpoint.lease.clone().filter(|lease| lease.renew_at <= now + 1) else { return Ok(None) };
        let Ok(own) = endpoint.address.parse() else { return Ok(None) };
        let client = client(endpoint, host_name, live.netns())?;
        let with = |lease| Ok(Some(EndpointRecord { lease: Some(lease), ..endpoint.clone() }));
        match client.renew(own, (lease.server, lease.server_mac), RENEWAL) {
            Ok(leased) if leased.answer.address == own => with(LeaseRecord::of(&leased)),
            Err(DhcpError::Silent(_) | DhcpError::Talk(_)) if now < lease.ends_at => {
                let wait = ((lease.ends_at - now) / 2).max(SOONEST);
                with(LeaseRecord { renew_at: now + wait, ..lease })
            }
            _ => match self.another(live, planned) {
                Ok(another) => Ok(Some(another)),
                // Until another can be had the container keeps it: nobody would be better off without.
                Err(error) => {
                    let grounds = [("address", endpoint.address.clone()), ("error", error.to_string())];
                    self.decide(&live.record.id, "lease-lost", &grounds);
                    with(LeaseRecord { renew_at: since_boot() + SOONEST, ..lease })
                }
            },
        }
    }

    /// The address is lost: the endpoint with another.
    fn another(&self, live: &Live<'_>, planned: &Planned) -> Result<EndpointRecord> {
        let (address, gateway) = (String::new(), String::new());
        let mut bare = EndpointRecord { lease: None, address, gateway, prefix: 0, ..planned.endpoint.clone() };
        self.obtain_lease(&live.record.id, &planned.network, &mut bare, live.netns())?;
        Ok(bare)
    }

    fn apply_leases(&self, live: &Live<'_>, news: &[EndpointRecord]) -> Result<()> {
        let id = &live.record.id;
        let mut all = Vec::new();
        for endpoint in &live.before {
            all.extend(self.planned(endpoint)?);
        }
        let (mut told_anew, mut outcome) = (false, Ok(()));
        for planned in &mut all {
            let new = news.iter().find(|new| new.id == planned.endpoint.id && planned.endpoint.lease.is_some());
            match new {
                Some(new) if new.address == planned.endpoint.address => {
                    let known = std::mem::replace(&mut planned.endpoint.lease, new.lease.clone());
                    let alike = known.zip(new.lease.as_ref()).is_some_and(|(old, new)| old.names_alike(new));
                    told_anew |= !alike;
                }
                Some(new) => {
                    told_anew = true;
                    outcome = outcome.and(self.move_endpoint(live, planned, new.clone()));
                }
                None => {}
            }
        }
        let endpoints: Vec<EndpointRecord> = all.iter().map(|planned| planned.endpoint.clone()).collect();
        self.write_endpoints(id, &endpoints)?;
        self.write_due(id, &endpoints, false)?;
        if told_anew { self.tell(live, &all).and(outcome) } else { outcome }
    }

    /// The interface with the old address goes, one with the new address comes.
    fn move_endpoint(&self, live: &Live<'_>, planned: &mut Planned, new: EndpointRecord) -> Result<()> {
        let (id, name) = (&live.record.id, &live.record.name);
        let gone = EndpointRecord { lease: None, ..std::mem::replace(&mut planned.endpoint, new) };
        self.detach_endpoint(id, name, &gone, Some(live.netns()))?;
        self.attach_once(id, name, planned, live.netns()).map(drop)
    }
}

fn client<'a>(endpoint: &'a EndpointRecord, host_name: &'a str, netns: BorrowedFd<'a>) -> Result<Client<'a>> {
    let mac = super::endpoint::parse_mac(&endpoint.mac);
    let mac = mac.ok_or_else(|| Error::invalid(format!("interface {} has no hardware address", endpoint.interface)))?;
    Ok(Client { netns, interface: &endpoint.interface, mac, host_name })
}

fn note_lease(endpoint: &mut EndpointRecord, leased: &Leased) {
    let answer = &leased.answer;
    let gateway = answer.router.filter(|_| !endpoint.internal).map(Into::into);
    endpoint.set_address(answer.address.into(), answer.prefix, gateway);
    endpoint.lease = Some(LeaseRecord::of(leased));
}

fn release(endpoint: &EndpointRecord, lease: &LeaseRecord, netns: BorrowedFd<'_>) -> Result<()> {
    let Ok(own) = endpoint.address.parse() else { return Ok(()) };
    let released = client(endpoint, "", netns)?.release(own, (lease.server, lease.server_mac));
    released.map_err(|error| Error::request(Class::Unavailable, told(&error)))
}

fn refused(network: &NetworkRecord, error: &DhcpError) -> Error {
    let message = format!("cannot get an address on network {}: {}", network.name, told(error));
    let hint = "the network's parent interface must reach a DHCP server; --ipam-opt timeout=60s waits longer";
    Error::request(Class::Unavailable, message).with_hint(hint)
}

/// With its cause.
fn told(error: &DhcpError) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}

fn new_namespace() -> Result<File> {
    let act = || -> std::io::Result<File> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        File::open("/proc/thread-self/ns/net")
    };
    let made = std::thread::spawn(act).join().unwrap_or_else(|_| Err(std::io::Error::other("its thread panicked")));
    made.map_err(Error::io("make a network namespace"))
}

/// Refuses drivers that could not do with addresses from outside.
pub(crate) fn check_driver(driver: &NetworkDriver) -> Result<()> {
    let can = driver.capabilities();
    if can.addresses && !can.own_ipam && !can.gateway {
        return Ok(());
    }
    let error = Error::invalid(format!("network driver {} takes no addresses from a DHCP server", driver.name()));
    Err(error.with_hint("use a driver whose containers are on the network of the host's interface, such as macvlan"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        let options = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        assert_eq!(timeout(&BTreeMap::new()).expect("default"), DEFAULT_TIMEOUT);
        assert_eq!(timeout(&options("timeout", "3s")).expect("given"), Duration::from_secs(3));
        assert!(check(&options("timeout", "0s")).is_err() && check(&options("timeout", "long")).is_err());
        assert!(check(&options("speed", "1")).is_err());
    }

    #[test]
    fn a_lease_is_renewed_after_half_of_its_time_or_when_the_server_says() {
        let leased = |lease, renew| {
            let (server, address) = ([10, 0, 0, 1].into(), [10, 0, 0, 9].into());
            let (kind, prefix, router, dns, search) = (message::ACK, 24, None, Vec::new(), Vec::new());
            let answer = message::Answer { kind, address, prefix, router, server, dns, search, lease, renew };
            Leased { answer, mac: [0; 6] }
        };
        let times = |lease: LeaseRecord| (lease.renew_at - since_boot(), lease.ends_at - since_boot());
        assert!((99..=100).contains(&times(LeaseRecord::of(&leased(200, None))).0));
        assert!((19..=20).contains(&times(LeaseRecord::of(&leased(200, Some(20)))).0));
        assert!((99..=100).contains(&times(LeaseRecord::of(&leased(200, Some(300)))).0), "a senseless wish");
        assert!(times(LeaseRecord::of(&leased(FOR_EVER, None))).0 > 1 << 60);
    }
}
