//! `config.json`: everything about a container that does not change while it runs.

use crate::Engine;
use crate::error::Result;
use gantry_model::container::{Config, EndpointSettings, HostConfig, LogConfig};
use gantry_store::atomic;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// One container's configuration.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerFile {
    /// Schema of this file.
    pub schema: u32,
    /// 64 hex digits.
    pub id: String,
    /// Nanoseconds since 1970.
    pub created_ns: u64,
    /// Merged with the image's.
    pub config: Config,
    /// As asked, defaults filled in.
    pub host: HostConfig,
    /// Networks by name.
    pub networks: BTreeMap<String, EndpointSettings>,
    /// Names of the networks it is connected to, in the order of joining; `None`: that of the mode, then the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub joined: Option<Vec<String>>,
    /// `sha256:…`.
    pub image_id: String,
    /// The storage driver that holds the writable layer.
    pub storage_driver: String,
    /// Ids of the image's layers, nearest first.
    pub layers: Vec<String>,
    /// Chain ids of the image's layers, bottom first.
    pub chains: Vec<String>,
    /// The log sinks, options checked; what is read back comes first.
    pub sinks: Vec<SinkFile>,
    /// Sinks of before a change whose logs can still be read, the oldest first.
    pub past_sinks: Vec<SinkFile>,
    /// What was asked for before the configuration's defaults came to it; unknown of containers of earlier versions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_asked: Option<LogAsked>,
    /// SELinux's label of its processes; empty: that of whoever starts them.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub process_label: String,
    /// SELinux's label of its files.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mount_label: String,
    /// Numeric owner of the streams, when known without looking into the image.
    pub platform: String,
}

/// The log sinks in a user's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogAsked {
    /// `LogConfig`; an empty type is whatever the default is.
    pub first: LogConfig,
    /// Sinks beside it.
    pub others: Vec<LogConfig>,
}

impl LogAsked {
    /// Of a request that nothing was filled into yet.
    pub fn of(host: &HostConfig) -> Option<LogAsked> {
        Some(LogAsked { first: host.log_config.clone(), others: host.log_sinks.clone() })
    }
}

/// One log sink of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SinkFile {
    /// The driver.
    pub driver: String,
    /// The driver's own options, checked and complete.
    pub options: BTreeMap<String, String>,
    /// The engine's options for this sink (`mode`, `labels`, `tag` …).
    pub engine: BTreeMap<String, String>,
    /// The directory of its log below the container's; empty: that itself.
    pub dir: String,
    /// What it logs can be read back.
    pub readable: bool,
    /// It takes records away from this host.
    pub remote: bool,
    /// Bytes after which it wants lines to be cut; 0: no wish.
    pub line_wish: u32,
    /// The engine's own copy, since no driver that was asked for can be read.
    pub cache: bool,
}

impl Engine {
    fn config_path(&self, id: &str) -> PathBuf {
        self.layout.container(id).join("config.json")
    }

    /// Reads a container's configuration.
    pub(crate) fn container_file(&self, id: &str) -> Result<ContainerFile> {
        Ok(atomic::read_json(&self.config_path(id))?)
    }

    pub(crate) fn write_container_file(&self, file: &ContainerFile) -> Result<()> {
        Ok(atomic::create_json(&self.config_path(&file.id), file)?)
    }

    /// Replaces it whole.
    pub(crate) fn replace_container_file(&self, file: &ContainerFile) -> Result<()> {
        Ok(atomic::write_json(&self.config_path(&file.id), file, atomic::Durability::Rename)?)
    }

    /// Resolves name, id or prefix.
    pub(crate) fn resolve(&self, reference: &str) -> Result<String> {
        Ok(gantry_store::containers::resolve(&self.layout, reference)?)
    }
}
