//! What runs otherwise than the configuration would have it now: containers keep the log sinks and the storage driver they
//! were made with, networks their options. Everything else of the configuration is read by each command anew.

use crate::Engine;
use crate::container::{SinkFile, corrected};
use crate::error::Result;
use gantry_host::Kind;
use gantry_host::api::options::Scope;
use gantry_model::container::HostConfig;
use gantry_store::containers;
use std::collections::BTreeMap;

/// One value that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `container` or `network`.
    pub kind: &'static str,
    /// Whose it is.
    pub name: String,
    /// `log-driver`, `log.json-file.max-size` …
    pub key: String,
    /// As it runs; empty: not given.
    pub running: String,
    /// As the configuration has it; empty: not given.
    pub configured: String,
    /// What makes it so.
    pub remedy: &'static str,
}

const BY_UPDATE: &str = "gantry update --log-driver/--log-opt, or a new container";
const BY_NEW_CONTAINER: &str = "a new container";
const BY_NEW_NETWORK: &str = "gantry network rm, when nobody uses it: it is made anew";

impl Engine {
    /// Containers first, by name, then networks.
    pub fn config_diff(&self) -> Result<Vec<Difference>> {
        let mut found = Vec::new();
        let records = containers::list(&self.layout)?.into_iter().map(corrected);
        let mut live: Vec<_> = records.filter(|record| record.state.status.is_live()).collect();
        live.sort_by(|a, b| a.name.cmp(&b.name));
        for record in live {
            found.extend(self.container_diff(&record.id, &record.name)?);
        }
        for record in self.network_records()?.iter().filter(|record| record.predefined) {
            let given = self.settings.config.driver_options("network", &record.name);
            let now = self.plugins.check_options(Kind::Network, &record.driver, Scope::OBJECT, given)?;
            let now = now.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            let prefix = format!("network.{}", record.name);
            let of = |key, running, configured| Difference {
                kind: "network",
                name: record.name.clone(),
                key,
                running,
                configured,
                remedy: BY_NEW_NETWORK,
            };
            found.extend(values(&prefix, &record.options, &now).map(|(key, was, is)| of(key, was, is)));
        }
        Ok(found)
    }

    fn container_diff(&self, id: &str, name: &str) -> Result<Vec<Difference>> {
        let file = self.container_file(id)?;
        let mut found = Vec::new();
        let mut add = |key: String, running: String, configured: String, remedy| {
            found.push(Difference { kind: "container", name: name.to_owned(), key, running, configured, remedy });
        };
        if file.storage_driver != self.storage_driver() {
            let (was, is) = (file.storage_driver.clone(), self.storage_driver().to_owned());
            add("defaults.storage-driver".to_owned(), was, is, BY_NEW_CONTAINER);
        }
        let Some(asked) = file.log_asked else { return Ok(found) };
        let mut host = HostConfig { log_config: asked.first, log_sinks: asked.others, ..HostConfig::default() };
        let now = self.resolve_sinks(&mut host)?;
        let (was, is) = (drivers(&file.sinks), drivers(&now));
        if was != is {
            add("log-driver".to_owned(), was, is, BY_UPDATE);
            return Ok(found);
        }
        for (old, new) in file.sinks.iter().zip(&now) {
            let prefix = format!("log.{}", old.driver);
            for (key, was, is) in values(&prefix, &all(old), &all(new)) {
                add(key, was, is, BY_UPDATE);
            }
        }
        Ok(found)
    }
}

fn drivers(sinks: &[SinkFile]) -> String {
    sinks.iter().map(|sink| sink.driver.as_str()).collect::<Vec<_>>().join(",")
}

/// The options of a sink, whoever's they are.
fn all(sink: &SinkFile) -> BTreeMap<String, String> {
    sink.options.iter().chain(&sink.engine).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Keys whose values differ, with both.
fn values<'a>(
    prefix: &'a str,
    was: &'a BTreeMap<String, String>,
    is: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = (String, String, String)> + 'a {
    let keys = was.keys().chain(is.keys().filter(|key| !was.contains_key(*key)));
    let value = |map: &BTreeMap<String, String>, key: &str| map.get(key).cloned().unwrap_or_default();
    let each = keys.map(move |key| (format!("{prefix}.{key}"), value(was, key), value(is, key)));
    each.filter(|(_, was, is)| was != is)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_told_with_both_values() {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let (was, is) = (map(&[("a", "1"), ("b", "2"), ("c", "3")]), map(&[("b", "2"), ("c", "4"), ("d", "5")]));
        let found: Vec<_> = values("log.x", &was, &is).collect();
        let told = |key: &str, was: &str, is: &str| (key.to_owned(), was.to_owned(), is.to_owned());
        assert_eq!(found, [told("log.x.a", "1", ""), told("log.x.c", "3", "4"), told("log.x.d", "", "5")]);
    }
}
