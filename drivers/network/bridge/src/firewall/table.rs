//! The engine's own table `inet gantry`: chains and rules that never change, and sets whose elements are the networks and
//! ports. Adding a network or a port is a matter of elements; nothing of other people's tables is touched.
//!
//! A packet on its way through is judged after the users' own filter chains (priority 10): we accept nothing that they
//! dropped, and what we let pass they have seen. `user-pre` is theirs; its rules come first and are kept.

use crate::records::{Door, Entry, Outward, Zone, ZoneSubnet};
use gantry_driver_shared::nft::{
    Chain, Element, Field, Hook, INET, IPV4, IPV6, Key, Rule, Set, Table, Transaction, Verdict, ends, interval,
};
use std::net::IpAddr;

/// The table.
pub const TABLE: Table = Table { family: INET, name: "gantry" };

const fn set(name: &'static str, key: &'static [Field]) -> Set {
    Set { name, key, value: &[], interval: false }
}

const fn ranges(name: &'static str, key: &'static [Field], value: &'static [Field]) -> Set {
    Set { name, key, value, interval: true }
}

const fn map(name: &'static str, key: &'static [Field], value: &'static [Field]) -> Set {
    Set { name, key, value, interval: false }
}

/// Our bridges.
pub const BRIDGES: Set = set("bridges", &[Field::Name]);
/// Bridges of networks without a way out.
const INTERNAL: Set = set("internal", &[Field::Name]);
/// Pairs of interfaces between which everything passes.
const PASS: Set = set("pass", &[Field::Name, Field::Name]);
/// Bridges, by family, whose containers are reached at any port.
const UNPROTECTED: Set = set("unprotected", &[Field::Name, Field::Family]);
/// Bridges, by family, whose containers answer pings.
const PINGS: Set = set("pings", &[Field::Name, Field::Family]);
/// Interfaces, by family, between which this host forwarded nothing before its containers came.
const UNFORWARDED: Set = set("unforwarded", &[Field::Family, Field::Name]);
/// Each bridge with its own subnet.
const LOCAL4: Set = ranges("local4", &[Field::Name, Field::Ipv4], &[]);
const LOCAL6: Set = ranges("local6", &[Field::Name, Field::Ipv6], &[]);
/// Subnets that get the host's address on their way out.
const MASQUERADE4: Set = ranges("masquerade4", &[Field::Ipv4], &[]);
const MASQUERADE6: Set = ranges("masquerade6", &[Field::Ipv6], &[]);
/// Subnets that get a chosen address on their way out.
const SNAT4: Set = ranges("snat4", &[Field::Ipv4], &[Field::Ipv4]);
const SNAT6: Set = ranges("snat6", &[Field::Ipv6], &[Field::Ipv6]);
/// Ports published on all of the host's addresses.
pub const PORTS4: Set = map("ports", &[Field::Protocol, Field::Port], &[Field::Ipv4, Field::Port]);
const PORTS6: Set = map("ports6", &[Field::Protocol, Field::Port], &[Field::Ipv6, Field::Port]);
/// Ports published on one address.
const ADDRESS_PORTS4: Set =
    map("address-ports", &[Field::Ipv4, Field::Protocol, Field::Port], &[Field::Ipv4, Field::Port]);
const ADDRESS_PORTS6: Set =
    map("address-ports6", &[Field::Ipv6, Field::Protocol, Field::Port], &[Field::Ipv6, Field::Port]);
/// Ports of containers that are reached without translation.
const OPEN4: Set = set("open", &[Field::Ipv4, Field::Protocol, Field::Port]);
const OPEN6: Set = set("open6", &[Field::Ipv6, Field::Protocol, Field::Port]);
/// Ports of containers that one neighbour may use.
const LINKS4: Set = set("links", &[Field::Ipv4, Field::Ipv4, Field::Protocol, Field::Port]);
const LINKS6: Set = set("links6", &[Field::Ipv6, Field::Ipv6, Field::Protocol, Field::Port]);
const SETS: [&Set; 20] = [
    &BRIDGES,
    &INTERNAL,
    &PASS,
    &UNPROTECTED,
    &PINGS,
    &UNFORWARDED,
    &LOCAL4,
    &LOCAL6,
    &MASQUERADE4,
    &MASQUERADE6,
    &SNAT4,
    &SNAT6,
    &PORTS4,
    &PORTS6,
    &ADDRESS_PORTS4,
    &ADDRESS_PORTS6,
    &OPEN4,
    &OPEN6,
    &LINKS4,
    &LINKS6,
];

const USER_PRE: Chain = Chain { name: "user-pre", hook: None };
const GUARD: Chain = Chain { name: "guard", hook: Some(("filter", Hook::Prerouting, -300)) };
const FORWARD: Chain = Chain { name: "forward", hook: Some(("filter", Hook::Forward, 10)) };
const PREROUTING: Chain = Chain { name: "prerouting", hook: Some(("nat", Hook::Prerouting, -100)) };
const OUTPUT: Chain = Chain { name: "output", hook: Some(("nat", Hook::Output, -100)) };
const POSTROUTING: Chain = Chain { name: "postrouting", hook: Some(("nat", Hook::Postrouting, 100)) };
/// Our chains, whose rules we replace; `user-pre` is not among them.
const CHAINS: [&Chain; 5] = [&GUARD, &FORWARD, &PREROUTING, &OUTPUT, &POSTROUTING];

/// Every rule with its chain, in order. A change here must change a comment: the comments tell whether the table in the
/// kernel is this one.
fn rules() -> Vec<(&'static Chain, Rule)> {
    let mut rules = guard_rules();
    rules.extend(forward_rules());
    rules.push((
        &PREROUTING,
        Rule::new("127.0.0.0/8 is not asked for from outside").to_loopback_address().verdict(Verdict::Return),
    ));
    rules.extend(translation_rules(&PREROUTING));
    rules.extend(translation_rules(&OUTPUT));
    rules.extend(postrouting_rules());
    rules
}

/// The bridges route 127.0.0.0/8 for the sake of ports published there; containers must not reach the host's by it. Every
/// packet passes here, so the address, cheaper to compare than an interface to look up, comes first.
fn guard_rules() -> Vec<(&'static Chain, Rule)> {
    let to = Rule::new("no way to the host's 127.0.0.0/8").to_loopback_address().from_interface_in(&BRIDGES);
    let from = Rule::new("no packet from 127.0.0.0/8").from_loopback_address().from_interface_in(&BRIDGES);
    [to, from].map(|rule| (&GUARD, rule.count().verdict(Verdict::Drop))).into()
}

fn forward_rules() -> Vec<(&'static Chain, Rule)> {
    const ICMP: u8 = 1;
    const ICMP6: u8 = 58;
    // Where bridged packets are filtered, IPv6's way of finding neighbours is too. No router passes these on.
    const NEIGHBOUR_SOLICITATION: u8 = 135;
    const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
    let (accept, drop) = (Verdict::Accept, Verdict::Drop);
    let to_container = |comment| Rule::new(comment).to_interface_in(&BRIDGES);
    let pinged = |comment| Rule::new(comment).to_interface_and_family_in(&PINGS);
    let alien = Rule::new("this host forwarded nothing before its containers came");
    [
        Rule::new("your own rules").verdict(Verdict::Jump(USER_PRE.name)),
        Rule::new("flows let through before").established().verdict(accept),
        Rule::new("inside one network, and from trusted interfaces").interfaces_in(&PASS).verdict(accept),
        Rule::new("from an internal network").from_interface_in(&INTERNAL).count().verdict(drop),
        Rule::new("to an internal network").to_interface_in(&INTERNAL).count().verdict(drop),
        to_container("published ports").destination_translated().verdict(accept),
        to_container("ports opened at a container's address").to_port4_in(&OPEN4).verdict(accept),
        to_container("ports opened at a container's IPv6 address").to_port6_in(&OPEN6).verdict(accept),
        pinged("pings of routed networks").protocol(ICMP).verdict(accept),
        pinged("IPv6 pings of routed networks").protocol(ICMP6).verdict(accept),
        Rule::new("unprotected networks").to_interface_and_family_in(&UNPROTECTED).verdict(accept),
        to_container("who has an address").icmp6(NEIGHBOUR_SOLICITATION).verdict(accept),
        to_container("who has it answers").icmp6(NEIGHBOUR_ADVERTISEMENT).verdict(accept),
        to_container("links to a neighbour's port").link4_in(&LINKS4).verdict(accept),
        to_container("links to a neighbour's port, by IPv6").link6_in(&LINKS6).verdict(accept),
        to_container("all else to a container").count().verdict(drop),
        alien.family_and_from_interface_in(&UNFORWARDED).family_and_to_interface_in(&UNFORWARDED).count().verdict(drop),
    ]
    .map(|rule| (&FORWARD, rule))
    .into()
}

/// Of all addresses `::1` is left out: it needs a route of its own (see `bridge::answer_loopback`), and a program that
/// finds nothing there goes on with 127.0.0.1 at once. By itself it can be published.
fn translation_rules(chain: &'static Chain) -> Vec<(&'static Chain, Rule)> {
    let all6 = Rule::new("ports published on all IPv6 addresses").to_this_host().not_to_loopback_address6();
    [
        Rule::new("ports published on one address").translate_by_address(&ADDRESS_PORTS4),
        Rule::new("ports published on all addresses").to_this_host().translate_by_port(&PORTS4),
        Rule::new("ports published on one IPv6 address").translate_by_address6(&ADDRESS_PORTS6),
        all6.translate_by_port6(&PORTS6),
    ]
    .map(|rule| (chain, rule))
    .into()
}

fn postrouting_rules() -> Vec<(&'static Chain, Rule)> {
    const HAIRPIN: &str = "to a port published by a neighbour, or by oneself";
    const HAIRPIN6: &str = "the same for IPv6";
    let looped = Rule::new("from 127.0.0.1 to a published port").to_interface_in(&BRIDGES).from_loopback_address();
    let looped6 = Rule::new("from ::1 to a published port").to_interface_in(&BRIDGES).from_loopback_address6();
    let outward = |comment| Rule::new(comment).to_interface_not_in(&BRIDGES);
    [
        looped.masquerade(),
        looped6.masquerade(),
        Rule::new(HAIRPIN).destination_translated().to_interface_and_source_in(&LOCAL4).masquerade(),
        Rule::new(HAIRPIN6).destination_translated().to_interface_and_source6_in(&LOCAL6).masquerade(),
        outward("chosen address").source_by_map(&SNAT4),
        outward("chosen IPv6 address").source6_by_map(&SNAT6),
        outward("masquerade").source4_in(&MASQUERADE4).masquerade(),
        outward("masquerade IPv6").source6_in(&MASQUERADE6).masquerade(),
    ]
    .map(|rule| (&POSTROUTING, rule))
    .into()
}

/// Chain and comment of every rule, as the kernel lists them when the table is whole.
pub fn expected() -> Vec<(String, String)> {
    rules().iter().map(|(chain, rule)| (chain.name.to_owned(), rule.comment().to_owned())).collect()
}

/// True for chains whose rules are ours.
pub fn is_ours(chain: &str) -> bool {
    CHAINS.iter().any(|c| c.name == chain)
}

/// Makes the table, whatever was there, with empty sets if so wanted; `user-pre` is kept.
pub fn build(change: &mut Transaction, empty: bool) {
    change.add_table();
    change.add_chain(&USER_PRE);
    for chain in CHAINS {
        change.add_chain(chain);
        change.flush_chain(chain);
    }
    for set in SETS {
        change.add_set(set);
        if empty {
            change.flush_set(set);
        }
    }
    for (chain, rule) in rules() {
        change.add_rule(chain, &rule);
    }
}

/// Elements, set by set.
pub type Lists = Vec<(&'static Set, Vec<Element>)>;

/// The elements of a network.
pub fn zone_elements(zone: &Zone) -> Lists {
    let bridge = || Key::default().name(&zone.bridge);
    let mut all: Lists = vec![(&BRIDGES, vec![Element::of(bridge())])];
    if zone.internal {
        all.push((&INTERNAL, vec![Element::of(bridge())]));
    }
    let passing = zone.trusted.iter().chain(zone.icc.then_some(&zone.bridge));
    all.push((&PASS, passing.map(|from| Element::of(Key::default().name(from).name(&zone.bridge))).collect()));
    for subnet in &zone.subnets {
        all.extend(subnet_elements(zone, subnet));
    }
    all.retain(|(_, elements)| !elements.is_empty());
    all
}

fn subnet_elements(zone: &Zone, subnet: &ZoneSubnet) -> Lists {
    let v4 = subnet.address.is_ipv4();
    let of = |four: &'static Set, six: &'static Set| if v4 { four } else { six };
    let range = |value| interval(subnet.address, subnet.prefix, value);
    let (first, last) = ends(subnet.address, subnet.prefix);
    let local = |address| Key::default().name(&zone.bridge).address(address);
    let mut all: Lists = vec![(of(&LOCAL4, &LOCAL6), vec![Element::range(local(first), local(last))])];
    if !zone.internal {
        match subnet.outward {
            Outward::Own => {}
            Outward::Masquerade => all.push((of(&MASQUERADE4, &MASQUERADE6), range(None))),
            Outward::Chosen(source) => {
                all.push((of(&SNAT4, &SNAT6), range(Some(Key::default().address(source)))));
            }
        }
    }
    let family = || vec![Element::of(Key::default().name(&zone.bridge).family(if v4 { IPV4 } else { IPV6 }))];
    all.extend(subnet.unprotected.then(|| (&UNPROTECTED, family())));
    all.extend(subnet.pings.then(|| (&PINGS, family())));
    all
}

/// The elements of interfaces between which nothing was forwarded. What a bridge of others passes on is no forwarding,
/// though with br_netfilter it looks so.
pub fn unforwarded(pairs: &[(u8, String)]) -> Lists {
    let bridged = pairs.iter().map(|(_, name)| Element::of(Key::default().name(name).name(name))).collect();
    let apart = pairs.iter().map(|(family, name)| Element::of(Key::default().family(*family).name(name))).collect();
    vec![(&UNFORWARDED, apart), (&PASS, bridged)]
}

/// The set and the element of a published port.
fn port_element(entry: &Entry) -> (&'static Set, Element) {
    let v4 = entry.address.is_ipv4();
    let of = |four: &'static Set, six: &'static Set| if v4 { four } else { six };
    let value = || Key::default().address(entry.address).port(entry.port);
    let key = |address: IpAddr, port| Key::default().address(address).protocol(entry.protocol).port(port);
    match entry.door {
        Door::All(port) => {
            let key = Key::default().protocol(entry.protocol).port(port);
            (of(&PORTS4, &PORTS6), Element::entry(key, value()))
        }
        Door::One(host, port) => (of(&ADDRESS_PORTS4, &ADDRESS_PORTS6), Element::entry(key(host, port), value())),
        Door::Own => (of(&OPEN4, &OPEN6), Element::of(key(entry.address, entry.port))),
        Door::For(neighbour) => {
            let key = Key::default().address(neighbour).address(entry.address);
            (of(&LINKS4, &LINKS6), Element::of(key.protocol(entry.protocol).port(entry.port)))
        }
    }
}

/// The sets of published ports.
pub const PORT_SETS: [&Set; 8] = [&PORTS4, &PORTS6, &ADDRESS_PORTS4, &ADDRESS_PORTS6, &OPEN4, &OPEN6, &LINKS4, &LINKS6];

/// The elements of several ports; sets without any are left out.
pub fn port_elements<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Lists {
    let mut lists: Lists = PORT_SETS.iter().map(|set| (*set, Vec::new())).collect();
    for entry in entries {
        let (set, element) = port_element(entry);
        if let Some((_, list)) = lists.iter_mut().find(|(known, _)| known.name == set.name) {
            list.push(element);
        }
    }
    lists.retain(|(_, elements)| !elements.is_empty());
    lists
}
