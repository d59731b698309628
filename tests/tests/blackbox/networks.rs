//! Networks that users make: their life, their addresses, several for one container, changes while it runs.

use crate::need;
use gantry_tests::{World, eventually};
use std::collections::BTreeSet;

/// A container that sleeps on networks.
fn sleeper(world: &World, name: &str, options: &[&str]) -> String {
    let words = [&["run", "-d", "--name", name][..], options, &["bb", "sleep", "300"]].concat();
    world.gantry(words).ok()
}

fn inside(world: &World, name: &str, script: &str) -> String {
    world.gantry(["exec", name, "sh", "-c", script]).ok()
}

/// The line of the default route, trimmed.
fn way_out(world: &World, name: &str) -> String {
    let routes = inside(world, name, "ip route");
    routes.lines().find(|line| line.starts_with("default")).unwrap_or_default().trim().to_owned()
}

fn network_field(world: &World, name: &str, network: &str, field: &str) -> String {
    world.inspect(name, &format!("{{{{(index .NetworkSettings.Networks \"{network}\").{field}}}}}"))
}

#[test]
fn a_network_lives_and_goes() {
    need!();
    let world = World::new();
    let subnet =
        world.network("web", &["--label", "tier=front", "-o", "com.docker.network.driver.mtu=1400", "--internal"]);
    let show = |format: &str| world.gantry(["network", "inspect", "-f", format, "web"]).ok();
    assert_eq!(show("{{(index .IPAM.Config 0).Subnet}}"), format!("{subnet}.0/24"));
    assert_eq!(show("{{(index .IPAM.Config 0).Gateway}}"), format!("{subnet}.1"));
    assert_eq!(show("{{.Internal}} {{.Driver}} {{.EnableIPv6}} {{.Labels.tier}}"), "true bridge false front");
    // As it was asked for, which programs compare with what they would ask for; and what holds.
    assert_eq!(show("{{.Options}} {{.GantryOptions.mtu}}"), "map[com.docker.network.driver.mtu:1400] 1400");
    world.line("network create web").fails(1, "network with name web already exists");
    world.gantry(["network", "create", "--subnet", &format!("{subnet}.128/25"), "x"]).fails(1, "Pool overlaps");
    assert_eq!(world.line("network ls -q --filter label=tier=front --no-trunc").ok(), show("{{.Id}}"));
    assert!(world.line("network ls --filter type=custom").ok().contains("web"));
    assert!(!world.line("network ls --filter type=builtin").ok().contains("web"));
    let id = show("{{.Id}}");
    assert_eq!(world.gantry(["network", "inspect", "-f", "{{.Name}}", &id[..8]]).ok(), "web");
    assert_eq!(world.line("network rm web").ok(), "web");
    world.line("network inspect web").fails(1, "network web not found");
    world.line("network rm web").fails(1, "network web not found");
    world.line("network rm -f web").ok();
    world.assert_no_leaks();
}

#[test]
fn what_cannot_be_is_said_and_leaves_nothing() {
    need!();
    let world = World::new();
    for (line, code, words) in [
        ("network rm bridge", 1, "pre-defined network and cannot be removed"),
        ("network create bridge", 1, "operation is not permitted on predefined bridge network"),
        ("network create -d host h", 1, "only one instance of \"host\" network is allowed"),
        ("network create -d nosuch n", 1, "nosuch"),
        ("network create --subnet 10.0.0.0/33 n", 1, "Invalid subnet 10.0.0.0/33"),
        ("network create --subnet 10.9.8.0/24 --gateway 10.9.9.1 n", 1, "no matching subnet for gateway 10.9.9.1"),
        ("network create --subnet 10.9.8.0/24 --ip-range 10.9.9.0/25 n", 1, "no matching subnet for range"),
        ("network create --gateway 10.9.9.1 n", 1, "every ip-range or gateway must have a corresponding subnet"),
        ("network create -o com.docker.network.driver.mtu=x --subnet 10.9.8.0/24 n", 1, "mtu"),
        ("network create --scope swarm n", 1, "invalid scope"),
        ("network create default", 1, "operation is not permitted on predefined default network"),
        ("network create --subnet 10.9.8.0/24 --gateway 10.9.8.0 n", 1, "Address already in use: 10.9.8.0"),
        ("network create --subnet 10.9.8.0/24 --gateway 10.9.8.9 --aux-address a=10.9.8.9 n", 1, "aux-address a"),
        ("network create --subnet 10.9.8.0/32 n", 1, "no address left for a container"),
        ("network create --subnet 127.1.0.0/16 n", 1, "loopback addresses are not for containers"),
        ("network create --subnet 10.9.8.0/24 -o name=gantry0 n", 1, "kept for the predefined network"),
        ("network connect nosuch x", 1, "No such container: x"),
        ("run --rm --network none --network web bb true", 125, "cannot attach both"),
        ("run --rm --ip 10.1.2.3 bb true", 125, "supported on user defined networks only"),
        ("run --rm --network-alias a bb true", 125, "only supported for user-defined networks"),
        ("run --rm --network container:x --network-alias a bb true", 125, "only supported for user-defined networks"),
        ("run --rm --network container:x --ip 10.1.2.3 bb true", 125, "supported on user defined networks only"),
        ("run --rm --network container: bb true", 125, "invalid container format container:<name|id>"),
        ("run --rm --network host --mac-address 02:00:00:00:00:01 bb true", 125, "mac-address and the network mode"),
        ("run --rm --network host --link x bb true", 125, "links are only supported for user-defined networks"),
        ("run --rm --network none --link x bb true", 125, "links are only supported for user-defined networks"),
        ("run --rm --mac-address 01:00:5e:00:00:01 bb true", 125, "names a group of interfaces"),
        ("run --rm --link-local-ip 1.2.3.4 bb true", 125, "invalid link-local IP address: 1.2.3.4"),
        ("run --rm --dns-search a..b bb true", 125, "a..b is not a valid domain"),
    ] {
        world.line(line).fails(code, words);
    }
    let names = world.gantry(["network", "ls", "--format", "{{.Name}}"]).ok();
    assert_eq!(names, "bridge\nhost\nnone");
    assert_eq!("", world.line("ps -aq").ok());
}

#[test]
fn a_setting_that_the_kernel_lacks_is_named() {
    need!();
    let world = World::new();
    world.network("n", &[]);
    let option = "driver-opt=com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.nosuch=1";
    let run = world.gantry(["run", "--rm", "--network", &format!("name=n,{option}"), "bb", "true"]);
    run.fails(125, "cannot set /proc/sys/net/ipv4/conf/eth0/nosuch: No such file");
    world.line("network rm n").ok();
    world.assert_no_leaks();
}

#[test]
fn addresses_are_chosen_or_given_and_stay() {
    need!();
    let world = World::new();
    let subnet = world.network("n", &[]);
    let (ip, mac) = (format!("{subnet}.77"), "02:00:5e:10:20:30");
    sleeper(&world, "fixed", &["--network", "n", "--ip", &ip, "--mac-address", mac]);
    assert_eq!(network_field(&world, "fixed", "n", "IPAddress"), ip);
    assert_eq!(inside(&world, "fixed", "cat /sys/class/net/eth0/address"), mac);
    let taken = world.gantry(["run", "--rm", "--network", "n", "--ip", &ip, "bb", "true"]);
    taken.fails(125, "Address already in use");
    let outside = world.line("run --rm --network n --ip 1.2.3.4 bb true");
    outside.fails(125, "does not belong to any of this network's subnets");
    sleeper(&world, "any", &["--network", "n"]);
    let first = network_field(&world, "any", "n", "IPAddress");
    assert_eq!(first, format!("{subnet}.2"));
    world.line("stop -t 0 any").ok();
    // It is the container's while that exists.
    sleeper(&world, "next", &["--network", "n"]);
    assert_eq!(network_field(&world, "next", "n", "IPAddress"), format!("{subnet}.3"));
    world.line("start any").ok();
    assert_eq!(network_field(&world, "any", "n", "IPAddress"), first);
    world.line("network rm n").fails(1, "has active endpoints");
    world.line("rm -f any next fixed").ok();
    world.line("network rm n").ok();
    world.assert_no_leaks();
}

#[test]
fn an_ip_range_narrows_and_auxiliary_addresses_are_left_out() {
    need!();
    let world = World::new();
    let subnet = world.network("probe", &[]);
    world.line("network rm probe").ok();
    let (cidr, range) = (format!("{subnet}.0/24"), format!("{subnet}.64/29"));
    let (gateway, aux) = (format!("{subnet}.1"), format!("router={subnet}.65"));
    world
        .gantry([
            "network",
            "create",
            "--subnet",
            &cidr,
            "--ip-range",
            &range,
            "--gateway",
            &gateway,
            "--aux-address",
            &aux,
            "n",
        ])
        .ok();
    let got: Vec<String> = ["c1", "c2"]
        .iter()
        .map(|name| {
            sleeper(&world, name, &["--network", "n"]);
            network_field(&world, name, "n", "IPAddress")
        })
        .collect();
    assert_eq!(got, [format!("{subnet}.64"), format!("{subnet}.66")]);
    world.line("rm -f c1 c2").ok();
    world.line("network rm n").ok();
    world.assert_no_leaks();
}

#[test]
fn many_starts_at_once_get_different_addresses() {
    need!();
    let world = World::new();
    world.network("n", &[]);
    let runs: Vec<_> = (0..24)
        .map(|n| world.spawn(["run", "-d", "--name", &format!("c{n}"), "--network", "n", "bb", "sleep", "300"]))
        .collect();
    runs.into_iter().for_each(|run| drop(run.end().ok()));
    let addresses: BTreeSet<String> =
        (0..24).map(|n| network_field(&world, &format!("c{n}"), "n", "IPAddress")).collect();
    assert_eq!(addresses.len(), 24, "{addresses:?}");
    world.assert_no_leaks();
}

#[test]
fn both_families_are_given() {
    need!();
    let world = World::new();
    world.network("n", &["--ipv6"]);
    sleeper(&world, "six", &["--network", "n"]);
    let v6 = network_field(&world, "six", "n", "GlobalIPv6Address");
    assert!(v6.starts_with("fd"), "{v6}");
    assert!(inside(&world, "six", "ip -6 addr show dev eth0").contains(&v6));
    let run = world.gantry(["run", "--rm", "--network", "n", "bb", "ping", "-c1", "-W5", &v6]);
    assert!(run.ok().contains("1 packets received"));
    world.line("rm -f six").ok();
    world.line("network rm n").ok();
    world.assert_no_leaks();
}

#[test]
fn several_networks_and_the_way_out() {
    need!();
    let world = World::new();
    let (a, b) = (world.network("a", &[]), world.network("b", &[]));
    sleeper(&world, "two", &["--network", "a", "--network", "name=b,gw-priority=5,alias=other"]);
    let links = inside(&world, "two", "ls /sys/class/net");
    assert!(links.contains("eth0") && links.contains("eth1"), "{links}");
    assert_eq!(way_out(&world, "two"), format!("default via {b}.1 dev eth1"));
    world.line("network disconnect b two").ok();
    assert_eq!(way_out(&world, "two"), format!("default via {a}.1 dev eth0"));
    assert!(!inside(&world, "two", "ls /sys/class/net").contains("eth1"));
    assert_eq!(world.gantry(["ps", "--format", "{{.Networks}}"]).ok(), "a");
    world.line("network disconnect b two").fails(1, "is not connected to network b");
    world.line("network connect a two").fails(1, "already exists in network a");
    world.line("rm -f two").ok();
    world.line("network rm a b").ok();
    world.assert_no_leaks();
}

#[test]
fn networks_are_joined_in_the_order_given() {
    need!();
    let world = World::new();
    for name in ["zebra", "ape", "mole"] {
        world.network(name, &["--internal"]);
    }
    sleeper(&world, "cc", &["--network", "mole", "--network", "zebra", "--network", "ape"]);
    let address = |network: &str| network_field(&world, "cc", network, "IPAddress");
    let of = |interface: &str| inside(&world, "cc", &format!("ip -4 -o addr show {interface}"));
    for (interface, network) in [("eth0", "mole"), ("eth1", "zebra"), ("eth2", "ape")] {
        assert!(of(interface).contains(&format!(" {}/", address(network))), "{network}");
    }
    assert_eq!(world.gantry(["ps", "--format", "{{.Networks}}"]).ok(), "mole,zebra,ape");
    world.line("restart -t 0 cc").ok();
    assert!(of("eth1").contains(&address("zebra")));
    let id = world.line("network inspect -f {{.Id}} ape").ok();
    let twice = ["run", "--rm", "--network", "mole", "--network", "ape", "--network", &id, "bb", "true"];
    world.gantry(twice).fails(125, "is specified multiple times");
    world.line("rm -f cc").ok();
    world.line("network rm zebra ape mole").ok();
    world.assert_no_leaks();
}

#[test]
fn running_and_stopped_containers_are_connected() {
    need!();
    let world = World::new();
    let (a, b) = (world.network("a", &[]), world.network("b", &[]));
    sleeper(&world, "cc", &["--network", "a"]);
    let inode = inside(&world, "cc", "stat -c %i /etc/hosts");
    world.gantry(["network", "connect", "--ip", &format!("{b}.9"), "b", "cc"]).ok();
    assert!(inside(&world, "cc", "ip -4 addr show dev eth1").contains(&format!("{b}.9/24")));
    assert!(inside(&world, "cc", "cat /etc/hosts").contains(&format!("{b}.9\t")));
    assert_eq!(inode, inside(&world, "cc", "stat -c %i /etc/hosts"));
    assert!(way_out(&world, "cc").contains(&format!("{a}.1")));
    assert!(world.line("network inspect b").ok().contains(&format!("{b}.9/24")));
    world.line("network disconnect a cc").ok();
    assert!(way_out(&world, "cc").contains(&format!("{b}.1")));
    assert!(!inside(&world, "cc", "cat /etc/hosts").contains(&format!("{a}.")));
    world.line("stop -t 0 cc").ok();
    world.line("network connect a cc").ok();
    world.line("network disconnect b cc").ok();
    world.line("start cc").ok();
    assert!(way_out(&world, "cc").contains(&format!("{a}.1")));
    assert_eq!(world.gantry(["ps", "--format", "{{.Networks}}"]).ok(), "a");
    world.line("rm -f cc").ok();
    world.line("network rm a b").ok();
    world.assert_no_leaks();
}

#[test]
fn private_modes_connect_to_nothing() {
    need!();
    let world = World::new();
    world.network("a", &[]);
    world.detached("lonely", "sleep 300");
    world.line("network connect a lonely").fails(1, "private (none) mode");
    world.line("run -d --name hosted --network host bb sleep 300").ok();
    world.line("network connect a hosted").fails(1, "connected to host network");
    world.line("run -d --name base bb sleep 300").ok();
    world.line("run -d --name guest --network container:base bb sleep 300").ok();
    world.line("network connect a guest").fails(1, "cannot be connected to any other network");
    for option in ["-p 8080:80", "-h box", "--dns 1.1.1.1", "--add-host a:1.1.1.1"] {
        let line = format!("run --rm --network container:base {option} bb true");
        world.line(&line).fails(125, "conflicting options");
    }
    world.line("rm -f lonely hosted base guest").ok();
    world.line("network rm a").ok();
    world.assert_no_leaks();
}

#[test]
fn prune_takes_what_nobody_uses() {
    need!();
    let world = World::new();
    world.network("used", &[]);
    world.network("idle", &["--label", "keep=no"]);
    world.network("other", &[]);
    world.line("create --name cc --network used bb true").ok();
    let pruned = world.line("network prune -f --filter label=keep=no").ok();
    assert_eq!(pruned.trim(), "Deleted Networks:\nidle");
    world.fed(["network", "prune"], b"n\n").ok();
    assert!(world.line("network prune -f").ok().contains("other"));
    assert!(world.line("network ls").ok().contains("used"));
    world.line("rm cc").ok();
    world.line("network rm used").ok();
    world.assert_no_leaks();
}

#[test]
fn a_killed_connect_is_put_right() {
    need!();
    let world = World::new();
    world.network("a", &[]);
    world.network("b", &[]);
    sleeper(&world, "cc", &["--network", "a"]);
    for delay in [0, 2, 4, 6, 8, 10, 12, 15, 20, 30] {
        let run = world.spawn(["network", "connect", "b", "cc"]);
        std::thread::sleep(std::time::Duration::from_millis(delay));
        run.signal(nix::sys::signal::Signal::SIGKILL);
        run.end();
        world.line("network reload").ok();
        let joined = world.gantry(["ps", "--format", "{{.Networks}}"]).ok().contains('b');
        eventually("notes and namespace agree", || {
            inside(&world, "cc", "ls /sys/class/net").contains("eth1") == joined
        });
        if joined {
            world.line("network disconnect b cc").ok();
        }
        assert!(!inside(&world, "cc", "ls /sys/class/net").contains("eth1"), "after {delay} ms");
    }
    world.line("rm -f cc").ok();
    world.line("network rm a b").ok();
    world.assert_no_leaks();
}

#[test]
fn a_deleted_bridge_comes_back() {
    need!();
    let world = World::new();
    let subnet = world.network("n", &["-o", "com.docker.network.bridge.name=gtreload0"]);
    sleeper(&world, "cc", &["--network", "n"]);
    let _ = std::process::Command::new("ip").args(["link", "del", "gtreload0"]).output();
    assert!(!std::path::Path::new("/sys/class/net/gtreload0").exists());
    assert_eq!(world.line("network reload cc").ok(), "n");
    let run = world.gantry(["run", "--rm", "--network", "n", "bb", "ping", "-c1", "-W5", &format!("{subnet}.2")]);
    assert!(run.ok().contains("1 packets received"));
    world.line("rm -f cc").ok();
    world.line("network rm n").ok();
    assert!(!std::path::Path::new("/sys/class/net/gtreload0").exists());
    world.assert_no_leaks();
}
