//! Where plugins are: sockets in one directory, files that tell an address in two others, as in Docker.

use crate::error::{Error, Result};
use gantry_driver_shared::remote::{Peer, decoded};
use serde::Deserialize;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// Sockets lie here.
const SOCKETS: &str = "/run/docker/plugins";
/// Files that tell an address lie here.
const SPECS: [&str; 2] = ["/etc/docker/plugins", "/usr/lib/docker/plugins"];

/// Where a plugin listens.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Address {
    Unix(PathBuf),
    Tcp(String, u16),
}

impl Address {
    /// `unix:///path`, `tcp://host:port`, `http://host:port`. The error is the reason, for a person.
    pub fn parse(text: &str) -> Result<Address, String> {
        let form = || format!("expected unix:///PATH or tcp://HOST:PORT, got {text:?}");
        let (scheme, rest) = text.trim().split_once("://").ok_or_else(form)?;
        match scheme {
            "unix" if rest.starts_with('/') => decoded(rest).map(|path| Address::Unix(path.into())),
            "tcp" | "http" => Peer::parse(rest, None).map(|peer| Address::Tcp(peer.host, peer.port)),
            "https" => Err("plugins that want encryption cannot be used".to_owned()),
            _ => Err(form()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "unix://{}", path.display()),
            Address::Tcp(host, port) => write!(f, "tcp://{host}:{port}"),
        }
    }
}

/// Finds a plugin by its name.
pub fn find(name: &str) -> Result<Address> {
    find_in(name, Path::new(SOCKETS), &SPECS.map(Path::new))
}

fn find_in(name: &str, sockets: &Path, specs: &[&Path]) -> Result<Address> {
    for socket in [sockets.join(format!("{name}.sock")), sockets.join(name).join(format!("{name}.sock"))] {
        if is_socket(&socket) {
            return Ok(Address::Unix(socket));
        }
    }
    for dir in specs.iter().flat_map(|dir| [dir.to_path_buf(), dir.join(name)]) {
        for (ending, read) in [("spec", spec as fn(&str) -> Result<Address, String>), ("json", json)] {
            let path = dir.join(format!("{name}.{ending}"));
            if let Ok(text) = fs::read_to_string(&path) {
                return read(&text).map_err(|reason| Error::Spec { path, reason });
            }
        }
    }
    let places: Vec<_> = [sockets].iter().chain(specs).map(|dir| dir.display().to_string()).collect();
    Err(Error::NoPlugin { plugin: name.to_owned(), places: places.join(", ") })
}

fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

fn spec(text: &str) -> Result<Address, String> {
    Address::parse(text)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Spec {
    addr: String,
    #[serde(default, rename = "TLSConfig")]
    tls: Option<serde_json::Value>,
}

fn json(text: &str) -> Result<Address, String> {
    let spec: Spec = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if spec.tls.is_some_and(|tls| !tls.is_null()) {
        return Err("plugins that want encryption (TLSConfig) cannot be used".to_owned());
    }
    Address::parse(&spec.addr)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn docker_s_directories() {
        let dir = tempfile::tempdir().unwrap();
        let (sockets, specs) = (dir.path().join("run"), dir.path().join("etc"));
        fs::create_dir_all(sockets.join("deep")).unwrap();
        fs::create_dir_all(specs.join("below")).unwrap();
        let _one = UnixListener::bind(sockets.join("flat.sock")).unwrap();
        let _two = UnixListener::bind(sockets.join("deep/deep.sock")).unwrap();
        fs::write(sockets.join("file.sock"), "").unwrap();
        fs::write(specs.join("flat.spec"), "tcp://never:1").unwrap();
        fs::write(specs.join("s.spec"), "unix:///run/s.sock\n").unwrap();
        fs::write(specs.join("below/below.spec"), "tcp://127.0.0.1:8080").unwrap();
        fs::write(specs.join("j.json"), r#"{"Name": "j", "Addr": "http://[::1]:9"}"#).unwrap();
        fs::write(specs.join("t.json"), r#"{"Addr": "https://h:1", "TLSConfig": {}}"#).unwrap();
        fs::write(specs.join("bad.spec"), "nonsense").unwrap();
        let find = |name: &str| find_in(name, &sockets, &[&specs]).map(|address| address.to_string());
        for (name, want) in [
            ("flat", format!("unix://{}/flat.sock", sockets.display())),
            ("deep", format!("unix://{}/deep/deep.sock", sockets.display())),
            ("s", "unix:///run/s.sock".to_owned()),
            ("below", "tcp://127.0.0.1:8080".to_owned()),
            ("j", "tcp://::1:9".to_owned()),
        ] {
            assert_eq!(find(name).unwrap(), want);
        }
        for (name, want) in [("file", "file.sock"), ("t", "encryption"), ("bad", "bad.spec: expected")] {
            let error = find(name).unwrap_err().to_string();
            assert!(error.contains(want), "{name}: {error}");
        }
    }
}
