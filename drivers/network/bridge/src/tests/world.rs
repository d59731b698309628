//! A host for one test, containers on it, and an outside.

pub use super::host::{inside, ip, namespace, run};

use super::host::routed_outside;
use crate::Bridge;
use gantry_plugin_api::host::HostCalls;
use gantry_plugin_api::prelude::*;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Long enough for a loaded machine, short enough for the tests of what must not arrive.
const ARRIVES: Duration = Duration::from_secs(3);
const NEVER_ARRIVES: Duration = Duration::from_millis(300);

/// Runs a test on a host of its own.
pub fn on_a_host(test: impl FnOnce(&World) + Send + 'static) {
    super::host::on_a_host(|| test(&World::new()));
}

/// What the driver told operators.
#[derive(Clone, Default)]
pub struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().expect("told").clone()
    }
}

impl HostCalls for Told {
    fn log(&self, _: Level, message: &str) {
        self.0.lock().expect("told").push(message.to_owned());
    }
    fn count(&self, _: &str, _: u64) {}
    fn gauge(&self, _: &str, _: i64) {}
}

pub struct World {
    pub dirs: Dirs,
    pub host: Host,
    pub told: Told,
    _directory: tempfile::TempDir,
}

/// One attached container.
pub struct Container {
    pub netns: File,
    pub endpoint: EndpointSpec,
    pub attachment: Attachment,
}

impl Container {
    /// As `reconcile` gets it.
    pub fn live(&self) -> LiveEndpoint<'_> {
        let (endpoint, attachment) = (self.endpoint.clone(), self.attachment.state.clone());
        LiveEndpoint { endpoint, attachment, netns: Some(self.netns.as_fd()) }
    }
}

/// A network 10.<number>.0.0/16 with the gateway .0.1.
pub fn network(number: u8) -> NetworkSpec {
    let address = |last| IpAddr::from([10, number, 0, last]);
    NetworkSpec {
        id: format!("{number:02x}").repeat(32),
        name: format!("net{number}"),
        subnets: vec![Subnet {
            subnet: Cidr { addr: address(0), prefix: 16 },
            gateway: Some(address(1)),
            ip_range: None,
            aux_addresses: Vec::new(),
        }],
        ..NetworkSpec::default()
    }
}

/// The same with fd00:<number>::/64 beside.
pub fn dual(number: u8) -> NetworkSpec {
    let mut network = network(number);
    let address = |last| IpAddr::from([0xfd00, number.into(), 0, 0, 0, 0, 0, last]);
    network.ipv6 = true;
    network.subnets.push(Subnet {
        subnet: Cidr { addr: address(0), prefix: 64 },
        gateway: Some(address(1)),
        ip_range: None,
        aux_addresses: Vec::new(),
    });
    network
}

/// The endpoint of container number `last` on both subnets of [`dual`].
pub fn dual_endpoint(number: u8, last: u8, ports: &[PortMapping]) -> EndpointSpec {
    let mut spec = endpoint(number, last, ports);
    let addr = IpAddr::from([0xfd00, number.into(), 0, 0, 0, 0, 0, last.into()]);
    spec.addresses.push(Cidr { addr, prefix: 64 });
    spec
}

/// A port on all IPv6 addresses, or on one.
pub fn port6(host_ip: &str, host_port: u16, container_port: u16, protocol: Protocol) -> PortMapping {
    PortMapping::one(host_ip.parse().expect("an address"), host_port, container_port, protocol)
}

pub fn with_options(mut network: NetworkSpec, pairs: &[(&str, &str)]) -> NetworkSpec {
    network.options = Options::from_pairs(pairs.iter().copied());
    network
}

pub fn port(host_ip: [u8; 4], host_port: u16, container_port: u16, protocol: Protocol) -> PortMapping {
    PortMapping::one(IpAddr::from(host_ip), host_port, container_port, protocol)
}

/// The endpoint of container number `last` on 10.<number>.0.0/16.
pub fn endpoint(number: u8, last: u8, ports: &[PortMapping]) -> EndpointSpec {
    EndpointSpec {
        id: format!("{last:02x}{number:02x}").repeat(16),
        container_id: format!("{last:02x}").repeat(32),
        container_name: format!("c{last}"),
        addresses: vec![Cidr { addr: IpAddr::from([10, number, 0, last]), prefix: 16 }],
        default_route4: true,
        default_route6: true,
        ports: ports.to_vec(),
        ..EndpointSpec::default()
    }
}

impl World {
    fn new() -> World {
        // The state directory is on a tmpfs in life.
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory");
        let dirs = Dirs { root: directory.path().join("root"), state: directory.path().join("state") };
        let told = Told::default();
        World { dirs, host: Host::new(told.clone()), told, _directory: directory }
    }

    pub fn try_attach(&self, network: &NetworkSpec, endpoint: &EndpointSpec, netns: &File) -> Result<Attachment> {
        Bridge.attach(network, &[], endpoint, netns.as_fd(), &self.dirs, &self.host)
    }

    pub fn attach(&self, network: &NetworkSpec, endpoint: EndpointSpec) -> Container {
        let netns = namespace();
        let attachment = self.try_attach(network, &endpoint, &netns).expect("attaches");
        Container { netns, endpoint, attachment }
    }

    pub fn detach(&self, network: &NetworkSpec, container: &Container, alive: bool) {
        let (endpoint, state) = (&container.endpoint, &container.attachment.state);
        let netns = alive.then(|| container.netns.as_fd());
        Bridge.detach(network, &[], endpoint, state, netns, &self.dirs, &self.host).expect("detaches");
    }

    pub fn delete(&self, network: &NetworkSpec) {
        Bridge.delete(network, &[], &self.dirs, &self.host).expect("deletes");
    }

    /// A machine outside: 192.0.2.2, the host being 192.0.2.1 on interface `out0`.
    pub fn outside(&self) -> File {
        routed_outside("out0", "192.0.2.", "2001:db8::")
    }

    /// Another one, on another interface: 198.51.100.2 and 2001:db8:1::2.
    pub fn other_outside(&self) -> File {
        routed_outside("out1", "198.51.100.", "2001:db8:1::")
    }
}

impl Container {
    pub fn address6(&self) -> IpAddr {
        self.endpoint.addresses[1].addr
    }

    pub fn address(&self) -> IpAddr {
        self.endpoint.addresses[0].addr
    }
}

/// As on hosts where br_netfilter is not loaded.
pub fn without_bridge_filtering() {
    ["iptables", "ip6tables"].into_iter().for_each(without_bridge_filtering_of);
}

/// As where it is told to leave one family alone.
pub fn without_bridge_filtering_of(family: &str) {
    // Without the file there is nothing to turn off.
    let _ = std::fs::write(format!("/proc/sys/net/bridge/bridge-nf-call-{family}"), "0");
}

/// Links, addresses, routes and firewall of the calling thread's namespace, without what changes by itself.
pub fn dump() -> String {
    let links = run("ip", &["-o", "link"]);
    let names: Vec<&str> = links.lines().filter_map(|l| l.split_whitespace().nth(1)).collect();
    let addresses = run("ip", &["-o", "-4", "addr"]);
    let (routes, neighbours) = (run("ip", &["route"]), run("ip", &["neigh", "show", "nud", "reachable"]));
    format!("{names:?}\n{addresses}\n{}\n{neighbours}\n{}", routes.replace(" linkdown", ""), firewall())
}

/// The rule set without counters' values.
pub fn firewall() -> String {
    let text = run("nft", &["list", "ruleset"]);
    let words = text.split(' ').collect::<Vec<_>>();
    let mut kept = Vec::new();
    let mut skip = 0;
    for word in words {
        if skip > 0 {
            skip -= 1;
        } else if word == "counter" {
            kept.push(word);
            skip = 4;
        } else {
            kept.push(word);
        }
    }
    kept.join(" ")
}

/// Serves one port in a namespace: tells every caller its address, over TCP and UDP.
pub fn serve(netns: &File, port: u16) {
    let (tcp, udp) =
        inside(netns, || (TcpListener::bind(("::", port)).expect("tcp"), UdpSocket::bind(("::", port)).expect("udp")));
    std::thread::spawn(move || {
        for (mut stream, peer) in std::iter::from_fn(|| tcp.accept().ok()) {
            let _ = stream.write_all(peer.ip().to_canonical().to_string().as_bytes());
        }
    });
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, peer)) = udp.recv_from(&mut buffer) {
            let _ = udp.send_to(peer.ip().to_canonical().to_string().as_bytes(), peer);
        }
    });
}

fn call_tcp(to: SocketAddr, patience: Duration) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&to, patience)?;
    stream.set_read_timeout(Some(patience))?;
    let mut seen = String::new();
    stream.read_to_string(&mut seen)?;
    Ok(seen)
}

fn call_udp(to: SocketAddr) -> std::io::Result<String> {
    let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(ARRIVES))?;
    socket.send(b"?")?;
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// The address that the server sees when called over TCP from the calling thread's namespace.
pub fn seen(to: impl Into<IpAddr>, port: u16) -> String {
    let to = SocketAddr::new(to.into(), port);
    call_tcp(to, ARRIVES).unwrap_or_else(|error| panic!("no answer from {to}: {error}"))
}

/// The same over UDP.
pub fn seen_udp(to: impl Into<IpAddr>, port: u16) -> String {
    let to = SocketAddr::new(to.into(), port);
    call_udp(to).unwrap_or_else(|error| panic!("no answer from {to}: {error}"))
}

/// True when a TCP connection is not made.
pub fn unreachable(to: impl Into<IpAddr>, port: u16) -> bool {
    call_tcp(SocketAddr::new(to.into(), port), NEVER_ARRIVES).is_err()
}
