//! `config import`: what another engine's `daemon.json` comes to here.
//!
//! Every key ends in one of three ways: as a setting, as something that needs no setting here, or as something to look
//! at, with what to do instead. Nothing is passed over in silence.

use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What a file comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Import {
    /// Keys and values in TOML, by table; the empty name is the top.
    tables: BTreeMap<String, Vec<(String, String)>>,
    /// Sentences about what was not taken over.
    pub notes: Vec<String>,
}

/// Settings of ours that have the same meaning and form: key there, table and key here.
const SAME: &[(&str, &str, &str)] = &[
    ("data-root", "", "root"),
    ("exec-root", "", "state"),
    ("log-driver", "defaults", "log-driver"),
    ("storage-driver", "defaults", "storage-driver"),
    ("max-concurrent-downloads", "engine.registry", "downloads"),
    ("max-download-attempts", "engine.registry", "retries"),
    ("mtu", "network.bridge", "mtu"),
    ("icc", "network.bridge", "icc"),
    ("ip-masq", "network.bridge", "masquerade"),
    ("bridge", "network.bridge", "name"),
];

/// What needs no setting here, and why.
const NEEDLESS: &[(&str, &str)] = &[
    ("live-restore", "containers never depend on a daemon"),
    ("userland-proxy", "there is no proxy"),
    ("userland-proxy-path", "there is no proxy"),
    ("iptables", "rules are in a table of our own, by nftables"),
    ("ip6tables", "rules are in a table of our own, by nftables"),
    ("ip-forward", "forwarding is switched on when it is needed"),
    ("pidfile", "there is no daemon"),
    ("containerd", "there is no containerd"),
    ("features", "nothing of it is optional here"),
    ("experimental", "nothing is"),
    ("shutdown-timeout", "there is no daemon to shut down"),
];

/// What is given elsewhere.
const ELSEWHERE: &[(&str, &str)] = &[
    ("hosts", "give it to `gantry serve --host`"),
    ("tls", "give it to `gantry serve`"),
    ("tlsverify", "give it to `gantry serve`"),
    ("tlscacert", "give it to `gantry serve`"),
    ("tlscert", "give it to `gantry serve`"),
    ("tlskey", "give it to `gantry serve`"),
    ("metrics-addr", "give it to `gantry metrics --metrics-addr`"),
    ("dns", "give it to `run --dns`; only servers for hosts without any are configured (engine.network.fallback-dns)"),
    ("dns-opts", "give it to `run --dns-option`"),
    ("dns-search", "give it to `run --dns-search`"),
    ("default-shm-size", "give it to `run --shm-size`"),
    ("default-ulimits", "give it to `run --ulimit`"),
    ("init", "give it to `run --init`"),
    ("cgroup-parent", "give it to `run --cgroup-parent`"),
    ("bip", "choose the networks by engine.network.address-pools"),
    ("fixed-cidr", "choose the networks by engine.network.address-pools"),
    ("debug", "give it to a command: -D"),
    ("log-level", "give it to a command: --log-level"),
];

impl Import {
    /// Reads a `daemon.json`.
    pub fn of(text: &str) -> Result<Import, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?;
        let settings = value.as_object().ok_or("expected an object of settings")?;
        let mut import = Import::default();
        for (key, value) in settings {
            import.take(settings, key, value);
        }
        Ok(import)
    }

    fn take(&mut self, all: &Map<String, Value>, key: &str, value: &Value) {
        if let Some((_, table, name)) = SAME.iter().find(|(there, ..)| *there == key) {
            return self.set(table, name, value);
        }
        match key {
            "log-opts" => {
                let driver = all.get("log-driver").and_then(Value::as_str).unwrap_or("json-file");
                self.set_all(&format!("log.{driver}"), value);
            }
            "storage-opts" => self.storage(value),
            "default-address-pools" => self.pools(value),
            "default-network-opts" => {
                for (driver, options) in value.as_object().into_iter().flatten() {
                    self.set_all(&format!("network.{driver}"), options);
                }
            }
            "ip" => self.set("engine.network", "publish-addresses", &Value::Array(vec![value.clone()])),
            "userns-remap" => {
                let user = value.as_str().filter(|user| !user.is_empty());
                self.set("defaults", "userns", &user.map_or(Value::from("host"), |u| format!("remap:{u}").into()));
            }
            "insecure-registries" => self.insecure(value),
            "registry-mirrors" => self.set("registry.\"docker.io\"", "mirrors", value),
            _ => self.note(key),
        }
    }

    fn note(&mut self, key: &str) {
        let find =
            |table: &[(&str, &'static str)]| table.iter().find(|(there, _)| *there == key).map(|(_, text)| *text);
        self.notes.push(match (find(NEEDLESS), find(ELSEWHERE)) {
            (Some(why), _) => format!("{key}: not needed: {why}"),
            (_, Some(what)) => format!("{key}: {what}"),
            _ => format!("{key}: nothing here corresponds to it"),
        });
    }

    fn set(&mut self, table: &str, key: &str, value: &Value) {
        match toml_of(value) {
            Some(text) => self.tables.entry(table.to_owned()).or_default().push((key.to_owned(), text)),
            None => self.notes.push(format!("{key}: cannot be taken over: {value}")),
        }
    }

    fn set_all(&mut self, table: &str, options: &Value) {
        for (key, value) in options.as_object().into_iter().flatten() {
            self.set(table, &quoted_key(key), value);
        }
    }

    /// `["overlay2.size=10G"]`.
    fn storage(&mut self, value: &Value) {
        for text in value.as_array().into_iter().flatten().filter_map(Value::as_str) {
            let split = text.split_once('=').and_then(|(key, value)| Some((key.split_once('.')?, value)));
            match split {
                Some(((driver, key), value)) => self.set(&format!("storage.{driver}"), key, &Value::from(value)),
                None => self.notes.push(format!("storage-opts: cannot be taken over: {text}")),
            }
        }
    }

    fn pools(&mut self, value: &Value) {
        let pool = |pool: &Value| {
            let (base, size) = (pool.get("base")?.as_str()?, pool.get("size")?.as_u64()?);
            Some(format!("{{ base = {}, size = {size} }}", quoted(base)))
        };
        let pools: Vec<String> = value.as_array().into_iter().flatten().filter_map(pool).collect();
        let text = format!("[{}]", pools.join(", "));
        self.tables.entry("engine.network".to_owned()).or_default().push(("address-pools".to_owned(), text));
    }

    fn insecure(&mut self, value: &Value) {
        for host in value.as_array().into_iter().flatten().filter_map(Value::as_str) {
            match host.contains('/') {
                true => self.notes.push(format!("insecure-registries: name the registries of {host} one by one")),
                false => self.set(&format!("registry.{}", quoted(host)), "insecure", &Value::Bool(true)),
            }
        }
    }

    /// The settings as a file of ours, with what was not taken over as comments at its end.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        for (table, settings) in &self.tables {
            if !table.is_empty() {
                let _ = writeln!(text, "{}[{table}]", if text.is_empty() { "" } else { "\n" });
            }
            for (key, value) in settings {
                let _ = writeln!(text, "{key} = {value}");
            }
        }
        if !self.notes.is_empty() && !text.is_empty() {
            text.push('\n');
        }
        for note in &self.notes {
            let _ = writeln!(text, "# {note}");
        }
        text
    }
}

/// A text in TOML.
fn quoted(text: &str) -> String {
    format!("{text:?}")
}

fn toml_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(quoted(text)),
        Value::Bool(on) => Some(on.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(items) => Some(format!("[{}]", items.iter().map(toml_of).collect::<Option<Vec<_>>>()?.join(", "))),
        Value::Null | Value::Object(_) => None,
    }
}

/// Keys with dots are one key.
fn quoted_key(key: &str) -> String {
    if key.contains('.') { quoted(key) } else { key.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_ends_somewhere() {
        let text = r#"{
            "data-root": "/srv/docker", "log-driver": "syslog",
            "log-opts": {"syslog-address": "udp://10.0.0.1:514", "tag": "{{.Name}}"},
            "storage-driver": "overlay2", "storage-opts": ["overlay2.size=10G", "odd"],
            "default-address-pools": [{"base": "10.10.0.0/16", "size": 24}],
            "ip": "127.0.0.1", "icc": false, "mtu": 1400,
            "default-network-opts": {"bridge": {"com.docker.network.bridge.name": "br9"}},
            "insecure-registries": ["reg.example:5000", "10.0.0.0/8"], "registry-mirrors": ["https://mirror.example"],
            "live-restore": true, "hosts": ["fd://"], "frobnicate": {}
        }"#;
        let import = Import::of(text).expect("a file");
        let toml = import.to_toml();
        for line in [
            "root = \"/srv/docker\"",
            "[log.syslog]\nsyslog-address = \"udp://10.0.0.1:514\"",
            "[storage.overlay2]\nsize = \"10G\"",
            "address-pools = [{ base = \"10.10.0.0/16\", size = 24 }]",
            "publish-addresses = [\"127.0.0.1\"]",
            "\"com.docker.network.bridge.name\" = \"br9\"",
            "[registry.\"reg.example:5000\"]\ninsecure = true",
            "mirrors = [\"https://mirror.example\"]",
            "# live-restore: not needed: containers never depend on a daemon",
            "# hosts: give it to `gantry serve --host`",
            "# frobnicate: nothing here corresponds to it",
            "# storage-opts: cannot be taken over: odd",
            "# insecure-registries: name the registries of 10.0.0.0/8 one by one",
        ] {
            assert!(toml.contains(line), "{line}\n{toml}");
        }
        assert!(Import::of("[]").is_err() && Import::of("{").is_err());
    }
}
