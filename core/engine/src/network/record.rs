//! Records of networks: `<root>/networks/<name>/network.json`, beside their leases.

use super::cidr::Block;
use super::ipam::Leases;
use super::pools::Pools;
use crate::Engine;
use crate::error::{Error, Result};
use gantry_host::api::network::{Cidr, NetworkSpec, Subnet};
use gantry_host::api::options::{Options, Scope};
use gantry_host::{Kind, NetworkDriver};
use gantry_model::class::Class;
use gantry_store::atomic::{self, Durability};
use gantry_store::lock;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

/// The newest schema this version writes and reads.
const SCHEMA: u32 = 2;

/// A subnet of a network, and what in it is not for containers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// The subnet.
    pub subnet: Block,
    /// The gateway, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// The part that containers get addresses from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<Block>,
    /// Addresses of others, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub aux: BTreeMap<String, IpAddr>,
}

impl Pool {
    /// A whole subnet without gateway.
    pub fn of(subnet: Block) -> Pool {
        Pool { subnet, gateway: None, range: None, aux: BTreeMap::new() }
    }

    /// True for addresses that no container may have.
    pub fn is_reserved(&self, address: IpAddr) -> bool {
        self.subnet.is_special(address) || self.gateway == Some(address) || self.aux.values().any(|a| *a == address)
    }

    fn spec(&self) -> Subnet {
        let cidr = |block: Block| Cidr { addr: block.network(), prefix: block.prefix() };
        Subnet {
            subnet: cidr(self.subnet),
            gateway: self.gateway,
            ip_range: self.range.map(cidr),
            aux_addresses: self.aux.clone().into_iter().collect(),
        }
    }
}

/// A network.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkRecord {
    /// Schema of this record.
    pub schema: u32,
    /// 64 hex digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its driver.
    pub driver: String,
    /// Nanoseconds since 1970.
    pub created_ns: u64,
    /// Its subnets; none: the driver has no addresses, or has its own.
    pub pools: Vec<Pool>,
    /// Of schema 1: the only subnet.
    #[serde(skip_serializing)]
    pub(crate) subnet: String,
    /// Of schema 1: its gateway.
    #[serde(skip_serializing)]
    pub(crate) gateway: String,
    /// Containers get IPv4 addresses.
    pub ipv4: bool,
    /// Containers get IPv6 addresses.
    pub ipv6: bool,
    /// No way out.
    pub internal: bool,
    /// Shown, and without effect on one host.
    pub attachable: bool,
    /// Made by the engine, not by a user.
    pub predefined: bool,
    /// `default`, `null` or `dhcp`.
    pub ipam_driver: String,
    /// Kept and shown.
    pub ipam_options: BTreeMap<String, String>,
    /// The driver's options, checked.
    pub options: BTreeMap<String, String>,
    /// The same as users know them: as they were given, or, of one that the engine made, by their first other names.
    pub given: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// What the driver wants to keep.
    pub state: Vec<u8>,
    /// Somebody is about to remove it: no container may be connected any more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub removing: bool,
}

impl NetworkRecord {
    /// The pool of a family.
    pub fn pool(&self, v6: bool) -> Option<&Pool> {
        self.pools.iter().find(|p| p.subnet.is_v6() == v6)
    }

    /// As the driver sees it.
    pub fn spec(&self) -> NetworkSpec {
        NetworkSpec {
            id: self.id.clone(),
            name: self.name.clone(),
            subnets: self.pools.iter().map(Pool::spec).collect(),
            internal: self.internal,
            ipv6: self.ipv6,
            predefined: self.predefined,
            labels: self.labels.clone().into_iter().collect(),
            options: Options::from_pairs(self.options.clone()),
        }
    }

    fn migrated(mut self) -> NetworkRecord {
        if self.schema < SCHEMA {
            let gateway = self.gateway.parse().ok();
            self.pools = self.subnet.parse().ok().map(|s| Pool { gateway, ..Pool::of(s) }).into_iter().collect();
            (self.ipv4, self.ipam_driver, self.schema) = (true, "default".to_owned(), SCHEMA);
        }
        self
    }
}

/// An ordinary user may not change the machine's network; not every driver needs to.
pub(super) fn check_rights(network: &str, driver: &NetworkDriver) -> Result<()> {
    let capabilities = driver.capabilities();
    if capabilities.rootless || !capabilities.addresses || !gantry_sys::userns::network_is_foreign() {
        return Ok(());
    }
    let message = format!("the network {network} needs root: an ordinary user may not change the machine's network");
    Err(Error::request(Class::NotPermitted, message)
        .with_hint("leave --network away, or add --network none or --network host"))
}

/// What works without root is no root's concern before he asks for it.
fn is_offered(network: &str, driver: &NetworkDriver) -> bool {
    let for_others = driver.capabilities().rootless && !gantry_sys::userns::network_is_foreign();
    !for_others && check_rights(network, driver).is_ok()
}

impl Engine {
    pub(crate) fn network_dir(&self, name: &str) -> PathBuf {
        self.layout.networks().join(name)
    }

    /// Where the leases of all pools of a network lie.
    pub(crate) fn leases_dir(&self, network: &str) -> PathBuf {
        self.network_dir(network).join("leases")
    }

    pub(crate) fn leases<'a>(&'a self, network: &str, pool: &'a Pool) -> Leases<'a> {
        Leases::new(&self.layout, self.leases_dir(network), pool)
    }

    /// The name behind `default`.
    pub(crate) fn network_name<'a>(&'a self, name: &'a str) -> &'a str {
        if name.is_empty() || name == "default" { &self.settings.config.network } else { name }
    }

    /// Finds a network by name; one that is only a driver's name becomes that driver's predefined network.
    pub(crate) fn network(&self, name: &str) -> Result<(NetworkRecord, NetworkDriver)> {
        let name = self.network_name(name);
        if let Some(mut record) = self.read_network(name)? {
            let driver = self.plugins.network(&record.driver)?;
            if record.predefined && !driver.capabilities().create {
                // Nothing was made of its options but containers: what the configuration says today holds for the next.
                record.options = self.predefined_options(&record.driver)?;
            }
            return Ok((record, driver));
        }
        if !self.is_predefined(name)? {
            return Err(self.no_such_network(name));
        }
        let driver = self.plugins.network(name)?;
        check_rights(name, &driver)?;
        Ok((self.make_predefined(name, &driver)?, driver))
    }

    /// True for the name of a driver that has a network of this name, made when it is first wanted: one that has no
    /// other, or that needs nothing but the host for it.
    pub(crate) fn is_predefined(&self, name: &str) -> Result<bool> {
        if !is_network_name(name) || self.plugins.find(Kind::Network, name).is_err() {
            return Ok(false);
        }
        let capabilities = self.plugins.network(name)?.capabilities();
        Ok(!capabilities.create || capabilities.gateway)
    }

    /// Finds a network by name, id or unique id prefix.
    pub(crate) fn network_by_reference(&self, reference: &str) -> Result<(NetworkRecord, NetworkDriver)> {
        let by_name = self.network(reference);
        if by_name.is_ok() || reference.len() < 2 {
            return by_name;
        }
        let names = self.recorded_networks();
        let records = names.iter().filter_map(|n| self.read_network(n).ok().flatten());
        let fitting: Vec<NetworkRecord> = records.filter(|r| r.id.starts_with(reference)).collect();
        match fitting.as_slice() {
            [record] => self.network(&record.name),
            [] => by_name,
            _ => {
                Err(Error::invalid(format!("network {reference} is ambiguous ({} matches found on ID)", fitting.len())))
            }
        }
    }

    pub(crate) fn no_such_network(&self, name: &str) -> Error {
        let known = self.network_names().join(", ");
        Error::request(Class::NotFound, format!("network {name} not found"))
            .with_hint(format!("known networks: {known}"))
    }

    /// Names of the networks that have a record.
    pub(crate) fn recorded_networks(&self) -> Vec<String> {
        let entries = fs::read_dir(self.layout.networks()).into_iter().flatten().flatten();
        let entries = entries.filter(|e| e.path().join("network.json").is_file());
        let mut names: Vec<String> = entries.filter_map(|e| e.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// Names of all networks: recorded ones and drivers' predefined ones that can be had here.
    pub(crate) fn network_names(&self) -> Vec<String> {
        let mut names = self.recorded_networks();
        let drivers = self.plugins.names(Kind::Network).into_iter();
        let offered = |name: &str| self.plugins.network(name).is_ok_and(|driver| is_offered(name, &driver));
        names.extend(drivers.filter(|name| self.is_predefined(name).unwrap_or(false) && offered(name)));
        names.sort();
        names.dedup();
        names
    }

    /// Reads a record, `None` when there is none.
    pub(crate) fn read_network(&self, name: &str) -> Result<Option<NetworkRecord>> {
        if name.contains('/') || name.starts_with('.') {
            return Err(Error::invalid(format!("invalid network name \"{name}\"")));
        }
        let path = self.network_dir(name).join("network.json");
        let record: Option<NetworkRecord> = atomic::read_json_optional(&path)?;
        match record {
            Some(record) if record.schema > SCHEMA => {
                Err(gantry_store::Error::Newer { path, found: record.schema, known: SCHEMA }.into())
            }
            record => Ok(record.map(NetworkRecord::migrated)),
        }
    }

    /// Every network that has a record.
    pub(crate) fn network_records(&self) -> Result<Vec<NetworkRecord>> {
        let records = self.recorded_networks().into_iter().map(|name| self.read_network(&name));
        Ok(records.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    fn make_predefined(&self, name: &str, driver: &NetworkDriver) -> Result<NetworkRecord> {
        let _lock = self.lock_networks()?;
        if let Some(record) = self.read_network(name)? {
            return Ok(record);
        }
        let options = self.predefined_options(name)?;
        let given = self.by_other_names(name, &options)?;
        let pools = if driver.capabilities().addresses { vec![self.default_pool(false, driver)?] } else { Vec::new() };
        let record = NetworkRecord {
            name: name.to_owned(),
            driver: name.to_owned(),
            pools,
            predefined: true,
            options,
            given,
            ..new_record()?
        };
        driver.validate(&record.spec())?;
        self.write_network(&record)?;
        Ok(record)
    }

    fn predefined_options(&self, name: &str) -> Result<BTreeMap<String, String>> {
        let given = self.settings.config.driver_options("network", name);
        let options = self.plugins.check_options(Kind::Network, name, Scope::OBJECT, given)?;
        Ok(options.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
    }

    fn by_other_names(&self, name: &str, options: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>> {
        let manifest = self.plugins.manifest(Kind::Network, name)?;
        let infos = manifest.driver(Kind::Network).map(|driver| driver.options.as_slice()).unwrap_or_default();
        let other = |key: &String| infos.iter().find(|info| info.key == *key).and_then(|info| info.aliases.first());
        Ok(options.iter().map(|(key, value)| (other(key).unwrap_or(key).clone(), value.clone())).collect())
    }

    /// A pool chosen by us.
    pub(crate) fn default_pool(&self, v6: bool, driver: &NetworkDriver) -> Result<Pool> {
        let subnet = self.free_subnet(v6, None)?;
        let gateway = driver.capabilities().gateway.then(|| subnet.first_host());
        Ok(Pool { gateway, ..Pool::of(subnet) })
    }

    pub(crate) fn free_subnet(&self, v6: bool, size: Option<u8>) -> Result<Block> {
        let (taken, engine_id) = (self.taken_subnets()?, self.engine_id());
        let pools = Pools { configured: &self.settings.config.address_pools, engine_id: &engine_id, taken: &taken };
        pools.choose(v6, size)
    }

    /// The subnets of all networks, with the networks' names.
    pub(crate) fn taken_subnets(&self) -> Result<Vec<(Block, String)>> {
        let records = self.network_records()?;
        Ok(records.iter().flat_map(|r| r.pools.iter().map(|p| (p.subnet, r.name.clone()))).collect())
    }

    /// Held while networks are made or removed, never while a container starts.
    pub(crate) fn lock_networks(&self) -> Result<lock::Lock> {
        atomic::make_dir(&self.layout.networks())?;
        Ok(lock::exclusive(&self.layout.networks().join("lock"))?)
    }

    /// Replaces a record.
    pub(crate) fn write_network(&self, record: &NetworkRecord) -> Result<()> {
        let dir = self.network_dir(&record.name);
        atomic::make_dir(&dir)?;
        Ok(atomic::write_json(&dir.join("network.json"), record, Durability::Rename)?)
    }
}

/// A record of now with an id of its own.
pub(crate) fn new_record() -> Result<NetworkRecord> {
    Ok(NetworkRecord {
        schema: SCHEMA,
        id: crate::random_id()?,
        created_ns: crate::now_ns(),
        ipv4: true,
        ipam_driver: "default".to_owned(),
        ..NetworkRecord::default()
    })
}

/// A name of a network: as a container's, but one character will do, and there may be blanks between.
pub(crate) fn is_network_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b' ');
    name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.bytes().all(plain) && !name.ends_with(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_schema_1_are_understood() {
        let old = r#"{"schema":1,"id":"x","name":"bridge","subnet":"172.17.0.0/16","gateway":"172.17.0.1"}"#;
        let record = serde_json::from_str::<NetworkRecord>(old).expect("a record").migrated();
        assert!(record.ipv4 && !record.ipv6);
        let pool = record.pool(false).expect("a pool");
        assert_eq!((pool.subnet.to_string(), pool.gateway), ("172.17.0.0/16".into(), "172.17.0.1".parse().ok()));
        let new = serde_json::to_string(&record).expect("JSON");
        assert_eq!(serde_json::from_str::<NetworkRecord>(&new).expect("again").pools, record.pools);
    }

    #[test]
    fn what_nobody_may_have() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let subnet: Block = "10.1.0.0/24".parse().expect("a subnet");
        let aux = BTreeMap::from([("router".to_owned(), ip("10.1.0.9"))]);
        let pool = Pool { gateway: Some(ip("10.1.0.1")), aux, ..Pool::of(subnet) };
        for reserved in ["10.1.0.0", "10.1.0.1", "10.1.0.9", "10.1.0.255"] {
            assert!(pool.is_reserved(ip(reserved)), "{reserved}");
        }
        assert!(!pool.is_reserved(ip("10.1.0.2")));
    }
}
