//! Sets and maps: what they hold, and how keys are laid out.

use super::{DATA_VALUE, Table};
use crate::attributes::{Buffer, attributes, find};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const FLAG_INTERVAL: u32 = 4;
const FLAG_MAP: u32 = 8;
const FLAG_CONCATENATED: u32 = 0x80;
const ELEMENT_KEY: u16 = 1;
const ELEMENT_DATA: u16 = 2;
const ELEMENT_FLAGS: u16 = 3;
const ELEMENT_KEY_END: u16 = 10;
const INTERVAL_END: u32 = 1;

/// One field of a key or value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
    /// An interface's name.
    Name,
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// An IP protocol's number.
    Protocol,
    /// A port.
    Port,
    /// A protocol family (IPv4 or IPv6).
    Family,
}

impl Field {
    /// The number by which `nft` knows the type; the kernel only keeps it.
    fn code(self) -> u32 {
        match self {
            Field::Name => 41,
            Field::Ipv4 => 7,
            Field::Ipv6 => 8,
            Field::Protocol => 12,
            Field::Port => 13,
            Field::Family => 2,
        }
    }

    fn length(self) -> usize {
        match self {
            Field::Name | Field::Ipv6 => 16,
            Field::Ipv4 => 4,
            Field::Protocol | Field::Family => 1,
            Field::Port => 2,
        }
    }
}

/// A set, or a map when it has values.
#[derive(Clone, Copy, Debug)]
pub struct Set {
    /// Its name.
    pub name: &'static str,
    /// The fields of its key; several are a concatenation.
    pub key: &'static [Field],
    /// The fields of its value; none for a set.
    pub value: &'static [Field],
    /// Elements are ranges.
    pub interval: bool,
}

impl Set {
    fn flags(&self) -> u32 {
        let of = |wanted: bool, flag| if wanted { flag } else { 0 };
        of(self.interval, FLAG_INTERVAL)
            | of(!self.value.is_empty(), FLAG_MAP)
            | of(self.interval && self.key.len() > 1, FLAG_CONCATENATED)
    }

    /// Writes the attributes that describe the set.
    pub(super) fn describe(&self, buffer: &mut Buffer, table: Table, id: u32) {
        buffer.text(1, table.name);
        buffer.text(2, self.name);
        buffer.be32(3, self.flags());
        buffer.be32(4, type_code(self.key));
        buffer.be32(5, length(self.key));
        if !self.value.is_empty() {
            buffer.be32(6, type_code(self.value));
            buffer.be32(7, length(self.value));
        }
        if self.interval && self.key.len() > 1 {
            buffer.nest(9, |b| b.nest(2, |b| self.key.iter().for_each(|f| describe_field(b, *f))));
        }
        buffer.be32(10, id);
        if self.key == [Field::Name] {
            buffer.attribute(13, &key_in_host_order());
        }
    }
}

/// Tells `nft` that the key is in the machine's byte order: kind 0, length, 1. Without it names are listed as empty.
fn key_in_host_order() -> Vec<u8> {
    let mut data = vec![0, 4];
    data.extend_from_slice(&1u32.to_ne_bytes());
    data
}

fn describe_field(buffer: &mut Buffer, field: Field) {
    buffer.nest(1, |b| b.be32(1, field.length() as u32));
}

fn type_code(fields: &[Field]) -> u32 {
    fields.iter().fold(0, |code, field| code << 6 | field.code())
}

/// Fields of a concatenation begin at multiples of four bytes.
fn length(fields: &[Field]) -> u32 {
    match fields {
        [only] => only.length() as u32,
        many => many.iter().map(|f| f.length().next_multiple_of(4) as u32).sum(),
    }
}

/// A key or value under construction, field by field.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Key(Vec<u8>);

impl Key {
    /// Adds an interface's name.
    #[must_use]
    pub fn name(mut self, name: &str) -> Key {
        let start = self.0.len();
        self.0.extend(name.bytes().take(15));
        self.0.resize(start + 16, 0);
        self
    }

    /// Adds an address.
    #[must_use]
    pub fn address(mut self, address: IpAddr) -> Key {
        match address {
            IpAddr::V4(v4) => self.0.extend_from_slice(&v4.octets()),
            IpAddr::V6(v6) => self.0.extend_from_slice(&v6.octets()),
        }
        self
    }

    /// Adds a protocol's number (in a concatenation).
    #[must_use]
    pub fn protocol(mut self, number: u8) -> Key {
        self.0.extend_from_slice(&[number, 0, 0, 0]);
        self
    }

    /// Adds a protocol family in a concatenation.
    #[must_use]
    pub fn family(self, number: u8) -> Key {
        self.protocol(number)
    }

    /// Adds a port (in a concatenation).
    #[must_use]
    pub fn port(mut self, port: u16) -> Key {
        let [high, low] = port.to_be_bytes();
        self.0.extend_from_slice(&[high, low, 0, 0]);
        self
    }

    /// The bytes as nf_tables compares them.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// One element of a set or map.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Element {
    /// The key, or the start of the range.
    pub key: Key,
    /// The last key of a range of concatenations.
    pub until: Option<Key>,
    /// What a map gives for it.
    pub value: Option<Key>,
    /// This element only says where the range before it ends.
    pub end_mark: bool,
}

impl Element {
    /// An element of a set.
    pub fn of(key: Key) -> Element {
        Element { key, until: None, value: None, end_mark: false }
    }

    /// An entry of a map.
    pub fn entry(key: Key, value: Key) -> Element {
        Element { value: Some(value), ..Element::of(key) }
    }

    /// A range of concatenations, both ends included.
    pub fn range(first: Key, last: Key) -> Element {
        Element { until: Some(last), ..Element::of(first) }
    }

    pub(super) fn encode(&self, buffer: &mut Buffer) {
        let value = |b: &mut Buffer, key: &Key| b.attribute(DATA_VALUE, key.bytes());
        buffer.nest(ELEMENT_KEY, |b| value(b, &self.key));
        if let Some(until) = &self.until {
            buffer.nest(ELEMENT_KEY_END, |b| value(b, until));
        }
        if let Some(data) = &self.value {
            buffer.nest(ELEMENT_DATA, |b| value(b, data));
        }
        if self.end_mark {
            buffer.be32(ELEMENT_FLAGS, INTERVAL_END);
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Element> {
        let nested = |kind| find(bytes, kind).and_then(|b| find(b, DATA_VALUE)).map(|b| Key(b.to_vec()));
        let flags = attributes(bytes).find(|(kind, _)| *kind == ELEMENT_FLAGS).map(|(_, v)| v.last() == Some(&1));
        Some(Element {
            key: nested(ELEMENT_KEY)?,
            until: nested(ELEMENT_KEY_END),
            value: nested(ELEMENT_DATA),
            end_mark: flags.unwrap_or(false),
        })
    }
}

/// The elements that put a prefix into a set of ranges: its start, and a mark after its end.
pub fn interval(address: IpAddr, prefix: u8, value: Option<Key>) -> Vec<Element> {
    let (first, last) = ends(address, prefix);
    let start = Element { value, ..Element::of(Key::default().address(first)) };
    let after = match last {
        IpAddr::V4(last) => last.to_bits().checked_add(1).map(|next| IpAddr::from(Ipv4Addr::from_bits(next))),
        IpAddr::V6(last) => last.to_bits().checked_add(1).map(|next| IpAddr::from(Ipv6Addr::from_bits(next))),
    };
    let mark = after.map(|next| Element { end_mark: true, ..Element::of(Key::default().address(next)) });
    std::iter::once(start).chain(mark).collect()
}

/// The first and the last address of a prefix.
pub fn ends(address: IpAddr, prefix: u8) -> (IpAddr, IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let host = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
            let (first, last) = (address.to_bits() & !host, address.to_bits() | host);
            (Ipv4Addr::from_bits(first).into(), Ipv4Addr::from_bits(last).into())
        }
        IpAddr::V6(address) => {
            let host = u128::MAX.checked_shr(prefix.into()).unwrap_or(0);
            let (first, last) = (address.to_bits() & !host, address.to_bits() | host);
            (Ipv6Addr::from_bits(first).into(), Ipv6Addr::from_bits(last).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_have_two_ends() {
        for (address, prefix, first, last) in [
            ("172.17.3.4", 0, "0.0.0.0", "255.255.255.255"),
            ("172.17.3.4", 16, "172.17.0.0", "172.17.255.255"),
            ("fd00::5", 64, "fd00::", "fd00::ffff:ffff:ffff:ffff"),
        ] {
            let (a, b) = ends(address.parse().expect("an address"), prefix);
            assert_eq!((a.to_string().as_str(), b.to_string().as_str()), (first, last));
        }
        assert_eq!(interval(IpAddr::from([10, 0, 0, 0]), 8, None).len(), 2);
        assert_eq!(interval(IpAddr::from([0, 0, 0, 0]), 0, None).len(), 1, "nothing comes after the last address");
        assert_eq!(interval(IpAddr::from([0u16; 8]), 0, None).len(), 1, "nothing comes after the last address");
    }

    #[test]
    fn elements_survive_the_wire() {
        let key = Key::default().protocol(6).port(8080);
        let value = Key::default().address(IpAddr::from([172, 17, 0, 2])).port(80);
        let element = Element::entry(key, value);
        let mut buffer = Buffer::default();
        element.encode(&mut buffer);
        assert_eq!(Element::decode(buffer.bytes()), Some(element));
    }

    #[test]
    fn lengths_as_the_kernel_counts_them() {
        assert_eq!(length(&[Field::Protocol, Field::Port]), 8);
        assert_eq!(length(&[Field::Name]), 16);
        assert_eq!(length(&[Field::Name, Field::Ipv4]), 20);
        assert_eq!(type_code(&[Field::Ipv4, Field::Port]), 7 << 6 | 13);
    }
}
