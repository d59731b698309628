//! Choosing a subnet for a network: the first of the configured pools that no network of ours and no route or name
//! server of the host uses.

use super::cidr::Cidr4;
use crate::error::{Error, Result};
use gantry_config::AddressPool;
use gantry_model::class::Class;
use std::fs;
use std::net::Ipv4Addr;

/// The first free subnet.
pub fn choose(pools: &[AddressPool], taken: &[Cidr4]) -> Result<Cidr4> {
    let mut used = host_routes();
    used.extend(host_name_servers());
    used.extend(taken);
    let mut candidates = pools.iter().filter_map(parsed).flat_map(|(base, size)| base.cut(size));
    candidates.find(|c| !used.iter().any(|u| u.overlaps(*c))).ok_or_else(exhausted)
}

fn exhausted() -> Error {
    let message =
        "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network";
    Error::request(Class::Unavailable, message)
        .with_hint("add pools under [engine.network] address-pools, or give --subnet")
}

fn parsed(pool: &AddressPool) -> Option<(Cidr4, u8)> {
    let base: Cidr4 = pool.base.parse().ok()?;
    (pool.size >= base.prefix() && pool.size <= 30).then_some((base, pool.size))
}

/// Destinations of the host's IPv4 routes but the default one.
fn host_routes() -> Vec<Cidr4> {
    let text = fs::read_to_string("/proc/net/route").unwrap_or_default();
    text.lines().skip(1).filter_map(parse_route).collect()
}

/// One line of `/proc/net/route`: addresses are hexadecimal in the host's byte order.
fn parse_route(line: &str) -> Option<Cidr4> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let number = |i: usize| u32::from_str_radix(fields.get(i)?, 16).ok();
    let (destination, mask) = (u32::from_be(number(1)?), u32::from_be(number(7)?));
    let prefix = mask.leading_ones() as u8;
    (prefix > 0).then(|| Cidr4::containing(Ipv4Addr::from(destination), prefix))
}

fn host_name_servers() -> Vec<Cidr4> {
    let text = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let servers = text.lines().filter_map(|l| l.trim().strip_prefix("nameserver")?.trim().parse::<Ipv4Addr>().ok());
    servers.filter(|s| !s.is_loopback()).map(|s| Cidr4::containing(s, 32)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skips_what_is_taken() {
        let pool = |base: &str, size| AddressPool { base: base.into(), size };
        let pools = [pool("10.211.0.0/16", 24), pool("10.212.0.0/16", 24)];
        let taken = ["10.211.0.0/23".parse().expect("cidr")];
        assert_eq!(choose(&pools, &taken).expect("free").to_string(), "10.211.2.0/24");
        let all = ["10.208.0.0/12".parse().expect("cidr")];
        assert!(choose(&pools, &all).is_err());
    }

    #[test]
    fn reads_kernel_routes() {
        let line = "eth0\t0002A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0";
        assert_eq!(parse_route(line).expect("route").to_string(), "192.168.2.0/24");
        assert!(parse_route("eth0 00000000 0102A8C0 0003 0 0 0 00000000 0 0 0").is_none());
    }
}
