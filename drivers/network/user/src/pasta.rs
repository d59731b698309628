//! pasta (of the package passt). It goes into the background when it is ready, and says then which process it is.

use crate::error::{Error, Result};
use crate::inside;
use crate::notes::Helper;
use crate::options::Program;
use crate::process::{self, LIMIT, heard, last_words};
use crate::work::Start;
use gantry_driver_shared::child;
use gantry_plugin_api::network::{PortMapping, Protocol};
use std::net::IpAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// The name it runs under: it goes by it, too, and others may recognise it.
pub fn name(key: &str) -> String {
    format!("pasta-gantry-{key}")
}

/// Starts it; it is ready when this returns.
pub fn start(path: &Path, start: &Start<'_>) -> Result<Helper> {
    let execute = |source| Error::Execute { program: Program::Pasta, source };
    let netns = start.netns.try_clone_to_owned().map_err(execute)?;
    let mut command = Command::new(path);
    command.arg0(name(start.key)).args(words(start)).env_clear().current_dir("/");
    command.stdin(Stdio::from(netns)).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(execute)?;
    let good =
        child::finish(&mut child, Instant::now() + LIMIT).map_err(execute)?.ok_or(Error::Late(Program::Pasta))?;
    let (told, said) = (heard(child.stdout.take()), heard(child.stderr.take()));
    let pid = told.trim().parse::<i32>().ok().filter(|_| good);
    let helper = pid.and_then(|pid| Some(Helper { program: Program::Pasta, pid, start: process::start_of(pid)? }));
    helper.ok_or_else(|| Error::Said { program: Program::Pasta, said: last_words(&said) })
}

/// The namespace is its standard input, and its number goes to its standard output: both by ways that need no place in the
/// file system, which a profile of AppArmor may not let it have.
fn words(start: &Start<'_>) -> Vec<String> {
    let fixed = "--config-net --quiet --no-map-gw --no-netns-quit --netns /proc/self/fd/0 --pid /proc/self/fd/1";
    let mut words: Vec<String> = fixed.split(' ').map(str::to_owned).collect();
    let mtu = start.mtu.to_string();
    let (address, prefix) = (inside::ADDRESS.to_string(), inside::PREFIX.to_string());
    let gateway = inside::GATEWAY.to_string();
    let pairs = [
        ("--ns-ifname", start.interface),
        ("--ns-mac-addr", &start.mac),
        ("--mtu", &mtu),
        ("--address", &address),
        ("--netmask", &prefix),
        ("--gateway", &gateway),
        ("--tcp-ns", "none"),
        ("--udp-ns", "none"),
    ];
    words.extend(pairs.iter().flat_map(|(key, value)| [(*key).to_owned(), (*value).to_owned()]));
    for (key, protocol) in [("--tcp-ports", Protocol::TCP), ("--udp-ports", Protocol::UDP)] {
        let ours: Vec<PortMapping> = start.ports.iter().copied().filter(|p| p.protocol == protocol).collect();
        let ports: Vec<String> = ours.iter().filter_map(|port| forwarded(port, &ours)).collect();
        let none = ports.is_empty().then(|| "none".to_owned());
        words.extend(ports.into_iter().chain(none).flat_map(|ports| [key.to_owned(), ports]));
    }
    words
}

/// `127.0.0.1/8080-8082:80-82`. A number may be said once only: all addresses of both families are said by none, with the
/// IPv4 one.
fn forwarded(port: &PortMapping, all: &[PortMapping]) -> Option<String> {
    let any = [IpAddr::from([0; 4]), IpAddr::from([0u16; 8])];
    let twin = |host_ip| PortMapping { host_ip, ..*port };
    if port.host_ip == any[1] && all.contains(&twin(any[0])) {
        return None;
    }
    let range = |first: u16| match port.count {
        0 | 1 => first.to_string(),
        count => format!("{first}-{}", first.saturating_add(count - 1)),
    };
    let both = port.host_ip == any[0] && all.contains(&twin(any[1]));
    let at = if both { String::new() } else { format!("{}/", port.host_ip) };
    Some(format!("{at}{}:{}", range(port.host_port), range(port.container_port)))
}

/// What it cannot forward goes by without a word when nobody asked for it by its address: the host may have no IPv6.
pub fn forwards(port: &PortMapping) -> bool {
    let known = port.protocol == Protocol::TCP || port.protocol == Protocol::UDP;
    known && (port.host_ip.is_ipv4() || port.host_ip != IpAddr::from([0u16; 8]) || inside::host_has_ipv6())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    #[test]
    fn the_command_line() {
        let null = File::open("/dev/null").unwrap();
        let port = |ip: [u8; 4], host, inside, protocol| PortMapping::one(ip.into(), host, inside, protocol);
        let range = PortMapping { count: 3, ..port([127, 0, 0, 1], 9000, 90, Protocol::TCP) };
        let mut start = Start {
            key: "k",
            interface: "eth0",
            mac: "02:00:00:00:00:01".into(),
            mtu: 1500,
            netns: null.as_fd(),
            ports: vec![port([0; 4], 8080, 80, Protocol::TCP), range],
        };
        let text = words(&start).join(" ");
        assert!(text.contains("--tcp-ports 0.0.0.0/8080:80 --tcp-ports 127.0.0.1/9000-9002:90-92"), "{text}");
        assert!(text.ends_with("--udp-ports none") && text.contains("--no-map-gw"), "{text}");
        start.ports = vec![start.ports[0], PortMapping { host_ip: IpAddr::from([0u16; 8]), ..start.ports[0] }];
        assert!(words(&start).join(" ").contains("--tcp-ports 8080:80 --udp-ports none"));
        start.ports.clear();
        assert!(words(&start).join(" ").contains("--tcp-ports none"));
    }
}
