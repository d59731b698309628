//! `[registry."HOST"]`: what an operator says about one registry.

use crate::fault::Problem;
use crate::given::Given;
use crate::keys::quoted;
use gantry_model::reference::Reference;
use std::path::PathBuf;

/// One registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registry {
    /// Addresses that are asked first.
    pub mirrors: Vec<String>,
    /// Certificates are not checked, and plain HTTP will do.
    pub insecure: bool,
    /// Certificate authorities beside the system's.
    pub ca: Vec<PathBuf>,
    /// The certificate that we show.
    pub client_cert: Option<PathBuf>,
    /// Its key.
    pub client_key: Option<PathBuf>,
}

/// A key of a registry.
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// Reads a value into its field.
    pub set: fn(&mut Registry, Given<'_>) -> Result<(), Problem>,
    /// The value in TOML, if it is not the default.
    pub show: fn(&Registry) -> Option<String>,
}

/// Every key of a registry.
pub const KEYS: &[Key] = &[
    Key {
        name: "mirrors",
        set: |r, v| v.list(mirror).map(|mirrors| r.mirrors = mirrors),
        show: |r| list(r.mirrors.iter().map(String::as_str)),
    },
    Key {
        name: "insecure",
        set: |r, v| v.truth().map(|on| r.insecure = on),
        show: |r| r.insecure.then(|| "true".to_owned()),
    },
    Key {
        name: "ca",
        set: |r, v| v.list(Given::path).map(|files| r.ca = files),
        show: |r| list(r.ca.iter().filter_map(|path| path.to_str())),
    },
    Key {
        name: "client-cert",
        set: |r, v| v.path().map(|path| r.client_cert = Some(path)),
        show: |r| shown(&r.client_cert),
    },
    Key {
        name: "client-key",
        set: |r, v| v.path().map(|path| r.client_key = Some(path)),
        show: |r| shown(&r.client_key),
    },
];

/// The host of a table's name: a name or address, with a port if it is not 443.
pub fn host(name: &str) -> Result<String, Problem> {
    let parsed = Reference::parse(&format!("{name}/x"));
    match parsed.is_ok_and(|reference| reference.host() == name) {
        true => Ok(name.to_owned()),
        false => {
            let problem = Problem::new(format!("{name:?} is not the host of a registry"));
            Err(problem.hint("write it as images name it, such as [registry.\"registry.example.com:5000\"]"))
        }
    }
}

fn mirror(given: Given<'_>) -> Result<String, Problem> {
    let text = given.text()?;
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let valid = |rest: &str| !rest.is_empty() && !rest.starts_with('/') && !rest.contains([' ', '?', '#', '@']);
    match rest.is_some_and(valid) {
        true => Ok(text.trim_end_matches('/').to_owned()),
        false => Err(Problem::new(format!("{text:?} is not the address of a mirror"))
            .hint("begin it with https:// or http://, without user, query and fragment")),
    }
}

fn shown(path: &Option<PathBuf>) -> Option<String> {
    path.as_ref().map(|path| quoted(&path.to_string_lossy()))
}

fn list<'a>(items: impl Iterator<Item = &'a str>) -> Option<String> {
    let items: Vec<_> = items.map(quoted).collect();
    (!items.is_empty()).then(|| format!("[{}]", items.join(", ")))
}
