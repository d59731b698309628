//! A list of plugins, run one after the other: each gets what the one before answered.

use crate::error::{Error, Result};
use crate::list::{List, type_of};
use crate::ports::{self, Port};
use crate::program::{self, Call};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Instant;

/// What one connection is made with; it is taken back with the same.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Connection {
    pub list: List,
    pub places: Vec<PathBuf>,
    pub container: String,
    pub interface: String,
    /// `aa:bb:…`; empty: the plugins' choice.
    pub mac: String,
    /// To be asked for.
    pub addresses: Vec<IpAddr>,
    pub ports: BTreeSet<Port>,
    /// What the last plugin answered; `Null` before all have been added.
    pub result: Value,
}

impl Connection {
    /// Adds the interface. After a failure it must be taken back: some plugins have run.
    pub fn add(&mut self, netns: &str, until: Instant) -> Result<()> {
        self.result = self.run_all(self.list.plugins.iter(), "ADD", netns, Value::Null, until)?;
        Ok(())
    }

    /// Takes it back, the last plugin first; goes on after a failure and tells the first.
    pub fn del(&self, netns: &str, until: Instant) -> Result<()> {
        let previous = if self.list.remembers() { self.result.clone() } else { Value::Null };
        let mut outcome = Ok(());
        for plugin in self.list.plugins.iter().rev() {
            let deleted = self.run(plugin, "DEL", netns, &previous, until);
            outcome = outcome.and(deleted.map(drop));
        }
        outcome
    }

    /// Whether all is as it was added, as far as the plugins can tell.
    pub fn check(&self, netns: &str, until: Instant) -> Result<()> {
        if !self.list.remembers() || self.list.disable_check {
            return Ok(());
        }
        let mut plugins = self.list.plugins.iter();
        plugins.try_for_each(|plugin| self.run(plugin, "CHECK", netns, &self.result, until).map(drop))
    }

    /// True when ports can be published.
    pub fn publishes(&self) -> bool {
        self.list.plugins.iter().any(|plugin| is_able(plugin, "portMappings"))
    }

    /// Other ports from now on: those plugins that publish them are taken back and added again.
    pub fn change_ports(&mut self, ports: BTreeSet<Port>, netns: &str, until: Instant) -> Result<()> {
        if ports == self.ports {
            return Ok(());
        }
        if !self.publishes() {
            return Err(Error::NoPorts);
        }
        let before = std::mem::replace(&mut self.ports, ports);
        let added = self.publish_again(&before, netns, until);
        if added.is_err() {
            let wanted = std::mem::replace(&mut self.ports, before);
            // The error that led here is the one to tell.
            let _ = self.publish_again(&wanted, netns, until);
        }
        added
    }

    fn publish_again(&self, old: &BTreeSet<Port>, netns: &str, until: Instant) -> Result<()> {
        let able: Vec<_> = self.list.plugins.iter().filter(|plugin| is_able(plugin, "portMappings")).cloned().collect();
        let before = Connection { ports: old.clone(), ..self.clone() };
        for plugin in able.iter().rev() {
            before.run(plugin, "DEL", netns, &self.result, until)?;
        }
        self.run_all(able.iter(), "ADD", netns, self.result.clone(), until).map(drop)
    }

    fn run_all<'a>(
        &self,
        plugins: impl Iterator<Item = &'a Map<String, Value>>,
        command: &'static str,
        netns: &str,
        mut result: Value,
        until: Instant,
    ) -> Result<Value> {
        for plugin in plugins {
            result = self.run(plugin, command, netns, &result, until)?;
        }
        Ok(result)
    }

    fn run(
        &self,
        plugin: &Map<String, Value>,
        command: &'static str,
        netns: &str,
        previous: &Value,
        until: Instant,
    ) -> Result<Value> {
        let arguments = self.arguments();
        let call = Call {
            command,
            container: &self.container,
            netns,
            interface: &self.interface,
            arguments: &arguments,
            places: &self.places,
            until,
        };
        program::run(type_of(plugin), &self.configuration(plugin, previous), &call)
    }

    /// What the plugin finds on its standard input.
    fn configuration(&self, plugin: &Map<String, Value>, previous: &Value) -> Value {
        let mut whole = plugin.clone();
        whole.insert("name".into(), json!(self.list.name));
        whole.insert("cniVersion".into(), json!(self.list.cni_version));
        if !previous.is_null() {
            whole.insert("prevResult".into(), previous.clone());
        }
        let runtime: Map<String, Value> = self.runtime().into_iter().filter(|(key, _)| is_able(plugin, key)).collect();
        if !runtime.is_empty() {
            whole.insert("runtimeConfig".into(), Value::Object(runtime));
        }
        if self.addresses.len() > 1 {
            // The environment has room for one.
            whole.insert("args".into(), json!({ "cni": { "ips": self.addresses } }));
        }
        Value::Object(whole)
    }

    /// What plugins get that say they can make use of it.
    fn runtime(&self) -> Map<String, Value> {
        let mut runtime = Map::new();
        if !self.ports.is_empty() {
            runtime.insert("portMappings".into(), ports::argument(&self.ports));
        }
        if !self.mac.is_empty() {
            runtime.insert("mac".into(), json!(self.mac));
        }
        if !self.addresses.is_empty() {
            runtime.insert("ips".into(), json!(self.addresses));
        }
        runtime
    }

    /// The older way of the same.
    fn arguments(&self) -> String {
        let mut arguments = "IgnoreUnknown=1".to_owned();
        if !self.mac.is_empty() {
            arguments += &format!(";MAC={}", self.mac);
        }
        if let [address] = self.addresses[..] {
            arguments += &format!(";IP={address}");
        }
        arguments
    }
}

fn is_able(plugin: &Map<String, Value>, capability: &str) -> bool {
    plugin.get("capabilities").is_some_and(|able| able[capability] == true)
}
