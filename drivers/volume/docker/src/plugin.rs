//! What is asked of a plugin, and what its answers mean.

use crate::error::{Error, Result};
use crate::http::{self, Answer};
use crate::places::{self, Address};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Who said that they are volume plugins, in this process.
#[derive(Default)]
pub struct Known(Mutex<BTreeSet<Address>>);

/// One plugin.
pub struct Plugin<'a> {
    name: String,
    address: Address,
    patience: Duration,
    known: &'a Known,
}

/// A volume as its plugin knows it.
#[derive(Clone, Default, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Volume {
    #[serde(deserialize_with = "or_default")]
    pub mountpoint: String,
    #[serde(deserialize_with = "or_default")]
    pub status: BTreeMap<String, Value>,
}

/// Programs written in Go say `null` for what is empty.
fn or_default<'de, D: serde::Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

impl<'a> Plugin<'a> {
    /// Finds a plugin, by its address if that was given.
    pub fn find(name: &str, address: &str, patience: Duration, known: &'a Known) -> Result<Plugin<'a>> {
        let address = match Address::parse(address) {
            Ok(address) => address,
            Err(_) => places::find(name)?,
        };
        Ok(Plugin { name: name.to_owned(), address, patience, known })
    }

    /// Makes a volume; one that is there is no error to most plugins.
    pub fn create(&self, volume: &str, options: &BTreeMap<String, String>) -> Result<()> {
        let options = if options.is_empty() { Value::Null } else { json!(options) };
        self.ask("VolumeDriver.Create", &json!({ "Name": volume, "Opts": options })).map(drop)
    }

    /// Removes a volume.
    pub fn remove(&self, volume: &str) -> Result<()> {
        self.ask("VolumeDriver.Remove", &json!({ "Name": volume })).map(drop)
    }

    /// Mounts a volume for a user; answers where.
    pub fn mount(&self, volume: &str, id: &str) -> Result<String> {
        let answer = self.ask("VolumeDriver.Mount", &json!({ "Name": volume, "ID": id }))?;
        Ok(answer["Mountpoint"].as_str().unwrap_or_default().to_owned())
    }

    /// Ends a user's use.
    pub fn unmount(&self, volume: &str, id: &str) -> Result<()> {
        self.ask("VolumeDriver.Unmount", &json!({ "Name": volume, "ID": id })).map(drop)
    }

    /// Where a volume is mounted now; empty when it is not.
    pub fn path(&self, volume: &str) -> Result<String> {
        let answer = self.ask("VolumeDriver.Path", &json!({ "Name": volume }))?;
        Ok(answer["Mountpoint"].as_str().unwrap_or_default().to_owned())
    }

    /// Looks at a volume.
    pub fn get(&self, volume: &str) -> Result<Volume> {
        let call = "VolumeDriver.Get";
        let answer = self.ask(call, &json!({ "Name": volume }))?;
        serde_json::from_value(answer["Volume"].clone()).map_err(|error| self.failed(call, invalid(&error)))
    }

    /// `local` or `global`; a plugin that does not know the question is local.
    pub fn scope(&self) -> Result<String> {
        match self.ask("VolumeDriver.Capabilities", &json!({})) {
            Ok(answer) => Ok(answer["Capabilities"]["Scope"].as_str().unwrap_or("local").to_owned()),
            Err(error) if error.is_silence() => Err(error),
            Err(_) => Ok("local".to_owned()),
        }
    }

    fn ask(&self, call: &'static str, body: &Value) -> Result<Value> {
        let until = Instant::now() + self.patience;
        self.activate(until)?;
        self.post(call, body, until)
    }

    /// Asks, once in a process, whether it is a volume plugin.
    fn activate(&self, until: Instant) -> Result<()> {
        let known = || self.known.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known().contains(&self.address) {
            return Ok(());
        }
        let answer = self.post("Plugin.Activate", &json!({}), until)?;
        let implements: Vec<&str> =
            answer["Implements"].as_array().into_iter().flatten().flat_map(Value::as_str).collect();
        if !implements.contains(&"VolumeDriver") {
            return Err(Error::Kind { plugin: self.name.clone(), implements: format!("{implements:?}") });
        }
        known().insert(self.address.clone());
        Ok(())
    }

    fn post(&self, call: &'static str, body: &Value, until: Instant) -> Result<Value> {
        let body = body.to_string();
        let answer = http::post(&self.address, &format!("/{call}"), body.as_bytes(), until);
        self.understood(call, answer.map_err(|source| self.failed(call, source))?)
    }

    /// Some plugins tell a failure by the status, all of them by `Err`.
    fn understood(&self, call: &'static str, answer: Answer) -> Result<Value> {
        let text = || String::from_utf8_lossy(&answer.body).trim().chars().take(500).collect::<String>();
        let body = if answer.body.is_empty() { Ok(Value::Null) } else { serde_json::from_slice::<Value>(&answer.body) };
        let said = match &body {
            Ok(body) => body["Err"].as_str().unwrap_or_default().to_owned(),
            Err(_) => String::new(),
        };
        if said.is_empty() && (200..300).contains(&answer.status) {
            return body.map_err(|error| self.failed(call, invalid(&error)));
        }
        let said = if said.is_empty() { format!("{} (status {})", text(), answer.status) } else { said };
        Err(Error::Said { plugin: self.name.clone(), call, said })
    }

    fn failed(&self, call: &'static str, source: io::Error) -> Error {
        Error::Ask { plugin: self.name.clone(), call, source }
    }
}

fn invalid(error: &serde_json::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}
