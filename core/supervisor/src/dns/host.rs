//! The host's own name servers, as its resolv.conf names them at the moment: a laptop changes them with every network. The
//! file is looked at for each question that goes out, and read again when it has changed.

use super::names::Stamp;
use super::record::{Asker, Upstream};
use std::fs;
use std::net::IpAddr;

/// The name servers in a resolv.conf.
pub fn servers(text: &str) -> Vec<IpAddr> {
    let server = |line: &str| {
        let rest = line.trim().strip_prefix("nameserver")?;
        rest.starts_with([' ', '\t']).then(|| rest.trim().parse().ok())?
    };
    text.lines().filter_map(server).collect()
}

/// What was read last.
#[derive(Default)]
pub struct HostServers {
    stamp: Option<Stamp>,
    servers: Vec<Upstream>,
}

impl HostServers {
    /// Whom to ask now: the host's servers where the asker follows them and there are any, else those it was given.
    pub fn of<'a>(&'a mut self, asker: &'a Asker) -> &'a [Upstream] {
        let Some(path) = &asker.host else { return &asker.upstreams };
        let meta = fs::metadata(path).ok();
        let stamp = meta.as_ref().map(Stamp::of);
        if stamp.is_none() || stamp != self.stamp {
            let text = fs::read_to_string(path).unwrap_or_default();
            let found = servers(&text).into_iter();
            self.servers = found.map(|address| Upstream { address, inside: false }).collect();
            self.stamp = meta.as_ref().and_then(Stamp::settled);
        }
        if self.servers.is_empty() { &asker.upstreams } else { &self.servers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(host: &mut HostServers, asker: &Asker) -> Vec<String> {
        host.of(asker).iter().map(|server| server.address.to_string()).collect()
    }

    #[test]
    fn the_host_s_servers_are_followed() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("resolv.conf");
        let given = Upstream { address: [8, 8, 8, 8].into(), inside: false };
        let asker = Asker { upstreams: vec![given], host: Some(path.clone()), ..Asker::default() };
        let mut host = HostServers::default();
        assert_eq!(asked(&mut host, &asker), ["8.8.8.8"], "no file");
        fs::write(&path, "# mine\nnameserver 10.0.0.1\nnameserver\tfd00::1\nnameservers 1\nsearch x\n")
            .expect("written");
        assert_eq!(asked(&mut host, &asker), ["10.0.0.1", "fd00::1"]);
        fs::write(&path, "nameserver 10.0.0.2\n").expect("written");
        assert_eq!(asked(&mut host, &asker), ["10.0.0.2"], "at once");
        fs::rename(&path, dir.path().join("old")).expect("renamed");
        assert_eq!(asked(&mut host, &asker), ["8.8.8.8"]);
        let fixed = Asker { host: None, ..asker };
        fs::write(&path, "nameserver 10.0.0.3\n").expect("written");
        assert_eq!(asked(&mut host, &fixed), ["8.8.8.8"]);
    }
}
