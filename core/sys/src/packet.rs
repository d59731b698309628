//! Packets of IPv4 below the kernel's own handling of them, on one interface: for what must be said before the interface
//! has an address.

use crate::{Result, check, check_fd};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

const IPV4: u16 = (libc::ETH_P_IP as u16).to_be();
const SIZE: libc::socklen_t = size_of::<libc::sockaddr_ll>() as libc::socklen_t;

/// A hardware address of Ethernet's kind.
pub type Mac = [u8; 6];

/// Everybody's.
pub const BROADCAST: Mac = [0xff; 6];

/// A socket for whole packets. It belongs to the network namespace of the thread that opened it.
pub struct Packets {
    socket: OwnedFd,
    interface: i32,
}

impl Packets {
    /// Opens it on the interface with an index.
    pub fn open(interface: u32) -> Result<Packets> {
        let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
        // SAFETY: three integers, no memory is passed.
        let socket = check_fd(unsafe { libc::socket(libc::AF_PACKET, kind, IPV4.into()) as libc::c_long })?;
        let packets = Packets { socket, interface: interface.cast_signed() };
        let address = packets.address([0; 6]);
        let pointer = (&raw const address).cast::<libc::sockaddr>();
        // SAFETY: the pointer leads to a live address of the length that is told.
        check(unsafe { libc::bind(packets.socket.as_raw_fd(), pointer, SIZE) as libc::c_long })?;
        Ok(packets)
    }

    fn address(&self, mac: Mac) -> libc::sockaddr_ll {
        let mut address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: IPV4,
            sll_ifindex: self.interface,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 6,
            sll_addr: [0; 8],
        };
        address.sll_addr[..6].copy_from_slice(&mac);
        address
    }

    /// Sends a packet to a neighbour.
    pub fn send(&self, packet: &[u8], to: Mac) -> Result<()> {
        let address = self.address(to);
        let pointer = (&raw const address).cast::<libc::sockaddr>();
        let (fd, bytes, length) = (self.socket.as_raw_fd(), packet.as_ptr().cast(), packet.len());
        // SAFETY: both pointers lead to live memory of the lengths that are told; the kernel only reads them.
        check(unsafe { libc::sendto(fd, bytes, length, 0, pointer, SIZE) as libc::c_long }).map(drop)
    }

    /// Waits for a packet; answers its length, which may be more than was kept of it, and who sent it. `None`: none came.
    pub fn receive(&self, buffer: &mut [u8], wait: Duration) -> Result<Option<(usize, Mac)>> {
        let mut poll = libc::pollfd { fd: self.socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let milliseconds = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: one live entry, as is told.
        if check(unsafe { libc::poll(&raw mut poll, 1, milliseconds) as libc::c_long })? == 0 {
            return Ok(None);
        }
        let mut address = self.address([0; 6]);
        let mut size = SIZE;
        let pointer = (&raw mut address).cast::<libc::sockaddr>();
        let (fd, bytes, length) = (self.socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len());
        // SAFETY: all pointers lead to live memory of the lengths that are told.
        let got = check(unsafe { libc::recvfrom(fd, bytes, length, 0, pointer, &raw mut size) as libc::c_long })?;
        let mut mac = [0; 6];
        mac.copy_from_slice(&address.sll_addr[..6]);
        Ok(Some((got as usize, mac)))
    }
}
