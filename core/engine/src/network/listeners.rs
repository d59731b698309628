//! Which ports of the host are in use, by programs as well as by others' containers, in one look: the kernel is asked for
//! its list of sockets that listen. On a port that is not in it nobody listens, whatever the address; for one that is,
//! only binding tells whether it is in the way.

use gantry_host::api::network::Protocol;
use gantry_sys::netlink::{Message, SOCK_DIAG, Socket};
use std::collections::HashSet;
use std::net::IpAddr;
use std::{fs, io};

/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;
/// A set of states with `TCP_LISTEN` alone.
const LISTENING: u32 = 1 << 10;
const ANY_STATE: u32 = u32::MAX;

/// The ports of a protocol that have a listener, or for datagrams a bound socket; `None`: it cannot be known.
pub(super) fn ports(protocol: Protocol) -> Option<HashSet<u16>> {
    match protocol {
        Protocol::TCP | Protocol::UDP => Some(asked(protocol).unwrap_or_else(|_| read(protocol))),
        _ => None,
    }
}

fn asked(protocol: Protocol) -> io::Result<HashSet<u16>> {
    let socket = Socket::open(SOCK_DIAG)?;
    let mut found = HashSet::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let sockets = socket.dump(&question(family as u8, protocol))?;
        found.extend(sockets.iter().filter_map(|(_, body)| source_port(body)));
    }
    Ok(found)
}

/// `inet_diag_req_v2`: family, protocol, extensions, padding, states, and an identity without anything.
fn question(family: u8, protocol: Protocol) -> Message {
    let states = if protocol == Protocol::TCP { LISTENING } else { ANY_STATE };
    let mut message = Message::default();
    message.begin(BY_FAMILY, (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16);
    message.raw(&[family, protocol.0, 0, 0]);
    message.raw(&states.to_ne_bytes());
    message.raw(&[0; 48]);
    message.end();
    message
}

/// Of an `inet_diag_msg`: after family, state, timer and retransmissions.
fn source_port(body: &[u8]) -> Option<u16> {
    body.get(4..6)?.try_into().ok().map(u16::from_be_bytes)
}

/// The same from the lists below /proc, where the kernel cannot be asked: it looks through all of its connections.
fn read(protocol: Protocol) -> HashSet<u16> {
    const LISTEN: &str = "0A";
    let files = if protocol == Protocol::TCP { ["tcp", "tcp6"] } else { ["udp", "udp6"] };
    let texts: Vec<String> = files.iter().filter_map(|f| fs::read_to_string(format!("/proc/net/{f}")).ok()).collect();
    let lines = texts.iter().flat_map(|text| text.lines().skip(1));
    let ports = lines.filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, _, state) = (fields.next()?, fields.next()?, fields.next()?);
        (protocol == Protocol::UDP || state == LISTEN).then(|| parse_local(local)).flatten()
    });
    ports.map(|(_, port)| port).collect()
}

/// `0100007F:0035`, four bytes at a time in the host's order.
pub(super) fn parse_local(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(address.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    if address.len() == 8 {
        return Some((IpAddr::from(word(0)?), port));
    }
    let mut bytes = [0u8; 16];
    for (at, chunk) in bytes.chunks_mut(4).enumerate() {
        chunk.copy_from_slice(&word(at)?);
    }
    // A socket of both families that is bound to all has this address; one to a mapped address is an IPv4 one.
    let v6 = std::net::Ipv6Addr::from(bytes);
    Some((v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4), port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};

    #[test]
    fn whoever_listens_is_seen() {
        let (tcp, udp) = (TcpListener::bind("127.0.0.1:0").expect("tcp"), UdpSocket::bind("[::1]:0").ok());
        let port = tcp.local_addr().expect("bound").port();
        assert!(ports(Protocol::TCP).is_some_and(|ports| ports.contains(&port)));
        assert!(read(Protocol::TCP).contains(&port));
        assert!(ports(Protocol::SCTP).is_none());
        if let Some(port) = udp.as_ref().and_then(|socket| Some(socket.local_addr().ok()?.port())) {
            assert!(ports(Protocol::UDP).is_some_and(|ports| ports.contains(&port)));
            assert!(read(Protocol::UDP).contains(&port));
        }
    }
}
