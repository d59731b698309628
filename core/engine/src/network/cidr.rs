//! IPv4 subnets: parse, overlap, host addresses, and cutting networks out of pools.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// A subnet; the host bits are zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cidr4 {
    base: u32,
    prefix: u8,
}

/// The text is no subnet.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid subnet \"{0}\"")]
pub struct InvalidSubnet(String);

impl Cidr4 {
    /// The subnet of `prefix` bits that holds `address`.
    pub fn containing(address: Ipv4Addr, prefix: u8) -> Cidr4 {
        Cidr4 { base: u32::from(address) & mask(prefix), prefix }
    }

    /// The network address.
    pub fn network(self) -> Ipv4Addr {
        self.base.into()
    }

    /// The prefix length.
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// The first address a host may have.
    pub fn first_host(self) -> Ipv4Addr {
        (self.base + 1).into()
    }

    /// True when the address lies inside.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address) & mask(self.prefix) == self.base
    }

    /// True when they share an address.
    pub fn overlaps(self, other: Cidr4) -> bool {
        let shorter = self.prefix.min(other.prefix);
        (self.base ^ other.base) & mask(shorter) == 0
    }

    /// Addresses a host may have, ascending.
    pub fn hosts(self) -> impl Iterator<Item = Ipv4Addr> {
        let last = self.base | !mask(self.prefix);
        let (from, to) = if self.prefix >= 31 { (self.base, last) } else { (self.base + 1, last - 1) };
        (from..=to).map(Ipv4Addr::from)
    }

    /// The networks of `size` bits inside, ascending.
    pub fn cut(self, size: u8) -> impl Iterator<Item = Cidr4> {
        let count = 1u64 << size.saturating_sub(self.prefix).min(31);
        let step = 1u64 << (32 - u32::from(size));
        (0..count).map(move |i| Cidr4 { base: (u64::from(self.base) + i * step) as u32, prefix: size })
    }
}

fn mask(prefix: u8) -> u32 {
    if prefix == 0 { 0 } else { u32::MAX << (32 - u32::from(prefix.min(32))) }
}

impl fmt::Display for Cidr4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network(), self.prefix)
    }
}

impl FromStr for Cidr4 {
    type Err = InvalidSubnet;

    fn from_str(text: &str) -> Result<Cidr4, InvalidSubnet> {
        let invalid = || InvalidSubnet(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(invalid)?;
        let address: Ipv4Addr = address.parse().map_err(|_| invalid())?;
        let prefix: u8 = prefix.parse().map_err(|_| invalid())?;
        if prefix > 32 { Err(invalid()) } else { Ok(Cidr4::containing(address, prefix)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr4 {
        text.parse().expect("cidr")
    }

    #[test]
    fn overlap_and_cut() {
        assert!(cidr("172.16.0.0/12").overlaps(cidr("172.17.0.0/16")));
        assert!(!cidr("172.17.0.0/16").overlaps(cidr("172.18.0.0/16")));
        let cut: Vec<_> = cidr("172.20.0.0/14").cut(16).map(|c| c.to_string()).collect();
        assert_eq!(cut, ["172.20.0.0/16", "172.21.0.0/16", "172.22.0.0/16", "172.23.0.0/16"]);
        assert_eq!(cidr("10.0.0.5/30").hosts().count(), 2);
        assert!("10.0.0.0/33".parse::<Cidr4>().is_err());
    }
}
