//! Published ports: from the host, by 127.0.0.1, from outside, from other containers.

use super::world::*;
use crate::Bridge;
use gantry_plugin_api::prelude::*;

#[test]
fn reached_from_everywhere() {
    on_a_host(reach_from_everywhere);
}

/// Where br_netfilter is loaded, packets are translated while still on the bridge; where it is not, only when routed.
#[test]
fn reached_from_everywhere_without_bridge_filtering() {
    on_a_host(|world| {
        without_bridge_filtering();
        reach_from_everywhere(world);
    });
}

fn reach_from_everywhere(world: &World) {
    let outside = world.outside();
    let (tcp, udp) = (port([0; 4], 8080, 80, Protocol::TCP), port([0; 4], 8080, 80, Protocol::UDP));
    let first = network(5);
    let a = world.attach(&first, endpoint(5, 2, &[tcp, udp]));
    let b = world.attach(&first, endpoint(5, 3, &[]));
    let c = world.attach(&network(6), endpoint(6, 2, &[]));
    serve(&a.netns, 80);
    for seen in [seen as fn([u8; 4], u16) -> String, seen_udp] {
        assert_eq!(inside(&outside, || seen([192, 0, 2, 1], 8080)), "192.0.2.2", "the caller's address is kept");
        seen([127, 0, 0, 1], 8080);
        seen([192, 0, 2, 1], 8080);
        seen([10, 5, 0, 1], 8080);
        inside(&b.netns, || seen([192, 0, 2, 1], 8080));
        inside(&b.netns, || seen([10, 5, 0, 1], 8080));
        inside(&a.netns, || seen([192, 0, 2, 1], 8080));
        assert_eq!(inside(&c.netns, || seen([192, 0, 2, 1], 8080)), "10.6.0.2", "the caller's address is kept");
    }
}

#[test]
fn reached_from_oneself_where_one_family_is_filtered_on_bridges() {
    for family in ["iptables", "ip6tables"] {
        on_a_host(move |world| {
            without_bridge_filtering_of(family);
            let _outside = world.outside();
            let ports = [port([0; 4], 8080, 80, Protocol::TCP), port6("::", 8080, 80, Protocol::TCP)];
            let a = world.attach(&dual(5), dual_endpoint(5, 2, &ports));
            serve(&a.netns, 80);
            inside(&a.netns, || seen([10, 5, 0, 1], 8080));
            let gateway = dual(5).subnets[1].gateway.expect("it has one");
            inside(&a.netns, || seen(gateway, 8080));
        });
    }
}

#[test]
fn on_one_address_only() {
    on_a_host(|world| {
        let outside = world.outside();
        let (local, bound) =
            (port([127, 0, 0, 1], 8080, 80, Protocol::TCP), port([192, 0, 2, 1], 8081, 80, Protocol::TCP));
        let a = world.attach(&network(5), endpoint(5, 2, &[local, bound]));
        serve(&a.netns, 80);
        seen([127, 0, 0, 1], 8080);
        assert!(unreachable([192, 0, 2, 1], 8080));
        inside(&outside, || {
            assert!(unreachable([192, 0, 2, 1], 8080));
            seen([192, 0, 2, 1], 8081);
        });
        assert!(unreachable([127, 0, 0, 1], 8081));
    });
}

#[test]
fn added_and_taken_back_while_running() {
    on_a_host(|world| {
        let network = with_options(network(5), &[("host-binding-ipv4", "127.0.0.1")]);
        let a = world.attach(&network, endpoint(5, 2, &[port([0; 4], 8080, 80, Protocol::TCP)]));
        serve(&a.netns, 80);
        let more = [port([0; 4], 8081, 80, Protocol::TCP), port([0; 4], 8082, 80, Protocol::TCP)];
        let state = &a.attachment.state;
        Bridge.publish(&network, &a.endpoint, state, &more, &world.dirs, &world.host).expect("publishes");
        for number in 8080..=8082 {
            seen([127, 0, 0, 1], number);
        }
        Bridge.unpublish(&network, &a.endpoint, state, &more[..1], &world.dirs, &world.host).expect("takes back");
        Bridge.unpublish(&network, &a.endpoint, state, &more[..1], &world.dirs, &world.host).expect("twice is once");
        assert!(unreachable([127, 0, 0, 1], 8081));
        seen([127, 0, 0, 1], 8082);
        world.detach(&network, &a, false);
        assert!(!firewall().contains("8080") && !firewall().contains("8082"), "{}", firewall());
    });
}

#[test]
fn a_port_left_by_the_dead_goes_to_the_living() {
    on_a_host(|world| {
        let network = network(5);
        let dead = world.attach(&network, endpoint(5, 2, &[port([0; 4], 8080, 80, Protocol::TCP)]));
        let a = world.attach(&network, endpoint(5, 3, &[port([0; 4], 8080, 81, Protocol::TCP)]));
        serve(&a.netns, 81);
        seen([127, 0, 0, 1], 8080);
        world.detach(&network, &dead, false);
        seen([127, 0, 0, 1], 8080);
    });
}

#[test]
fn many_ports_in_one_change() {
    on_a_host(|world| {
        let ports: Vec<PortMapping> = (10_000..20_000).map(|n| port([0; 4], n, n, Protocol::TCP)).collect();
        let started = std::time::Instant::now();
        let a = world.attach(&network(5), endpoint(5, 2, &ports));
        eprintln!("10,000 ports published in {:?}", started.elapsed());
        serve(&a.netns, 19_999);
        seen([127, 0, 0, 1], 19_999);
        world.detach(&network(5), &a, false);
        assert!(!firewall().contains("10000"));
    });
}

#[test]
fn a_family_that_the_container_lacks() {
    on_a_host(|world| {
        let on = |text: &str| port6(text, 8080, 80, Protocol::TCP);
        let netns = namespace();
        let error = world.try_attach(&network(5), &endpoint(5, 2, &[on("fd00::1")]), &netns).expect_err("IPv6");
        assert_eq!(error.class, Class::INVALID, "{error}");
        let both =
            world.try_attach(&network(5), &endpoint(5, 2, &[on("::"), on("0.0.0.0")]), &netns).expect("attaches");
        assert_eq!((both.published, both.warnings), (vec![on("0.0.0.0")], vec![]));
        let six = world.attach(&network(5), endpoint(5, 3, &[port6("::", 8081, 80, Protocol::TCP)]));
        assert!(six.attachment.published.is_empty());
        assert!(six.attachment.warnings[0].contains("no IPv6 address"), "{:?}", six.attachment.warnings);
    });
}

#[test]
fn ranges_and_parts_of_them() {
    on_a_host(|world| {
        let network = network(5);
        let range = PortMapping { count: 4, ..port([0; 4], 9000, 80, Protocol::TCP) };
        let a = world.attach(&network, endpoint(5, 2, &[range]));
        serve(&a.netns, 82);
        assert_eq!(a.attachment.published, [range]);
        seen([127, 0, 0, 1], 9002);
        let part = [port([0; 4], 9002, 82, Protocol::TCP)];
        Bridge.unpublish(&network, &a.endpoint, &a.attachment.state, &part, &world.dirs, &world.host).expect("a part");
        assert!(unreachable([127, 0, 0, 1], 9002));
        assert!(firewall().contains("tcp . 9001") && firewall().contains("tcp . 9003"), "{}", firewall());
        let wrong = PortMapping { count: 2, ..port([0; 4], 65535, 80, Protocol::TCP) };
        let error = world.try_attach(&network, &endpoint(5, 3, &[wrong]), &namespace()).expect_err("beyond the last");
        assert_eq!(error.class, Class::INVALID, "{error}");
        world.detach(&network, &a, true);
        assert!(!firewall().contains("tcp . 900"), "{}", firewall());
    });
}

/// A client that goes on sending from one port has a flow that knows nothing of the port published meanwhile.
#[test]
fn udp_flows_follow_the_ports() {
    on_a_host(|world| {
        let outside = world.outside();
        let network = network(5);
        let a = world.attach(&network, endpoint(5, 2, &[]));
        let b = world.attach(&network, endpoint(5, 3, &[]));
        for container in [&a, &b] {
            serve(&container.netns, 53);
        }
        let client = inside(&outside, || std::net::UdpSocket::bind("192.0.2.2:4000").expect("binds"));
        client.set_read_timeout(Some(std::time::Duration::from_millis(200))).expect("set");
        let mut buffer = [0; 64];
        let mut ask = || {
            client.send_to(b"?", "192.0.2.1:5300").expect("sends");
            client.recv_from(&mut buffer).is_ok()
        };
        assert!(!ask(), "nobody is there");
        let ports = [port([0; 4], 5300, 53, Protocol::UDP)];
        for container in [&a, &b] {
            let (endpoint, state) = (&container.endpoint, &container.attachment.state);
            Bridge.publish(&network, endpoint, state, &ports, &world.dirs, &world.host).expect("publishes");
            assert!((0..20).any(|_| ask()), "the flow leads to the container");
            Bridge.unpublish(&network, endpoint, state, &ports, &world.dirs, &world.host).expect("takes back");
            while ask() {}
        }
    });
}

#[test]
fn sctp_has_its_own_doors() {
    on_a_host(|world| {
        world.attach(&network(5), endpoint(5, 2, &[port([0; 4], 8080, 80, Protocol::SCTP)]));
        assert!(firewall().contains("sctp . 8080 : 10.5.0.2 . 80"), "{}", firewall());
    });
}

#[test]
fn without_nf_tables_only_ports_fail() {
    on_a_host(|world| {
        crate::fault::NO_NF_TABLES.set(true);
        let plain = world.attach(&network(5), endpoint(5, 2, &[]));
        serve(&plain.netns, 80);
        assert_eq!(seen(plain.address(), 80), "10.5.0.1");
        assert!(world.told.lines().iter().any(|l| l.contains("no nf_tables")), "{:?}", world.told.lines());
        let wanted = endpoint(5, 3, &[port([0; 4], 8080, 80, Protocol::TCP)]);
        let error = world.try_attach(&network(5), &wanted, &namespace()).expect_err("no ports");
        assert_eq!(error.class, Class::UNSUPPORTED);
        assert!(error.to_string().contains("no port can be published"), "{error}");
        world.detach(&network(5), &plain, true);
        world.delete(&network(5));
        crate::fault::NO_NF_TABLES.set(false);
    });
}
