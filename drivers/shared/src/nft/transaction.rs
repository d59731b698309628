//! One atomic change: all of it is in force after the commit, or none.

use super::{
    DELETE_ELEMENT, DELETE_RULE, DELETE_TABLE, Element, Hook, LIST_ITEM, NEW_CHAIN, NEW_ELEMENT, NEW_RULE, NEW_SET,
    NEW_TABLE, Rule, Set, Table, header,
};
use crate::attributes::Buffer;
use crate::netlink::{self, Batch, Socket};

const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const CREATE: u16 = libc::NLM_F_CREATE as u16;
const APPEND: u16 = libc::NLM_F_APPEND as u16;
const EXCLUSIVE: u16 = libc::NLM_F_EXCL as u16;
/// A list of elements is one attribute, and an attribute ends at 64 KiB.
const ELEMENTS_PER_MESSAGE: usize = 400;

/// A chain; one with a hook is asked by the kernel, one without only by rules.
#[derive(Clone, Copy, Debug)]
pub struct Chain {
    /// Its name.
    pub name: &'static str,
    /// Type (`filter`, `nat`), hook and priority.
    pub hook: Option<(&'static str, Hook, i32)>,
}

/// A transaction on one table.
pub struct Transaction {
    table: Table,
    batch: Batch,
    sets: u32,
    changes: usize,
}

impl Transaction {
    /// An empty one.
    pub fn new(table: Table) -> Transaction {
        let mut batch = Batch::default();
        batch.request("begin a firewall change", BATCH_BEGIN, 0, |b| header(b, 0, 10));
        Transaction { table, batch, sets: 0, changes: 0 }
    }

    /// Adds the table unless it is there.
    pub fn add_table(&mut self) {
        let name = self.table.name;
        self.message(format!("add firewall table {name}"), NEW_TABLE, CREATE, |b| {
            b.text(1, name);
            b.be32(2, 0);
        });
    }

    /// Removes the table with all that is in it.
    pub fn delete_table(&mut self) {
        let name = self.table.name;
        self.message(format!("delete firewall table {name}"), DELETE_TABLE, 0, |b| b.text(1, name));
    }

    /// Adds a chain unless it is there.
    pub fn add_chain(&mut self, chain: &Chain) {
        let table = self.table.name;
        self.message(format!("add firewall chain {}", chain.name), NEW_CHAIN, CREATE, |b| {
            b.text(1, table);
            b.text(3, chain.name);
            if let Some((kind, hook, priority)) = chain.hook {
                b.nest(4, |b| {
                    b.be32(1, hook as u32);
                    b.be32(2, priority as u32);
                });
                b.text(7, kind);
            }
        });
    }

    /// Removes the rules of a chain.
    pub fn flush_chain(&mut self, chain: &Chain) {
        let table = self.table.name;
        self.message(format!("flush firewall chain {}", chain.name), DELETE_RULE, 0, |b| {
            b.text(1, table);
            b.text(2, chain.name);
        });
    }

    /// Adds a rule at a chain's end.
    pub fn add_rule(&mut self, chain: &Chain, rule: &Rule) {
        let table = self.table.name;
        let act = format!("add firewall rule \"{}\"", rule.comment);
        self.message(act, NEW_RULE, CREATE | APPEND, |b| {
            b.text(1, table);
            b.text(2, chain.name);
            b.nest(4, |b| b.raw(rule.expressions.bytes()));
            b.attribute(7, &comment(rule.comment));
        });
    }

    /// Adds a set or map unless it is there.
    pub fn add_set(&mut self, set: &Set) {
        self.sets += 1;
        let (table, id) = (self.table, self.sets);
        self.message(format!("add firewall set {}", set.name), NEW_SET, CREATE, |b| set.describe(b, table, id));
    }

    /// Adds elements; those already there stay, but a map's entry with another value is an error.
    pub fn add_elements(&mut self, set: &Set, elements: &[Element]) {
        self.elements("add to", NEW_ELEMENT, CREATE, set, elements);
    }

    /// Adds elements of which none may be there.
    pub fn add_new_elements(&mut self, set: &Set, elements: &[Element]) {
        self.elements("add to", NEW_ELEMENT, CREATE | EXCLUSIVE, set, elements);
    }

    /// Removes elements, all of which must be there.
    pub fn delete_elements(&mut self, set: &Set, elements: &[Element]) {
        self.elements("delete from", DELETE_ELEMENT, 0, set, elements);
    }

    /// Removes all elements.
    pub fn flush_set(&mut self, set: &Set) {
        let table = self.table.name;
        self.message(format!("flush firewall set {}", set.name), DELETE_ELEMENT, 0, |b| {
            b.text(1, table);
            b.text(2, set.name);
        });
    }

    /// Sends it. One without any change is not sent: older kernels do not answer it.
    pub fn commit(mut self, socket: &mut Socket) -> netlink::Result<()> {
        if self.changes == 0 {
            return Ok(());
        }
        self.batch.acknowledge_last();
        self.batch.request("commit a firewall change", BATCH_END, 0, |b| header(b, 0, 10));
        socket.send(self.batch)
    }

    fn elements(&mut self, verb: &str, kind: u16, flags: u16, set: &Set, elements: &[Element]) {
        let table = self.table.name;
        for chunk in elements.chunks(ELEMENTS_PER_MESSAGE) {
            self.message(format!("{verb} firewall set {}", set.name), kind, flags, |b| {
                b.text(1, table);
                b.text(2, set.name);
                b.nest(3, |b| chunk.iter().for_each(|e| b.nest(LIST_ITEM, |b| e.encode(b))));
            });
        }
    }

    fn message(&mut self, act: String, kind: u16, flags: u16, fill: impl FnOnce(&mut Buffer)) {
        let family = self.table.family;
        self.changes += 1;
        self.batch.request(act, kind, flags, |b| {
            header(b, family, 0);
            fill(b);
        });
    }
}

/// A comment as `nft` writes it into a rule's user data: kind 0, length, text with its zero byte.
fn comment(text: &str) -> Vec<u8> {
    let mut data = vec![0, text.len() as u8 + 1];
    data.extend_from_slice(text.as_bytes());
    data.push(0);
    data
}
