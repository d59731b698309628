//! Rules in the container's namespace that lead port 53 of the resolver's address to the ports it really has: a table
//! of nftables, replaced whole in one message.

use gantry_sys::netlink::{self, Message, Socket};
use std::io;
use std::net::Ipv4Addr;

const TABLE: &str = "gantry";
const CHAIN: &str = "names";

const SUBSYSTEM: u16 = 10 << 8;
const NEW_TABLE: u16 = SUBSYSTEM;
const DELETE_TABLE: u16 = SUBSYSTEM | 2;
const NEW_CHAIN: u16 = SUBSYSTEM | 3;
const NEW_RULE: u16 = SUBSYSTEM | 6;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;

const IPV4: u8 = 2;
const LOCAL_OUT: u32 = 3;
/// Where destinations are translated.
const PRIORITY: i32 = -100;
const CREATE: u16 = libc::NLM_F_CREATE as u16;
const APPEND: u16 = libc::NLM_F_APPEND as u16;

const REGISTER_1: u32 = 1;
const REGISTER_2: u32 = 2;

/// Installs them, in place of those of a predecessor.
pub fn install(address: Ipv4Addr, udp: u16, tcp: u16) -> io::Result<()> {
    let mut batch = Message::default();
    begin_end(&mut batch, BATCH_BEGIN);
    for (kind, flags) in [(NEW_TABLE, CREATE), (DELETE_TABLE, 0), (NEW_TABLE, CREATE)] {
        request(&mut batch, kind, flags, |m| m.text(1, TABLE));
    }
    request(&mut batch, NEW_CHAIN, CREATE, chain);
    for (protocol, port) in [(libc::IPPROTO_UDP as u8, udp), (libc::IPPROTO_TCP as u8, tcp)] {
        request(&mut batch, NEW_RULE, CREATE | APPEND, |m| {
            m.text(1, TABLE);
            m.text(2, CHAIN);
            m.nest(4, |m| rule(m, address, protocol, port));
        });
    }
    begin_end(&mut batch, BATCH_END);
    Socket::open(netlink::NETFILTER)?.send_batch(&batch)
}

fn begin_end(batch: &mut Message, kind: u16) {
    batch.begin(kind, libc::NLM_F_REQUEST as u16);
    batch.raw(&[0, 0, 0, 10]);
    batch.end();
}

fn request(batch: &mut Message, kind: u16, flags: u16, fill: impl FnOnce(&mut Message)) {
    batch.begin(kind, (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16 | flags);
    batch.raw(&[IPV4, 0, 0, 0]);
    fill(batch);
    batch.end();
}

fn chain(m: &mut Message) {
    m.text(1, TABLE);
    m.text(3, CHAIN);
    m.nest(4, |m| {
        m.be32(1, LOCAL_OUT);
        m.be32(2, PRIORITY.cast_unsigned());
    });
    m.text(7, "nat");
}

/// `ip daddr ADDRESS PROTOCOL dport 53 dnat to ADDRESS:PORT`.
fn rule(m: &mut Message, address: Ipv4Addr, protocol: u8, port: u16) {
    const LAYER_4_PROTOCOL: u32 = 16;
    const NETWORK: u32 = 1;
    const TRANSPORT: u32 = 2;
    expression(m, "meta", |m| {
        m.be32(1, REGISTER_1);
        m.be32(2, LAYER_4_PROTOCOL);
    });
    equal(m, &[protocol]);
    load(m, NETWORK, 16, 4);
    equal(m, &address.octets());
    load(m, TRANSPORT, 2, 2);
    equal(m, &53u16.to_be_bytes());
    immediate(m, REGISTER_1, &address.octets());
    immediate(m, REGISTER_2, &port.to_be_bytes());
    expression(m, "nat", |m| {
        const DESTINATION: u32 = 1;
        m.be32(1, DESTINATION);
        m.be32(2, IPV4.into());
        m.be32(3, REGISTER_1);
        m.be32(5, REGISTER_2);
    });
}

fn expression(m: &mut Message, name: &str, fill: impl FnOnce(&mut Message)) {
    m.nest(1, |m| {
        m.text(1, name);
        m.nest(2, fill);
    });
}

fn load(m: &mut Message, base: u32, offset: u32, length: u32) {
    expression(m, "payload", |m| {
        m.be32(1, REGISTER_1);
        m.be32(2, base);
        m.be32(3, offset);
        m.be32(4, length);
    });
}

fn equal(m: &mut Message, value: &[u8]) {
    expression(m, "cmp", |m| {
        m.be32(1, REGISTER_1);
        m.be32(2, 0);
        m.nest(3, |m| m.attribute(1, value));
    });
}

fn immediate(m: &mut Message, register: u32, value: &[u8]) {
    expression(m, "immediate", |m| {
        m.be32(1, register);
        m.nest(2, |m| m.attribute(1, value));
    });
}
