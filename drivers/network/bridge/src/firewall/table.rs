//! The engine's own table `inet gantry`: chains and rules that never change, and sets whose elements are the networks and
//! ports. Adding a network or a port is a matter of elements; nothing of other people's tables is touched.
//!
//! A packet on its way through is judged after the users' own filter chains (priority 10): we accept nothing that they
//! dropped, and what we let pass they have seen. `user-pre` is theirs; its rules come first and are kept.

use crate::records::{Entry, Zone};
use gantry_driver_shared::nft::{
    Chain, Element, Field, Hook, INET, Key, Rule, Set, Table, Transaction, Verdict, interval,
};
use std::net::{IpAddr, Ipv6Addr};

/// The table.
pub const TABLE: Table = Table { family: INET, name: "gantry" };

const fn set(name: &'static str, key: &'static [Field]) -> Set {
    Set { name, key, value: &[], interval: false }
}

/// Our bridges.
pub const BRIDGES: Set = set("bridges", &[Field::Name]);
/// Bridges of networks without a way out.
const INTERNAL: Set = set("internal", &[Field::Name]);
/// Pairs of interfaces between which everything passes.
const PASS: Set = set("pass", &[Field::Name, Field::Name]);
/// Each bridge with its own subnet.
const LOCAL4: Set = Set { name: "local4", key: &[Field::Name, Field::Ipv4], value: &[], interval: true };
/// Subnets that get the host's address on their way out.
const MASQUERADE4: Set = Set { name: "masquerade4", key: &[Field::Ipv4], value: &[], interval: true };
/// The same for IPv6.
const MASQUERADE6: Set = Set { name: "masquerade6", key: &[Field::Ipv6], value: &[], interval: true };
/// Subnets that get a chosen address on their way out.
const SNAT4: Set = Set { name: "snat4", key: &[Field::Ipv4], value: &[Field::Ipv4], interval: true };
/// Ports published on all of the host's addresses.
pub const PORTS: Set =
    Set { name: "ports", key: &[Field::Protocol, Field::Port], value: &[Field::Ipv4, Field::Port], interval: false };
/// Ports published on one address.
pub const ADDRESS_PORTS: Set = Set {
    name: "address-ports",
    key: &[Field::Ipv4, Field::Protocol, Field::Port],
    value: &[Field::Ipv4, Field::Port],
    interval: false,
};
const SETS: [&Set; 9] =
    [&BRIDGES, &INTERNAL, &PASS, &LOCAL4, &MASQUERADE4, &MASQUERADE6, &SNAT4, &PORTS, &ADDRESS_PORTS];

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
    rules.extend(translation_rules(&PREROUTING));
    rules.extend(translation_rules(&OUTPUT));
    rules.extend(postrouting_rules());
    rules
}

/// The bridges route 127.0.0.0/8 for the sake of ports published there; containers must not reach the host's by it.
fn guard_rules() -> Vec<(&'static Chain, Rule)> {
    let to = Rule::new("no way to the host's 127.0.0.0/8").from_interface_in(&BRIDGES).to_loopback_address();
    let from = Rule::new("no packet from 127.0.0.0/8").from_interface_in(&BRIDGES).from_loopback_address();
    [to, from].map(|rule| (&GUARD, rule.count().verdict(Verdict::Drop))).into()
}

fn forward_rules() -> Vec<(&'static Chain, Rule)> {
    let (accept, drop) = (Verdict::Accept, Verdict::Drop);
    [
        Rule::new("your own rules").verdict(Verdict::Jump(USER_PRE.name)),
        Rule::new("flows let through before").established().verdict(accept),
        Rule::new("inside one network, and from trusted interfaces").interfaces_in(&PASS).verdict(accept),
        Rule::new("from an internal network").from_interface_in(&INTERNAL).count().verdict(drop),
        Rule::new("to an internal network").to_interface_in(&INTERNAL).count().verdict(drop),
        Rule::new("published ports").to_interface_in(&BRIDGES).destination_translated().verdict(accept),
        Rule::new("all else to a container").to_interface_in(&BRIDGES).count().verdict(drop),
    ]
    .map(|rule| (&FORWARD, rule))
    .into()
}

fn translation_rules(chain: &'static Chain) -> Vec<(&'static Chain, Rule)> {
    let one = Rule::new("ports published on one address").translate_by_address(&ADDRESS_PORTS);
    let all = Rule::new("ports published on all addresses").to_this_host().translate_by_port(&PORTS);
    vec![(chain, one), (chain, all)]
}

fn postrouting_rules() -> Vec<(&'static Chain, Rule)> {
    let looped = Rule::new("from 127.0.0.1 to a published port").to_interface_in(&BRIDGES).from_loopback_address();
    let hairpin = Rule::new("to a port published by a neighbour, or by oneself").destination_translated();
    let (snat, v4, v6) = (Rule::new("chosen address"), Rule::new("masquerade"), Rule::new("masquerade IPv6"));
    [
        looped.masquerade(),
        hairpin.to_interface_and_source_in(&LOCAL4).masquerade(),
        snat.to_interface_not_in(&BRIDGES).source_by_map(&SNAT4),
        v4.to_interface_not_in(&BRIDGES).source4_in(&MASQUERADE4).masquerade(),
        v6.to_interface_not_in(&BRIDGES).source6_in(&MASQUERADE6).masquerade(),
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

/// Makes the table, with empty sets, whatever was there; `user-pre` is kept.
pub fn build(change: &mut Transaction) {
    change.add_table();
    change.add_chain(&USER_PRE);
    for chain in CHAINS {
        change.add_chain(chain);
        change.flush_chain(chain);
    }
    for set in SETS {
        change.add_set(set);
        change.flush_set(set);
    }
    for (chain, rule) in rules() {
        change.add_rule(chain, &rule);
    }
}

/// The elements of a network, set by set.
pub fn zone_elements(zone: &Zone) -> Vec<(&'static Set, Vec<Element>)> {
    let bridge = || Key::default().name(&zone.bridge);
    let mut all: Vec<(&'static Set, Vec<Element>)> = vec![(&BRIDGES, vec![Element::of(bridge())])];
    if zone.internal {
        all.push((&INTERNAL, vec![Element::of(bridge())]));
    }
    let passing = zone.trusted.iter().chain(zone.icc.then_some(&zone.bridge));
    all.push((&PASS, passing.map(|from| Element::of(Key::default().name(from).name(&zone.bridge))).collect()));
    all.extend(address_elements(zone));
    all.retain(|(_, elements)| !elements.is_empty());
    all
}

fn address_elements(zone: &Zone) -> Vec<(&'static Set, Vec<Element>)> {
    let mut all: Vec<(&'static Set, Vec<Element>)> = Vec::new();
    let outward = zone.masquerade && !zone.internal;
    if let Some((address, prefix)) = zone.ipv4 {
        let whole = interval(address, prefix, None);
        all.push((&LOCAL4, vec![bridge_and_subnet(&zone.bridge, address.into(), prefix)]));
        match zone.snat {
            Some(source) if outward => {
                all.push((&SNAT4, interval(address, prefix, Some(Key::default().address(source.into())))));
            }
            None if outward => all.push((&MASQUERADE4, whole)),
            _ => {}
        }
    }
    if let Some((address, prefix)) = zone.ipv6.filter(|_| outward) {
        all.push((&MASQUERADE6, interval6(address, prefix)));
    }
    all
}

fn bridge_and_subnet(bridge: &str, address: IpAddr, prefix: u8) -> Element {
    let IpAddr::V4(address) = address else { return Element::of(Key::default().name(bridge)) };
    let host = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
    let (first, last) = (u32::from(address) & !host, u32::from(address) | host);
    let key = |number: u32| Key::default().name(bridge).address(IpAddr::V4(number.into()));
    Element::range(key(first), key(last))
}

fn interval6(address: Ipv6Addr, prefix: u8) -> Vec<Element> {
    let host = u128::MAX.checked_shr(prefix.into()).unwrap_or(0);
    let (first, last) = (u128::from(address) & !host, u128::from(address) | host);
    let key = |number: u128| Key::default().address(IpAddr::V6(number.into()));
    let after = last.checked_add(1).map(|n| Element { end_mark: true, ..Element::of(key(n)) });
    std::iter::once(Element::of(key(first))).chain(after).collect()
}

/// The map and the entry of a published port.
pub fn port_element(entry: &Entry) -> (&'static Set, Element) {
    let value = Key::default().address(entry.address.into()).port(entry.port);
    match entry.host {
        None => (&PORTS, Element::entry(Key::default().protocol(entry.protocol).port(entry.host_port), value)),
        Some(host) => {
            let key = Key::default().address(host.into()).protocol(entry.protocol).port(entry.host_port);
            (&ADDRESS_PORTS, Element::entry(key, value))
        }
    }
}

/// The entries of several ports, map by map.
pub fn port_elements<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> [(&'static Set, Vec<Element>); 2] {
    let (mut all, mut one) = (Vec::new(), Vec::new());
    for entry in entries {
        let (_, element) = port_element(entry);
        if entry.host.is_none() { all.push(element) } else { one.push(element) }
    }
    [(&PORTS, all), (&ADDRESS_PORTS, one)]
}
