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
fn ipv6_addresses_are_refused_and_all_of_them_left_out() {
    on_a_host(|world| {
        let on = |text: &str| PortMapping {
            host_ip: text.parse().expect("address"),
            ..port([0; 4], 8080, 80, Protocol::TCP)
        };
        let netns = namespace();
        let error = world.try_attach(&network(5), &endpoint(5, 2, &[on("fd00::1")]), &netns).expect_err("IPv6");
        assert_eq!(error.class, Class::UNSUPPORTED, "{error}");
        world.try_attach(&network(5), &endpoint(5, 2, &[on("::"), on("0.0.0.0")]), &netns).expect("attaches");
    });
}
