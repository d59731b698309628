//! Published ports on the host. A claim is a symbolic link `<state>/ports/<proto>-<port>/<address>` to the container's
//! id: exclusive by construction, and a claim whose owner is gone is taken over. Whether a program of the host uses the
//! port is found by binding it for a moment.

use super::endpoint::PortRecord;
use crate::error::{Error, Result};
use gantry_host::api::network::{PortMapping, Protocol};
use gantry_model::class::Class;
use gantry_model::container::Config;
use gantry_store::Layout;
use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;

/// A port the user wants published; host port 0 means any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Address on the host.
    pub host_ip: IpAddr,
    /// First acceptable port on the host; 0: an ephemeral one.
    pub first: u16,
    /// Last acceptable port on the host.
    pub last: u16,
    /// Port in the container.
    pub container_port: u16,
    /// Transport.
    pub protocol: Protocol,
}

/// Claims all ports or none.
pub fn claim_all(layout: &Layout, container: &str, wanted: &[Wanted]) -> Result<Vec<PortMapping>> {
    let mut claimed = Vec::with_capacity(wanted.len());
    for want in wanted {
        match claim(layout, container, want) {
            Ok(mapping) => claimed.push(mapping),
            Err(error) => {
                release_all(layout, container, &claimed);
                return Err(error);
            }
        }
    }
    Ok(claimed)
}

/// Gives ports back; those of others are left.
pub fn release_all(layout: &Layout, container: &str, ports: &[PortMapping]) {
    for port in ports {
        let path = path(layout, port.protocol, port.host_port, port.host_ip);
        if fs::read_link(&path).is_ok_and(|owner| owner.as_os_str() == container) {
            let _ = fs::remove_file(&path);
            let _ = path.parent().map(fs::remove_dir);
        }
    }
}

fn claim(layout: &Layout, container: &str, want: &Wanted) -> Result<PortMapping> {
    if want.first == 0 {
        return claim_ephemeral(layout, container, want);
    }
    let mut refusal = None;
    for port in want.first..=want.last {
        match claim_port(layout, container, want, port) {
            Ok(mapping) => return Ok(mapping),
            Err(error) => refusal = Some(error),
        }
    }
    Err(refusal.unwrap_or_else(|| Error::invalid("invalid ranges specified for port publishing")))
}

fn claim_ephemeral(layout: &Layout, container: &str, want: &Wanted) -> Result<PortMapping> {
    let mut refusal = None;
    for _ in 0..10 {
        let port = bind(want, 0)?;
        match claim_port(layout, container, want, port) {
            Ok(mapping) => return Ok(mapping),
            Err(error) => refusal = Some(error),
        }
    }
    Err(refusal.unwrap_or_else(|| Error::request(Class::Unavailable, "no free port")))
}

fn claim_port(layout: &Layout, container: &str, want: &Wanted, port: u16) -> Result<PortMapping> {
    let taken = || {
        let message = format!("Bind for {}:{port} failed: port is already allocated", want.host_ip);
        Err(Error::request(Class::InUse, message))
    };
    if conflicts(layout, container, want, port) {
        return taken();
    }
    bind(want, port)?;
    let path = path(layout, want.protocol, port, want.host_ip);
    fs::create_dir_all(path.parent().unwrap_or(layout.state())).map_err(Error::io("make port directory"))?;
    match std::os::unix::fs::symlink(container, &path) {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::AlreadyExists && is_stale(layout, container, &path) => {
            let _ = fs::remove_file(&path);
            std::os::unix::fs::symlink(container, &path).map_err(Error::io(format!("claim port {port}")))?;
        }
        Err(e) if e.kind() == ErrorKind::AlreadyExists => return taken(),
        Err(e) => return Err(Error::io(format!("claim port {port}"))(e)),
    }
    let (host_ip, container_port, protocol) = (want.host_ip, want.container_port, want.protocol);
    Ok(PortMapping::one(host_ip, port, container_port, protocol))
}

fn conflicts(layout: &Layout, container: &str, want: &Wanted, port: u16) -> bool {
    let dir = path(layout, want.protocol, port, want.host_ip);
    let Some(Ok(entries)) = dir.parent().map(fs::read_dir) else { return false };
    entries.flatten().any(|entry| {
        let other: Option<IpAddr> = entry.file_name().to_string_lossy().parse().ok();
        let meets = other.is_some_and(|o| o == want.host_ip || o.is_unspecified() || want.host_ip.is_unspecified());
        meets && !is_stale(layout, container, &entry.path())
    })
}

fn is_stale(layout: &Layout, container: &str, path: &std::path::Path) -> bool {
    let owner = fs::read_link(path).unwrap_or_default();
    let owner = owner.to_string_lossy();
    let live = || {
        let record = gantry_store::containers::read(layout, &owner);
        record.is_ok_and(|r| gantry_store::proc::init_alive(&r.state) || r.busy.is_some())
    };
    owner == container || owner.len() != 64 || !live()
}

/// Binds for a moment, so that a host program's use of the port is found; answers the port.
fn bind(want: &Wanted, port: u16) -> Result<u16> {
    let address = (want.host_ip, port);
    let bound = match want.protocol {
        Protocol::TCP => TcpListener::bind(address).and_then(|s| s.local_addr()),
        Protocol::UDP => UdpSocket::bind(address).and_then(|s| s.local_addr()),
        _ => return Ok(port),
    };
    bound.map(|a| a.port()).map_err(|cause| bind_error(want, port, &cause))
}

fn bind_error(want: &Wanted, port: u16, cause: &std::io::Error) -> Error {
    let reason = match cause.kind() {
        ErrorKind::AddrInUse => "bind: address already in use",
        ErrorKind::AddrNotAvailable => "bind: cannot assign requested address",
        ErrorKind::PermissionDenied => "bind: permission denied",
        _ => "bind failed",
    };
    let name = protocol_name(want.protocol);
    Error::request(Class::InUse, format!("failed to bind host port for {}:{port}/{name}: {reason}", want.host_ip))
}

fn path(layout: &Layout, protocol: Protocol, port: u16, address: IpAddr) -> PathBuf {
    layout.state().join("ports").join(format!("{}-{port}", protocol_name(protocol))).join(address.to_string())
}

/// Ports as `ps` prints them: exposed ones bare, published ones with their place on the host.
pub(crate) fn shown<'a>(config: &Config, published: impl Iterator<Item = &'a PortRecord>) -> String {
    let published: Vec<&PortRecord> = published.collect();
    let key = |p: &PortRecord| format!("{}/{}", p.container_port, protocol_name(Protocol(p.protocol)));
    let exposed =
        config.exposed_ports.iter().flat_map(|p| p.keys()).filter(|k| !published.iter().any(|p| key(p) == **k));
    let mut texts: Vec<String> = exposed.cloned().collect();
    texts.extend(published.iter().map(|p| format!("{}->{}", SocketAddr::new(p.host_ip, p.host_port), key(p))));
    texts.join(", ")
}

/// `tcp`, `udp`, `sctp`.
pub fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::UDP => "udp",
        Protocol::SCTP => "sctp",
        _ => "tcp",
    }
}

/// Parses `80/tcp`; the protocol may be absent.
pub fn parse_port(text: &str) -> Option<(u16, Protocol)> {
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol {
        "tcp" => Protocol::TCP,
        "udp" => Protocol::UDP,
        "sctp" => Protocol::SCTP,
        _ => return None,
    };
    Some((port.parse().ok()?, protocol))
}

/// The address text of a binding; empty: all.
pub fn parse_host_ip(text: &str) -> Result<IpAddr> {
    if text.is_empty() {
        return Ok(Ipv4Addr::UNSPECIFIED.into());
    }
    text.parse().map_err(|_| Error::invalid(format!("invalid IP address: {text}")))
}
