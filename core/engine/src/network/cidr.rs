//! Subnets of either family: parse, overlap, addresses for hosts, and cutting networks out of pools.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A subnet; the host bits are zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Block {
    base: u128,
    prefix: u8,
    v6: bool,
}

/// The text is no subnet.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("Invalid subnet {0}: invalid CIDR address: {0}")]
pub struct InvalidSubnet(String);

impl Block {
    /// The subnet of `prefix` bits that holds `address`.
    pub fn containing(address: IpAddr, prefix: u8) -> Block {
        let v6 = address.is_ipv6();
        let prefix = prefix.min(width(v6));
        Block { base: bits(address) & mask(prefix, v6), prefix, v6 }
    }

    /// The network address.
    pub fn network(self) -> IpAddr {
        self.address(self.base)
    }

    /// The prefix length.
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// True for IPv6.
    pub fn is_v6(self) -> bool {
        self.v6
    }

    /// The first address a host may have.
    pub fn first_host(self) -> IpAddr {
        self.address(if self.free_bits() <= 1 { self.base } else { self.base + 1 })
    }

    /// True when the address lies inside.
    pub fn contains(self, address: IpAddr) -> bool {
        address.is_ipv6() == self.v6 && bits(address) & mask(self.prefix, self.v6) == self.base
    }

    /// True when all of the other lies inside.
    pub fn covers(self, other: Block) -> bool {
        other.prefix >= self.prefix && self.contains(other.network())
    }

    /// True when they share an address.
    pub fn overlaps(self, other: Block) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// True for the addresses that name the network or everybody in it.
    pub fn is_special(self, address: IpAddr) -> bool {
        let last = self.base | !mask(self.prefix, self.v6) & mask(width(self.v6), self.v6);
        let (address, wide) = (bits(address), self.free_bits() >= 2);
        wide && (address == self.base || (!self.v6 && address == last))
    }

    /// All addresses, ascending. Of an IPv6 subnet nobody should want them all.
    pub fn addresses(self) -> impl Iterator<Item = IpAddr> {
        let count = 1u128.checked_shl(self.free_bits().into()).unwrap_or(u128::MAX);
        (0..count).map(move |i| self.address(self.base + i))
    }

    /// The networks of `size` bits inside, ascending.
    pub fn cut(self, size: u8) -> impl Iterator<Item = Block> {
        let size = size.clamp(self.prefix, width(self.v6));
        let count = 1u128 << (size - self.prefix).min(31);
        let step = 1u128.checked_shl((width(self.v6) - size).into()).unwrap_or(0);
        (0..count).map(move |i| Block { base: self.base + i * step, prefix: size, v6: self.v6 })
    }

    fn free_bits(self) -> u8 {
        width(self.v6) - self.prefix
    }

    fn address(self, bits: u128) -> IpAddr {
        if self.v6 { Ipv6Addr::from(bits).into() } else { Ipv4Addr::from(bits as u32).into() }
    }
}

fn width(v6: bool) -> u8 {
    if v6 { 128 } else { 32 }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u32::from(a).into(),
        IpAddr::V6(a) => a.into(),
    }
}

fn mask(prefix: u8, v6: bool) -> u128 {
    let ones = u128::MAX.checked_shl((width(v6) - prefix).into()).unwrap_or(0);
    if v6 { ones } else { ones & u128::from(u32::MAX) }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network(), self.prefix)
    }
}

impl From<Block> for String {
    fn from(block: Block) -> String {
        block.to_string()
    }
}

impl TryFrom<String> for Block {
    type Error = InvalidSubnet;

    fn try_from(text: String) -> Result<Block, InvalidSubnet> {
        text.parse()
    }
}

impl FromStr for Block {
    type Err = InvalidSubnet;

    fn from_str(text: &str) -> Result<Block, InvalidSubnet> {
        let invalid = || InvalidSubnet(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(invalid)?;
        let address: IpAddr = address.parse().map_err(|_| invalid())?;
        let prefix: u8 = prefix.parse().map_err(|_| invalid())?;
        if prefix > width(address.is_ipv6()) { Err(invalid()) } else { Ok(Block::containing(address, prefix)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: &str) -> Block {
        text.parse().expect("a subnet")
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn overlap_and_cut() {
        assert!(block("172.16.0.0/12").overlaps(block("172.17.0.0/16")));
        assert!(block("172.17.0.0/16").overlaps(block("172.16.0.0/12")));
        assert!(!block("172.17.0.0/16").overlaps(block("172.18.0.0/16")));
        assert!(!block("0.0.0.0/0").overlaps(block("::/0")));
        let cut: Vec<_> = block("172.20.0.0/14").cut(16).map(|c| c.to_string()).collect();
        assert_eq!(cut, ["172.20.0.0/16", "172.21.0.0/16", "172.22.0.0/16", "172.23.0.0/16"]);
        let cut: Vec<_> = block("fd00:1::/48").cut(64).take(2).map(|c| c.to_string()).collect();
        assert_eq!(cut, ["fd00:1::/64", "fd00:1:0:1::/64"]);
    }

    #[test]
    fn what_hosts_may_have() {
        assert_eq!(block("10.0.0.5/30").addresses().filter(|a| !block("10.0.0.4/30").is_special(*a)).count(), 2);
        assert_eq!(block("10.0.0.4/30").first_host(), ip("10.0.0.5"));
        assert_eq!(block("10.0.0.4/31").first_host(), ip("10.0.0.4"));
        assert_eq!(block("fd00::/64").first_host(), ip("fd00::1"));
        assert!(block("fd00::/64").is_special(ip("fd00::")) && !block("fd00::/64").is_special(ip("fd00::ffff")));
        assert!(!block("10.0.0.4/32").is_special(ip("10.0.0.4")));
        assert!(block("::/0").contains(ip("ff::1")) && !block("::/0").contains(ip("1.2.3.4")));
    }

    #[test]
    fn no_subnets() {
        for bad in ["10.0.0.0/33", "10.0.0.0", "fd00::/129", "x/8", ""] {
            assert!(bad.parse::<Block>().is_err(), "{bad}");
        }
    }
}
