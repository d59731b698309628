//! What the engine writes and the resolver reads: who is on a network, and what one container may ask.

use gantry_model::record::ProcessRef;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

/// The asker's file in its container's runtime directory. A container that has one gets a resolver.
pub const ASKER: &str = "dns.json";

/// Where the resolver listens, in the container's namespace.
pub const ADDRESS: std::net::Ipv4Addr = std::net::Ipv4Addr::new(127, 0, 0, 11);

/// One container's view.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Asker {
    /// The networks whose names it sees, in the order they are searched.
    pub networks: Vec<Zone>,
    /// Names that only this container knows: lower case, and the id of the container meant, or its name (lower case) when
    /// there was none yet.
    pub links: BTreeMap<String, String>,
    /// Where unknown names are asked for, in order.
    pub upstreams: Vec<Upstream>,
    /// The resolv.conf whose servers are asked in their place, as long as it names any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<PathBuf>,
    /// Names with fewer dots go to nobody else; 0: all do.
    pub ndots: u32,
}

/// A network with names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Zone {
    /// Its name, which may follow those of its members after a dot.
    pub name: String,
    /// The directory with a [`Member`] for each container on it, named by the container's id.
    pub dir: PathBuf,
}

/// A name server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// Its address.
    pub address: IpAddr,
    /// Asked from the container's namespace, not from the host's.
    pub inside: bool,
}

/// One container on one network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Member {
    /// The container's id.
    pub id: String,
    /// Its names there, the principal one first.
    pub names: Vec<String>,
    /// Its addresses there.
    pub addresses: Vec<IpAddr>,
    /// Its init: names of the dead are not told.
    pub init: ProcessRef,
}
