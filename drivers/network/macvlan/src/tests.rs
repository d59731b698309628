//! The driver against the kernel. Every test has a host of its own: a network namespace that the test's thread makes and
//! lives in, joined by a veth pair (`out0`) to a machine outside. They need root and skip without.

use crate::Macvlan;
use crate::fault::{FAILS_AT, STEPS, killed_at};
use gantry_driver_shared::link;
use gantry_plugin_api::prelude::*;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

#[path = "../../../shared/testing/host.rs"]
#[allow(dead_code, reason = "other suites have a router outside")]
mod host;

use host::{inside, ip, namespace};

struct World {
    dirs: Dirs,
    host: Host,
    outside: File,
    _directory: tempfile::TempDir,
}

struct Container {
    netns: File,
    endpoint: EndpointSpec,
    attachment: Attachment,
}

/// The machine outside has .3, the host .2; the network's gateway is nobody's.
fn on_a_host(test: impl FnOnce(&World) + Send + 'static) {
    host::on_a_host(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let dirs = Dirs { root: directory.path().join("root"), state: directory.path().join("state") };
        let outside = host::outside("out0", ("192.0.2.", "2001:db8::"), (2, 3));
        test(&World { dirs, host: Host::null(), outside, _directory: directory });
    });
}

/// Links, addresses and routes of the calling thread's namespace, without what changes by itself.
fn dump() -> String {
    let links = ip(&["-o", "link"]);
    let names: Vec<&str> = links.lines().filter_map(|l| l.split_whitespace().nth(1)).collect();
    let local =
        |text: String| text.lines().filter(|l| !l.contains("fe80")).map(|l| format!("{l}\n")).collect::<String>();
    let routes = ip(&["route"]) + &local(ip(&["-6", "route"]));
    format!("{names:?}\n{}\n{}", ip(&["-o", "-4", "addr"]), routes.replace(" linkdown", ""))
}

fn at(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn network(pairs: &[(&str, &str)]) -> NetworkSpec {
    let subnet = |net: &str, prefix, gateway: &str| Subnet {
        subnet: Cidr { addr: at(net), prefix },
        gateway: Some(at(gateway)),
        ip_range: None,
        aux_addresses: Vec::new(),
    };
    NetworkSpec {
        id: "ab".repeat(32),
        name: "lan".into(),
        subnets: vec![subnet("192.0.2.0", 24, "192.0.2.3"), subnet("2001:db8::", 64, "2001:db8::3")],
        ipv6: true,
        options: Options::from_pairs(pairs.iter().copied()),
        ..NetworkSpec::default()
    }
}

fn endpoint(last: u8) -> EndpointSpec {
    let v6 = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last.into()]);
    EndpointSpec {
        id: format!("{last:02x}cd").repeat(16),
        container_id: format!("{last:02x}").repeat(32),
        container_name: format!("c{last}"),
        addresses: vec![Cidr { addr: IpAddr::from([192, 0, 2, last]), prefix: 24 }, Cidr { addr: v6, prefix: 64 }],
        default_route4: true,
        default_route6: true,
        ..EndpointSpec::default()
    }
}

impl World {
    fn try_attach(&self, network: &NetworkSpec, endpoint: &EndpointSpec, netns: &File) -> Result<Attachment> {
        Macvlan.attach(network, &[], endpoint, netns.as_fd(), &self.dirs, &self.host)
    }

    fn attach(&self, network: &NetworkSpec, endpoint: EndpointSpec) -> Container {
        let netns = namespace();
        let attachment = self.try_attach(network, &endpoint, &netns).expect("attaches");
        Container { netns, endpoint, attachment }
    }

    fn detach(&self, network: &NetworkSpec, container: &Container, alive: bool) {
        let netns = alive.then(|| container.netns.as_fd());
        let (endpoint, state) = (&container.endpoint, &container.attachment.state);
        Macvlan.detach(network, &[], endpoint, state, netns, &self.dirs, &self.host).expect("detaches");
    }

    fn delete(&self, network: &NetworkSpec) {
        Macvlan.delete(network, &[], &self.dirs, &self.host).expect("deletes");
    }

    fn reconcile(&self, network: &NetworkSpec, live: &[&Container]) {
        let live: Vec<LiveEndpoint<'_>> = live.iter().map(|c| c.live()).collect();
        Macvlan.reconcile(network, &[], &live, &self.dirs, &self.host).expect("reconciles");
    }
}

impl Container {
    fn live(&self) -> LiveEndpoint<'_> {
        let (endpoint, attachment) = (self.endpoint.clone(), self.attachment.state.clone());
        LiveEndpoint { endpoint, attachment, netns: Some(self.netns.as_fd()) }
    }

    fn addresses(&self) -> [IpAddr; 2] {
        [self.endpoint.addresses[0].addr, self.endpoint.addresses[1].addr]
    }
}

/// Serves port 80 in a namespace: tells every caller its address.
fn serve(netns: &File) {
    let listener = inside(netns, || TcpListener::bind("[::]:80").expect("binds"));
    std::thread::spawn(move || {
        for (mut stream, peer) in std::iter::from_fn(|| listener.accept().ok()) {
            let _ = stream.write_all(peer.ip().to_canonical().to_string().as_bytes());
        }
    });
}

fn call(to: IpAddr, patience: Duration) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(to, 80), patience)?;
    stream.set_read_timeout(Some(patience))?;
    let mut seen = String::new();
    stream.read_to_string(&mut seen)?;
    Ok(seen)
}

/// The address that the server sees when called from the calling thread's namespace.
fn seen(to: IpAddr) -> String {
    call(to, Duration::from_secs(3)).unwrap_or_else(|error| panic!("no answer from {to}: {error}"))
}

fn unreachable(to: IpAddr) -> bool {
    call(to, Duration::from_millis(300)).is_err()
}

#[test]
fn containers_and_the_outside_reach_each_other_and_the_host_does_not() {
    on_a_host(|world| {
        let network = network(&[("parent", "out0")]);
        let (a, b) = (world.attach(&network, endpoint(10)), world.attach(&network, endpoint(11)));
        for netns in [&a.netns, &world.outside] {
            serve(netns);
        }
        for (to, of_b, of_outside) in [(0, "192.0.2.11", "192.0.2.3"), (1, "2001:db8::b", "2001:db8::3")] {
            assert_eq!(inside(&b.netns, || seen(a.addresses()[to])), of_b);
            assert_eq!(inside(&world.outside, || seen(a.addresses()[to])), of_outside);
            assert!(unreachable(a.addresses()[to]));
        }
        assert_eq!(inside(&a.netns, || seen(at("192.0.2.3"))), "192.0.2.10");
        assert_eq!(a.attachment.gateways, [at("192.0.2.3"), at("2001:db8::3")]);
        let route = inside(&a.netns, || ip(&["route"]) + &ip(&["-6", "route"]));
        assert!(route.contains("default via 192.0.2.3") && route.contains("default via 2001:db8::3"), "{route}");
        let link = inside(&a.netns, || ip(&["-d", "-o", "link", "show", "eth0"]));
        assert!(link.contains("macvlan mode bridge"), "{link}");
    });
}

#[test]
fn with_host_access_host_and_containers_reach_each_other() {
    on_a_host(|world| {
        let before = dump();
        let network = network(&[("parent", "out0"), ("host-access", "true")]);
        let (a, b) = (world.attach(&network, endpoint(10)), world.attach(&network, endpoint(11)));
        serve(&a.netns);
        serve(&File::open("/proc/thread-self/ns/net").expect("own"));
        assert_eq!(seen(a.addresses()[0]), "192.0.2.2");
        assert_eq!(seen(a.addresses()[1]), "2001:db8::2");
        assert_eq!(inside(&a.netns, || seen(at("192.0.2.2"))), "192.0.2.10");
        assert_eq!(inside(&a.netns, || seen(at("2001:db8::2"))), "2001:db8::a");
        assert_eq!(inside(&world.outside, || seen(at("192.0.2.2"))), "192.0.2.3", "others still reach the host");
        assert_eq!(inside(&b.netns, || seen(a.addresses()[0])), "192.0.2.11");
        // The outside learns the host's own hardware address, not the shim's.
        let own = ip(&["-o", "link", "show", "out0"]);
        let neighbour = inside(&world.outside, || ip(&["neigh", "show", "192.0.2.2"]));
        let mac = neighbour.split_whitespace().nth(4).unwrap_or("none").to_owned();
        assert!(own.contains(&mac), "{neighbour} in {own}");
        let with_both = dump();
        world.detach(&network, &b, true);
        assert!(!dump().contains("192.0.2.11"));
        ip(&["route", "del", "192.0.2.10/32"]);
        ip(&["route", "add", "192.0.2.99/32", "dev", "ms-abababababab", "proto", "static"]);
        let b = world.attach(&network, endpoint(11));
        world.reconcile(&network, &[&a, &b]);
        assert_eq!(dump(), with_both, "reconcile sets routes for those that live, and only those");
        ip(&["link", "del", "ms-abababababab"]);
        world.reconcile(&network, &[&a, &b]);
        assert_eq!(seen(a.addresses()[0]), "192.0.2.2");
        for container in [&a, &b] {
            world.detach(&network, container, false);
        }
        world.delete(&network);
        assert_eq!(dump(), before);
    });
}

#[test]
fn private_and_passthru() {
    on_a_host(|world| {
        let network = network(&[("parent", "out0"), ("mode", "private")]);
        let (a, b) = (world.attach(&network, endpoint(10)), world.attach(&network, endpoint(11)));
        serve(&a.netns);
        assert!(inside(&b.netns, || unreachable(a.addresses()[0])), "neighbours are apart");
        assert_eq!(inside(&world.outside, || seen(a.addresses()[0])), "192.0.2.3");
        let all = self::network(&[("parent", "out0"), ("mode", "passthru")]);
        let error = world.try_attach(&all, &endpoint(12), &namespace()).expect_err("in use");
        assert_eq!(error.class, Class::IN_USE, "{error}");
        for container in [&a, &b] {
            world.detach(&network, container, true);
        }
        let only = world.attach(&all, endpoint(12));
        serve(&only.netns);
        assert_eq!(inside(&world.outside, || seen(only.addresses()[0])), "192.0.2.3");
        let error = world.try_attach(&all, &endpoint(13), &namespace()).expect_err("one only");
        assert!(error.to_string().contains("passthru"), "{error}");
        let vepa = self::network(&[("parent", "out0"), ("mode", "vepa")]);
        world.detach(&all, &only, true);
        let a = world.attach(&vepa, endpoint(10));
        let link = inside(&a.netns, || ip(&["-d", "-o", "link", "show", "eth0"]));
        assert!(link.contains("macvlan mode vepa"), "{link}");
    });
}

#[test]
fn a_network_without_a_parent_is_for_its_containers_only() {
    on_a_host(|world| {
        let before = dump();
        for (internal, parent) in [(false, None), (true, Some(("parent", "out0")))] {
            let network = NetworkSpec { internal, ..network(parent.as_slice()) };
            let (a, b) = (world.attach(&network, endpoint(10)), world.attach(&network, endpoint(11)));
            serve(&a.netns);
            assert_eq!(inside(&b.netns, || seen(a.addresses()[0])), "192.0.2.11");
            assert_eq!(inside(&b.netns, || seen(a.addresses()[1])), "2001:db8::b");
            assert!(inside(&a.netns, || unreachable(at("192.0.2.3"))));
            assert!(a.attachment.gateways.is_empty() && a.attachment.routes.is_empty());
            world.reconcile(&network, &[&a]);
            world.detach(&network, &a, true);
            world.detach(&network, &b, true);
            world.delete(&network);
            world.delete(&network);
            assert_eq!(dump(), before);
        }
    });
}

/// With 802.1Q in the kernel the device comes and goes with its networks, without it the error says so.
#[test]
fn vlan_interfaces() {
    on_a_host(|world| {
        let first = network(&[("parent", "out0.10")]);
        let second = NetworkSpec { id: "cd".repeat(32), ..first.clone() };
        let before = dump();
        match Macvlan.create(&first, &[], &world.dirs, &world.host) {
            Err(error) => {
                assert_eq!(error.class, Class::UNSUPPORTED, "{error}");
                assert!(error.to_string().contains("lacks 802.1Q"), "{error}");
                eprintln!("skipped in part: the kernel lacks 802.1Q");
            }
            Ok(_) => {
                let a = world.attach(&second, endpoint(10));
                world.delete(&first);
                assert!(ip(&["-d", "link", "show", "out0.10"]).contains("vlan protocol 802.1Q id 10"));
                world.detach(&second, &a, true);
                world.delete(&second);
            }
        }
        assert_eq!(dump(), before);
        assert!(!world.dirs.state.join("vlans/out0.10").exists());
        for (parent, words) in [
            ("eth9", "was not found on the host"),
            ("eth9.5", "was not found on the host"),
            ("out0.5000", "vlan id must be between 1-4094"),
            ("out0.1.2", "invalid subinterface vlan name"),
        ] {
            let error =
                Macvlan.create(&network(&[("parent", parent)]), &[], &world.dirs, &world.host).expect_err(parent);
            assert!(error.to_string().contains(words), "{error}");
        }
    });
}

#[test]
fn whatever_fails_leaves_nothing() {
    on_a_host(|world| {
        let network = network(&[("parent", "out0"), ("host-access", "true")]);
        let before = dump();
        for step in STEPS {
            let netns = namespace();
            inside(&netns, || link::loopback_up().expect("loopback"));
            let fresh = inside(&netns, dump);
            FAILS_AT.set(Some(step));
            let failed = world.try_attach(&network, &endpoint(10), &netns);
            FAILS_AT.set(None);
            failed.expect_err(step);
            assert_eq!(dump(), before, "after a fault at {step}");
            assert_eq!(inside(&netns, dump), fresh, "after a fault at {step}");
        }
        let other = world.attach(&network, endpoint(11));
        let before = dump();
        for step in STEPS {
            for reconciles in [false, true] {
                let netns = namespace();
                killed_at(step, || {
                    let survived = world.try_attach(&network, &endpoint(10), &netns);
                    eprintln!("{step}: {survived:?}");
                });
                if reconciles {
                    world.reconcile(&network, &[&other]);
                } else {
                    let netns = Some(netns.as_fd());
                    Macvlan
                        .detach(&network, &[], &endpoint(10), &[], netns, &world.dirs, &world.host)
                        .expect("detaches");
                }
                assert_eq!(dump(), before, "after a death at {step}, reconciled: {reconciles}");
            }
        }
    });
}

#[test]
fn a_running_container_is_connected_and_mended() {
    on_a_host(|world| {
        let network = network(&[("parent", "out0")]);
        let a = world.attach(&network, endpoint(10));
        serve(&a.netns);
        let again = world.try_attach(&network, &a.endpoint, &a.netns).expect("twice is once");
        assert_eq!(again, a.attachment);
        let second = EndpointSpec { index: 1, default_route4: false, default_route6: false, ..endpoint(11) };
        world.try_attach(&network, &second, &a.netns).expect("a second interface");
        let taken = EndpointSpec { index: 1, ..endpoint(12) };
        let error = world.try_attach(&network, &taken, &a.netns).expect_err("taken");
        assert_eq!(error.class, Class::EXISTS, "{error}");
        let netns = a.netns.as_fd();
        Macvlan.detach(&network, &[], &second, &[], Some(netns), &world.dirs, &world.host).expect("detaches");
        let quiet = EndpointSpec { default_route4: false, default_route6: false, ..a.endpoint.clone() };
        let route = |spec: &EndpointSpec| {
            let set = Macvlan.route(&network, &[], spec, &[], netns, &world.dirs, &world.host).expect("routes");
            (set.len(), inside(&a.netns, || ip(&["route", "show", "default"])))
        };
        assert_eq!(route(&quiet), (0, String::new()));
        assert_eq!(route(&a.endpoint).0, 2);
        inside(&a.netns, || ip(&["link", "del", "eth0"]));
        world.reconcile(&network, &[&a]);
        assert_eq!(inside(&world.outside, || seen(a.addresses()[0])), "192.0.2.3");
    });
}
