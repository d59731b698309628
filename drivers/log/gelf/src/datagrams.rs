//! Messages over UDP: compressed, and in chunks when they are too long for one datagram.

use crate::options::Packing;
use flate2::write::{GzEncoder, ZlibEncoder};
use gantry_driver_shared::remote::{Peer, first_of};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// The longest datagram, as in Docker: it fits through any network without being cut further.
const LONGEST: usize = 1420;
/// Two magic bytes, eight of the message's id, the chunk's number, how many there are.
const HEAD: usize = 12;
const MAGIC: [u8; 2] = [0x1e, 0x0f];
/// The specification's limit.
const MOST_CHUNKS: usize = 128;

/// Why a message was not sent.
#[derive(Debug)]
pub enum Trouble {
    /// It needs more chunks than there may be.
    TooLong,
    /// The kernel's word; a refusal speaks of an earlier datagram.
    Failed(io::Error),
}

/// A socket and how messages are packed for it.
pub struct Datagrams {
    socket: UdpSocket,
    packing: Packing,
    /// Of the next message in chunks. Servers tell messages apart by it, across all senders.
    next_id: u64,
    packed: Vec<u8>,
}

impl Datagrams {
    /// Looks the server up.
    pub fn connect(peer: &Peer, packing: Packing, until: Instant) -> io::Result<Datagrams> {
        let socket = first_of(&peer.resolve(until)?, until, |address, _| open(address))?;
        Ok(Datagrams { socket, packing, next_id: RandomState::new().hash_one(peer.port), packed: Vec::new() })
    }

    /// No datagram waits longer for room in the kernel.
    pub fn limit(&self, time: Duration) -> io::Result<()> {
        self.socket.set_write_timeout(Some(time))
    }

    /// Sends one message.
    pub fn send(&mut self, message: &[u8]) -> Result<(), Trouble> {
        let mut packed = std::mem::take(&mut self.packed);
        packed.clear();
        let outcome = pack(self.packing, message, &mut packed).map_err(Trouble::Failed);
        let outcome = outcome.and_then(|()| self.send_packed(&packed));
        self.packed = packed;
        outcome
    }

    fn send_packed(&mut self, packed: &[u8]) -> Result<(), Trouble> {
        if packed.len() <= LONGEST {
            return self.send_one(packed);
        }
        let count = packed.len().div_ceil(LONGEST - HEAD);
        if count > MOST_CHUNKS {
            return Err(Trouble::TooLong);
        }
        self.next_id = self.next_id.wrapping_add(1);
        let id = self.next_id.to_be_bytes();
        for (number, part) in packed.chunks(LONGEST - HEAD).enumerate() {
            // Both numbers are at most 128.
            let place = [number as u8, count as u8];
            self.send_one(&[&MAGIC, &id[..], &place, part].concat())?;
        }
        Ok(())
    }

    fn send_one(&self, datagram: &[u8]) -> Result<(), Trouble> {
        loop {
            match self.socket.send(datagram) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Trouble::Failed(error)),
            }
        }
    }
}

fn open(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(address)?;
    Ok(socket)
}

fn pack(packing: Packing, message: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    match packing {
        Packing::None => out.extend_from_slice(message),
        Packing::Gzip(level) => {
            let mut encoder = GzEncoder::new(out, Packing::level(level));
            encoder.write_all(message)?;
            encoder.finish()?;
        }
        Packing::Zlib(level) => {
            let mut encoder = ZlibEncoder::new(out, Packing::level(level));
            encoder.write_all(message)?;
            encoder.finish()?;
        }
    }
    Ok(())
}
