//! Containers and the world outside.

use super::world::*;
use gantry_plugin_api::prelude::*;

#[test]
fn out_with_the_hosts_address_and_not_in() {
    on_a_host(|world| {
        let outside = world.outside();
        let a = world.attach(&network(5), endpoint(5, 2, &[]));
        serve(&outside, 90);
        serve(&a.netns, 80);
        assert_eq!(inside(&a.netns, || seen([192, 0, 2, 2], 90)), "192.0.2.1", "masqueraded");
        assert_eq!(inside(&a.netns, || seen_udp([192, 0, 2, 2], 90)), "192.0.2.1", "masqueraded");
        inside(&outside, || ip(&["route", "add", "10.5.0.0/16", "via", "192.0.2.1"]));
        assert!(inside(&outside, || unreachable([10, 5, 0, 2], 80)), "no way to a container's own address");
        let told = world.told.lines();
        assert!(told.iter().any(|l| l.contains("net/ipv4/ip_forward from 0 to 1")), "{told:?}");
    });
}

#[test]
fn without_masquerade_and_with_a_chosen_address() {
    on_a_host(|world| {
        let outside = world.outside();
        serve(&outside, 90);
        inside(&outside, || ip(&["route", "add", "10.0.0.0/8", "via", "192.0.2.1"]));
        let plain = world.attach(&with_options(network(5), &[("masquerade", "false")]), endpoint(5, 2, &[]));
        assert_eq!(inside(&plain.netns, || seen([192, 0, 2, 2], 90)), "10.5.0.2");
        ip(&["addr", "add", "192.0.2.77/24", "dev", "out0"]);
        let chosen = world.attach(&with_options(network(6), &[("snat-ipv4", "192.0.2.77")]), endpoint(6, 2, &[]));
        assert_eq!(inside(&chosen.netns, || seen([192, 0, 2, 2], 90)), "192.0.2.77");
    });
}

#[test]
fn trusted_interfaces_reach_any_port() {
    on_a_host(|world| {
        let outside = world.outside();
        let network = with_options(network(5), &[("trusted-host-interfaces", "out0")]);
        let a = world.attach(&network, endpoint(5, 2, &[]));
        serve(&a.netns, 80);
        inside(&outside, || ip(&["route", "add", "10.5.0.0/16", "via", "192.0.2.1"]));
        assert_eq!(inside(&outside, || seen([10, 5, 0, 2], 80)), "192.0.2.2");
    });
}

#[test]
fn an_internal_network_has_no_way_out() {
    on_a_host(|world| {
        let outside = world.outside();
        serve(&outside, 90);
        let network = NetworkSpec { internal: true, ..network(5) };
        let a = world.attach(&network, endpoint(5, 2, &[port([0; 4], 8080, 80, Protocol::TCP)]));
        let b = world.attach(&network, endpoint(5, 3, &[]));
        serve(&a.netns, 80);
        assert!(a.attachment.routes.is_empty());
        inside(&a.netns, || ip(&["route", "add", "default", "via", "10.5.0.1"]));
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("forwarding");
        assert!(inside(&a.netns, || unreachable([192, 0, 2, 2], 90)), "no way out");
        assert!(inside(&outside, || unreachable([192, 0, 2, 1], 8080)), "nothing is published");
        assert_eq!(inside(&b.netns, || seen([10, 5, 0, 2], 80)), "10.5.0.3");
        assert_eq!(seen([10, 5, 0, 2], 80), "10.5.0.1");
    });
}
