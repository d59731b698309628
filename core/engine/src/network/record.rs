//! Records of networks: `<root>/networks/<name>/network.json`, beside their leases.

use super::cidr::Cidr4;
use super::{ipam::Leases, pools};
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
use std::net::Ipv4Addr;
use std::path::PathBuf;

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
    /// `a.b.c.d/n`; empty: the driver has no addresses.
    pub subnet: String,
    /// The gateway.
    pub gateway: String,
    /// No way out.
    pub internal: bool,
    /// Made by the engine, not by a user.
    pub predefined: bool,
    /// The driver's options, checked.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// What the driver wants to keep.
    pub state: Vec<u8>,
}

impl NetworkRecord {
    /// The subnet, if there is one.
    pub fn cidr(&self) -> Option<Cidr4> {
        self.subnet.parse().ok()
    }

    /// The gateway, if there is one.
    pub fn gateway(&self) -> Option<Ipv4Addr> {
        self.gateway.parse().ok()
    }

    /// As the driver sees it.
    pub fn spec(&self) -> NetworkSpec {
        let subnet = self.cidr().map(|c| Subnet {
            subnet: Cidr { addr: c.network().into(), prefix: c.prefix() },
            gateway: self.gateway().map(Into::into),
            ip_range: None,
            aux_addresses: Vec::new(),
        });
        NetworkSpec {
            id: self.id.clone(),
            name: self.name.clone(),
            subnets: subnet.into_iter().collect(),
            internal: self.internal,
            ipv6: false,
            predefined: self.predefined,
            labels: self.labels.clone().into_iter().collect(),
            options: Options::from_pairs(self.options.clone()),
        }
    }
}

impl Engine {
    fn network_dir(&self, name: &str) -> PathBuf {
        self.layout.networks().join(name)
    }

    /// The leases of a network that has addresses.
    pub(crate) fn leases(&self, network: &NetworkRecord) -> Option<Leases<'_>> {
        let reserved = network.gateway().into_iter().collect();
        Some(Leases::new(&self.layout, self.network_dir(&network.name).join("leases"), network.cidr()?, reserved))
    }

    /// Finds a network by name; one that is only a driver's name becomes that driver's predefined network.
    pub(crate) fn network(&self, name: &str) -> Result<(NetworkRecord, NetworkDriver)> {
        let name = if name.is_empty() || name == "default" { &self.settings.config.network } else { name };
        if let Some(record) = self.read_network(name)? {
            let driver = self.plugins.network(&record.driver)?;
            return Ok((record, driver));
        }
        if !gantry_model::ids::is_valid_name(name) || self.plugins.find(Kind::Network, name).is_err() {
            return Err(self.no_such_network(name));
        }
        let driver = self.plugins.network(name)?;
        Ok((self.make_predefined(name, &driver)?, driver))
    }

    /// Finds a network by name, id or unique id prefix.
    pub(crate) fn network_by_reference(&self, reference: &str) -> Result<(NetworkRecord, NetworkDriver)> {
        let by_name = self.network(reference);
        if by_name.is_ok() || reference.len() < 2 {
            return by_name;
        }
        let names = self.network_names();
        let mut records = names.iter().filter_map(|n| self.read_network(n).ok().flatten());
        match records.find(|r| r.id.starts_with(reference)) {
            Some(record) => self.network(&record.name),
            None => by_name,
        }
    }

    fn no_such_network(&self, name: &str) -> Error {
        let known = self.network_names().join(", ");
        Error::request(Class::NotFound, format!("network {name} not found"))
            .with_hint(format!("known networks: {known}"))
    }

    /// Names of the networks that have a record.
    pub(crate) fn recorded_networks(&self) -> Vec<String> {
        let entries = fs::read_dir(self.layout.networks()).into_iter().flatten().flatten();
        let entries = entries.filter(|e| e.path().join("network.json").is_file());
        entries.filter_map(|e| e.file_name().into_string().ok()).collect()
    }

    /// Names of all networks: recorded ones and drivers' predefined ones.
    pub(crate) fn network_names(&self) -> Vec<String> {
        let mut names = self.recorded_networks();
        names.extend(self.plugins.names(Kind::Network));
        names.sort();
        names.dedup();
        names
    }

    /// Reads a record, `None` when there is none.
    pub(crate) fn read_network(&self, name: &str) -> Result<Option<NetworkRecord>> {
        if name.contains('/') || name.starts_with('.') {
            return Err(Error::invalid(format!("invalid network name \"{name}\"")));
        }
        Ok(atomic::read_json_optional(&self.network_dir(name).join("network.json"))?)
    }

    fn make_predefined(&self, name: &str, driver: &NetworkDriver) -> Result<NetworkRecord> {
        atomic::make_dir(&self.layout.networks())?;
        let _lock = lock::exclusive(&self.layout.networks().join("lock"))?;
        if let Some(record) = self.read_network(name)? {
            return Ok(record);
        }
        let given = self.settings.config.driver_options("network", name);
        let options = self.plugins.check_options(Kind::Network, name, Scope::OBJECT, given)?;
        let subnet = if driver.capabilities().addresses { Some(self.free_subnet()?) } else { None };
        let record = NetworkRecord {
            schema: 1,
            id: crate::random_id()?,
            name: name.to_owned(),
            driver: name.to_owned(),
            created_ns: crate::now_ns(),
            subnet: subnet.map(|s| s.to_string()).unwrap_or_default(),
            gateway: subnet.map(|s| s.first_host().to_string()).unwrap_or_default(),
            predefined: true,
            options: options.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            ..NetworkRecord::default()
        };
        driver.validate(&record.spec())?;
        self.write_network(&record)?;
        Ok(record)
    }

    fn free_subnet(&self) -> Result<Cidr4> {
        let names = self.network_names();
        let records = names.iter().filter_map(|n| self.read_network(n).ok().flatten());
        let taken: Vec<Cidr4> = records.filter_map(|r| r.cidr()).collect();
        pools::choose(&self.settings.config.address_pools, &taken)
    }

    /// Replaces a record.
    pub(crate) fn write_network(&self, record: &NetworkRecord) -> Result<()> {
        let dir = self.network_dir(&record.name);
        atomic::make_dir(&dir)?;
        Ok(atomic::write_json(&dir.join("network.json"), record, Durability::Rename)?)
    }
}
