//! What an operator may say about registries, and what holds without a word.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use gantry_model::reference::Reference;

/// The name under which images without a registry are known.
const HUB: &str = "docker.io";
/// Where they really are.
const HUB_ADDRESS: &str = "registry-1.docker.io";

/// All that is settled about registries.
#[derive(Clone, Debug)]
pub struct Settings {
    /// By host, with its port if there is one.
    pub hosts: BTreeMap<String, HostSettings>,
    /// How often something that may pass is tried again.
    pub retries: u32,
    /// How long to wait for a connection, and for each further byte.
    pub timeout: Duration,
    /// Directories with a directory for each host: certificate authorities and client certificates.
    pub certificates: Vec<PathBuf>,
}

/// What is settled about one registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostSettings {
    /// Addresses that are asked first, in this order; `http://` or `https://`, perhaps with a path.
    pub mirrors: Vec<String>,
    /// Certificates are not checked, and plain HTTP will do.
    pub insecure: bool,
    /// Files with certificate authorities beside the system's.
    pub ca: Vec<PathBuf>,
    /// Certificate and key that we show.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hosts: BTreeMap::new(),
            retries: 5,
            timeout: Duration::from_secs(30),
            certificates: vec!["/etc/gantry/certs.d".into(), "/etc/docker/certs.d".into()],
        }
    }
}

impl Settings {
    /// What is settled about a host, with what its directories of certificates hold.
    pub(crate) fn host(&self, host: &str) -> HostSettings {
        let mut settings = self.hosts.get(host).cloned().unwrap_or_default();
        for dir in &self.certificates {
            settings.add_directory(&dir.join(host));
        }
        settings
    }
}

impl HostSettings {
    /// Docker's layout: `*.crt` are authorities, `NAME.cert` with `NAME.key` is what we show.
    fn add_directory(&mut self, dir: &std::path::Path) {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            match path.extension().and_then(|end| end.to_str()) {
                Some("crt") => self.ca.push(path),
                Some("cert") if path.with_extension("key").is_file() => {
                    self.client.get_or_insert_with(|| (path.clone(), path.with_extension("key")));
                }
                _ => {}
            }
        }
        self.ca.sort();
    }
}

/// Where a registry's own requests go.
pub(crate) fn address_of(host: &str) -> &str {
    if host == HUB { HUB_ADDRESS } else { host }
}

/// Under which key its credentials are kept.
pub(crate) fn credential_key(host: &str) -> &str {
    if host == HUB { "https://index.docker.io/v1/" } else { host }
}

/// Whether the host is this machine: then Docker does without certificates.
pub(crate) fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The host of what a user typed as a registry: `https://` and paths are forgiven.
pub(crate) fn normal_host(typed: &str) -> Option<String> {
    let bare = typed.strip_prefix("https://").or_else(|| typed.strip_prefix("http://")).unwrap_or(typed);
    let host = bare.split('/').next().unwrap_or_default();
    if host.is_empty() || matches!(host, "docker.io" | "index.docker.io" | "registry-1.docker.io") {
        return Some(HUB.to_owned());
    }
    // The reference parser knows what a host is; an image of it proves that this is one.
    let probe = Reference::parse(&format!("{host}/x")).ok()?;
    (probe.host() == host).then(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        assert!(
            ["localhost", "localhost:5000", "127.0.0.1:1", "127.8.0.1", "[::1]:5000"].iter().all(|h| is_loopback(h))
        );
        assert!(["registry.test", "10.0.0.1:5000", "localhost.test"].iter().all(|h| !is_loopback(h)));
        assert_eq!(normal_host("https://reg.test:5000/v2/").as_deref(), Some("reg.test:5000"));
        assert_eq!(normal_host("https://index.docker.io/v1/").as_deref(), Some("docker.io"));
        assert_eq!(normal_host("").as_deref(), Some("docker.io"));
        assert_eq!(normal_host("not a host"), None);
    }

    #[test]
    fn directories_of_certificates() {
        let dir = tempfile::tempdir().expect("dir");
        let host = dir.path().join("reg.test:5000");
        std::fs::create_dir(&host).expect("dir");
        for name in ["ca.crt", "me.cert", "me.key", "lonely.cert", "note.txt"] {
            std::fs::write(host.join(name), "").expect("file");
        }
        let settings = Settings { certificates: vec![dir.path().to_owned()], ..Settings::default() };
        let found = settings.host("reg.test:5000");
        assert_eq!(found.ca, [host.join("ca.crt")]);
        assert_eq!(found.client, Some((host.join("me.cert"), host.join("me.key"))));
        assert_eq!(settings.host("other"), HostSettings::default());
    }
}
