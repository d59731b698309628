//! Running containers that are connected to further networks, and what a reconcile finds and mends.

use super::world::*;
use crate::Bridge;
use gantry_plugin_api::prelude::*;
use std::os::fd::AsFd;

fn routes(netns: &std::fs::File) -> String {
    inside(netns, || run("ip", &["route", "show", "default"]) + &run("ip", &["-6", "route", "show", "default"]))
}

/// The second endpoint of a container that runs.
fn second(ports: &[PortMapping], default: bool) -> EndpointSpec {
    EndpointSpec { index: 1, default_route4: default, default_route6: default, ..dual_endpoint(6, 2, ports) }
}

#[test]
fn the_default_route_moves_and_comes_back() {
    on_a_host(|world| {
        let a = world.attach(&dual(5), dual_endpoint(5, 2, &[]));
        let first = routes(&a.netns);
        assert!(first.contains("10.5.0.1") && first.contains("fd00:5::1"), "{first}");
        let quiet = world.try_attach(&dual(6), &second(&[], false), &a.netns).expect("connects");
        assert_eq!((quiet.interface.as_str(), quiet.routes.len(), quiet.gateways.len()), ("eth1", 0, 2));
        assert_eq!(routes(&a.netns), first);
        let set = |endpoint: &EndpointSpec, network: &NetworkSpec| {
            Bridge.route(network, &[], endpoint, &[], a.netns.as_fd(), &world.dirs, &world.host).expect("routes")
        };
        assert_eq!(set(&second(&[], true), &dual(6)).len(), 2);
        let moved = routes(&a.netns);
        assert!(moved.contains("10.6.0.1") && moved.contains("fd00:6::1") && !moved.contains("10.5.0.1"), "{moved}");
        let without = EndpointSpec { default_route4: false, default_route6: false, ..a.endpoint.clone() };
        assert_eq!(set(&without, &dual(5)), []);
        assert_eq!(routes(&a.netns), moved);
        Bridge
            .detach(&dual(6), &[], &second(&[], true), &quiet.state, Some(a.netns.as_fd()), &world.dirs, &world.host)
            .expect("disconnects");
        assert_eq!(routes(&a.netns), "");
        set(&a.endpoint, &dual(5));
        assert_eq!(routes(&a.netns), first);
    });
}

#[test]
fn a_route_taken_over_is_put_back_when_the_rest_fails() {
    on_a_host(|world| {
        let a = world.attach(&dual(5), dual_endpoint(5, 2, &[]));
        let first = routes(&a.netns);
        let mut broken = dual(6);
        // IPv4 succeeds, IPv6 has a gateway that cannot be reached.
        broken.subnets[1].gateway = Some("fd00:77::1".parse().expect("address"));
        let before = inside(&a.netns, dump);
        world.try_attach(&broken, &second(&[], true), &a.netns).expect_err("no way there");
        assert_eq!(routes(&a.netns), first);
        assert_eq!(inside(&a.netns, dump), before);
    });
}

#[test]
fn settings_and_further_addresses_of_an_interface() {
    on_a_host(|world| {
        let options = Options::from_pairs([("sysctls", "net.ipv4.conf.IFNAME.log_martians=1"), ("ifname", "lan0")]);
        let link_local_addresses = vec!["169.254.7.7".parse().expect("address")];
        let made = world.attach(&dual(5), EndpointSpec { options, link_local_addresses, ..dual_endpoint(5, 2, &[]) });
        let set = inside(&made.netns, || std::fs::read_to_string("/proc/sys/net/ipv4/conf/lan0/log_martians"));
        assert_eq!(set.expect("there").trim(), "1");
        let addresses = inside(&made.netns, || run("ip", &["-o", "addr", "show", "lan0"]));
        assert!(addresses.contains("169.254.7.7/16"), "{addresses}");
        let own = addresses.lines().find(|line| line.contains("fd00:5::2")).expect("its address");
        assert!(!own.contains("tentative"), "{own}");
    });
}

#[test]
fn reconcile_brings_back_links_addresses_and_routes() {
    on_a_host(|world| {
        let outside = world.outside();
        let network = dual(5);
        let a = world.attach(&network, dual_endpoint(5, 2, &[port([0; 4], 8080, 80, Protocol::TCP)]));
        serve(&a.netns, 80);
        let state = || (inside(&a.netns, || run("ip", &["-o", "addr", "show", "eth0"])), routes(&a.netns));
        let words =
            |text: &str| text.split_whitespace().filter(|w| w.contains('/')).map(str::to_owned).collect::<Vec<_>>();
        let whole = state();
        let link = format!("veth{}", &a.endpoint.id[..7]);
        for harm in [
            &["link", "del", link.as_str()][..],
            &["link", "del", "br-050505050505"],
            &["link", "set", "br-050505050505", "down"],
        ] {
            ip(harm);
            Bridge.reconcile(&network, &[], &[a.live()], &world.dirs, &world.host).expect("reconciles");
            let now = state();
            assert_eq!((words(&now.0), &now.1), (words(&whole.0), &whole.1), "after ip {harm:?}");
            assert_eq!(inside(&outside, || seen([192, 0, 2, 1], 8080)), "192.0.2.2", "after ip {harm:?}");
        }
        inside(&a.netns, || ip(&["route", "del", "default"]));
        Bridge.reconcile(&network, &[], &[a.live()], &world.dirs, &world.host).expect("reconciles");
        assert_eq!(routes(&a.netns), whole.1);
    });
}
