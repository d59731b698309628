//! The suite for network drivers.
//!
//! ```ignore
//! gantry_plugin_testkit::network::suite(Bridge::default);
//! // with IPv6 beside IPv4:
//! gantry_plugin_testkit::network::suite_dual(Bridge::default);
//! // with a network of one's own (at most an IPv4 /24 and an IPv6 /64 subnet, whose gateway ends in 1):
//! gantry_plugin_testkit::network::suite_with(Bridge::default, &network);
//! ```
//!
//! As root only: everything happens on threads in network namespaces of their own, one of which plays the host, so that
//! the real host sees nothing of it. Drivers with the capability `host_namespace` are checked as far as they are called.

mod live;

use crate::namespaces::{as_host, inside, interfaces, new_netns};
use crate::support::{Outcome, Report, Run, complete, dirs, ensure, equal, id, is_root, schema};
use gantry_plugin_api::host::Host;
use gantry_plugin_api::network::*;
use gantry_plugin_api::options::{OptionSpec, Options, Scope};
use gantry_plugin_api::types::{Blob, Dirs};
use live::{connecting, publishing};
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

type Fallible<T> = Result<T, Box<dyn Error>>;
type Check<D> = fn(&Bench<D>) -> Outcome;

/// All checks with a network of one IPv4 subnet.
pub fn suite<D: NetworkDriver + Sync>(make: impl Fn() -> D) -> Report {
    let network = plain_network(make().capabilities().addresses);
    suite_with(make, &network)
}

/// A network of one IPv4 subnet, or of none.
pub fn plain_network(addresses: bool) -> NetworkSpec {
    let subnets = if addresses { vec![subnet()] } else { vec![] };
    NetworkSpec { id: id(0x77), name: "testkit".into(), subnets, ..NetworkSpec::default() }
}

/// All checks with a network of one IPv4 and one IPv6 subnet.
pub fn suite_dual<D: NetworkDriver + Sync>(make: impl Fn() -> D) -> Report {
    let subnets = vec![subnet(), subnet6()];
    suite_with(
        make,
        &NetworkSpec { id: id(0x76), name: "testkit".into(), ipv6: true, subnets, ..NetworkSpec::default() },
    )
}

/// All checks with a given network.
pub fn suite_with<D: NetworkDriver + Sync>(make: impl Fn() -> D, network: &NetworkSpec) -> Report {
    let mut run = Run::plain();
    checks(&mut run, make, D::OPTIONS, network);
    run.finish("network")
}

/// All checks of a driver with a given schema.
pub fn checks<D: NetworkDriver + Sync>(
    run: &mut Run<'_>,
    make: impl Fn() -> D,
    specs: &'static [OptionSpec],
    network: &NetworkSpec,
) {
    let network = sized(specs, network);
    let capabilities = make().capabilities();
    run.check("the schema is sound", || schema(specs));
    run.check("validate accepts the network", || Ok(make().validate(&network)?));
    let mut on_host = |possible: bool, why_not: &str, name: &str, act: Check<D>| {
        let why_not = if is_root() { why_not } else { "namespaces need root" };
        run.check_if(possible && is_root(), why_not, name, || {
            let bench = Bench::new(make(), specs, network.clone())?;
            as_host(|| act(&bench))
        });
    };
    on_host(true, "", "create twice, delete twice", create_twice);
    on_host(true, "", "delete leaves nothing", delete_clean);
    on_host(true, "", "reconcile without a network", reconcile_nothing);
    let attaches = !capabilities.host_namespace;
    for (name, act) in attaching::<D>() {
        on_host(attaches, "the driver shares the host's namespace", name, act);
    }
    let leased = attaches && capabilities.addresses && !capabilities.own_ipam;
    on_host(leased, "the driver brings addresses of its own", "attach gives the addresses asked for", addresses);
    for (name, act) in addressing::<D>() {
        on_host(attaches && capabilities.addresses, "the driver gives no addresses", name, act);
    }
    for (name, act) in connecting::<D>() {
        on_host(attaches && capabilities.addresses, "the driver gives no addresses", name, act);
    }
    for (name, act) in publishing::<D>() {
        on_host(capabilities.ports, "the driver publishes no ports", name, act);
    }
}

fn attaching<D: NetworkDriver + Sync>() -> [(&'static str, Check<D>); 8] {
    [
        ("attach brings loopback up", loopback),
        ("attach twice is no error", attach_twice),
        ("attach makes the network when it is not there", attach_creates),
        ("attach to what is no namespace leaves nothing", attach_fails),
        ("detach twice, and of nothing, is no error", detach_twice),
        ("detach when the namespace is gone", detach_gone),
        ("attach and detach ten times leaves nothing", no_leak),
        ("reconcile removes what is not alive", reconcile),
    ]
}

fn addressing<D: NetworkDriver + Sync>() -> [(&'static str, Check<D>); 2] {
    [("endpoints of one network reach each other", reach), ("the container reaches its gateway", gateway)]
}

fn subnet6() -> Subnet {
    let net = |last| IpAddr::from([0xfd00, 213, 77, 0, 0, 0, 0, last]);
    let subnet = Cidr { addr: net(0), prefix: 64 };
    Subnet { subnet, gateway: Some(net(1)), ip_range: None, aux_addresses: Vec::new() }
}

fn subnet() -> Subnet {
    let net = |last| IpAddr::V4(Ipv4Addr::new(10, 213, 77, last));
    Subnet {
        subnet: Cidr { addr: net(0), prefix: 24 },
        gateway: Some(net(1)),
        ip_range: None,
        aux_addresses: Vec::new(),
    }
}

/// A network with the defaults of its options.
pub(crate) fn sized(specs: &[OptionSpec], network: &NetworkSpec) -> NetworkSpec {
    NetworkSpec { options: complete(specs, Scope::OBJECT, &network.options), ..network.clone() }
}

/// An endpoint of a network, with the defaults of its options.
pub(crate) fn endpoint(specs: &[OptionSpec], network: &NetworkSpec, number: u8) -> EndpointSpec {
    let address = |s: &Subnet| match s.subnet.addr {
        IpAddr::V4(net) => {
            let [a, b, c, _] = net.octets();
            Cidr { addr: Ipv4Addr::new(a, b, c, number + 1).into(), prefix: s.subnet.prefix }
        }
        IpAddr::V6(net) => {
            let [a, b, c, d, e, f, g, _] = net.segments();
            Cidr { addr: [a, b, c, d, e, f, g, u16::from(number) + 1].into(), prefix: s.subnet.prefix }
        }
    };
    EndpointSpec {
        id: id(0xe000_0000 + (u32::from(number) << 16)),
        container_id: id(0xc000_0000 + (u32::from(number) << 16)),
        container_name: format!("testkit-{number}"),
        addresses: network.subnets.iter().map(address).collect(),
        mac: Some([0x02, 0x42, 10, 213, 77, number + 1]),
        default_route4: true,
        default_route6: true,
        options: complete(specs, Scope::ENDPOINT, &Options::default()),
        ..EndpointSpec::default()
    }
}

struct Bench<D> {
    driver: D,
    specs: &'static [OptionSpec],
    network: NetworkSpec,
    dirs: Dirs,
    host: Host,
    _temp: tempfile::TempDir,
}

impl<D: NetworkDriver + Sync> Bench<D> {
    fn new(driver: D, specs: &'static [OptionSpec], network: NetworkSpec) -> Fallible<Self> {
        let temp = tempfile::tempdir()?;
        Ok(Bench { driver, specs, network, dirs: dirs(&temp)?, host: Host::null(), _temp: temp })
    }

    fn create(&self, state: &[u8]) -> Fallible<Blob> {
        Ok(self.driver.create(&self.network, state, &self.dirs, &self.host)?)
    }

    fn delete(&self, state: &[u8]) -> Outcome {
        Ok(self.driver.delete(&self.network, state, &self.dirs, &self.host)?)
    }

    fn endpoint(&self, number: u8) -> EndpointSpec {
        endpoint(self.specs, &self.network, number)
    }

    fn attach(&self, state: &[u8], number: u8, netns: &OwnedFd) -> Fallible<Attachment> {
        let endpoint = self.endpoint(number);
        Ok(self.driver.attach(&self.network, state, &endpoint, netns.as_fd(), &self.dirs, &self.host)?)
    }

    fn detach(&self, state: &[u8], number: u8, attachment: &[u8], netns: Option<&OwnedFd>) -> Outcome {
        let (endpoint, netns) = (self.endpoint(number), netns.map(AsFd::as_fd));
        Ok(self.driver.detach(&self.network, state, &endpoint, attachment, netns, &self.dirs, &self.host)?)
    }

    fn live<'a>(&self, number: u8, attachment: &[u8], netns: &'a OwnedFd) -> LiveEndpoint<'a> {
        LiveEndpoint { endpoint: self.endpoint(number), attachment: attachment.to_vec(), netns: Some(netns.as_fd()) }
    }

    fn reconcile(&self, state: &[u8], live: &[LiveEndpoint<'_>]) -> Outcome {
        Ok(self.driver.reconcile(&self.network, state, live, &self.dirs, &self.host)?)
    }
}

/// The kernel removes the devices of a namespace after its last user is gone, in its own time.
fn settle(want: &[String]) -> Outcome {
    for _ in 0..100 {
        if interfaces()? == want {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    equal("interfaces of the host", interfaces()?, want.to_vec())
}

fn names_in(netns: &OwnedFd) -> Fallible<Vec<String>> {
    inside(netns.as_fd(), || interfaces().map_err(|e| e.to_string()))
}

fn create_twice<D: NetworkDriver + Sync>(bench: &Bench<D>) -> Outcome {
    let state = bench.create(&[])?;
    let with_network = interfaces()?;
    let again = bench.create(&state)?;
    equal("interfaces after the second create", interfaces()?, with_network)?;
    bench.delete(&again)?;
    bench.delete(&again)
}

fn delete_clean<D: NetworkDriver + Sync>(bench: &Bench<D>) -> Outcome {
    let before = interfaces()?;
    let state = bench.create(&[])?;
    bench.delete(&state)?;
    settle(&before)
}

fn reconcile_nothing<D: NetworkDriver + Sync>(bench: &Bench<D>) -> Outcome {
    let state = bench.create(&[])?;
    bench.reconcile(&state, &[])?;
    bench.delete(&state)
}

fn loopback<D: NetworkDriver + Sync>(bench: &Bench<D>) -> Outcome {
    let (state, netns) = (bench.create(&[])?, new_netns()?);
    bench.attach(&state, 1, &netns)?;
    inside(netns.as_fd(), || {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
        let address = listener.local_addr().map_err(|e| e.to_string())?;
        TcpStream::connect_timeout(&address, Duration::from_secs(2)).map(drop).map_err(|e| e.to_string())
    })
}

fn attach_twice<D: NetworkDriver + Sync>(bench: &Bench<D>) -> Outcome {
    let (state, netns) = (bench.create(&[])?, new_netns()?);
    let first = bench.attach(&state, 1, &netns)?;
    let (host, container) = (interfaces()?, names_in(&netns)?);
    let second = bench.attach(&state, 1, &netns)?;
    equal("interface", second.interface, first.interface)?;
    equal("addresses", second.addresses, first.addresses)?;
    equal("interfaces of the host", interfaces()?, host)?;
    equal("interfaces of the container", names_in(&netns)?, container)
}

fn attach_creates<D: NetworkDriver + Sync>(bench: &Bench<D>) -> Outcome {
    let netns = new_netns()?;
    let attachment = bench.attach(&[], 1, &netns)?;
    if !attachment.interface.is_empty() {
        let names = names_in(&netns)?;
        ensure(names.contains(&attachment.interface), || format!("{} is not in {names:?}", attachment.interface))?;
    }
    Ok(())
}

fn attach_fails<D: NetworkDriver + Sync>(bench: &Bench<D>) -> Outcome {
    let state = bench.create(&[])?;
    let before = interfaces()?;
    let null: OwnedFd = std::fs::File::open("/dev/null")?.into();
    ensure(bench.attach(&state, 1, &null).is_err(), || "it was accepted".into())?;
    settle(&before)
}

fn detach_twice<D: NetworkDriver + Sync>(bench: &Bench<D>) -> Outcome {
    let (state, netns) = (bench.create(&[])?, new_netns()?);
    let before = interfaces()?;
    bench.detach(&state, 9, &[], Some(&netns))?;
    bench.detach(&state, 9, &[], None)?;
    let attachment = bench.attach(&state, 1, &netns)?;
    bench.detach(&state, 1, &attachment.state, Some(&netns))?;
    bench.detach(&state, 1, &attachment.state, Some(&netns))?;
    bench.detach(&state, 1, &attachment.state, None)?;
    settle(&before)
}

fn detach_gone<D: NetworkDriver + Sync>(bench: &Bench<D>) -> Outcome {
    let (state, netns) = (bench.create(&[])?, new_netns()?);
    let before = interfaces()?;
    let attachment = bench.attach(&state, 1, &netns)?;
    drop(netns);
    bench.detach(&state, 1, &attachment.state, None)?;
    settle(&before)
}

fn no_leak<D: NetworkDriver + Sync>(bench: &Bench<D>) -> Outcome {
    let before = interfaces()?;
    for number in 1..=10 {
        let netns = new_netns()?;
        let attachment = bench.attach(&[], number, &netns)?;
        bench.detach(&[], number, &attachment.state, Some(&netns))?;
    }
    let state = bench.create(&[])?;
    bench.delete(&state)?;
    settle(&before)
}

/// As after a crash: two endpoints were attached, the engine knows of one.
fn reconcile<D: NetworkDriver + Sync>(bench: &Bench<D>) -> Outcome {
    let (state, one, two) = (bench.create(&[])?, new_netns()?, new_netns()?);
    let first = bench.attach(&state, 1, &one)?;
    let with_one = interfaces()?;
    bench.attach(&state, 2, &two)?;
    bench.reconcile(&state, &[bench.live(1, &first.state, &one)])?;
    settle(&with_one)?;
    if !first.interface.is_empty() {
        let names = names_in(&one)?;
        ensure(names.contains(&first.interface), || "the living endpoint lost its interface".into())?;
    }
    Ok(())
}

fn addresses<D: NetworkDriver + Sync>(bench: &Bench<D>) -> Outcome {
    let (state, netns) = (bench.create(&[])?, new_netns()?);
    let attachment = bench.attach(&state, 1, &netns)?;
    let endpoint = bench.endpoint(1);
    equal("answer", attachment.addresses.clone(), endpoint.addresses.clone())?;
    if let Some(mac) = endpoint.mac {
        equal("mac", attachment.mac, Some(mac))?;
    }
    for cidr in endpoint.addresses {
        inside(netns.as_fd(), || {
            TcpListener::bind(SocketAddr::new(cidr.addr, 0)).map(drop).map_err(|e| format!("{}: {e}", cidr.addr))
        })?;
    }
    Ok(())
}

fn reach<D: NetworkDriver + Sync>(bench: &Bench<D>) -> Outcome {
    let (state, one, two) = (bench.create(&[])?, new_netns()?, new_netns()?);
    let servers = bench.attach(&state, 1, &one)?.addresses;
    bench.attach(&state, 2, &two)?;
    for server in servers {
        let at = SocketAddr::new(server.addr, 0);
        let listener = inside(one.as_fd(), || TcpListener::bind(at).map_err(|e| e.to_string()))?;
        let address = listener.local_addr()?;
        inside(two.as_fd(), || {
            let connected = TcpStream::connect_timeout(&address, Duration::from_secs(3));
            connected.map(drop).map_err(|e| format!("{address}: {e}"))
        })?;
    }
    Ok(())
}

/// The host listens on the gateway's address, the container connects.
fn gateway<D: NetworkDriver + Sync>(bench: &Bench<D>) -> Outcome {
    let (state, netns) = (bench.create(&[])?, new_netns()?);
    bench.attach(&state, 1, &netns)?;
    let gateways: Vec<_> = bench.network.subnets.iter().filter_map(|s| s.gateway).collect();
    for gateway in gateways.into_iter().filter(|_| !bench.network.internal) {
        let Ok(listener) = TcpListener::bind(SocketAddr::new(gateway, 0)) else { continue };
        let address = listener.local_addr()?;
        inside(netns.as_fd(), || {
            let connected = TcpStream::connect_timeout(&address, Duration::from_secs(3));
            connected.map(drop).map_err(|e| format!("{address}: {e}"))
        })?;
    }
    Ok(())
}
