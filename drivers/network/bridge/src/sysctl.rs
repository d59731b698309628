//! Kernel settings below /proc/sys/net, of the calling thread's network namespace.

use crate::bridge::LINK_PREFIX;
use crate::error::{Error, Result};
use crate::options::Settings;
use gantry_driver_shared::nft::{IPV4, IPV6};
use gantry_plugin_api::prelude::*;
use std::fs;

/// Families, as nf_tables numbers them, that the network needs forwarded and the host does not forward.
pub fn unforwarded(settings: &Settings) -> Vec<u8> {
    let needed = settings.pools().filter(|_| !settings.internal).map(|p| if p.network.is_ipv4() { IPV4 } else { IPV6 });
    needed.filter(|family| !is(&format!("/proc/sys/{}", switch(*family)), "1")).collect()
}

/// The names of the host's interfaces, but for the loopback and containers' links.
pub fn interfaces() -> Vec<String> {
    let table = fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
    let names = table.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim());
    names.filter(|name| *name != "lo" && !name.starts_with(LINK_PREFIX)).map(str::to_owned).collect()
}

fn switch(family: u8) -> &'static str {
    if family == IPV4 { "net/ipv4/ip_forward" } else { "net/ipv6/conf/all/forwarding" }
}

/// Turns forwarding of these families on, and says so.
pub fn forward(families: &[u8], host: &Host) -> Result<()> {
    for family in families {
        if *family == IPV6 {
            keep_learning(host)?;
        }
        enable(switch(*family), host)?;
    }
    Ok(())
}

/// A host that forwards IPv6 forgets what routers advertise, and with it its own default route, unless told otherwise
/// where it learned one.
fn keep_learning(host: &Host) -> Result<()> {
    let routes = fs::read_to_string("/proc/thread-self/net/ipv6_route").unwrap_or_default();
    for interface in routes.lines().filter_map(advertised) {
        let path = format!("net/ipv6/conf/{interface}/accept_ra");
        if is(&format!("/proc/sys/{path}"), "1") && set(&path, "2")? {
            let text = format!("set {path} from 1 to 2: the host would lose its default route when it forwards IPv6");
            host.log(Level::INFO, &text);
        }
    }
    Ok(())
}

/// The interface of a default route that a router advertised.
fn advertised(line: &str) -> Option<&str> {
    const DEFAULT_LEARNED: u32 = 0x0005_0000;
    let words: Vec<&str> = line.split_whitespace().collect();
    let flags = u32::from_str_radix(words.get(8)?, 16).ok()?;
    (flags & DEFAULT_LEARNED == DEFAULT_LEARNED).then_some(*words.get(9)?)
}

/// No IPv6 at all on a bridge: not even an address of link scope.
pub fn disable_ipv6(bridge: &str) -> Result<()> {
    let path = format!("net/ipv6/conf/{bridge}/disable_ipv6");
    if fs::exists(format!("/proc/sys/{path}")).unwrap_or(false) { set(&path, "1").map(drop) } else { Ok(()) }
}

fn enable(path: &str, host: &Host) -> Result<()> {
    if !set(path, "1")? {
        return Ok(());
    }
    let text = format!("set {path} from 0 to 1: containers need it to reach the outside and to be reached");
    host.log(Level::INFO, &text);
    Ok(())
}

/// Lets translated packets from 127.0.0.1 leave by the bridge; the firewall drops what would come in by it.
pub fn route_localnet(bridge: &str) -> Result<()> {
    set(&format!("net/ipv4/conf/{bridge}/route_localnet"), "1").map(drop)
}

/// True when packets of a family pass the IP hooks of the firewall while still on a bridge (br_netfilter). Translation
/// of IPv6 is then undone there, and what is for `::1` afterwards counts as coming from outside.
pub fn filters_bridged(ipv6: bool) -> bool {
    is(&format!("/proc/sys/net/bridge/bridge-nf-call-{}", if ipv6 { "ip6tables" } else { "iptables" }), "1")
}

fn is(path: &str, value: &str) -> bool {
    fs::read(path).is_ok_and(|now| now.trim_ascii() == value.as_bytes())
}

/// True when the value had to be changed.
fn set(path: &str, value: &'static str) -> Result<bool> {
    let full = format!("/proc/sys/{path}");
    if is(&full, value) {
        return Ok(false);
    }
    let failed = |source| Error::Setting { path: full.clone(), value: value.to_owned(), source };
    fs::write(&full, value).map_err(failed).map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_that_routers_advertised() {
        let zeroes = "0".repeat(32);
        let line = |flags: &str| format!("{zeroes} 00 {zeroes} 00 fe80 00000400 00000001 00000000 {flags}     eth0");
        assert_eq!(advertised(&line("00450003")), Some("eth0"));
        assert_eq!(advertised(&line("00000003")), None);
        assert_eq!(advertised("torn"), None);
    }
}
