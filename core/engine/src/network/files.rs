//! The three files of `/etc` that the engine writes for a container: hosts, hostname, resolv.conf.

use std::fmt::Write as _;
use std::net::IpAddr;

/// Where the host says who its name servers are.
pub const HOST_RESOLV_CONF: &str = "/etc/resolv.conf";
const LOCAL_HOSTS: &str = "127.0.0.1\tlocalhost\n";
const LOCAL_HOSTS_V6: &str = "::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n\
                              ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";

/// `/etc/hosts` of a container: local names, `--add-host` entries, links, then each of its addresses with its names.
pub fn hosts(extra: &[(String, String)], links: &[String], addresses: &[IpAddr], names: &str) -> String {
    let mut text = [LOCAL_HOSTS, LOCAL_HOSTS_V6].concat();
    for (name, address) in extra {
        let _ = writeln!(text, "{address}\t{name}");
    }
    for line in links {
        let _ = writeln!(text, "{line}");
    }
    for address in addresses {
        let _ = writeln!(text, "{address}\t{names}");
    }
    text
}

/// The same file with other addresses of the container's own: lines that somebody else wrote stay.
pub fn with_addresses(hosts: &str, gone: &[IpAddr], new: &[IpAddr], names: &str) -> String {
    let is_own = |line: &str| {
        let address = line.split_whitespace().next().and_then(|word| word.parse::<IpAddr>().ok());
        address.is_some_and(|a| gone.contains(&a) || new.contains(&a)) && line.ends_with(names)
    };
    let mut text: String = hosts.lines().filter(|line| !is_own(line)).map(|line| format!("{line}\n")).collect();
    for address in new {
        let _ = writeln!(text, "{address}\t{names}");
    }
    text
}

/// The names of a container in its own `/etc/hosts`: the full one, and the part before the first dot.
pub fn host_names(hostname: &str, domainname: &str) -> String {
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

impl Dns<'_> {
    /// True when the user says nothing.
    pub fn is_silent(&self) -> bool {
        self.servers.is_empty() && self.search.is_empty() && self.options.is_empty()
    }
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
    text(&servers, &chosen(dns.search, host, "search"), &chosen(dns.options, host, "options"))
}

/// `/etc/resolv.conf` of a container with a resolver of its own, which asks the servers.
pub fn resolv_conf_embedded(host: &str, dns: &Dns<'_>, resolver: &str) -> String {
    let mut options = chosen(dns.options, host, "options");
    if !dns.options.iter().any(|o| o.starts_with("ndots:")) {
        options.retain(|o| !o.starts_with("ndots:"));
        options.push("ndots:0".to_owned());
    }
    text(&[resolver.to_owned()], &chosen(dns.search, host, "search"), &options)
}

fn text(servers: &[String], search: &[String], options: &[String]) -> String {
    let mut text: String = servers.iter().map(|s| format!("nameserver {s}\n")).collect();
    if !search.is_empty() && search != ["."] {
        let _ = writeln!(text, "search {}", search.join(" "));
    }
    if !options.is_empty() {
        let _ = writeln!(text, "options {}", options.join(" "));
    }
    text
}

/// The host's own file.
pub fn host_resolv_conf() -> String {
    std::fs::read_to_string(HOST_RESOLV_CONF).unwrap_or_default()
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

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn hosts_end_with_the_containers_own_names() {
        let extra = [("db".to_owned(), "10.0.0.9".to_owned())];
        let text = hosts(&extra, &[], &[ip("172.17.0.2")], &host_names("web", "example.org"));
        assert!(text.contains("10.0.0.9\tdb\n"));
        assert!(text.ends_with("172.17.0.2\tweb.example.org web\n"));
    }

    #[test]
    fn what_the_user_wrote_into_hosts_stays() {
        let before = "127.0.0.1\tlocalhost\n10.0.0.2\tbox\n10.0.0.2\tmine\n# note\n";
        let after = with_addresses(before, &[ip("10.0.0.2")], &[ip("10.1.0.3")], "box");
        assert_eq!(after, "127.0.0.1\tlocalhost\n10.0.0.2\tmine\n# note\n10.1.0.3\tbox\n");
        assert_eq!(with_addresses(&after, &[], &[ip("10.1.0.3")], "box"), after);
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

    #[test]
    fn an_embedded_resolver_hides_the_servers() {
        let host = "nameserver 10.0.0.1\nsearch corp\noptions edns0 ndots:2\n";
        let text = resolv_conf_embedded(host, &Dns::default(), "127.0.0.11");
        assert_eq!(text, "nameserver 127.0.0.11\nsearch corp\noptions edns0 ndots:0\n");
        let options = ["ndots:3".to_owned()];
        let text = resolv_conf_embedded(host, &Dns { options: &options, ..Dns::default() }, "127.0.0.11");
        assert_eq!(text, "nameserver 127.0.0.11\nsearch corp\noptions ndots:3\n");
    }
}
