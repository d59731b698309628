//! The three files of `/etc` that the engine writes for a container: hosts, hostname, resolv.conf.

use std::fmt::Write as _;
use std::net::IpAddr;

const LOCAL_HOSTS: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n\
                           ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";

/// `/etc/hosts` of a container: local names, `--add-host` entries, then each of its addresses with its names.
pub fn hosts(extra: &[(String, String)], addresses: &[IpAddr], hostname: &str, domainname: &str) -> String {
    let mut text = LOCAL_HOSTS.to_owned();
    for (name, address) in extra {
        let _ = writeln!(text, "{address}\t{name}");
    }
    let names = host_names(hostname, domainname);
    for address in addresses {
        let _ = writeln!(text, "{address}\t{names}");
    }
    text
}

fn host_names(hostname: &str, domainname: &str) -> String {
    let full = if domainname.is_empty() { hostname.to_owned() } else { format!("{hostname}.{domainname}") };
    match full.split_once('.') {
        Some((short, _)) => format!("{full} {short}"),
        None => full,
    }
}

/// What the user says about name servers.
#[derive(Clone, Debug, Default)]
pub struct Dns<'a> {
    /// `--dns`.
    pub servers: &'a [String],
    /// `--dns-search`; a single `.` means none.
    pub search: &'a [String],
    /// `--dns-opt`.
    pub options: &'a [String],
}

/// `/etc/resolv.conf` of a container: the host's without servers the container cannot reach, each part replaced by what
/// the user gave; the fallback servers when nothing remains.
pub fn resolv_conf(host: &str, dns: &Dns<'_>, fallback: &[String]) -> String {
    let mut servers: Vec<String> = dns.servers.to_vec();
    if servers.is_empty() {
        servers = values(host, "nameserver").filter(|s| is_reachable(s)).map(str::to_owned).collect();
    }
    if servers.is_empty() {
        servers = fallback.to_vec();
    }
    let search = chosen(dns.search, host, "search");
    let options = chosen(dns.options, host, "options");
    let mut text: String = servers.iter().map(|s| format!("nameserver {s}\n")).collect();
    if !search.is_empty() && search != ["."] {
        let _ = writeln!(text, "search {}", search.join(" "));
    }
    if !options.is_empty() {
        let _ = writeln!(text, "options {}", options.join(" "));
    }
    text
}

fn chosen(given: &[String], host: &str, key: &'static str) -> Vec<String> {
    if given.is_empty() {
        values(host, key).flat_map(str::split_whitespace).map(str::to_owned).collect()
    } else {
        given.to_vec()
    }
}

fn values<'a>(text: &'a str, key: &'static str) -> impl Iterator<Item = &'a str> {
    text.lines().filter_map(move |line| {
        let rest = line.trim().strip_prefix(key)?;
        rest.starts_with([' ', '\t']).then(|| rest.trim())
    })
}

/// A server on the host's loopback cannot be reached from another network namespace; an IPv6 one not without IPv6.
fn is_reachable(server: &str) -> bool {
    matches!(server.parse::<IpAddr>(), Ok(IpAddr::V4(address)) if !address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_end_with_the_containers_own_names() {
        let extra = [("db".to_owned(), "10.0.0.9".to_owned())];
        let text = hosts(&extra, &["172.17.0.2".parse().expect("ip")], "web", "example.org");
        assert!(text.contains("10.0.0.9\tdb\n"));
        assert!(text.ends_with("172.17.0.2\tweb.example.org web\n"));
    }

    #[test]
    fn resolv_conf_leaves_out_loopback_and_falls_back() {
        let host = "nameserver 127.0.0.53\nsearch corp\noptions edns0\n";
        let fallback = ["8.8.8.8".to_owned()];
        let text = resolv_conf(host, &Dns::default(), &fallback);
        assert_eq!(text, "nameserver 8.8.8.8\nsearch corp\noptions edns0\n");
        let servers = ["9.9.9.9".to_owned()];
        let search = [".".to_owned()];
        let text = resolv_conf(host, &Dns { servers: &servers, search: &search, options: &[] }, &fallback);
        assert_eq!(text, "nameserver 9.9.9.9\noptions edns0\n");
    }
}
