//! Containers of one network, and the host.

use super::world::*;
use crate::Bridge;
use gantry_plugin_api::prelude::*;
use std::os::fd::AsFd;

#[test]
fn containers_and_host_reach_each_other() {
    on_a_host(|world| {
        let network = network(5);
        let (a, b) = (world.attach(&network, endpoint(5, 2, &[])), world.attach(&network, endpoint(5, 3, &[])));
        serve(&a.netns, 80);
        assert_eq!(inside(&b.netns, || seen(a.address(), 80)), "10.5.0.3");
        assert_eq!(seen(a.address(), 80), "10.5.0.1");
        serve(&std::fs::File::open("/proc/thread-self/ns/net").expect("own"), 81);
        assert_eq!(inside(&a.netns, || seen([10, 5, 0, 1], 81)), "10.5.0.2");
        assert_eq!(inside(&a.netns, || seen([127, 0, 0, 1], 80)), "127.0.0.1", "the loopback is up");
    });
}

#[test]
fn an_attachment_tells_what_was_made() {
    on_a_host(|world| {
        let network = with_options(network(5), &[("iface-prefix", "lan"), ("mtu", "1400"), ("name", "own0")]);
        let mac = [0x02, 1, 2, 3, 4, 5];
        let made = world.attach(&network, EndpointSpec { mac: Some(mac), index: 2, ..endpoint(5, 2, &[]) });
        assert_eq!((made.attachment.interface.as_str(), made.attachment.mac), ("lan2", Some(mac)));
        assert_eq!(made.attachment.addresses, made.endpoint.addresses);
        assert_eq!(made.attachment.routes.len(), 1);
        let link = inside(&made.netns, || run("ip", &["-o", "link", "show", "lan2"]));
        assert!(link.contains("mtu 1400") && link.contains("02:01:02:03:04:05") && link.contains("state UP"), "{link}");
        let route = inside(&made.netns, || run("ip", &["route"]));
        assert!(route.contains("default via 10.5.0.1 dev lan2"), "{route}");
        assert!(run("ip", &["-o", "link", "show", "own0"]).contains("mtu 1400"));
        assert!(inside(&made.netns, || run("ip", &["-6", "-o", "addr", "show", "lan2"])).is_empty(), "no IPv6 unasked");
    });
}

#[test]
fn ipv6_works_at_once() {
    on_a_host(|world| {
        let mut network = network(5);
        network.ipv6 = true;
        let address = |text: &str| Cidr { addr: text.parse().expect("address"), prefix: 64 };
        let gateway = Some(address("fd00:5::1").addr);
        network.subnets.push(Subnet {
            subnet: address("fd00:5::"),
            gateway,
            ip_range: None,
            aux_addresses: Vec::new(),
        });
        let mut spec = endpoint(5, 2, &[]);
        spec.addresses.push(address("fd00:5::2"));
        let made = world.attach(&network, spec);
        let routes = inside(&made.netns, || run("ip", &["-6", "route"]));
        assert!(routes.contains("default via fd00:5::1"), "{routes}");
        let listener =
            inside(&made.netns, || std::net::TcpListener::bind("[fd00:5::2]:80")).expect("no address is tentative");
        let server = "[fd00:5::2]:80".parse().expect("address");
        let reached = std::net::TcpStream::connect_timeout(&server, std::time::Duration::from_secs(2));
        if reached.is_err() {
            eprintln!(
                "{}\n{}\n{}\n{}",
                run("ip", &["-d", "-6", "addr"]),
                run("ip", &["-6", "neigh"]),
                run("ip", &["-6", "route"]),
                inside(&made.netns, || run("ip", &["-6", "addr"]) + &run("ip", &["-6", "neigh"]))
            );
        }
        reached.expect("the host reaches it");
        drop(listener);
    });
}

#[test]
fn everything_twice_is_once() {
    on_a_host(|world| {
        let network = network(5);
        let state = Bridge.create(&network, &[], &world.dirs, &world.host).expect("creates");
        let made = world.attach(&network, endpoint(5, 2, &[port([0; 4], 8080, 80, Protocol::TCP)]));
        let once = dump();
        assert_eq!(Bridge.create(&network, &state, &world.dirs, &world.host).expect("again"), state);
        let again = world.try_attach(&network, &made.endpoint, &made.netns).expect("again");
        assert_eq!(again, made.attachment);
        assert_eq!(dump(), once);
        for alive in [true, true, false] {
            world.detach(&network, &made, alive);
        }
        world.delete(&network);
        world.delete(&network);
        assert!(!dump().contains("gantry") && !dump().contains("br-"), "{}", dump());
    });
}

#[test]
fn a_bridge_of_others_is_used_and_kept() {
    on_a_host(|world| {
        ip(&["link", "add", "mine0", "type", "bridge"]);
        let network = with_options(network(5), &[("name", "mine0")]);
        let a = world.attach(&network, endpoint(5, 2, &[]));
        serve(&a.netns, 80);
        assert_eq!(seen(a.address(), 80), "10.5.0.1");
        world.delete(&network);
        run("ip", &["link", "show", "mine0"]);
    });
}

#[test]
fn interfaces_and_networks_in_the_way() {
    on_a_host(|world| {
        ip(&["link", "add", "taken0", "type", "veth", "peer", "name", "taken1"]);
        let refused =
            |network: &NetworkSpec| Bridge.create(network, &[], &world.dirs, &world.host).expect_err("refused");
        let error = refused(&with_options(network(5), &[("name", "taken0")]));
        assert!(error.to_string().contains("taken0 exists and is not a bridge"), "{error}");
        let first = with_options(network(5), &[("name", "web0")]);
        Bridge.create(&first, &[], &world.dirs, &world.host).expect("creates");
        let error = refused(&with_options(network(6), &[("name", "web0")]));
        assert_eq!(error.class, Class::EXISTS);
        assert!(error.to_string().contains("networks have same bridge name"), "{error}");
        let netns = namespace();
        inside(&netns, || ip(&["link", "add", "eth0", "type", "veth", "peer", "name", "other"]));
        let error = world.try_attach(&first, &endpoint(5, 2, &[]), &netns).expect_err("eth0 is taken");
        assert!(error.to_string().contains("already has an interface eth0"), "{error}");
    });
}

#[test]
fn a_dying_link_of_the_same_endpoint_makes_place() {
    on_a_host(|world| {
        let network = network(5);
        let before = world.attach(&network, endpoint(5, 2, &[]));
        let now = world.attach(&network, endpoint(5, 2, &[]));
        assert!(!inside(&before.netns, || run("ip", &["-o", "link"])).contains("eth0"));
        serve(&now.netns, 80);
        assert_eq!(seen(now.address(), 80), "10.5.0.1");
    });
}

#[test]
fn the_first_packet_arrives() {
    on_a_host(|world| {
        let network = network(5);
        for last in 2..12 {
            let (netns, spec) = (namespace(), endpoint(5, last, &[]));
            serve(&netns, 80);
            let made = world.try_attach(&network, &spec, &netns).expect("attaches");
            // A first SYN that is lost is repeated after a second.
            let started = std::time::Instant::now();
            seen(made.addresses[0].addr, 80);
            assert!(started.elapsed() < std::time::Duration::from_millis(900), "{:?}", started.elapsed());
            let container = Container { netns, endpoint: spec, attachment: made };
            world.detach(&network, &container, true);
        }
    });
}

#[test]
fn a_reused_address_is_found_at_once() {
    on_a_host(|world| {
        let network = network(5);
        let neighbour = world.attach(&network, endpoint(5, 3, &[]));
        for last in 1..=3 {
            let mut spec = endpoint(5, 2, &[]);
            spec.id = format!("{last:02x}").repeat(32);
            spec.mac = Some([2, 0, 0, 0, 0, last]);
            let made = world.attach(&network, spec);
            serve(&made.netns, 80);
            assert_eq!(seen(made.address(), 80), "10.5.0.1");
            assert_eq!(inside(&neighbour.netns, || seen(made.address(), 80)), "10.5.0.3");
            world.detach(&network, &made, true);
        }
    });
}

#[test]
fn reconcile_deletes_what_is_dead_and_mends_what_lives() {
    on_a_host(|world| {
        let network = network(5);
        let (dead, alive) = (
            world.attach(&network, endpoint(5, 2, &[port([0; 4], 8002, 80, Protocol::TCP)])),
            world.attach(&network, endpoint(5, 3, &[port([0; 4], 8003, 80, Protocol::TCP)])),
        );
        serve(&alive.netns, 80);
        run("nft", &["flush", "ruleset"]);
        ip(&["link", "delete", "br-050505050505"]);
        let live = [alive.live()];
        Bridge.reconcile(&network, &[], &live, &world.dirs, &world.host).expect("reconciles");
        assert!(!firewall().contains("8002"), "{}", firewall());
        assert_eq!(seen([127, 0, 0, 1], 8003), "10.5.0.1");
        Bridge.attach(&network, &[], &dead.endpoint, namespace().as_fd(), &world.dirs, &world.host).expect("anew");
        Bridge.reconcile(&network, &[], &live, &world.dirs, &world.host).expect("reconciles");
        let links = run("ip", &["-o", "link"]);
        assert!(!links.contains(&dead.endpoint.id[..7]) && links.contains(&alive.endpoint.id[..7]), "{links}");
    });
}
