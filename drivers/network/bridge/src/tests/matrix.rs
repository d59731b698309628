//! Who reaches whom: two machines outside, two networks, TCP and UDP, IPv4 and IPv6; and what a server sees of its caller.

use super::world::*;
use gantry_plugin_api::prelude::*;
use std::net::IpAddr;

fn at(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Four ports: both protocols, both families.
fn published(host_port: u16) -> [PortMapping; 4] {
    let six = |protocol| port6("::", host_port, 80, protocol);
    let four = |protocol| port([0; 4], host_port, 80, protocol);
    [four(Protocol::TCP), four(Protocol::UDP), six(Protocol::TCP), six(Protocol::UDP)]
}

#[test]
fn matrix() {
    on_a_host(reach);
}

#[test]
fn matrix_without_bridge_filtering() {
    on_a_host(|world| {
        without_bridge_filtering();
        reach(world);
    });
}

fn reach(world: &World) {
    let (one, two) = (world.outside(), world.other_outside());
    let (first, second) = (dual(5), dual(6));
    let a = world.attach(&first, dual_endpoint(5, 2, &published(8080)));
    let b = world.attach(&first, dual_endpoint(5, 3, &[]));
    let c = world.attach(&second, dual_endpoint(6, 2, &[]));
    assert_eq!(a.attachment.published.len(), 4);
    for netns in [&a.netns, &b.netns, &c.netns] {
        serve(netns, 80);
    }
    serve(&one, 90);
    for calls in [seen as fn(IpAddr, u16) -> String, seen_udp] {
        // From outside, by the address of either interface, with the caller's address seen.
        for (outside, own4, own6) in [(&one, "192.0.2.2", "2001:db8::2"), (&two, "198.51.100.2", "2001:db8:1::2")] {
            for host in ["192.0.2.1", "198.51.100.1"] {
                assert_eq!(inside(outside, || calls(at(host), 8080)), own4);
            }
            for host in ["2001:db8::1", "2001:db8:1::1"] {
                assert_eq!(inside(outside, || calls(at(host), 8080)), own6);
            }
        }
        // From the host, by any of its addresses.
        for host in ["127.0.0.1", "192.0.2.1", "10.5.0.1", "10.6.0.1", "2001:db8::1", "fd00:5::1", "fd00:6::1"] {
            calls(at(host), 8080);
        }
        // From the container itself, from its neighbour, from another network.
        for host in ["192.0.2.1", "10.5.0.1", "2001:db8::1", "fd00:5::1"] {
            for container in [&a, &b, &c] {
                inside(&container.netns, || calls(at(host), 8080));
            }
        }
        assert_eq!(inside(&c.netns, || calls(at("192.0.2.1"), 8080)), "10.6.0.2");
        assert_eq!(inside(&c.netns, || calls(at("2001:db8::1"), 8080)), "fd00:6::2");
        // On one network, and from the host.
        assert_eq!(inside(&b.netns, || calls(a.address(), 80)), "10.5.0.3");
        assert_eq!(inside(&b.netns, || calls(a.address6(), 80)), "fd00:5::3");
        assert_eq!(calls(a.address(), 80), "10.5.0.1");
        assert_eq!(calls(a.address6(), 80), "fd00:5::1");
        // To the outside, with the host's address.
        assert_eq!(inside(&a.netns, || calls(at("192.0.2.2"), 90)), "192.0.2.1");
        assert_eq!(inside(&a.netns, || calls(at("2001:db8::2"), 90)), "2001:db8::1");
    }
    for to in [a.address(), a.address6()] {
        assert!(inside(&c.netns, || unreachable(to, 80)), "networks are apart");
        assert!(inside(&one, || unreachable(to, 80)), "no way to a container's own address");
    }
    let outwards = || unreachable(at("198.51.100.2"), 90) && unreachable(at("2001:db8:1::2"), 90);
    assert!(inside(&one, outwards), "the host forwards for its containers only");
    let started = std::time::Instant::now();
    assert!(unreachable(at("::1"), 8080));
    assert!(started.elapsed().as_millis() < 200, "refused, not lost: clients go on with 127.0.0.1");
}

#[test]
fn loopback_is_not_reached_from_outside() {
    on_a_host(|world| {
        let outside = world.outside();
        let a = world.attach(&network(5), endpoint(5, 2, &[port([127, 0, 0, 1], 8080, 80, Protocol::TCP)]));
        serve(&a.netns, 80);
        seen([127, 0, 0, 1], 8080);
        inside(&outside, || {
            ip(&["route", "del", "local", "127.0.0.0/8", "dev", "lo", "table", "local"]);
            ip(&["route", "del", "local", "127.0.0.1", "dev", "lo", "table", "local"]);
            ip(&["route", "add", "127.0.0.0/8", "via", "192.0.2.1", "src", "192.0.2.2"]);
            std::fs::write("/proc/sys/net/ipv4/conf/eth0/route_localnet", "1").expect("set");
            assert!(unreachable([127, 0, 0, 1], 8080));
        });
    });
}

#[test]
fn one_ipv6_address_only() {
    on_a_host(|world| {
        let outside = world.outside();
        let a = world.attach(&dual(5), dual_endpoint(5, 2, &[port6("2001:db8::1", 8080, 80, Protocol::TCP)]));
        serve(&a.netns, 80);
        assert_eq!(inside(&outside, || seen(at("2001:db8::1"), 8080)), "2001:db8::2");
        seen(at("2001:db8::1"), 8080);
        assert!(unreachable(at("fd00:5::1"), 8080));
    });
}

#[test]
fn the_ipv6_loopback_address_only() {
    on_a_host(|world| {
        let outside = world.outside();
        let ports = [port6("::1", 8081, 80, Protocol::TCP), port6("::1", 8081, 80, Protocol::UDP)];
        if std::path::Path::new("/proc/sys/net/bridge/bridge-nf-call-ip6tables").exists() {
            let error = world.try_attach(&dual(5), &dual_endpoint(5, 3, &ports), &namespace()).expect_err("filtered");
            assert_eq!(error.class, Class::UNSUPPORTED, "{error}");
        }
        without_bridge_filtering();
        let a = world.attach(&dual(5), dual_endpoint(5, 2, &ports));
        serve(&a.netns, 80);
        assert_eq!(seen(at("::1"), 8081), "fd00:5::1");
        assert_eq!(seen_udp(at("::1"), 8081), "fd00:5::1");
        assert!(unreachable(at("2001:db8::1"), 8081) && inside(&outside, || unreachable(at("2001:db8::1"), 8081)));
        // The host's own servers there are as reachable as before.
        let own = std::net::TcpListener::bind("[::1]:8082").expect("binds");
        assert!(std::net::TcpStream::connect(own.local_addr().expect("bound")).is_ok());
        world.detach(&dual(5), &a, false);
        assert!(unreachable(at("::1"), 8081));
        inside(&outside, || {
            // Not even with a route by the host does its loopback address answer outside.
            ip(&["addr", "del", "::1/128", "dev", "lo"]);
            ip(&["-6", "route", "add", "::1/128", "via", "2001:db8::1"]);
            assert!(unreachable(at("::1"), 8082));
        });
    });
}

#[test]
fn gateway_modes() {
    on_a_host(|world| {
        let outside = world.outside();
        let modes = |mode| [("gateway-mode-ipv4", mode), ("gateway-mode-ipv6", mode)];
        let open = world.attach(&with_options(dual(5), &modes("nat-unprotected")), dual_endpoint(5, 2, &[]));
        let routed = world.attach(&with_options(dual(6), &modes("routed")), dual_endpoint(6, 2, &published(8080)));
        serve(&outside, 90);
        for container in [&open, &routed] {
            serve(&container.netns, 80);
            serve(&container.netns, 81);
        }
        for (container, own, closed) in [(&open, "192.0.2.1", false), (&routed, "10.6.0.2", true)] {
            assert_eq!(inside(&outside, || seen(container.address(), 80)), "192.0.2.2");
            assert_eq!(inside(&outside, || seen_udp(container.address6(), 80)), "2001:db8::2");
            assert_eq!(inside(&outside, || unreachable(container.address6(), 81)), closed);
            assert_eq!(inside(&container.netns, || seen(at("192.0.2.2"), 90)), own);
        }
        assert!(inside(&outside, || unreachable(at("192.0.2.1"), 8080)), "nothing is translated");
        for address in [routed.address(), routed.address6()] {
            inside(&outside, || run("busybox", &["ping", "-c", "1", "-W", "3", &address.to_string()]));
        }
    });
}

#[test]
fn an_isolated_network_has_no_address_on_the_host() {
    on_a_host(|world| {
        let isolated = [("gateway-mode-ipv4", "isolated"), ("gateway-mode-ipv6", "isolated")];
        let network = NetworkSpec { internal: true, ..with_options(dual(5), &isolated) };
        let a = world.attach(&network, dual_endpoint(5, 2, &[]));
        let b = world.attach(&network, dual_endpoint(5, 3, &[]));
        serve(&a.netns, 80);
        assert_eq!(inside(&b.netns, || seen(a.address(), 80)), "10.5.0.3");
        assert_eq!(inside(&b.netns, || seen(a.address6(), 80)), "fd00:5::3");
        assert_eq!(run("ip", &["addr", "show", "br-050505050505"]).matches("inet").count(), 0);
        assert!(a.attachment.gateways.is_empty());
    });
}

#[test]
fn a_firewall_in_the_way_is_named() {
    on_a_host(|world| {
        run("nft", &["add", "table", "ip", "filter"]);
        run(
            "nft",
            &["add", "chain", "ip", "filter", "FORWARD", "{ type filter hook forward priority 0; policy drop; }"],
        );
        let a = world.attach(&network(5), endpoint(5, 2, &[]));
        assert_eq!(a.attachment.warnings.len(), 1, "{:?}", a.attachment.warnings);
        assert!(a.attachment.warnings[0].contains("iptables -I FORWARD -i br-050505050505 -j ACCEPT"));
        let again = world.attach(&network(5), endpoint(5, 3, &[]));
        assert!(again.attachment.warnings.is_empty(), "once is enough");
    });
}
