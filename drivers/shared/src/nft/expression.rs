//! Rules: a list of expressions that load, compare, look up and decide.
//!
//! Every rule here works in the 32-bit registers from the first on, and each matcher loads what it needs anew.

use super::{DATA_VALUE, LIST_ITEM, Set};
use crate::attributes::Buffer;

/// The first of sixteen 32-bit registers; the second is one more.
const R: u32 = 8;
/// An interface's name fills four of them.
const AFTER_NAME: u32 = R + 4;

const META_IIFNAME: u32 = 6;
const META_OIFNAME: u32 = 7;
const META_NFPROTO: u32 = 15;
const META_L4PROTO: u32 = 16;
const CT_STATE: u32 = 0;
const CT_STATUS: u32 = 2;
const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;

/// Where in a packet's way a chain stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hook {
    /// As it arrives.
    Prerouting = 0,
    /// On its way through.
    Forward = 2,
    /// Made on this host.
    Output = 3,
    /// As it leaves.
    Postrouting = 4,
}

/// How a rule ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Let it pass this chain's hook.
    Accept,
    /// Away with it.
    Drop,
    /// Ask another chain, then go on.
    Jump(&'static str),
    /// Ask this chain's other rules no more.
    Return,
}

/// A rule under construction; its comment tells people (and us) which one it is.
pub struct Rule {
    pub(super) expressions: Buffer,
    pub(super) comment: &'static str,
}

impl Rule {
    /// A rule that matches everything so far.
    pub fn new(comment: &'static str) -> Rule {
        Rule { expressions: Buffer::default(), comment }
    }

    /// Its comment.
    pub fn comment(&self) -> &'static str {
        self.comment
    }

    /// The interface it came in by is in the set.
    #[must_use]
    pub fn from_interface_in(self, set: &Set) -> Rule {
        self.meta(META_IIFNAME, R).lookup(set, None, false)
    }

    /// The interface it leaves by is in the set.
    #[must_use]
    pub fn to_interface_in(self, set: &Set) -> Rule {
        self.meta(META_OIFNAME, R).lookup(set, None, false)
    }

    /// The interface it leaves by is not in the set.
    #[must_use]
    pub fn to_interface_not_in(self, set: &Set) -> Rule {
        self.meta(META_OIFNAME, R).lookup(set, None, true)
    }

    /// The pair of interfaces, from and to, is in the set.
    #[must_use]
    pub fn interfaces_in(self, set: &Set) -> Rule {
        self.meta(META_IIFNAME, R).meta(META_OIFNAME, AFTER_NAME).lookup(set, None, false)
    }

    /// The interface it leaves by and its source address are, as a pair, in the set.
    #[must_use]
    pub fn to_interface_and_source_in(self, set: &Set) -> Rule {
        self.ipv4().meta(META_OIFNAME, R).source4(AFTER_NAME).lookup(set, None, false)
    }

    /// The same for IPv6.
    #[must_use]
    pub fn to_interface_and_source6_in(self, set: &Set) -> Rule {
        self.ipv6().meta(META_OIFNAME, R).source6(AFTER_NAME).lookup(set, None, false)
    }

    /// The interface it leaves by and its family are, as a pair, in the set.
    #[must_use]
    pub fn to_interface_and_family_in(self, set: &Set) -> Rule {
        self.meta(META_OIFNAME, R).meta(META_NFPROTO, AFTER_NAME).lookup(set, None, false)
    }

    /// Its family and the interface it came in by are, as a pair, in the set.
    #[must_use]
    pub fn family_and_from_interface_in(self, set: &Set) -> Rule {
        self.meta(META_NFPROTO, R).meta(META_IIFNAME, R + 1).lookup(set, None, false)
    }

    /// Its family and the interface it leaves by are, as a pair, in the set.
    #[must_use]
    pub fn family_and_to_interface_in(self, set: &Set) -> Rule {
        self.meta(META_NFPROTO, R).meta(META_OIFNAME, R + 1).lookup(set, None, false)
    }

    /// Its protocol has this number.
    #[must_use]
    pub fn protocol(self, number: u8) -> Rule {
        self.meta(META_L4PROTO, R).equals(&[number])
    }

    /// It is an ICMPv6 message of this type.
    #[must_use]
    pub fn icmp6(self, kind: u8) -> Rule {
        const ICMP6: u8 = 58;
        self.ipv6().protocol(ICMP6).payload(TRANSPORT, 0, 1, R).equals(&[kind])
    }

    /// Its IPv4 destination, protocol and port are in the set.
    #[must_use]
    pub fn to_port4_in(self, set: &Set) -> Rule {
        self.destination_and_port4().lookup(set, None, false)
    }

    /// Its IPv6 destination, protocol and port are in the set.
    #[must_use]
    pub fn to_port6_in(self, set: &Set) -> Rule {
        self.destination_and_port6().lookup(set, None, false)
    }

    /// Its IPv4 source, destination, protocol and port are in the set.
    #[must_use]
    pub fn link4_in(self, set: &Set) -> Rule {
        let addresses = self.ipv4().payload(NETWORK, 12, 4, R).payload(NETWORK, 16, 4, R + 1);
        addresses.protocol_and_port(R + 2).lookup(set, None, false)
    }

    /// The same for IPv6.
    #[must_use]
    pub fn link6_in(self, set: &Set) -> Rule {
        let addresses = self.ipv6().payload(NETWORK, 8, 16, R).payload(NETWORK, 24, 16, R + 4);
        addresses.protocol_and_port(R + 8).lookup(set, None, false)
    }

    /// It is IPv4.
    #[must_use]
    pub fn ipv4(self) -> Rule {
        self.family(super::IPV4)
    }

    /// It is IPv6.
    #[must_use]
    pub fn ipv6(self) -> Rule {
        self.family(super::IPV6)
    }

    /// Its IPv4 source address is in the set.
    #[must_use]
    pub fn source4_in(self, set: &Set) -> Rule {
        self.ipv4().source4(R).lookup(set, None, false)
    }

    /// Its IPv6 source address is in the set.
    #[must_use]
    pub fn source6_in(self, set: &Set) -> Rule {
        self.ipv6().source6(R).lookup(set, None, false)
    }

    /// Its IPv4 source address is 127.0.0.0/8.
    #[must_use]
    pub fn from_loopback_address(self) -> Rule {
        self.ipv4().payload(NETWORK, 12, 1, R).equals(&[127])
    }

    /// Its IPv4 destination address is 127.0.0.0/8.
    #[must_use]
    pub fn to_loopback_address(self) -> Rule {
        self.ipv4().payload(NETWORK, 16, 1, R).equals(&[127])
    }

    /// Its IPv6 destination address is not `::1`.
    #[must_use]
    pub fn not_to_loopback_address6(self) -> Rule {
        const NOT_EQUAL: u32 = 1;
        let rule = self.ipv6().payload(NETWORK, 24, 16, R);
        rule.compare(NOT_EQUAL, &std::net::Ipv6Addr::LOCALHOST.octets())
    }

    /// Its IPv6 source address is `::1`.
    #[must_use]
    pub fn from_loopback_address6(self) -> Rule {
        self.ipv6().payload(NETWORK, 8, 16, R).equals(&std::net::Ipv6Addr::LOCALHOST.octets())
    }

    /// Its destination is one of this host's addresses.
    #[must_use]
    pub fn to_this_host(self) -> Rule {
        const BY_DESTINATION: u32 = 2;
        const ADDRESS_TYPE: u32 = 3;
        const LOCAL: u32 = 2;
        self.expression("fib", |b| {
            b.be32(1, R);
            b.be32(2, ADDRESS_TYPE);
            b.be32(3, BY_DESTINATION);
        })
        .equals(&LOCAL.to_ne_bytes())
    }

    /// It belongs to a flow that was let through before.
    #[must_use]
    pub fn established(self) -> Rule {
        const ESTABLISHED_OR_RELATED: u32 = 2 | 4;
        self.conntrack(CT_STATE).any_of(ESTABLISHED_OR_RELATED)
    }

    /// Its destination was translated.
    #[must_use]
    pub fn destination_translated(self) -> Rule {
        const DESTINATION_NAT: u32 = 1 << 5;
        self.conntrack(CT_STATUS).any_of(DESTINATION_NAT)
    }

    /// Sends it to the address and port that the map gives for its protocol and port.
    #[must_use]
    pub fn translate_by_port(self, map: &Set) -> Rule {
        self.ipv4().protocol_and_port(R).lookup(map, Some(R), false).redirect()
    }

    /// The same for IPv6.
    #[must_use]
    pub fn translate_by_port6(self, map: &Set) -> Rule {
        self.ipv6().protocol_and_port(R).lookup(map, Some(R), false).redirect6()
    }

    /// Sends it to the address and port that the map gives for its address, protocol and port.
    #[must_use]
    pub fn translate_by_address(self, map: &Set) -> Rule {
        self.destination_and_port4().lookup(map, Some(R), false).redirect()
    }

    /// The same for IPv6.
    #[must_use]
    pub fn translate_by_address6(self, map: &Set) -> Rule {
        self.destination_and_port6().lookup(map, Some(R), false).redirect6()
    }

    /// Gives it the source address that the map gives for its source.
    #[must_use]
    pub fn source_by_map(self, map: &Set) -> Rule {
        self.ipv4().source4(R).lookup(map, Some(R), false).source(super::IPV4)
    }

    /// The same for IPv6.
    #[must_use]
    pub fn source6_by_map(self, map: &Set) -> Rule {
        self.ipv6().source6(R).lookup(map, Some(R), false).source(super::IPV6)
    }

    /// Gives it the source address of the interface it leaves by.
    #[must_use]
    pub fn masquerade(self) -> Rule {
        self.expression("masq", |_| {})
    }

    /// Counts it.
    #[must_use]
    pub fn count(self) -> Rule {
        self.expression("counter", |_| {})
    }

    /// Decides.
    #[must_use]
    pub fn verdict(self, verdict: Verdict) -> Rule {
        let (code, chain) = match verdict {
            Verdict::Accept => (1, None),
            Verdict::Drop => (0, None),
            Verdict::Jump(chain) => (-3i32, Some(chain)),
            Verdict::Return => (-5, None),
        };
        self.expression("immediate", |b| {
            b.be32(1, 0);
            b.nest(2, |b| {
                b.nest(2, |b| {
                    b.be32(1, code as u32);
                    chain.iter().for_each(|name| b.text(2, name));
                });
            });
        })
    }

    fn family(self, family: u8) -> Rule {
        self.meta(META_NFPROTO, R).equals(&[family])
    }

    fn source4(self, register: u32) -> Rule {
        self.payload(NETWORK, 12, 4, register)
    }

    fn source6(self, register: u32) -> Rule {
        self.payload(NETWORK, 8, 16, register)
    }

    fn protocol_and_port(self, register: u32) -> Rule {
        self.meta(META_L4PROTO, register).payload(TRANSPORT, 2, 2, register + 1)
    }

    fn destination_and_port4(self) -> Rule {
        self.ipv4().payload(NETWORK, 16, 4, R).protocol_and_port(R + 1)
    }

    fn destination_and_port6(self) -> Rule {
        self.ipv6().payload(NETWORK, 24, 16, R).protocol_and_port(R + 4)
    }

    fn meta(self, key: u32, register: u32) -> Rule {
        self.expression("meta", |b| {
            b.be32(1, register);
            b.be32(2, key);
        })
    }

    fn conntrack(self, key: u32) -> Rule {
        self.expression("ct", |b| {
            b.be32(1, R);
            b.be32(2, key);
        })
    }

    fn payload(self, base: u32, offset: u32, length: u32, register: u32) -> Rule {
        self.expression("payload", |b| {
            b.be32(1, register);
            b.be32(2, base);
            b.be32(3, offset);
            b.be32(4, length);
        })
    }

    fn equals(self, value: &[u8]) -> Rule {
        self.compare(0, value)
    }

    fn compare(self, operation: u32, value: &[u8]) -> Rule {
        self.expression("cmp", |b| {
            b.be32(1, R);
            b.be32(2, operation);
            b.nest(3, |b| b.attribute(DATA_VALUE, value));
        })
    }

    fn any_of(self, bits: u32) -> Rule {
        const NOT_EQUAL: u32 = 1;
        self.expression("bitwise", |b| {
            b.be32(1, R);
            b.be32(2, R);
            b.be32(3, 4);
            b.nest(4, |b| b.attribute(DATA_VALUE, &bits.to_ne_bytes()));
            b.nest(5, |b| b.attribute(DATA_VALUE, &[0; 4]));
        })
        .compare(NOT_EQUAL, &[0; 4])
    }

    fn lookup(self, set: &Set, into: Option<u32>, inverted: bool) -> Rule {
        self.expression("lookup", |b| {
            b.text(1, set.name);
            b.be32(2, R);
            into.iter().for_each(|register| b.be32(3, *register));
            if inverted {
                b.be32(5, 1);
            }
        })
    }

    /// Destination translation to the address in the first register and the port in the second.
    fn redirect(self) -> Rule {
        self.destination(super::IPV4, R + 1)
    }

    /// The same for IPv6, whose address fills four registers.
    fn redirect6(self) -> Rule {
        self.destination(super::IPV6, R + 4)
    }

    fn destination(self, family: u8, port: u32) -> Rule {
        const DESTINATION: u32 = 1;
        self.expression("nat", |b| {
            b.be32(1, DESTINATION);
            b.be32(2, family.into());
            b.be32(3, R);
            b.be32(5, port);
        })
    }

    /// Source translation to the address in the first register.
    fn source(self, family: u8) -> Rule {
        const SOURCE: u32 = 0;
        self.expression("nat", |b| {
            b.be32(1, SOURCE);
            b.be32(2, family.into());
            b.be32(3, R);
        })
    }

    fn expression(mut self, name: &str, fill: impl FnOnce(&mut Buffer)) -> Rule {
        self.expressions.nest(LIST_ITEM, |b| {
            b.text(1, name);
            b.nest(2, fill);
        });
        self
    }
}
