//! Lists of plugins: read from files as CNI's own library does, or built from options.

use crate::error::{Error, Result};
use crate::options::{Build, Source};
use gantry_plugin_api::network::{Cidr, NetworkSpec};
use gantry_plugin_api::types::Dirs;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// The newest version of the specification that is spoken.
const NEWEST: (u64, u64) = (1, 1);
/// Of lists that are built.
const VERSION: &str = "0.4.0";

/// A list of plugins.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct List {
    pub name: String,
    #[serde(default = "oldest")]
    pub cni_version: String,
    #[serde(default, skip_serializing_if = "is_false")]
    pub disable_check: bool,
    pub plugins: Vec<Map<String, Value>>,
}

fn oldest() -> String {
    "0.1.0".to_owned()
}

fn is_false(value: &bool) -> bool {
    !value
}

impl List {
    /// The list that a network's options name.
    pub fn load(source: &Source, network: &NetworkSpec, dirs: &Dirs) -> Result<List> {
        match source {
            Source::File(path) => read(path),
            Source::Named { name, dir } => find(name, dir),
            Source::Built(build) => Ok(build.list(network, dirs)),
        }
    }

    /// True when the plugins understand CHECK, and the previous result at DEL.
    pub fn remembers(&self) -> bool {
        version(&self.cni_version).is_some_and(|version| version >= (0, 4))
    }

    /// The types of its plugins.
    pub fn types(&self) -> impl Iterator<Item = &str> {
        self.plugins.iter().map(type_of)
    }

    fn check(self, path: &Path) -> Result<List> {
        let wrong = |reason: String| Err(Error::List { path: path.to_owned(), reason });
        if self.name.is_empty() || self.name.contains(['/', '\n']) {
            return wrong("the list has no name".to_owned());
        }
        if version(&self.cni_version).is_none_or(|version| version > NEWEST) {
            return wrong(format!("cniVersion {:?} is not known", self.cni_version));
        }
        let is_type = |plugin: &Map<String, Value>| !type_of(plugin).is_empty() && !type_of(plugin).contains('/');
        if self.plugins.is_empty() || !self.plugins.iter().all(is_type) {
            return wrong("a list needs plugins, each with a type".to_owned());
        }
        Ok(self)
    }
}

/// The name of a plugin's program.
pub fn type_of(plugin: &Map<String, Value>) -> &str {
    plugin.get("type").and_then(Value::as_str).unwrap_or_default()
}

fn version(text: &str) -> Option<(u64, u64)> {
    let mut parts = text.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}

/// A list, or a single plugin that is taken for a list of one.
fn read(path: &Path) -> Result<List> {
    let text = fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let wrong = |error: serde_json::Error| Error::List { path: path.to_owned(), reason: error.to_string() };
    let value: Value = serde_json::from_slice(&text).map_err(wrong)?;
    if !value.is_object() {
        return Err(Error::List { path: path.to_owned(), reason: "it is no JSON object".to_owned() });
    }
    let is_list = value.get("plugins").is_some();
    let value = if is_list { value } else { alone(value) };
    serde_json::from_value::<List>(value).map_err(wrong)?.check(path)
}

fn alone(value: Value) -> Value {
    let Value::Object(mut plugin) = value else { return value };
    let name = plugin.shift_remove("name").unwrap_or_default();
    let version = plugin.shift_remove("cniVersion").unwrap_or_else(|| json!(oldest()));
    json!({ "name": name, "cniVersion": version, "plugins": [plugin] })
}

/// The first file by name that tells the network; files that tell none at all are passed over.
fn find(name: &str, dir: &Path) -> Result<List> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::NoNetwork { name: name.to_owned(), dir: dir.to_owned() });
        }
        Err(source) => return Err(Error::Read { path: dir.to_owned(), source }),
    };
    let is_conf =
        |path: &PathBuf| path.extension().is_some_and(|end| end == "conflist" || end == "conf" || end == "json");
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_conf).collect();
    paths.sort();
    let found = paths.iter().find_map(|path| read(path).ok().filter(|list| list.name == name));
    found.ok_or_else(|| Error::NoNetwork { name: name.to_owned(), dir: dir.to_owned() })
}

impl Build {
    /// As a file would say it.
    fn list(&self, network: &NetworkSpec, dirs: &Dirs) -> List {
        let (main, portmap) =
            (self.main(network, dirs), json!({ "type": "portmap", "capabilities": { "portMappings": true } }));
        let with_ports = ["bridge", "ptp"].contains(&self.plugin.as_str()) && !network.internal;
        let plugins = [Some(main), with_ports.then_some(portmap)].into_iter().flatten();
        let object = |value: Value| value.as_object().cloned().unwrap_or_default();
        List {
            // A name of the user's may be another network's, too.
            name: format!("{}-{}", network.name, network.id.get(..10).unwrap_or_default()),
            cni_version: VERSION.to_owned(),
            disable_check: false,
            plugins: plugins.map(object).collect(),
        }
    }

    fn main(&self, network: &NetworkSpec, dirs: &Dirs) -> Value {
        let mut main = json!({ "type": self.plugin, "ipam": self.ipam(network, dirs) });
        let outward = !network.internal;
        match self.plugin.as_str() {
            "bridge" => {
                main["bridge"] = json!(self.bridge);
                main["isGateway"] = json!(!self.subnets.is_empty());
                main["isDefaultGateway"] = json!(!self.subnets.is_empty() && outward);
                main["ipMasq"] = json!(self.masquerade && outward);
                main["hairpinMode"] = json!(true);
            }
            "ptp" => main["ipMasq"] = json!(self.masquerade && outward),
            _ => main["master"] = json!(self.master),
        }
        if !self.mode.is_empty() {
            main["mode"] = json!(self.mode);
        }
        if let Some(mtu) = self.mtu {
            main["mtu"] = json!(mtu);
        }
        main
    }

    fn ipam(&self, network: &NetworkSpec, dirs: &Dirs) -> Value {
        match self.ipam.as_str() {
            "dhcp" if self.dhcp_socket.is_empty() => json!({ "type": "dhcp" }),
            "dhcp" => json!({ "type": "dhcp", "daemonSocketPath": self.dhcp_socket }),
            "none" => json!({}),
            _ if self.subnets.is_empty() => json!({}),
            _ => {
                let ranges: Vec<Value> = self.subnets.iter().map(|subnet| json!([self.range(subnet)])).collect();
                // The plugin bridge sets its default route itself.
                let routes = self.subnets.iter().filter(|_| !network.internal && self.plugin != "bridge");
                let default = |subnet: &Cidr| if subnet.addr.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
                let routes: Vec<Value> = routes.map(|subnet| json!({ "dst": default(subnet) })).collect();
                // Leases die with the boot, as the containers that have them.
                json!({ "type": "host-local", "dataDir": dirs.state.join("ipam"), "ranges": ranges, "routes": routes })
            }
        }
    }

    fn range(&self, subnet: &Cidr) -> Value {
        let mut range = json!({ "subnet": format!("{}/{}", masked(subnet), subnet.prefix) });
        if let Some(gateway) = self.gateways.iter().find(|gateway| subnet.contains(**gateway)) {
            range["gateway"] = json!(gateway);
        }
        range
    }
}

/// Without the bits of a host.
fn masked(cidr: &Cidr) -> IpAddr {
    let prefix = u32::from(cidr.prefix);
    match cidr.addr {
        IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() & !u32::MAX.checked_shr(prefix).unwrap_or(0)).into()),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !u128::MAX.checked_shr(prefix).unwrap_or(0)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_single_plugins_are_found_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write("10-broken.conflist", "{");
        write("20-a.conf", r#"{"name": "a", "type": "bridge", "mtu": 9000}"#);
        write("30-b.conflist", r#"{"name": "b", "cniVersion": "0.4.0", "plugins": [{"type": "x"}, {"type": "y"}]}"#);
        write("40-b.conflist", r#"{"name": "b", "cniVersion": "0.4.0", "plugins": [{"type": "z"}]}"#);
        write("b.txt", "");
        let a = find("a", dir.path()).unwrap();
        assert_eq!((a.cni_version.as_str(), a.remembers(), &a.plugins[0]["mtu"]), ("0.1.0", false, &json!(9000)));
        assert!(!a.plugins[0].contains_key("name"));
        let b = find("b", dir.path()).unwrap();
        assert_eq!((b.types().collect::<Vec<_>>(), b.remembers()), (vec!["x", "y"], true));
        assert!(matches!(find("c", dir.path()), Err(Error::NoNetwork { .. })));
        assert!(matches!(find("c", &dir.path().join("nosuch")), Err(Error::NoNetwork { .. })));
    }

    #[test]
    fn what_is_wrong_with_a_list_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.conflist");
        for (text, want) in [
            ("[]", "no JSON object"),
            (r#"{"plugins": []}"#, "missing field `name`"),
            (r#"{"name": "n", "plugins": []}"#, "needs plugins"),
            (r#"{"name": "n", "plugins": [{}]}"#, "each with a type"),
            (r#"{"name": "n", "plugins": [{"type": "../x"}]}"#, "each with a type"),
            (r#"{"name": "n", "cniVersion": "2.0.0", "plugins": [{"type": "x"}]}"#, "\"2.0.0\" is not known"),
        ] {
            fs::write(&path, text).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains(want), "{text}: {error}");
        }
    }
}
