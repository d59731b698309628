//! Which ports of the host are whose. A container's claims are one file, `<state>/ports/<id>`; they are checked and
//! written under one lock, so that two starts never get the same port. A claim of a container that is gone, or that
//! does not run, counts for nothing.
//!
//! Whether a program of the host uses a port is found by binding it. The first sockets of a container are kept by its
//! keeper, so that programs of the host see the conflict as well; for the rest of a big range the kernel's list of
//! listening sockets is asked.

use super::listeners;
use super::ports::{Wanted, protocol_name};
use crate::error::{Error, Result};
use gantry_host::api::network::{PortMapping, Protocol};
use gantry_model::class::Class;
use gantry_store::atomic::{self, Durability};
use gantry_store::{Layout, containers, lock, proc};
use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6, sockopt};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

/// Sockets that are really bound for one container.
const MOST_SOCKETS: usize = 256;
/// Tries for a port that the kernel chooses.
const TRIES: usize = 10;

/// A run of ports on one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The address on the host.
    pub ip: IpAddr,
    /// The first port.
    pub port: u16,
    /// How many.
    pub count: u16,
    /// IP protocol number.
    pub protocol: u8,
}

impl Claim {
    fn of(mapping: &PortMapping) -> Claim {
        Claim { ip: mapping.host_ip, port: mapping.host_port, count: mapping.count, protocol: mapping.protocol.0 }
    }

    /// True when it keeps another from having a port of its own.
    pub fn meets(&self, ip: IpAddr, port: u16, protocol: u8) -> bool {
        let address =
            self.ip == ip || (self.ip.is_ipv4() == ip.is_ipv4() && (self.ip.is_unspecified() || ip.is_unspecified()));
        let end = u32::from(self.port) + u32::from(self.count);
        address && self.protocol == protocol && self.port <= port && u32::from(port) < end
    }
}

/// What a container got.
#[derive(Default)]
pub struct Claimed {
    /// Neighbouring ports are one mapping.
    pub mappings: Vec<PortMapping>,
    /// To be kept open as long as the container lives.
    pub sockets: Vec<OwnedFd>,
}

/// The claims below a state directory.
pub struct Claims<'a> {
    layout: &'a Layout,
    /// A process will listen at the ports: what is left of connections to its predecessor is not in its way.
    listened: bool,
}

impl<'a> Claims<'a> {
    /// Those of a layout.
    pub fn new(layout: &'a Layout) -> Claims<'a> {
        Claims { layout, listened: false }
    }

    /// For ports that a process will listen at, if it is so.
    pub fn listened(self, listened: bool) -> Claims<'a> {
        Claims { listened, ..self }
    }

    /// Claims all ports or none, beside those the container has.
    pub fn claim(&self, container: &str, wanted: &[Wanted]) -> Result<Claimed> {
        if wanted.is_empty() {
            return Ok(Claimed::default());
        }
        atomic::make_dir(&self.dir())?;
        let _lock = lock::exclusive(&self.dir().join("lock"))?;
        let mut mine = self.read(container);
        let others = self.of_others(container);
        let mut work =
            Work { claims: self, others, mine: mine.clone(), claimed: Claimed::default(), busy: BTreeMap::new() };
        wanted.iter().try_for_each(|want| work.claim(want))?;
        mine.extend(work.claimed.mappings.iter().map(Claim::of));
        atomic::write_json(&self.path(container), &mine, Durability::Rename)?;
        Ok(work.claimed)
    }

    /// Gives some ports back.
    pub fn release(&self, container: &str, ports: &[PortMapping]) -> Result<()> {
        if ports.is_empty() || !self.path(container).exists() {
            return Ok(());
        }
        let _lock = lock::exclusive(&self.dir().join("lock"))?;
        let mut mine = self.read(container);
        ports.iter().map(Claim::of).for_each(|gone| mine = mine.iter().flat_map(|c| without(c, &gone)).collect());
        if mine.is_empty() { self.release_all(container) } else { self.write(container, &mine) }
    }

    fn write(&self, container: &str, claims: &[Claim]) -> Result<()> {
        Ok(atomic::write_json(&self.path(container), &claims, Durability::Rename)?)
    }

    /// Gives all ports of a container back; none is no error.
    pub fn release_all(&self, container: &str) -> Result<()> {
        match fs::remove_file(self.path(container)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("release ports")(e)),
            _ => Ok(()),
        }
    }

    /// The claims of all containers that may be using their ports.
    pub fn all(&self) -> Vec<(String, Claim)> {
        let mut all = self.of_others("");
        all.retain(|(id, _)| self.is_live(id));
        all
    }

    /// Everybody else's, whether or not they still count.
    fn of_others(&self, container: &str) -> Vec<(String, Claim)> {
        let names = fs::read_dir(self.dir()).into_iter().flatten().flatten();
        let ids = names.filter_map(|entry| entry.file_name().into_string().ok());
        let ids = ids.filter(|id| id.len() == 64 && id != container);
        ids.flat_map(|id| self.read(&id).into_iter().map(move |claim| (id.clone(), claim))).collect()
    }

    fn is_live(&self, id: &str) -> bool {
        let record = containers::read(self.layout, id);
        record.is_ok_and(|r| proc::init_alive(&r.state) || r.busy.is_some())
    }

    fn read(&self, container: &str) -> Vec<Claim> {
        atomic::read_json_optional(&self.path(container)).ok().flatten().unwrap_or_default()
    }

    fn dir(&self) -> PathBuf {
        self.layout.state().join("ports")
    }

    fn path(&self, container: &str) -> PathBuf {
        self.dir().join(container)
    }
}

/// What is left of a claim when another is taken out of it.
/// A driver may have published on one address what was claimed on all of its family.
fn without(claim: &Claim, gone: &Claim) -> Vec<Claim> {
    let covers = claim.ip == gone.ip || (claim.ip.is_unspecified() && claim.ip.is_ipv4() == gone.ip.is_ipv4());
    if !covers || claim.protocol != gone.protocol {
        return vec![*claim];
    }
    let (start, end) = (u32::from(claim.port), u32::from(claim.port) + u32::from(claim.count));
    let (from, to) = (u32::from(gone.port), u32::from(gone.port) + u32::from(gone.count));
    let part = |a: u32, b: u32| (a < b).then(|| Claim { port: a as u16, count: (b - a) as u16, ..*claim });
    part(start, end.min(from)).into_iter().chain(part(start.max(to), end)).collect()
}

/// One claim in the making.
struct Work<'a> {
    claims: &'a Claims<'a>,
    others: Vec<(String, Claim)>,
    mine: Vec<Claim>,
    claimed: Claimed,
    /// Ports of a protocol that somebody listens on, once they were asked for; `None`: they cannot be known.
    busy: BTreeMap<Protocol, Option<HashSet<u16>>>,
}

impl Work<'_> {
    fn claim(&mut self, want: &Wanted) -> Result<()> {
        if want.first == 0 {
            return self.claim_ephemeral(want);
        }
        let mut refusal = None;
        for port in want.first..=want.last {
            match self.claim_port(want, port) {
                Ok(()) => return Ok(()),
                Err(error) => refusal = Some(error),
            }
        }
        Err(refusal.unwrap_or_else(|| Error::invalid("invalid ranges specified for port publishing")))
    }

    /// The kernel chooses for the first address; the others must have the same port.
    fn claim_ephemeral(&mut self, want: &Wanted) -> Result<()> {
        let mut refusal = None;
        for _ in 0..TRIES {
            let port = bind(want.addresses()[0], 0, want.protocol, self.claims.listened)?.1;
            match self.claim_port(want, port) {
                Ok(()) => return Ok(()),
                Err(error) => refusal = Some(error),
            }
        }
        Err(refusal.unwrap_or_else(|| Error::request(Class::Unavailable, "no free port")))
    }

    fn claim_port(&mut self, want: &Wanted, port: u16) -> Result<()> {
        let mut sockets = Vec::new();
        for ip in want.addresses() {
            self.check_claims(*ip, port, want.protocol)?;
            if self.claimed.sockets.len() + sockets.len() < MOST_SOCKETS {
                sockets.push(bind(*ip, port, want.protocol, self.claims.listened)?.0);
            } else {
                self.check_listeners(*ip, port, want.protocol)?;
            }
        }
        self.claimed.sockets.append(&mut sockets);
        for ip in want.addresses() {
            append(&mut self.claimed.mappings, PortMapping::one(*ip, port, want.container_port, want.protocol));
        }
        Ok(())
    }

    fn check_claims(&self, ip: IpAddr, port: u16, protocol: Protocol) -> Result<()> {
        let own = self.claimed.mappings.iter().map(Claim::of).chain(self.mine.iter().copied());
        let mut meeting = self.others.iter().filter(|(_, claim)| claim.meets(ip, port, protocol.0));
        let owner = meeting.find(|(id, _)| self.claims.is_live(id)).map(|(id, _)| id.as_str());
        let owner = owner.or_else(|| own.into_iter().any(|claim| claim.meets(ip, port, protocol.0)).then_some(""));
        let Some(owner) = owner else { return Ok(()) };
        let message = format!("Bind for {} failed: port is already allocated", SocketAddr::new(ip, port));
        let error = Error::request(Class::InUse, message);
        Err(match owner.get(..12) {
            Some(id) => error.with_hint(format!("container {id} has it")),
            None => error.with_hint("the container publishes it already"),
        })
    }

    fn check_listeners(&mut self, ip: IpAddr, port: u16, protocol: Protocol) -> Result<()> {
        let busy = self.busy.entry(protocol).or_insert_with(|| listeners::ports(protocol));
        let free = busy.as_ref().is_some_and(|ports| !ports.contains(&port));
        if free { Ok(()) } else { bind(ip, port, protocol, self.claims.listened).map(drop) }
    }
}

/// Adds a port to the run it continues.
pub(super) fn append(mappings: &mut Vec<PortMapping>, one: PortMapping) {
    let continues = |m: &&mut PortMapping| {
        (m.host_ip, m.protocol) == (one.host_ip, one.protocol)
            && m.host_port.checked_add(m.count) == Some(one.host_port)
            && m.container_port.checked_add(m.count) == Some(one.container_port)
    };
    // Of a port on two addresses the runs grow in turn: the last two are looked at.
    match mappings.iter_mut().rev().take(2).find(continues) {
        Some(run) => run.count += 1,
        None => mappings.push(one),
    }
}

/// Binds a socket; port 0: any. Answers the port.
fn bind(ip: IpAddr, port: u16, protocol: Protocol, listened: bool) -> Result<(OwnedFd, u16)> {
    let failed = |errno| bind_error(ip, port, protocol, errno);
    let family = if ip.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let (kind, number) = match protocol {
        Protocol::UDP => (SockType::Datagram, SockProtocol::Udp),
        Protocol::SCTP => (SockType::Stream, SockProtocol::Sctp),
        _ => (SockType::Stream, SockProtocol::Tcp),
    };
    let socket = socket::socket(family, kind, SockFlag::SOCK_CLOEXEC, number).map_err(failed)?;
    if listened && kind == SockType::Stream {
        socket::setsockopt(&socket, sockopt::ReuseAddr, &true).map_err(failed)?;
    }
    match ip {
        IpAddr::V4(ip) => socket::bind(socket.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(ip, port))),
        IpAddr::V6(ip) => {
            socket::setsockopt(&socket, sockopt::Ipv6V6Only, &true).map_err(failed)?;
            socket::bind(socket.as_raw_fd(), &SockaddrIn6::from(SocketAddrV6::new(ip, port, 0, 0)))
        }
    }
    .map_err(failed)?;
    let port = if port == 0 { bound_port(&socket, ip).map_err(failed)? } else { port };
    Ok((socket, port))
}

fn bound_port(socket: &OwnedFd, ip: IpAddr) -> nix::Result<u16> {
    match ip {
        IpAddr::V4(_) => socket::getsockname::<SockaddrIn>(socket.as_raw_fd()).map(|a| a.port()),
        IpAddr::V6(_) => socket::getsockname::<SockaddrIn6>(socket.as_raw_fd()).map(|a| a.port()),
    }
}

fn bind_error(ip: IpAddr, port: u16, protocol: Protocol, cause: Errno) -> Error {
    let name = protocol_name(protocol);
    if matches!(cause, Errno::EPROTONOSUPPORT | Errno::ESOCKTNOSUPPORT | Errno::EAFNOSUPPORT) {
        let message =
            format!("cannot publish port {port}/{name}: the kernel does not support {name} over {}", family(ip));
        return Error::request(Class::Unsupported, message).with_hint(format!("load the kernel module {name}"));
    }
    let reason = match cause {
        Errno::EADDRINUSE => "address already in use".to_owned(),
        Errno::EADDRNOTAVAIL => "cannot assign requested address".to_owned(),
        Errno::EACCES => "permission denied".to_owned(),
        other => other.desc().to_lowercase(),
    };
    let at = SocketAddr::new(ip, port);
    let hint = match cause {
        Errno::EADDRNOTAVAIL => format!("no interface of this host has the address {ip}"),
        Errno::EACCES => "publishing ports below 1024 wants the capability CAP_NET_BIND_SERVICE".to_owned(),
        _ => format!("`gantry port explain {port}/{name}` says who has it"),
    };
    Error::request(Class::InUse, format!("failed to bind host port for {at}/{name}: bind: {reason}")).with_hint(hint)
}

fn family(ip: IpAddr) -> &'static str {
    if ip.is_ipv4() { "IPv4" } else { "IPv6" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(first: u16, last: u16) -> Wanted {
        let ips = vec![IpAddr::from([127, 0, 0, 1])];
        Wanted { host_ips: ips, first, last, container_port: 80, protocol: Protocol::TCP }
    }

    fn scene() -> (tempfile::TempDir, Layout) {
        let dir = tempfile::tempdir().expect("temp dir");
        let layout = Layout::new(dir.path().join("root"), dir.path().join("state"));
        (dir, layout)
    }

    #[test]
    fn neighbours_become_runs_and_runs_are_cut() {
        let mut mappings = Vec::new();
        let (any4, any6) = (IpAddr::from([0u8; 4]), IpAddr::from([0u16; 8]));
        for port in 0..5u16 {
            for ip in [any4, any6] {
                append(&mut mappings, PortMapping::one(ip, 8000 + port, 80 + port, Protocol::TCP));
            }
        }
        assert_eq!(mappings.len(), 2);
        assert!(mappings.iter().all(|m| m.count == 5 && m.host_port == 8000 && m.container_port == 80));
        let run = Claim::of(&mappings[0]);
        let left = without(&run, &Claim { port: 8002, count: 1, ..run });
        assert_eq!(left.iter().map(|c| (c.port, c.count)).collect::<Vec<_>>(), [(8000, 2), (8003, 2)]);
        assert!(without(&run, &run).is_empty());
        assert_eq!(without(&run, &Claim { protocol: 17, ..run }), [run]);
    }

    #[test]
    fn a_program_of_the_host_is_noticed_and_a_range_goes_on() {
        let (_dir, layout) = scene();
        let claims = Claims::new(&layout);
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = taken.local_addr().expect("bound").port();
        let error = claims.claim("x", &[wanted(port, port)]).err().expect("refused");
        assert!(error.to_string().contains("bind: address already in use"), "{error}");
        let got = claims.claim("x", &[wanted(port, port.saturating_add(50))]).expect("one of them");
        assert!(got.mappings[0].host_port > port);
    }

    #[test]
    fn the_kernel_chooses_one_port_for_both_families() {
        let (_dir, layout) = scene();
        let ips = vec![IpAddr::from([0u8; 4]), IpAddr::from([0u16; 8])];
        let want = Wanted { host_ips: ips, first: 0, last: 0, container_port: 80, protocol: Protocol::UDP };
        let Ok(got) = Claims::new(&layout).claim("x", &[want]) else { return };
        assert_eq!((got.mappings.len(), got.sockets.len()), (2, 2));
        assert_eq!(got.mappings[0].host_port, got.mappings[1].host_port);
    }

    #[test]
    fn ten_thousand_ports_are_one_claim() {
        let (_dir, layout) = scene();
        let ips = vec![IpAddr::from([127, 0, 0, 9])];
        let want = |n: u16| Wanted {
            host_ips: ips.clone(),
            first: 20_000 + n,
            last: 20_000 + n,
            container_port: 1000 + n,
            protocol: Protocol::UDP,
        };
        let all: Vec<Wanted> = (0..10_000).map(want).collect();
        let got = Claims::new(&layout).claim("x", &all).expect("free");
        assert_eq!((got.mappings.len(), got.sockets.len()), (1, MOST_SOCKETS));
        assert_eq!(got.mappings[0].count, 10_000);
    }
}
