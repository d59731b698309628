//! Small rule sets, and what they do to a connection from outside.

use super::judge::{Fate, Packet, judge};
use super::ruleset::{Chain, Element, INET, Rule, Ruleset, Set};
use gantry_sys::netlink::Message;
use std::net::IpAddr;

const PREROUTING: u32 = 0;
const INPUT: u32 = 1;
const FORWARD: u32 = 2;

type Expression = (String, Vec<u8>);

fn expression(name: &str, fill: impl FnOnce(&mut Message)) -> Expression {
    let mut message = Message::default();
    fill(&mut message);
    (name.to_owned(), message.bytes().to_vec())
}

fn meta(key: u32) -> Expression {
    expression("meta", |m| {
        m.be32(1, 1);
        m.be32(2, key);
    })
}

fn load(base: u32, offset: u32, length: u32) -> Expression {
    expression("payload", |m| [(1, 1), (2, base), (3, offset), (4, length)].iter().for_each(|(k, v)| m.be32(*k, *v)))
}

fn is(value: &[u8]) -> Expression {
    expression("cmp", |m| {
        m.be32(1, 1);
        m.be32(2, 0);
        m.nest(3, |m| m.attribute(1, value));
    })
}

fn then(code: i32, chain: &str) -> Expression {
    expression("immediate", |m| {
        m.be32(1, 0);
        m.nest(2, |m| {
            m.nest(2, |m| {
                m.be32(1, code.cast_unsigned());
                if !chain.is_empty() {
                    m.text(2, chain);
                }
            });
        });
    })
}

fn load_to(register: u32, value: &[u8]) -> Expression {
    expression("immediate", |m| {
        m.be32(1, register);
        m.nest(2, |m| m.attribute(1, value));
    })
}

fn port(number: u16) -> Vec<Expression> {
    vec![meta(16), is(&[6]), load(2, 2, 2), is(&number.to_be_bytes())]
}

fn rule(handle: u64, parts: &[Vec<Expression>]) -> Rule {
    Rule { handle, comment: String::new(), expressions: parts.concat() }
}

fn ruleset(chains: Vec<(&str, u32, bool, Vec<Rule>)>) -> Ruleset {
    let mut ruleset = Ruleset::default();
    for (name, hook, drops, rules) in chains {
        let hook = (hook < 9).then_some((hook, 0));
        let chain = Chain { hook, drops, kind: "filter".into(), rules };
        ruleset.chains.insert((INET, "t".into(), name.into()), chain);
    }
    ruleset
}

fn fate(ruleset: &Ruleset, source: Option<&str>) -> Fate {
    let mut packet = Packet::new("eth0", IpAddr::from([192, 0, 2, 1]), 6, Some(8080));
    packet.source = source.map(|s| s.parse().expect("an address"));
    judge(ruleset, &mut packet, |to| (to == IpAddr::from([10, 0, 0, 2])).then(|| "br0".to_owned()))
}

fn name(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

#[test]
fn rules_that_decide_are_named() {
    let drop = rule(7, &[vec![meta(6), is(&name("eth0"))], port(8080), vec![then(0, "")]]);
    assert_eq!(
        fate(&ruleset(vec![("in", INPUT, false, vec![drop])]), None),
        Fate::Stopped("inet t in handle 7".into())
    );
    let other = rule(7, &[vec![meta(6), is(&name("eth1"))], vec![then(0, "")]]);
    assert_eq!(fate(&ruleset(vec![("in", INPUT, false, vec![other])]), None), Fate::Passes);
    let policy = ruleset(vec![("in", INPUT, true, vec![])]);
    assert_eq!(fate(&policy, None), Fate::Stopped("inet t in: policy drop".into()));
    let accept = rule(3, &[port(8080), vec![then(1, "")]]);
    assert_eq!(fate(&ruleset(vec![("in", INPUT, true, vec![accept])]), None), Fate::Passes);
}

#[test]
fn what_depends_on_the_caller_cannot_be_judged() {
    let from = |source: [u8; 4]| vec![load(1, 12, 4), is(&source)];
    let drop = || rule(4, &[from([198, 51, 100, 1]), vec![then(0, "")]]);
    let rules = || ruleset(vec![("in", INPUT, false, vec![drop()])]);
    assert_eq!(fate(&rules(), None), Fate::Open(vec!["inet t in handle 4".into()]));
    assert!(matches!(fate(&rules(), Some("198.51.100.1")), Fate::Stopped(_)));
    assert_eq!(fate(&rules(), Some("198.51.100.2")), Fate::Passes);
    let some = rule(5, &[from([198, 51, 100, 1]), vec![then(1, "")]]);
    let guarded = ruleset(vec![("in", INPUT, true, vec![some])]);
    let Fate::Open(rules) = fate(&guarded, None) else { panic!("open") };
    assert_eq!(rules, ["inet t in handle 5", "inet t in: policy drop"]);
    // But nobody comes from the loopback's addresses.
    let loopback = rule(8, &[from([127, 0, 0, 1]), vec![then(0, "")]]);
    assert_eq!(fate(&ruleset(vec![("in", INPUT, false, vec![loopback])]), None), Fate::Passes);
    let limit = rule(6, &[vec![expression("limit", |_| ()), then(0, "")]]);
    assert!(matches!(fate(&ruleset(vec![("in", INPUT, false, vec![limit])]), None), Fate::Open(_)));
}

#[test]
fn translation_leads_on_and_chains_are_followed() {
    let mut translate = vec![load_to(1, &[10, 0, 0, 2]), load_to(2, &80u16.to_be_bytes())];
    translate.push(expression("nat", |m| [(1, 1), (2, 2), (3, 1), (5, 2)].iter().for_each(|(k, v)| m.be32(*k, *v))));
    let pre = rule(1, &[port(8080), translate]);
    let jump = rule(2, &[vec![meta(7), is(&name("br0"))], vec![then(-3, "more")]]);
    let drop = rule(3, &[port(80), vec![then(0, "")]]);
    let set = ruleset(vec![
        ("pre", PREROUTING, false, vec![pre]),
        ("fwd", FORWARD, false, vec![jump]),
        ("more", 9, false, vec![drop]),
    ]);
    assert_eq!(fate(&set, None), Fate::Stopped("inet t more handle 3".into()));
}

#[test]
fn whose_address_is_called_is_known() {
    let kind = |result: u32, flags: u32| {
        expression("fib", |m| [(1, 1), (2, result), (3, flags)].iter().for_each(|(k, v)| m.be32(*k, *v)))
    };
    let verdict = |asked: Expression, value: u32| {
        let drop = rule(4, &[vec![asked, is(&value.to_ne_bytes()), then(0, "")]]);
        fate(&ruleset(vec![("in", INPUT, false, vec![drop])]), None)
    };
    assert!(matches!(verdict(kind(3, 2), 2), Fate::Stopped(_)), "local");
    assert_eq!(verdict(kind(3, 2), 1), Fate::Passes, "not unicast");
    assert!(matches!(verdict(kind(3, 1), 2), Fate::Open(_)), "of the source nothing is known");
}

#[test]
fn sets_are_searched() {
    let mut set = ruleset(vec![("in", INPUT, false, Vec::new())]);
    let look = expression("lookup", |m| {
        m.text(1, "ports");
        m.be32(2, 1);
    });
    let rules = vec![rule(9, &[vec![load(2, 2, 2), look, then(0, "")]])];
    if let Some(chain) = set.chains.get_mut(&(INET, "t".into(), "in".into())) {
        chain.rules = rules;
    }
    let element = |port: u16, ends| Element { key: port.to_be_bytes().to_vec(), ends, ..Element::default() };
    let key = (INET, "t".to_owned(), "ports".to_owned());
    for (elements, stops) in [
        (vec![element(8000, false), element(9000, true)], true),
        (vec![element(8081, false), element(9000, true)], false),
    ] {
        set.sets.insert(key.clone(), Set { intervals: true, elements });
        assert_eq!(matches!(fate(&set, None), Fate::Stopped(_)), stops);
    }
}
