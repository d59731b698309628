//! Sockets in the container's namespace, made by a thread of ours that visits it.

use super::record::ADDRESS;
use super::redirect;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{
    self, AddressFamily, Backlog, ControlMessage, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sockopt,
};
use std::fs::File;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// The host's namespace and the container's.
pub struct Namespaces {
    host: OwnedFd,
    inside: OwnedFd,
}

impl Namespaces {
    /// Those of this thread and of a container's init.
    pub fn of(init: BorrowedFd<'_>) -> io::Result<Namespaces> {
        let host: OwnedFd = File::open("/proc/thread-self/ns/net")?.into();
        setns(init, CloneFlags::CLONE_NEWNET)?;
        let inside = File::open("/proc/thread-self/ns/net");
        let back = setns(&host, CloneFlags::CLONE_NEWNET);
        let inside = inside?.into();
        back?;
        Ok(Namespaces { host, inside })
    }

    /// Does something in the container's namespace. A thread that cannot come back must not go on.
    pub fn inside<T>(&self, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        setns(&self.inside, CloneFlags::CLONE_NEWNET)?;
        let done = act();
        setns(&self.host, CloneFlags::CLONE_NEWNET)?;
        done
    }
}

/// What the resolver listens on.
pub struct Sockets {
    pub udp: UdpSocket,
    pub tcp: TcpListener,
}

/// Binds both to ports of the kernel's choice and has port 53 lead to them. Without nftables in the kernel they take port
/// 53 itself.
pub fn open(spaces: &Namespaces) -> io::Result<Sockets> {
    spaces.inside(|| {
        let sockets = bind(0)?;
        let ports = (sockets.udp.local_addr()?.port(), sockets.tcp.local_addr()?.port());
        match redirect::install(ADDRESS, ports.0, ports.1) {
            Ok(()) => Ok(sockets),
            Err(_) => bind(53),
        }
    })
}

fn bind(port: u16) -> io::Result<Sockets> {
    let udp = bound(SockType::Datagram, SockProtocol::Udp, port)?;
    let tcp = bound(SockType::Stream, SockProtocol::Tcp, port)?;
    socket::listen(&tcp, Backlog::new(64)?)?;
    Ok(Sockets { udp: UdpSocket::from(udp), tcp: TcpListener::from(tcp) })
}

/// The address need not be there yet: the loopback comes up when the network is attached.
fn bound(kind: SockType, protocol: SockProtocol, port: u16) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket::socket(AddressFamily::Inet, kind, flags, protocol)?;
    socket::setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    socket::setsockopt(&socket, sockopt::IpFreebind, &true)?;
    socket::bind(socket.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(ADDRESS, port)))?;
    Ok(socket)
}

/// Sends a datagram from an address. A socket that was bound before the loopback was up would choose another: to the
/// kernel its address was one of nobody's then.
pub fn send_as(socket: &UdpSocket, from: Ipv4Addr, to: SocketAddrV4, data: &[u8]) -> nix::Result<usize> {
    let address = |ip: Ipv4Addr| libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) };
    let source =
        libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: address(from), ipi_addr: address(Ipv4Addr::UNSPECIFIED) };
    let control = [ControlMessage::Ipv4PacketInfo(&source)];
    let (parts, to) = ([IoSlice::new(data)], SockaddrIn::from(to));
    socket::sendmsg(socket.as_raw_fd(), &parts, &control, MsgFlags::MSG_DONTWAIT, Some(&to))
}

/// A socket of one question to a server, on a port nobody can guess.
pub fn toward(server: SocketAddr, stream: bool) -> io::Result<OwnedFd> {
    let family = if server.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let (kind, protocol) =
        if stream { (SockType::Stream, SockProtocol::Tcp) } else { (SockType::Datagram, SockProtocol::Udp) };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket::socket(family, kind, flags, protocol)?;
    let connected = match server {
        SocketAddr::V4(v4) => socket::connect(socket.as_fd().as_raw_fd(), &SockaddrIn::from(v4)),
        SocketAddr::V6(v6) => socket::connect(socket.as_fd().as_raw_fd(), &socket::SockaddrIn6::from(v6)),
    };
    match connected {
        Ok(()) | Err(nix::errno::Errno::EINPROGRESS) => Ok(socket),
        Err(errno) => Err(errno.into()),
    }
}
