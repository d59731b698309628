//! Making connections: every step ends at the deadline, also the look-up of a name.

use crate::address::Address;
use crate::datagram::Datagrams;
use crate::error::{Result, SyslogError};
use crate::link::Link;
use crate::options::Settings;
use crate::stream::Stream;
use crate::tls::Tls;
use gantry_driver_shared::remote::{Peer, first_of};
use gantry_plugin_api::host::Host;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with, sockopt};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// What the kernel may hold of a stream over the network, and thus we keep for the case that it does not arrive.
const STREAM_BUFFER: usize = 256 * 1024;
/// What the kernel may hold of datagrams on this host: room for a message of that size.
const DATAGRAM_BUFFER: usize = 1024 * 1024;
/// The most that one datagram carries over IPv4 and IPv6.
const LONGEST_V4: usize = 65_507;
const LONGEST_V6: usize = 65_527;
/// Taken off the buffer's size by the kernel before it compares.
const UNIX_OVERHEAD: usize = 32;
/// An idle connection is asked after so long whether its other end is still there.
const IDLE: Duration = Duration::from_secs(60);
const IDLE_AGAIN: Duration = Duration::from_secs(15);

/// Makes a connection to the server of the settings.
pub fn connect(settings: &Settings, tls: Option<&Tls>, host: &Host, until: Instant) -> Result<Link> {
    match &settings.address {
        Address::Local => local(&settings.address.paths(), host),
        Address::Unix(path) => local_stream(path)
            .or_else(|errno| other_kind(errno, || local_datagrams(path, host)))
            .map_err(cannot(settings)),
        Address::Unixgram(path) => local_datagrams(path, host).map_err(cannot(settings)),
        Address::Udp(peer) => {
            let udp = |address, _| udp(address, host);
            first_of(&resolve(peer, until)?, until, udp).map_err(|source| unreachable(settings, source))
        }
        Address::Tcp(peer) => {
            let socket = first_of(&resolve(peer, until)?, until, tcp);
            let socket = socket.map_err(|source| unreachable(settings, source))?;
            Ok(Link::Stream(Stream::new(socket, true)))
        }
        Address::Tls(peer) => {
            let socket = first_of(&resolve(peer, until)?, until, tcp);
            let socket = socket.map_err(|source| unreachable(settings, source))?;
            encrypted(settings, socket, tls, until)
        }
    }
}

fn cannot(settings: &Settings) -> impl Fn(Errno) -> SyslogError {
    |errno| unreachable(settings, errno.into())
}

fn unreachable(settings: &Settings, source: io::Error) -> SyslogError {
    SyslogError::Connect { server: settings.address.to_string(), source }
}

/// The socket of the local service: the first there is, for datagrams if it can be.
fn local(paths: &[&Path], host: &Host) -> Result<Link> {
    let either = |path: &Path| local_datagrams(path, host).or_else(|errno| other_kind(errno, || local_stream(path)));
    paths.iter().find_map(|path| either(path).ok()).ok_or_else(|| {
        let tried = paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
        SyslogError::NoLocal { tried }
    })
}

/// Tries the other kind of socket when one of that kind is there.
fn other_kind(errno: Errno, connect: impl FnOnce() -> Result<Link, Errno>) -> Result<Link, Errno> {
    if errno == Errno::PROTOTYPE { connect() } else { Err(errno) }
}

fn local_datagrams(path: &Path, host: &Host) -> Result<Link, Errno> {
    let socket = local_socket(path, SocketType::DGRAM)?;
    sockopt::set_socket_send_buffer_size(&socket, DATAGRAM_BUFFER)?;
    let longest = sockopt::socket_send_buffer_size(&socket)?.saturating_sub(UNIX_OVERHEAD);
    Ok(Link::Datagrams(Datagrams::new(socket, false, longest, host.clone())))
}

fn local_stream(path: &Path) -> Result<Link, Errno> {
    Ok(Link::Stream(Stream::new(local_socket(path, SocketType::STREAM)?, false)))
}

/// Does not wait for a server that accepts nobody.
fn local_socket(path: &Path, kind: SocketType) -> Result<OwnedFd, Errno> {
    let socket = socket_with(AddressFamily::UNIX, kind, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

fn udp(address: SocketAddr, host: &Host) -> io::Result<Link> {
    let (any, longest): (IpAddr, usize) = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED.into(), LONGEST_V4),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED.into(), LONGEST_V6),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(address)?;
    socket.set_nonblocking(true)?;
    Ok(Link::Datagrams(Datagrams::new(socket.into(), true, longest, host.clone())))
}

fn tcp(address: SocketAddr, left: Duration) -> io::Result<OwnedFd> {
    let stream = TcpStream::connect_timeout(&address, left)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    sockopt::set_socket_send_buffer_size(&stream, STREAM_BUFFER)?;
    sockopt::set_socket_keepalive(&stream, true)?;
    sockopt::set_tcp_keepidle(&stream, IDLE)?;
    sockopt::set_tcp_keepintvl(&stream, IDLE_AGAIN)?;
    Ok(stream.into())
}

fn encrypted(settings: &Settings, socket: OwnedFd, tls: Option<&Tls>, until: Instant) -> Result<Link> {
    let server = || settings.address.to_string();
    let tls = tls.ok_or_else(|| SyslogError::ServerName { server: server() })?;
    let session = tls.shake_hands(&socket, until);
    let session = session.map_err(|source| SyslogError::Handshake { server: server(), source })?;
    Ok(Link::Stream(Stream::encrypted(socket, session, settings.format.is_5424())))
}

fn resolve(peer: &Peer, until: Instant) -> Result<Vec<SocketAddr>> {
    peer.resolve(until).map_err(|source| SyslogError::Resolve { server: peer.to_string(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixDatagram, UnixListener};

    #[test]
    fn the_local_service_s_socket_is_found_whatever_its_kind() {
        let dir = tempfile::tempdir().unwrap();
        let [one, two, three] = ["one", "two", "three"].map(|name| dir.path().join(name));
        let host = Host::null();
        let error = local(&[&one, &two], &host).err().unwrap();
        assert!(error.to_string().contains("one, ") && error.to_string().ends_with("/two"), "{error}");
        let _two = UnixListener::bind(&two).unwrap();
        assert!(matches!(local(&[&one, &two, &three], &host), Ok(Link::Stream(_))));
        let _one = UnixDatagram::bind(&one).unwrap();
        assert!(matches!(local(&[&one, &two, &three], &host), Ok(Link::Datagrams(_))));
    }

    #[test]
    fn a_name_that_nobody_has_is_told_with_the_server() {
        let peer = Peer { host: "nosuch.invalid".into(), port: 7 };
        let error = resolve(&peer, Instant::now() + Duration::from_secs(20)).unwrap_err();
        assert_eq!(error.to_string(), "cannot find syslog server nosuch.invalid:7");
    }
}
