//! Networks are apart.

use super::world::*;
use gantry_plugin_api::prelude::*;

#[test]
fn two_bridges_do_not_talk() {
    on_a_host(|world| {
        let a = world.attach(&network(5), endpoint(5, 2, &[]));
        let b = world.attach(&network(6), endpoint(6, 2, &[]));
        for container in [&a, &b] {
            serve(&container.netns, 80);
        }
        assert!(inside(&a.netns, || unreachable([10, 6, 0, 2], 80)));
        assert!(inside(&b.netns, || unreachable([10, 5, 0, 2], 80)));
    });
}

#[test]
fn without_icc_only_published_ports_are_reached() {
    on_a_host(without_icc);
}

#[test]
fn without_icc_and_without_bridge_filtering() {
    on_a_host(|world| {
        without_bridge_filtering();
        without_icc(world);
    });
}

fn without_icc(world: &World) {
    let network = with_options(network(5), &[("icc", "false")]);
    let a = world.attach(&network, endpoint(5, 2, &[port([0; 4], 8080, 80, Protocol::TCP)]));
    let b = world.attach(&network, endpoint(5, 3, &[]));
    serve(&a.netns, 80);
    assert!(inside(&b.netns, || unreachable([10, 5, 0, 2], 80)), "neighbours are apart");
    assert_eq!(seen([10, 5, 0, 2], 80), "10.5.0.1");
    inside(&b.netns, || seen([10, 5, 0, 1], 8080));
}

#[test]
fn links_open_one_port_to_one_neighbour() {
    on_a_host(|world| {
        if !std::path::Path::new("/proc/sys/net/bridge/bridge-nf-call-iptables").exists() {
            eprintln!("skipped: the kernel lacks br_netfilter");
            return;
        }
        let network = with_options(dual(5), &[("icc", "false")]);
        let a = world.attach(&network, dual_endpoint(5, 2, &[]));
        serve(&a.netns, 80);
        serve(&a.netns, 81);
        let peer = |address| PeerPort { address, port: 80, protocol: Protocol::TCP };
        let links = vec![peer(a.address()), peer(a.address6())];
        let b = world.attach(&network, EndpointSpec { links, ..dual_endpoint(5, 3, &[]) });
        let c = world.attach(&network, dual_endpoint(5, 4, &[]));
        for address in [a.address(), a.address6()] {
            inside(&b.netns, || seen(address, 80));
            assert!(inside(&b.netns, || unreachable(address, 81)));
            assert!(inside(&c.netns, || unreachable(address, 80)));
        }
        world.detach(&network, &b, true);
        assert!(!firewall().contains("tcp . 80 }"), "{}", firewall());
    });
}

#[test]
fn containers_do_not_reach_the_hosts_loopback() {
    on_a_host(|world| {
        let own = std::fs::File::open("/proc/thread-self/ns/net").expect("own");
        let listener = std::net::TcpListener::bind("127.0.0.1:70").expect("on the loopback only");
        let a = world.attach(&network(5), endpoint(5, 2, &[]));
        inside(&a.netns, || {
            ip(&["route", "del", "local", "127.0.0.0/8", "dev", "lo", "table", "local"]);
            ip(&["route", "del", "local", "127.0.0.1", "dev", "lo", "table", "local"]);
            ip(&["route", "add", "127.0.0.0/8", "via", "10.5.0.1", "src", "10.5.0.2"]);
            std::fs::write("/proc/sys/net/ipv4/conf/eth0/route_localnet", "1").expect("set");
            assert!(unreachable([127, 0, 0, 1], 70));
        });
        assert!(firewall().contains("no way to the host's"));
        drop((listener, own));
    });
}
