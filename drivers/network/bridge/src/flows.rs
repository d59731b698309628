//! Which flows must be forgotten when ports are published or taken back.

use crate::error::Result;
use crate::records::{Door, Entry};
use gantry_driver_shared::conntrack::{self, Flow};
use gantry_driver_shared::netlink::Socket;
use std::collections::HashSet;
use std::net::IpAddr;

const UDP: u8 = 17;

/// Forgets UDP flows to these doors: those that lead to the container, and those that went to the host itself before.
pub fn forget(socket: &mut Socket, entries: &[Entry]) -> Result<()> {
    let udp: Vec<&Entry> = entries.iter().filter(|e| e.protocol == UDP).collect();
    if udp.is_empty() {
        return Ok(());
    }
    let behind: HashSet<(IpAddr, u16)> = udp.iter().map(|e| (e.address, e.port)).collect();
    let all: HashSet<(bool, u16)> = udp
        .iter()
        .filter_map(|e| match e.door {
            Door::All(port) => Some((e.address.is_ipv4(), port)),
            _ => None,
        })
        .collect();
    let one: HashSet<(IpAddr, u16)> = udp
        .iter()
        .filter_map(|e| match e.door {
            Door::One(address, port) => Some((address, port)),
            _ => None,
        })
        .collect();
    let knocks = |to: (IpAddr, u16)| all.contains(&(to.0.is_ipv4(), to.1)) || one.contains(&to);
    let stale = |flow: &Flow| {
        let to = flow.original.destination;
        behind.contains(&flow.reply.source) || (knocks(to) && is_plain(flow))
    };
    conntrack::forget(socket, UDP, stale)?;
    Ok(())
}

/// True when nothing of the flow is translated.
fn is_plain(flow: &Flow) -> bool {
    flow.original.source == flow.reply.destination && flow.original.destination == flow.reply.source
}
