//! Questions about a table: is it as we left it?

use super::{Element, GET_CHAIN, GET_ELEMENT, GET_GENERATION, GET_RULE, Hook, Key, LIST_ITEM, Set, Table, header};
use crate::attributes::{Buffer, attributes, find, find_text};
use crate::netlink::{Answer, Result, Socket};

const AFTER_HEADER: usize = 4;

/// The number of the present rule set: every commit, whoever's, makes it another.
pub fn generation(socket: &mut Socket) -> Result<u32> {
    let answer = socket.ask("ask for the firewall's generation", GET_GENERATION, 0, |b| header(b, 0, 0))?;
    let number = find(body(&answer), 1).and_then(|v| v.try_into().ok()).map(u32::from_be_bytes);
    Ok(number.unwrap_or(0))
}

/// True when the set has the key; false also when the set or its table is gone.
pub fn has_element(socket: &mut Socket, table: Table, set: &Set, key: Key) -> Result<bool> {
    let element = Element::of(key);
    let asked = socket.ask("look into a firewall set", GET_ELEMENT, 0, |b| {
        named(b, table, set);
        b.nest(3, |b| b.nest(LIST_ITEM, |b| element.encode(b)));
    });
    match asked {
        Ok(_) => Ok(true),
        Err(error) if error.errno() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Chain and comment of every rule of the table, in order; empty when there is no table.
pub fn rules(socket: &mut Socket, table: Table) -> Result<Vec<(String, String)>> {
    let asked = socket.dump("list firewall rules", GET_RULE, |b| {
        header(b, table.family, 0);
        b.text(1, table.name);
    });
    let found = absent_is_empty(asked)?;
    Ok(found.iter().filter_map(|answer| rule_of(answer, table)).collect())
}

fn rule_of(answer: &Answer, table: Table) -> Option<(String, String)> {
    let attributes = body(answer);
    if find_text(attributes, 1) != Some(table.name) {
        return None;
    }
    let comment = find(attributes, 7).and_then(|data| data.get(2..)).unwrap_or_default();
    let comment = String::from_utf8_lossy(comment.strip_suffix(&[0]).unwrap_or(comment)).into_owned();
    Some((find_text(attributes, 2)?.to_owned(), comment))
}

/// A chain that drops what none of its rules accepts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dropper {
    /// `ip`, `ip6` or `inet`.
    pub family: &'static str,
    /// Its table.
    pub table: String,
    /// Its name.
    pub chain: String,
    /// It belongs to the old iptables, not to nf_tables.
    pub legacy: bool,
}

/// The chains, whoever's, that see IP packets on their way through and drop what they do not accept. What the old
/// iptables holds is not among them: see [`crate::legacy`].
pub fn droppers(socket: &mut Socket) -> Result<Vec<Dropper>> {
    let found = absent_is_empty(socket.dump("list firewall chains", GET_CHAIN, |b| header(b, 0, 0)))?;
    Ok(found.iter().filter_map(dropper_of).collect())
}

fn dropper_of(answer: &Answer) -> Option<Dropper> {
    let family = match *answer.body.first()? {
        super::INET => "inet",
        super::IPV4 => "ip",
        super::IPV6 => "ip6",
        _ => return None,
    };
    let attributes = body(answer);
    let number = |bytes: &[u8], kind| find(bytes, kind).and_then(|v| v.try_into().ok()).map(u32::from_be_bytes);
    let forward = number(find(attributes, 4)?, 1)? == Hook::Forward as u32;
    let drops = number(attributes, 5)? == 0;
    let (table, chain) = (find_text(attributes, 1)?.to_owned(), find_text(attributes, 3)?.to_owned());
    (forward && drops).then_some(Dropper { family, table, chain, legacy: false })
}

/// The elements of a set; empty when it is gone.
pub fn elements(socket: &mut Socket, table: Table, set: &Set) -> Result<Vec<Element>> {
    let found = absent_is_empty(socket.dump("list a firewall set", GET_ELEMENT, |b| named(b, table, set)))?;
    let lists = found.iter().filter_map(|answer| find(body(answer), 3));
    Ok(lists.flat_map(attributes).filter_map(|(_, item)| Element::decode(item)).collect())
}

fn named(buffer: &mut Buffer, table: Table, set: &Set) {
    header(buffer, table.family, 0);
    buffer.text(1, table.name);
    buffer.text(2, set.name);
}

fn absent_is_empty(asked: Result<Vec<Answer>>) -> Result<Vec<Answer>> {
    match asked {
        Err(error) if error.errno() == Some(libc::ENOENT) => Ok(Vec::new()),
        other => other,
    }
}

fn body(answer: &Answer) -> &[u8] {
    answer.body.get(AFTER_HEADER..).unwrap_or_default()
}
