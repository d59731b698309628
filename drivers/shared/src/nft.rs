//! nf_tables by netlink: the messages of tables, chains, rules, sets and elements, sent as one atomic transaction.
//!
//! Only what an engine's own table needs is here; listing and judging other people's rules is not. The encoding follows
//! the kernel's `linux/netfilter/nf_tables.h`; numbers travel in network order.

mod expression;
mod query;
mod set;
mod transaction;

pub use expression::{Hook, Rule, Verdict};
pub use query::{Dropper, droppers, elements, generation, has_element, rules};
pub use set::{Element, Field, Key, Set, ends, interval};
pub use transaction::{Chain, Transaction};

use crate::attributes::Buffer;
use crate::netlink::Error;

/// The family of tables that see both IPv4 and IPv6.
pub const INET: u8 = 1;
/// IPv4, as address translation names it.
pub const IPV4: u8 = 2;
/// IPv6, as address translation names it.
pub const IPV6: u8 = 10;

const SUBSYSTEM: u16 = 10 << 8;
const NEW_TABLE: u16 = SUBSYSTEM;
const DELETE_TABLE: u16 = SUBSYSTEM | 2;
const NEW_CHAIN: u16 = SUBSYSTEM | 3;
const GET_CHAIN: u16 = SUBSYSTEM | 4;
const NEW_RULE: u16 = SUBSYSTEM | 6;
const GET_RULE: u16 = SUBSYSTEM | 7;
const DELETE_RULE: u16 = SUBSYSTEM | 8;
const NEW_SET: u16 = SUBSYSTEM | 9;
const NEW_ELEMENT: u16 = SUBSYSTEM | 12;
const GET_ELEMENT: u16 = SUBSYSTEM | 13;
const DELETE_ELEMENT: u16 = SUBSYSTEM | 14;
const GET_GENERATION: u16 = SUBSYSTEM | 16;
const LIST_ITEM: u16 = 1;
const DATA_VALUE: u16 = 1;

/// A table, by family and name.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// [`INET`] and its like.
    pub family: u8,
    /// Its name.
    pub name: &'static str,
}

/// True when the error says that the kernel has no nf_tables, or not the part asked for.
pub fn is_missing(error: &Error) -> bool {
    matches!(error.errno(), Some(libc::EPROTONOSUPPORT | libc::EOPNOTSUPP | libc::EAFNOSUPPORT | libc::ENOPROTOOPT))
}

/// The header that follows netlink's: family, version 0, resource.
fn header(buffer: &mut Buffer, family: u8, resource: u16) {
    let resource = resource.to_be_bytes();
    buffer.raw(&[family, 0, resource[0], resource[1]]);
}
