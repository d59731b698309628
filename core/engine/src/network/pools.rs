//! Choosing a subnet for a network: the first of the configured pools that no network of ours and no route or name
//! server of the host uses. Without a configured pool for IPv6 there is one of unique local addresses, derived from the
//! engine's id.

use super::cidr::Block;
use crate::error::{Error, Result};
use gantry_config::AddressPool;
use gantry_model::class::Class;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Where subnets come from, and what is taken.
pub struct Pools<'a> {
    /// As configured.
    pub configured: &'a [AddressPool],
    /// Derives the pool of last resort for IPv6.
    pub engine_id: &'a str,
    /// Subnets of our networks, with their names.
    pub taken: &'a [(Block, String)],
}

impl Pools<'_> {
    /// The first free subnet of a family; `size` asks for other than the pools' own sizes.
    pub fn choose(&self, v6: bool, size: Option<u8>) -> Result<Block> {
        let mut bases: Vec<(Block, u8)> = self.configured.iter().filter_map(parsed).collect();
        bases.retain(|(base, _)| base.is_v6() == v6);
        if bases.is_empty() && v6 {
            bases.push((unique_local(self.engine_id), 64));
        }
        let used = if v6 { host_v6() } else { host_v4() };
        let mut candidates = bases.into_iter().flat_map(|(base, own)| base.cut(size.unwrap_or(own)));
        let is_free = |c: &Block| !used.iter().chain(self.taken.iter().map(|(b, _)| b)).any(|u| u.overlaps(*c));
        candidates.find(is_free).ok_or_else(|| self.exhausted(v6))
    }

    fn exhausted(&self, v6: bool) -> Error {
        let family = if v6 { "IPv6" } else { "IPv4" };
        let message = format!(
            "could not find an available, non-overlapping {family} address pool among the defaults to assign to the network"
        );
        let mine = self.taken.iter().filter(|(block, _)| block.is_v6() == v6);
        let mut users: Vec<String> = mine.map(|(block, name)| format!("{block} by {name}")).collect();
        users.truncate(40);
        let who = if users.is_empty() { "routes of the host".to_owned() } else { users.join(", ") };
        Error::request(Class::Unavailable, message).with_hint(format!(
            "used: {who}; remove networks, add pools under [engine.network] address-pools, or give --subnet"
        ))
    }
}

fn parsed(pool: &AddressPool) -> Option<(Block, u8)> {
    let base: Block = pool.base.parse().ok()?;
    let most = if base.is_v6() { 126 } else { 30 };
    (pool.size >= base.prefix() && pool.size <= most).then_some((base, pool.size))
}

/// `fd` and 40 bits of the id, as RFC 4193 wants them: random, and the same for all networks of one engine.
fn unique_local(engine_id: &str) -> Block {
    let digest = gantry_image::sha256(format!("gantry ula {engine_id}").as_bytes()).hex();
    let bits = u128::from_str_radix(digest.get(..10).unwrap_or("0"), 16).unwrap_or(0);
    Block::containing(Ipv6Addr::from((0xfd << 120) | (bits << 80)).into(), 48)
}

/// Destinations of the host's IPv4 routes but the default one, and its name servers.
fn host_v4() -> Vec<Block> {
    let text = fs::read_to_string("/proc/net/route").unwrap_or_default();
    text.lines().skip(1).filter_map(parse_route).chain(name_servers()).collect()
}

/// One line of `/proc/net/route`: addresses are hexadecimal in the host's byte order.
fn parse_route(line: &str) -> Option<Block> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let number = |i: usize| u32::from_str_radix(fields.get(i)?, 16).ok();
    let (destination, mask) = (u32::from_be(number(1)?), u32::from_be(number(7)?));
    let prefix = mask.leading_ones() as u8;
    (prefix > 0).then(|| Block::containing(Ipv4Addr::from(destination).into(), prefix))
}

fn host_v6() -> Vec<Block> {
    let text = fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default();
    text.lines().filter_map(parse_v6_route).chain(name_servers()).collect()
}

/// One line of `/proc/net/ipv6_route`: destination and prefix length come first.
fn parse_v6_route(line: &str) -> Option<Block> {
    let mut fields = line.split_whitespace();
    let destination = u128::from_str_radix(fields.next()?, 16).ok()?;
    let prefix = u8::from_str_radix(fields.next()?, 16).ok()?;
    (prefix > 0).then(|| Block::containing(Ipv6Addr::from(destination).into(), prefix))
}

fn name_servers() -> impl Iterator<Item = Block> {
    let servers = gantry_supervisor::dns::servers(&super::files::host_resolv_conf()).into_iter();
    servers.filter(|server| !server.is_loopback()).map(|server| Block::containing(server, 128))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pools<'a>(configured: &'a [AddressPool], taken: &'a [(Block, String)]) -> Pools<'a> {
        Pools { configured, engine_id: "x", taken }
    }

    fn taken(text: &str) -> [(Block, String); 1] {
        [(text.parse().expect("a subnet"), "web".to_owned())]
    }

    #[test]
    fn skips_what_is_taken() {
        let pool = |base: &str, size| AddressPool { base: base.into(), size };
        let configured = [pool("10.211.0.0/16", 24), pool("10.212.0.0/16", 24)];
        let some = taken("10.211.0.0/23");
        assert_eq!(pools(&configured, &some).choose(false, None).expect("free").to_string(), "10.211.2.0/24");
        assert_eq!(pools(&configured, &some).choose(false, Some(28)).expect("free").to_string(), "10.211.2.0/28");
        let all = taken("10.208.0.0/12");
        let error = pools(&configured, &all).choose(false, None).expect_err("none is free");
        assert!(error.hint().is_some_and(|h| h.contains("10.208.0.0/12 by web")));
    }

    #[test]
    fn ipv6_needs_no_configuration() {
        let first = pools(&[], &[]).choose(true, None).expect("free");
        assert!(first.to_string().starts_with("fd") && first.prefix() == 64, "{first}");
        let some = [(first, "web".to_owned())];
        let second = pools(&[], &some).choose(true, None).expect("free");
        assert!(!second.overlaps(first) && Block::containing(first.network(), 48).covers(second));
    }

    #[test]
    fn reads_kernel_routes() {
        let line = "eth0\t0002A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0";
        assert_eq!(parse_route(line).expect("route").to_string(), "192.168.2.0/24");
        assert!(parse_route("eth0 00000000 0102A8C0 0003 0 0 0 00000000 0 0 0").is_none());
        let line = "fd000001000000000000000000000000 40 00000000000000000000000000000000 00 0 0 0 0 0 eth0";
        assert_eq!(parse_v6_route(line).expect("route").to_string(), "fd00:1::/64");
    }
}
