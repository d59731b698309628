//! `network create`, `rm`, `prune`: from what the user asked for to a record and the driver's work on the host.

use super::cidr::Block;
use super::dhcp;
use super::record::{NetworkRecord, Pool, is_network_name, new_record};
use crate::Engine;
use crate::error::{Error, Result};
use gantry_host::api::options::Scope;
use gantry_host::{Kind, NetworkDriver};
use gantry_model::class::Class;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A network to make.
#[derive(Clone, Debug, Default)]
pub struct NetworkRequest {
    /// Its name.
    pub name: String,
    /// Its driver; `None`: the default network's.
    pub driver: Option<String>,
    /// `--subnet`, in order.
    pub subnets: Vec<String>,
    /// `--ip-range`.
    pub ranges: Vec<String>,
    /// `--gateway`.
    pub gateways: Vec<String>,
    /// `--aux-address`.
    pub aux: Vec<(String, String)>,
    /// IPv4 wanted; `None`: yes.
    pub ipv4: Option<bool>,
    /// IPv6 wanted; `None`: when there is a subnet of it.
    pub ipv6: Option<bool>,
    /// No way out.
    pub internal: bool,
    /// Shown.
    pub attachable: bool,
    /// `default`, `null` or `dhcp`; empty: `default`.
    pub ipam_driver: String,
    /// Kept and shown.
    pub ipam_options: BTreeMap<String, String>,
    /// The driver's, unchecked.
    pub options: Vec<(String, String)>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

impl Engine {
    /// Makes a network; answers its id.
    pub fn network_create(&self, mut request: NetworkRequest) -> Result<String> {
        check_name(&request.name)?;
        take_family_options(&mut request)?;
        let (name, driver) = self.driver_of_new(request.driver.as_deref())?;
        super::record::check_rights(&request.name, &driver)?;
        if !driver.capabilities().create {
            let message = format!("only one instance of \"{name}\" network is allowed");
            return Err(Error::request(Class::NotPermitted, message));
        }
        let options = self.plugins.check_options(Kind::Network, &name, Scope::OBJECT, &request.options)?;
        let _lock = self.lock_networks()?;
        self.sweep_unmade();
        if self.network_name(&request.name) != request.name || self.is_predefined(&request.name)? {
            let message = format!("operation is not permitted on predefined {} network", request.name);
            return Err(Error::request(Class::NotPermitted, message));
        }
        if self.read_network(&request.name)?.is_some() {
            return Err(Error::request(Class::Exists, format!("network with name {} already exists", request.name)));
        }
        let pools = self.resolve_pools(&request, &driver)?;
        let record = NetworkRecord {
            name: request.name,
            driver: name,
            ipv4: request.ipv4.unwrap_or(true),
            ipv6: pools.iter().any(|p| p.subnet.is_v6()) || request.ipv6 == Some(true),
            pools,
            internal: request.internal,
            attachable: request.attachable,
            ipam_driver: if request.ipam_driver.is_empty() { "default".to_owned() } else { request.ipam_driver },
            ipam_options: request.ipam_options,
            options: options.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            given: request.options.into_iter().collect(),
            labels: request.labels,
            ..new_record()?
        };
        self.establish(record, &driver)
    }

    /// The driver asked for; else the default network's, or that of the built-in default where the former has but one.
    fn driver_of_new(&self, asked: Option<&str>) -> Result<(String, NetworkDriver)> {
        let name = asked.unwrap_or(&self.settings.config.network).to_owned();
        let driver = self.plugins.network(&name)?;
        if asked.is_some() || driver.capabilities().create {
            return Ok((name, driver));
        }
        let name = gantry_config::Config::default().network;
        let driver = self.plugins.network(&name)?;
        Ok((name, driver))
    }

    /// Notes the network, then has its driver make what it needs on the host; undoes both on failure.
    fn establish(&self, mut record: NetworkRecord, driver: &NetworkDriver) -> Result<String> {
        driver.validate(&record.spec())?;
        self.check_siblings(&record)?;
        let dirs = self.driver_dirs("network", driver.name());
        let made = self.write_network(&record).and_then(|()| Ok(driver.create(&record.spec(), &[], &dirs)?));
        let noted = made.and_then(|state| {
            record.state = state;
            self.write_network(&record).inspect_err(|_| {
                // The error that led here is the one to tell.
                let _ = driver.delete(&record.spec(), &record.state, &dirs);
            })
        });
        if noted.is_ok() {
            self.tell_network("create", &record.id, &record.name, &record.driver, None);
        }
        noted.map(|()| record.id.clone()).map_err(|error| {
            let undone = self.throw_away(&self.network_dir(&record.name));
            error.join(undone.err().into_iter().collect())
        })
    }

    /// What killed processes left of networks that they were about to make, or had just removed: directories without a
    /// record. To be called under the lock.
    fn sweep_unmade(&self) {
        let entries = std::fs::read_dir(self.layout.networks()).into_iter().flatten().flatten();
        for dir in entries.map(|entry| entry.path()).filter(|path| path.is_dir()) {
            if !dir.join("network.json").exists()
                && let Err(error) = self.throw_away(&dir)
            {
                tracing::warn!("cannot take away {}: {error}", dir.display());
            }
        }
    }

    /// Two networks of one driver must not be told to use one interface of the host by the same name.
    fn check_siblings(&self, record: &NetworkRecord) -> Result<()> {
        let Some(wanted) = record.options.get("name").filter(|n| !n.is_empty()) else { return Ok(()) };
        let others = self.network_records()?;
        let same = |o: &&NetworkRecord| o.driver == record.driver && o.options.get("name") == Some(wanted);
        let Some(other) = others.iter().find(same) else { return Ok(()) };
        let message = format!(
            "cannot create network {}: conflicts with network {} ({}): networks have same bridge name",
            record.name,
            other.name,
            &other.id[..12]
        );
        Err(Error::request(Class::Exists, message))
    }

    fn resolve_pools(&self, request: &NetworkRequest, driver: &NetworkDriver) -> Result<Vec<Pool>> {
        let capabilities = driver.capabilities();
        if request.ipam_driver == dhcp::NAME {
            dhcp::check_driver(driver)?;
            dhcp::check(&request.ipam_options)?;
            return no_pools(request);
        }
        if request.ipam_driver == "null" || capabilities.own_ipam || !capabilities.addresses {
            return no_pools(request);
        }
        if !matches!(request.ipam_driver.as_str(), "" | "default") {
            let known = format!("default, {}, null", dhcp::NAME);
            return Err(Error::invalid(format!("unknown IPAM driver \"{}\" (known: {known})", request.ipam_driver)));
        }
        check_given(request)?;
        let mut pools = request.subnets.iter().map(|text| self.given_pool(text)).collect::<Result<Vec<_>>>()?;
        let (ipv4, ipv6) = (request.ipv4.unwrap_or(true), request.ipv6.unwrap_or(false));
        for (v6, wanted) in [(false, ipv4), (true, ipv6)] {
            if wanted && !pools.iter().any(|p| p.subnet.is_v6() == v6) {
                pools.push(Pool::of(self.free_subnet(v6, None)?));
            }
        }
        pools.retain(|p| if p.subnet.is_v6() { request.ipv6 != Some(false) } else { ipv4 });
        if pools.is_empty() {
            return Err(Error::invalid("IPv4 or IPv6 must be enabled"));
        }
        assign(&mut pools, request)?;
        if capabilities.gateway {
            pools.iter_mut().for_each(invent_gateway);
        }
        pools.iter().try_for_each(check_pool)?;
        self.check_overlaps(&pools)?;
        Ok(pools)
    }

    /// `--subnet`; one with an unspecified address asks for any of that size.
    fn given_pool(&self, text: &str) -> Result<Pool> {
        let subnet: Block = text.parse().map_err(|e: super::cidr::InvalidSubnet| Error::invalid(e.to_string()))?;
        let any = subnet.network().is_unspecified() && subnet.prefix() > 0;
        Ok(Pool::of(if any { self.free_subnet(subnet.is_v6(), Some(subnet.prefix()))? } else { subnet }))
    }

    fn check_overlaps(&self, pools: &[Pool]) -> Result<()> {
        let taken = self.taken_subnets()?;
        for (index, pool) in pools.iter().enumerate() {
            let among = pools[..index].iter().any(|other| other.subnet.overlaps(pool.subnet));
            let other = taken.iter().find(|(block, _)| block.overlaps(pool.subnet));
            if among || other.is_some() {
                let error = Error::request(
                    Class::NotPermitted,
                    format!(
                        "invalid pool request: Pool overlaps with other one on this address space: {}",
                        pool.subnet
                    ),
                );
                let whose = other.map(|(block, name)| format!("network {name} has {block}"));
                return Err(error.with_hint(whose.unwrap_or_else(|| "give subnets that do not overlap".to_owned())));
            }
        }
        Ok(())
    }

    /// Removes a network; answers its name. With `force` a missing one is no error: `None`.
    pub fn network_remove(&self, reference: &str, force: bool) -> Result<Option<String>> {
        let (record, driver) = match self.network_by_reference(reference) {
            Err(error) if force && error.class() == Class::NotFound => {
                let _lock = self.lock_networks()?;
                self.sweep_unmade();
                return Ok(None);
            }
            found => found?,
        };
        if record.predefined {
            let message = format!("{} is a pre-defined network and cannot be removed", record.name);
            return Err(Error::request(Class::NotPermitted, message));
        }
        let _lock = self.lock_networks()?;
        self.remove_unused(&record, &driver, || self.check_unused(&record))?;
        Ok(Some(record.name))
    }

    fn check_unused(&self, record: &NetworkRecord) -> Result<()> {
        let members = self.network_users(record, true)?;
        if members.is_empty() {
            return Ok(());
        }
        let names: Vec<String> =
            members.iter().map(|(name, id)| format!("name:\"{name}\" id:\"{}\"", &id[..12])).collect();
        let text = names.join(", ");
        let message = format!("error while removing network: network {} has active endpoints ({text})", record.name);
        Err(Error::request(Class::InUse, message).with_hint("disconnect or remove these containers first"))
    }

    /// The intent first, so that whoever starts a container meanwhile sees it or is seen; then the host: what the driver
    /// could not undo stays on record.
    fn remove_unused(
        &self,
        record: &NetworkRecord,
        driver: &NetworkDriver,
        check: impl Fn() -> Result<()>,
    ) -> Result<()> {
        self.write_network(&NetworkRecord { removing: true, ..record.clone() })?;
        if let Err(error) = check() {
            self.write_network(&NetworkRecord { removing: false, ..record.clone() })?;
            return Err(error);
        }
        let dirs = self.driver_dirs("network", driver.name());
        driver.delete(&record.spec(), &record.state, &dirs)?;
        let _ = std::fs::remove_dir_all(self.members_dir(&record.id));
        self.throw_away(&self.network_dir(&record.name))?;
        self.tell_network("destroy", &record.id, &record.name, &record.driver, None);
        Ok(())
    }

    /// Names and ids of the containers that are connected: those that run (or start), or all that will be when they do.
    pub(crate) fn network_users(&self, record: &NetworkRecord, live: bool) -> Result<Vec<(String, String)>> {
        let mut users = Vec::new();
        for container in gantry_store::containers::list(&self.layout)? {
            let uses = if live {
                let active =
                    container.busy.is_some() || crate::container::corrected(container.clone()).state.status.is_live();
                active && self.endpoints(&container.id)?.iter().any(|e| e.network_id == record.id && e.attached)
            } else {
                container.networks.contains(&record.name)
            };
            if uses {
                users.push((container.name, container.id));
            }
        }
        Ok(users)
    }

    /// Removes every network that no container is connected to and that fits; answers their names.
    pub fn network_prune(&self, fits: impl Fn(&NetworkRecord) -> bool) -> Result<Vec<String>> {
        let _lock = self.lock_networks()?;
        self.sweep_unmade();
        let mut removed = Vec::new();
        for record in self.network_records()?.into_iter().filter(|r| !r.predefined && fits(r)) {
            if self.network_users(&record, false)?.is_empty() {
                let driver = self.plugins.network(&record.driver)?;
                match self.remove_unused(&record, &driver, || self.check_unused(&record)) {
                    Err(error) if error.class() == Class::InUse => {}
                    done => done.map(|()| removed.push(record.name))?,
                }
            }
        }
        self.tell_pruned("network", 0);
        Ok(removed)
    }
}

fn check_name(name: &str) -> Result<()> {
    if is_network_name(name) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "invalid network name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-]* and blanks between are allowed"
    )))
}

/// The legacy spellings of `--ipv4` and `--ipv6` among the driver's options.
fn take_family_options(request: &mut NetworkRequest) -> Result<()> {
    for (key, is_v6) in [("com.docker.network.enable_ipv4", false), ("com.docker.network.enable_ipv6", true)] {
        let Some(at) = request.options.iter().position(|(k, _)| k == key) else { continue };
        let (_, text) = request.options.remove(at);
        let value = match text.as_str() {
            "1" | "t" | "true" => true,
            "0" | "f" | "false" => false,
            _ => return Err(Error::invalid(format!("failed to parse {key} value: {text:?}"))),
        };
        let slot = if is_v6 { &mut request.ipv6 } else { &mut request.ipv4 };
        slot.get_or_insert(value);
    }
    Ok(())
}

fn no_pools(request: &NetworkRequest) -> Result<Vec<Pool>> {
    let given = [&request.subnets, &request.ranges, &request.gateways];
    if given.iter().any(|list| !list.is_empty()) || !request.aux.is_empty() {
        return Err(Error::invalid("this network gets no addresses from the engine: subnets cannot be given"));
    }
    Ok(Vec::new())
}

fn check_given(request: &NetworkRequest) -> Result<()> {
    if request.subnets.is_empty() && !(request.ranges.is_empty() && request.gateways.is_empty()) {
        return Err(Error::invalid("every ip-range or gateway must have a corresponding subnet"));
    }
    Ok(())
}

/// Gives each range, gateway and auxiliary address to the subnet it lies in.
fn assign(pools: &mut [Pool], request: &NetworkRequest) -> Result<()> {
    check_given(request)?;
    for text in &request.ranges {
        let range: Block = text.parse().map_err(|_| Error::invalid(format!("invalid ip-range: {text}")))?;
        let pool = pools.iter_mut().find(|p| p.subnet.covers(range));
        let pool = pool.ok_or_else(|| Error::invalid(format!("no matching subnet for range {text}")))?;
        if pool.range.replace(range).is_some() {
            return Err(Error::invalid("cannot configure multiple ranges on the same subnet"));
        }
    }
    for text in &request.gateways {
        let pool =
            holder(pools, text).ok_or_else(|| Error::invalid(format!("no matching subnet for gateway {text}")))?;
        if pool.0.gateway.replace(pool.1).is_some() {
            return Err(Error::invalid("cannot configure multiple gateways on the same subnet"));
        }
    }
    for (name, text) in &request.aux {
        let bad = || Error::invalid(format!("no matching subnet for aux-address {text}"));
        let (pool, address) = holder(pools, text).ok_or_else(bad)?;
        pool.aux.insert(name.clone(), address);
    }
    Ok(())
}

fn holder<'a>(pools: &'a mut [Pool], text: &str) -> Option<(&'a mut Pool, IpAddr)> {
    let address: IpAddr = text.parse().ok()?;
    pools.iter_mut().find(|p| p.subnet.contains(address)).map(|pool| (pool, address))
}

/// The first address of the range, or of the subnet, that is not somebody else's.
fn invent_gateway(pool: &mut Pool) {
    if pool.gateway.is_none() {
        let mut free = pool.subnet.addresses().take(1 << 16).filter(|a| !pool.is_reserved(*a));
        let first = pool.range.filter(|r| r.prefix() > pool.subnet.prefix()).map(Block::first_host);
        let first = first.filter(|a| !pool.is_reserved(*a));
        pool.gateway = first.or_else(|| free.next());
    }
}

/// What no host can have is nobody's address; and somebody must be left to get one.
fn check_pool(pool: &Pool) -> Result<()> {
    let subnet = pool.subnet;
    let network = subnet.network();
    if network.is_loopback() || network.is_multicast() {
        let kind = if network.is_loopback() { "loopback" } else { "multicast" };
        return Err(Error::invalid(format!("invalid subnet {subnet}: {kind} addresses are not for containers")));
    }
    let mut taken = Vec::new();
    let gateway = pool.gateway.map(|address| ("gateway".to_owned(), address));
    let aux = pool.aux.iter().map(|(name, address)| (format!("aux-address {name}"), *address));
    for (what, address) in gateway.into_iter().chain(aux) {
        if (address.is_ipv4() && subnet.is_special(address)) || taken.contains(&address) {
            let message = format!("cannot reserve {what}: Address already in use: {address}");
            let hint = "the first and the last address of a subnet are nobody's, and each other one only once";
            return Err(Error::request(Class::InUse, message).with_hint(hint));
        }
        taken.push(address);
    }
    let range = pool.range.unwrap_or(subnet);
    // One more than can be reserved is enough to find one that is not.
    if range.addresses().take(taken.len() + 3).all(|address| pool.is_reserved(address)) {
        return Err(Error::request(Class::Unavailable, format!("{range} has no address left for a container"))
            .with_hint("give a larger subnet or ip-range"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(subnets: &[&str], ranges: &[&str], gateways: &[&str], aux: &[(&str, &str)]) -> NetworkRequest {
        let texts = |list: &[&str]| list.iter().map(|t| (*t).to_owned()).collect();
        NetworkRequest {
            subnets: texts(subnets),
            ranges: texts(ranges),
            gateways: texts(gateways),
            aux: aux.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            ..NetworkRequest::default()
        }
    }

    fn assigned(request: &NetworkRequest) -> Result<Vec<Pool>> {
        let mut pools: Vec<Pool> = request.subnets.iter().map(|t| Pool::of(t.parse().expect("a subnet"))).collect();
        assign(&mut pools, request)?;
        pools.iter_mut().for_each(invent_gateway);
        pools.iter().try_for_each(check_pool)?;
        Ok(pools)
    }

    #[test]
    fn each_goes_to_its_subnet() {
        let wish = request(
            &["10.1.0.0/16", "fd00::/64"],
            &["10.1.5.0/24", "fd00::100/120"],
            &["fd00::9"],
            &[("r", "10.1.5.1"), ("s", "fd00::1")],
        );
        let pools = assigned(&wish).expect("sound");
        assert_eq!(pools[0].range.map(|r| r.to_string()).as_deref(), Some("10.1.5.0/24"));
        // The range's first address is somebody else's.
        assert_eq!(pools[0].gateway, "10.1.0.1".parse().ok());
        assert_eq!(pools[1].gateway, "fd00::9".parse().ok());
        let plain = assigned(&request(&["10.2.0.0/24"], &["10.2.0.128/25"], &[], &[])).expect("sound");
        assert_eq!(plain[0].gateway, "10.2.0.129".parse().ok());
        // A gateway and one container.
        assert!(assigned(&request(&["10.3.0.0/31"], &[], &[], &[])).is_ok());
    }

    #[test]
    fn refused() {
        for (wish, message) in [
            (request(&["10.1.0.0/16"], &["10.2.0.0/24"], &[], &[]), "no matching subnet for range 10.2.0.0/24"),
            (request(&["10.1.0.0/16"], &[], &["10.2.0.1"], &[]), "no matching subnet for gateway 10.2.0.1"),
            (request(&["10.1.0.0/16"], &[], &[], &[("a", "10.2.0.1")]), "no matching subnet for aux-address 10.2.0.1"),
            (request(&[], &[], &["10.2.0.1"], &[]), "every ip-range or gateway must have a corresponding subnet"),
            (
                request(&["10.1.0.0/16"], &[], &["10.1.0.0"], &[]),
                "cannot reserve gateway: Address already in use: 10.1.0.0",
            ),
            (
                request(&["10.1.0.0/16"], &[], &["10.1.255.255"], &[]),
                "cannot reserve gateway: Address already in use: 10.1.255.255",
            ),
            (
                request(&["10.1.0.0/16"], &[], &["10.1.0.9"], &[("r", "10.1.0.9")]),
                "cannot reserve aux-address r: Address already in use: 10.1.0.9",
            ),
            (request(&["10.1.0.0/32"], &[], &[], &[]), "10.1.0.0/32 has no address left for a container"),
            (
                request(&["10.1.0.0/24"], &["10.1.0.4/31"], &["10.1.0.4"], &[("r", "10.1.0.5")]),
                "10.1.0.4/31 has no address left for a container",
            ),
            (
                request(&["127.0.0.0/8"], &[], &[], &[]),
                "invalid subnet 127.0.0.0/8: loopback addresses are not for containers",
            ),
            (
                request(&["ff02::/64"], &[], &[], &[]),
                "invalid subnet ff02::/64: multicast addresses are not for containers",
            ),
        ] {
            assert_eq!(assigned(&wish).expect_err("refused").to_string(), message);
        }
    }
}
