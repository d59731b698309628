//! The host's firewall as the kernel tells it: every base chain, chain, rule and set of every nftables table, whoever
//! made it. Read by netlink.

use gantry_sys::netlink::{self, Message, Socket, attributes, find, find_be32, find_text};
use std::collections::HashMap;
use std::io;

const SUBSYSTEM: u16 = 10 << 8;
const GET_CHAIN: u16 = SUBSYSTEM | 4;
const GET_RULE: u16 = SUBSYSTEM | 7;
const GET_SET: u16 = SUBSYSTEM | 10;
const GET_ELEMENTS: u16 = SUBSYSTEM | 13;

/// `ip`, `ip6`, `inet`.
pub const IPV4: u8 = 2;
/// See [`IPV4`].
pub const IPV6: u8 = 10;
/// See [`IPV4`].
pub const INET: u8 = 1;

/// Family, table and name of a chain or set.
pub type Place = (u8, String, String);

/// A chain.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    /// Hook and priority of one that the kernel asks by itself.
    pub hook: Option<(u32, i32)>,
    /// It drops what no rule decides.
    pub drops: bool,
    /// `filter`, `nat`, `route`.
    pub kind: String,
    /// In order.
    pub rules: Vec<Rule>,
}

/// A rule.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// Its number.
    pub handle: u64,
    /// What its author calls it.
    pub comment: String,
    /// Name and attributes of each expression.
    pub expressions: Vec<(String, Vec<u8>)>,
}

/// A set or map.
#[derive(Clone, Debug, Default)]
pub struct Set {
    /// Elements are the ends of ranges.
    pub intervals: bool,
    /// What is in it.
    pub elements: Vec<Element>,
}

/// A key, or a range of keys, and what it leads to.
#[derive(Clone, Debug, Default)]
pub struct Element {
    /// The first key.
    pub key: Vec<u8>,
    /// The last key of a range of concatenated ones.
    pub last: Option<Vec<u8>>,
    /// It ends the range that the one before begins.
    pub ends: bool,
    /// Attributes of its data; empty: a set's.
    pub data: Vec<u8>,
}

/// Everything.
#[derive(Clone, Debug, Default)]
pub struct Ruleset {
    /// By place.
    pub chains: HashMap<Place, Chain>,
    /// By place.
    pub sets: HashMap<Place, Set>,
}

impl Ruleset {
    /// Reads it. A kernel without nftables has none.
    pub fn read() -> io::Result<Ruleset> {
        let socket = Socket::open(netlink::NETFILTER)?;
        let mut ruleset = Ruleset::default();
        for body in dump(&socket, GET_CHAIN, 0, |_| ())? {
            ruleset.add_chain(&body);
        }
        for body in dump(&socket, GET_RULE, 0, |_| ())? {
            ruleset.add_rule(&body);
        }
        for body in dump(&socket, GET_SET, 0, |_| ())? {
            ruleset.add_set(&socket, &body)?;
        }
        Ok(ruleset)
    }

    fn add_chain(&mut self, body: &[u8]) {
        let Some((family, list)) = split(body) else { return };
        let (Some(table), Some(name)) = (find_text(list, 1), find_text(list, 3)) else { return };
        let hook = find(list, 4).and_then(|hook| {
            let priority = find_be32(hook, 2)?.cast_signed();
            Some((find_be32(hook, 1)?, priority))
        });
        let drops = find_be32(list, 5) == Some(0) && hook.is_some();
        let kind = find_text(list, 7).unwrap_or_default().to_owned();
        self.chains.insert((family, table.to_owned(), name.to_owned()), Chain { hook, drops, kind, rules: Vec::new() });
    }

    fn add_rule(&mut self, body: &[u8]) {
        let Some((family, list)) = split(body) else { return };
        let (Some(table), Some(chain)) = (find_text(list, 1), find_text(list, 2)) else { return };
        let Some(chain) = self.chains.get_mut(&(family, table.to_owned(), chain.to_owned())) else { return };
        let expressions = attributes(find(list, 4).unwrap_or_default());
        let expression =
            |(_, e): (u16, &[u8])| Some((find_text(e, 1)?.to_owned(), find(e, 2).unwrap_or_default().to_vec()));
        chain.rules.push(Rule {
            handle: find(list, 3).and_then(|b| b.try_into().ok()).map_or(0, u64::from_be_bytes),
            comment: find(list, 7).map(comment).unwrap_or_default(),
            expressions: expressions.filter_map(expression).collect(),
        });
    }

    fn add_set(&mut self, socket: &Socket, body: &[u8]) -> io::Result<()> {
        const INTERVAL: u32 = 4;
        let Some((family, list)) = split(body) else { return Ok(()) };
        let (Some(table), Some(name)) = (find_text(list, 1), find_text(list, 2)) else { return Ok(()) };
        let intervals = find_be32(list, 3).unwrap_or(0) & INTERVAL != 0;
        let ask = |m: &mut Message| {
            m.text(1, table);
            m.text(2, name);
        };
        let bodies = dump(socket, GET_ELEMENTS, family, ask)?;
        let lists = bodies.iter().filter_map(|body| find(split(body)?.1, 3));
        let mut elements: Vec<Element> = lists.flat_map(attributes).filter_map(|(_, e)| element(e)).collect();
        elements.sort_by(|a, b| (&a.key, !a.ends).cmp(&(&b.key, !b.ends)));
        self.sets.insert((family, table.to_owned(), name.to_owned()), Set { intervals, elements });
        Ok(())
    }
}

fn dump(socket: &Socket, kind: u16, family: u8, fill: impl FnOnce(&mut Message)) -> io::Result<Vec<Vec<u8>>> {
    let mut question = Message::default();
    question.begin(kind, (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16);
    question.raw(&[family, 0, 0, 0]);
    fill(&mut question);
    question.end();
    match socket.dump(&question) {
        Ok(found) => Ok(found.into_iter().map(|(_, body)| body).collect()),
        // No such set any more, or no nftables at all.
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::EOPNOTSUPP | libc::EINVAL)) => Ok(Vec::new()),
        Err(e) => Err(e),
    }
}

fn split(body: &[u8]) -> Option<(u8, &[u8])> {
    Some((*body.first()?, body.get(4..)?))
}

fn element(list: &[u8]) -> Option<Element> {
    const ENDS: u32 = 1;
    Some(Element {
        key: find(find(list, 1)?, 1)?.to_vec(),
        last: find(list, 10).and_then(|key| find(key, 1)).map(<[u8]>::to_vec),
        ends: find_be32(list, 3).unwrap_or(0) & ENDS != 0,
        data: find(list, 2).unwrap_or_default().to_vec(),
    })
}

/// User data: kind, length, text, of which kind 0 is the comment.
fn comment(data: &[u8]) -> String {
    let mut rest = data;
    while let [kind, length, ..] = rest {
        let value = rest.get(2..2 + usize::from(*length)).unwrap_or_default();
        if *kind == 0 {
            return String::from_utf8_lossy(value).trim_end_matches('\0').to_owned();
        }
        rest = rest.get(2 + usize::from(*length)..).unwrap_or_default();
    }
    String::new()
}

/// The name of a family as `nft` writes it.
pub fn family_name(family: u8) -> &'static str {
    match family {
        IPV4 => "ip",
        IPV6 => "ip6",
        INET => "inet",
        _ => "other",
    }
}
