//! The default bridge, no network, the host's.

use crate::need;
use gantry_tests::World;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Fetches the page of a web server.
fn fetch(address: &str) -> Option<String> {
    let address = address.parse().expect("an address and a port");
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn serves(address: &str) -> bool {
    gantry_tests::within(Duration::from_secs(10), || {
        fetch(address).is_some_and(|a| a.contains("Hello from a container"))
    })
}

#[test]
fn a_web_server_answers_the_host() {
    need!();
    let world = World::new();
    world.line("run -d --name web bb httpd -f -v -h /www").ok();
    let address = world.inspect("web", "{{.NetworkSettings.IPAddress}}");
    assert!(address.starts_with(&format!("{}.", world.subnet)), "{address}");
    assert_eq!(address, world.inspect("web", "{{.NetworkSettings.Networks.bridge.IPAddress}}"));
    assert!(serves(&format!("{address}:80")));
    gantry_tests::eventually("the visit is logged", || {
        world.line("logs web").stderr.contains("response:200") || world.line("logs web").stdout.contains("response:200")
    });
    world.line("stop -t 0 web").ok();
    assert!(fetch(&format!("{address}:80")).is_none());
    assert_eq!("", world.inspect("web", "{{.NetworkSettings.IPAddress}}"));
    world.assert_no_leaks();
}

#[test]
fn a_published_port_answers_on_the_host() {
    need!();
    let world = World::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    let run =
        world.gantry(["run", "-d", "--name", "pub", "-p", &format!("{port}:80"), "bb", "httpd", "-f", "-h", "/www"]);
    run.ok();
    assert!(serves(&format!("127.0.0.1:{port}")));
    let again = world.gantry(["run", "--rm", "-p", &format!("{port}:80"), "bb", "true"]);
    again.fails(125, "port is already allocated");
    assert!(world.line("port pub").ok().contains(&format!("80/tcp -> 0.0.0.0:{port}")));
    let shown = world.gantry(["ps", "--format", "{{.Ports}}"]).ok();
    assert!(shown.contains(&format!("0.0.0.0:{port}->80/tcp")), "{shown}");
    assert!(world.line("ps").ok().contains(&shown));
    world.line("rm -f pub").ok();
    assert!(fetch(&format!("127.0.0.1:{port}")).is_none());
    world.assert_no_leaks();
}

#[test]
fn containers_of_a_bridge_reach_each_other() {
    need!();
    let world = World::new();
    world.line("run -d --name one bb httpd -f -h /www").ok();
    let address = world.inspect("one", "{{.NetworkSettings.IPAddress}}");
    let url = format!("http://{address}/");
    let run = world.gantry(["run", "--rm", "bb", "wget", "-qO-", &url]);
    assert_eq!("Hello from a container", run.ok());
    world.assert_no_leaks();
}

#[test]
fn addresses_are_given_back() {
    need!();
    let world = World::new();
    let address = || world.line("run --rm bb hostname -i").ok();
    let first = address();
    assert_eq!(first, address());
    world.line("run -d --name keep bb sleep 300").ok();
    assert_ne!(first, address());
    world.line("rm -f keep").ok();
    for _ in 0..3 {
        assert_eq!(first, address());
    }
    world.assert_no_leaks();
}

#[test]
fn a_container_knows_itself_and_its_resolver() {
    need!();
    let world = World::new();
    let run = world
        .line("run --rm --name me -h box --dns 1.2.3.4 --dns-search example.org bb cat /etc/hosts /etc/resolv.conf");
    let text = run.ok();
    assert!(text.contains("127.0.0.1\tlocalhost"), "{text}");
    assert!(text.contains(&format!("{}.2\tbox", world.subnet)), "{text}");
    assert!(text.contains("nameserver 1.2.3.4") && text.contains("search example.org"), "{text}");
}

#[test]
fn none_has_a_loopback_alone() {
    need!();
    let world = World::new();
    let links = world.shell("ls /sys/class/net; cat /sys/class/net/lo/operstate; ip -o addr show lo | wc -l").ok();
    assert!(links.starts_with("lo\n") && links.lines().count() == 3, "{links}");
    assert_eq!("", world.shell("ip route").ok());
}

#[test]
fn host_is_the_host_s() {
    need!();
    let world = World::new();
    let ours = std::fs::read_link("/proc/self/ns/net").expect("a namespace");
    let theirs = world.line("run --rm --network host bb readlink /proc/self/ns/net").ok();
    assert_eq!(ours.to_string_lossy(), theirs);
    world.assert_no_leaks();
}

#[test]
fn another_container_s_network_can_be_shared() {
    need!();
    let world = World::new();
    world.line("run -d --name base bb httpd -f -h /www").ok();
    let run = world.line("run --rm --network container:base bb wget -qO- http://127.0.0.1/");
    assert_eq!("Hello from a container", run.ok());
    world.assert_no_leaks();
}

#[test]
fn unknown_networks_are_told_with_the_known_ones() {
    need!();
    let world = World::new();
    world.line("run --rm --network nosuch bb true").fails(125, "network nosuch not found").fails(125, "bridge");
    assert_eq!("", world.line("ps -aq").ok());
    let list = world.line("network ls").ok();
    for word in ["NETWORK ID", "bridge", "host", "none", "local"] {
        assert!(list.contains(word), "{word} in {list}");
    }
}

#[test]
fn the_bridge_has_the_configured_name() {
    need!();
    let world = World::new();
    world.line("run --rm bb true").ok();
    assert!(std::path::Path::new("/sys/class/net").join(world.bridge()).exists());
    let subnet = world.gantry(["network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", "bridge"]);
    assert_eq!(format!("{}.0/24", world.subnet), subnet.ok());
}
