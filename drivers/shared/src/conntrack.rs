//! Flows that the kernel follows, by ctnetlink: found by protocol, and forgotten.
//!
//! A flow keeps the translation it began with. UDP knows no end, so that a client which goes on sending from one port
//! would never notice that a port was published, taken back, or moved to another container.

use crate::attributes::{Buffer, attributes, find};
use crate::netlink::{Answer, Batch, Result, Socket};
use std::net::IpAddr;

const SUBSYSTEM: u16 = 1 << 8;
const GET: u16 = SUBSYSTEM | 1;
const DELETE: u16 = SUBSYSTEM | 2;
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const ID: u16 = 12;
const ZONE: u16 = 18;
const FILTER: u16 = 25;
const AFTER_HEADER: usize = 4;

/// One direction of a flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tuple {
    /// From which address and port.
    pub source: (IpAddr, u16),
    /// To which address and port.
    pub destination: (IpAddr, u16),
    /// Protocol number.
    pub protocol: u8,
}

/// A flow, as its first packet had it and as answers have it.
#[derive(Clone, Debug)]
pub struct Flow {
    /// From the caller.
    pub original: Tuple,
    /// From the called; other addresses than the original's tell a translation.
    pub reply: Tuple,
    family: u8,
    naming: Vec<(u16, Vec<u8>)>,
}

/// Forgets the flows of a protocol that `unwanted` names; the number of them. A kernel that cannot list flows keeps
/// them.
pub fn forget(socket: &mut Socket, protocol: u8, unwanted: impl Fn(&Flow) -> bool) -> Result<usize> {
    let found = match filtered(socket, protocol) {
        // Before Linux 5.8 there is no filter.
        Err(error) if matches!(error.errno(), Some(libc::EINVAL | libc::EOPNOTSUPP)) => all(socket),
        other => other,
    };
    let found = match found {
        Err(error) if crate::nft::is_missing(&error) || error.errno() == Some(libc::EINVAL) => return Ok(0),
        other => other?,
    };
    let flows = found.iter().filter_map(flow).filter(|f| f.original.protocol == protocol);
    let unwanted: Vec<Flow> = flows.filter(unwanted).collect();
    let mut batch = Batch::default();
    for flow in &unwanted {
        batch.request("forget a flow", DELETE, 0, |b| {
            b.raw(&[flow.family, 0, 0, 0]);
            flow.naming.iter().for_each(|(kind, value)| b.attribute(*kind, value));
        });
        batch.tolerate(libc::ENOENT);
    }
    socket.send(batch).map(|()| unwanted.len())
}

fn filtered(socket: &mut Socket, protocol: u8) -> Result<Vec<Answer>> {
    const NESTED: u16 = 0x8000;
    const PROTOCOL_NUMBER: u32 = 1 << 3;
    socket.dump("list flows", GET, |b| {
        b.raw(&[0; AFTER_HEADER]);
        b.nest(ORIGINAL, |b| b.nest(2, |b| b.attribute(1, &[protocol])));
        b.nest(FILTER | NESTED, |b| b.ne32(1, PROTOCOL_NUMBER));
    })
}

fn all(socket: &mut Socket) -> Result<Vec<Answer>> {
    socket.dump("list flows", GET, |b: &mut Buffer| b.raw(&[0; AFTER_HEADER]))
}

fn flow(answer: &Answer) -> Option<Flow> {
    let body = answer.body.get(AFTER_HEADER..)?;
    let wanted = |kind: u16| matches!(kind, ORIGINAL | ID | ZONE);
    let naming = attributes(body).filter(|(kind, _)| wanted(*kind)).map(|(kind, value)| (nested(kind), value.to_vec()));
    Some(Flow {
        original: tuple(find(body, ORIGINAL)?)?,
        reply: tuple(find(body, REPLY)?)?,
        family: *answer.body.first()?,
        naming: naming.collect(),
    })
}

fn nested(kind: u16) -> u16 {
    const NESTED: u16 = 0x8000;
    if kind == ORIGINAL { kind | NESTED } else { kind }
}

fn tuple(bytes: &[u8]) -> Option<Tuple> {
    let (addresses, transport) = (find(bytes, 1)?, find(bytes, 2)?);
    let port = |kind| find(transport, kind).and_then(|v| v.try_into().ok()).map_or(0, u16::from_be_bytes);
    Some(Tuple {
        source: (address(addresses, 1, 3)?, port(2)),
        destination: (address(addresses, 2, 4)?, port(3)),
        protocol: *find(transport, 1)?.first()?,
    })
}

fn address(bytes: &[u8], four: u16, six: u16) -> Option<IpAddr> {
    let v4 = find(bytes, four).and_then(|v| <[u8; 4]>::try_from(v).ok()).map(IpAddr::from);
    v4.or_else(|| find(bytes, six).and_then(|v| <[u8; 16]>::try_from(v).ok()).map(IpAddr::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn direction(buffer: &mut Buffer, kind: u16, from: [u8; 4], to: [u8; 4], ports: (u16, u16)) {
        buffer.nest(kind, |b| {
            b.nest(1, |b| {
                b.attribute(1, &from);
                b.attribute(2, &to);
            });
            b.nest(2, |b| {
                b.attribute(1, &[17]);
                b.attribute(2, &ports.0.to_be_bytes());
                b.attribute(3, &ports.1.to_be_bytes());
            });
        });
    }

    #[test]
    fn flows_are_read() {
        let mut buffer = Buffer::default();
        buffer.raw(&[2, 0, 0, 0]);
        direction(&mut buffer, ORIGINAL, [192, 0, 2, 2], [192, 0, 2, 1], (4000, 53));
        direction(&mut buffer, REPLY, [10, 0, 0, 2], [192, 0, 2, 2], (5353, 4000));
        buffer.be32(ID, 7);
        let flow = flow(&Answer { kind: 0, body: buffer.into_bytes() }).expect("a flow");
        assert_eq!(flow.original.destination, ([192, 0, 2, 1].into(), 53));
        assert_eq!(flow.reply.source, ([10, 0, 0, 2].into(), 5353));
        assert_eq!((flow.original.protocol, flow.naming.len()), (17, 2));
        assert!(super::flow(&Answer { kind: 0, body: vec![2, 0, 0, 0, 9] }).is_none());
    }
}
