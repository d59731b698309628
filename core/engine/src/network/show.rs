//! Networks in Docker's words.

use super::record::{NetworkRecord, Pool};
use crate::Engine;
use crate::error::Result;
use serde_json::{Map, Value, json};

impl Engine {
    /// All networks.
    pub fn networks(&self) -> Result<Vec<Value>> {
        let used = self.used_networks()?;
        let shown = |name: &String| {
            let (network, _) = self.network(name)?;
            let dangling = !network.predefined && !used.contains(&network.name);
            let mut value = summary(&network);
            value["GantryDangling"] = dangling.into();
            value["GantryPredefined"] = network.predefined.into();
            Ok(value)
        };
        self.network_names().iter().map(shown).collect()
    }

    fn used_networks(&self) -> Result<std::collections::BTreeSet<String>> {
        let containers = gantry_store::containers::list(&self.layout)?;
        Ok(containers.into_iter().flat_map(|c| c.networks).collect())
    }

    /// One network with the containers on it.
    pub fn network_inspect(&self, reference: &str) -> Result<Value> {
        let (network, _) = self.network_by_reference(reference)?;
        let mut value = summary(&network);
        value["Containers"] = self.network_members(&network).into();
        Ok(value)
    }

    fn network_members(&self, network: &NetworkRecord) -> Map<String, Value> {
        let mut members = Map::new();
        for record in gantry_store::containers::list(&self.layout).unwrap_or_default() {
            if !crate::container::corrected(record.clone()).state.status.is_live() {
                continue;
            }
            let endpoints = self.endpoints(&record.id).unwrap_or_default();
            let Some(endpoint) = endpoints.iter().find(|e| e.network_id == network.id && e.attached) else { continue };
            let cidr = |a: &str, n: u8| if a.is_empty() { String::new() } else { format!("{a}/{n}") };
            let value = json!({
                "Name": record.name,
                "EndpointID": endpoint.id,
                "MacAddress": endpoint.mac,
                "IPv4Address": cidr(&endpoint.address, endpoint.prefix),
                "IPv6Address": cidr(&endpoint.address6, endpoint.prefix6),
            });
            members.insert(record.id, value);
        }
        members.sort_keys();
        members
    }
}

fn summary(network: &NetworkRecord) -> Value {
    let ipam: Vec<Value> = network.pools.iter().map(pool).collect();
    let options = if network.ipam_options.is_empty() { Value::Null } else { json!(network.ipam_options) };
    json!({
        "Name": network.name,
        "Id": network.id,
        "Created": crate::rfc3339(network.created_ns),
        "Scope": "local",
        "Driver": network.driver,
        "EnableIPv4": network.ipv4,
        "EnableIPv6": network.ipv6,
        "IPAM": { "Driver": network.ipam_driver, "Options": options, "Config": ipam },
        "Internal": network.internal,
        "Attachable": network.attachable,
        "Ingress": false,
        "ConfigFrom": { "Network": "" },
        "ConfigOnly": false,
        "Containers": {},
        "Options": network.given,
        "Labels": network.labels,
        "GantryOptions": network.options,
    })
}

fn pool(pool: &Pool) -> Value {
    let mut value = Map::new();
    value.insert("Subnet".into(), pool.subnet.to_string().into());
    if let Some(range) = pool.range {
        value.insert("IPRange".into(), range.to_string().into());
    }
    if let Some(gateway) = pool.gateway {
        value.insert("Gateway".into(), gateway.to_string().into());
    }
    if !pool.aux.is_empty() {
        value.insert("AuxiliaryAddresses".into(), json!(pool.aux));
    }
    value.into()
}
