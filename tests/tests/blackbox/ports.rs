//! Published ports: forms, conflicts, changes while the container runs, explanations.

use crate::need;
use gantry_tests::netns::on_a_host;
use gantry_tests::{World, eventually};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

fn free_port() -> u16 {
    TcpListener::bind("0.0.0.0:0").and_then(|l| l.local_addr()).expect("a free port").port()
}

fn answers(port: u16) -> bool {
    let fetch = || -> std::io::Result<String> {
        let address = format!("127.0.0.1:{port}").parse().expect("an address");
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text).map(|_| text)
    };
    fetch().is_ok_and(|text| text.contains("Hello from a container"))
}

fn web(world: &World, name: &str, options: &[&str]) {
    let words = [&["run", "-d", "--name", name][..], options, &["bb", "httpd", "-f", "-h", "/www"]].concat();
    world.gantry(words).ok();
}

#[test]
fn ports_of_a_running_container_come_and_go() {
    need!();
    let world = World::new();
    web(&world, "web", &[]);
    let (first, second) = (free_port(), free_port());
    world.gantry(["update", "--publish-add", &format!("{first}:80"), "web"]).ok();
    eventually("the new port answers", || answers(first));
    assert!(world.line("ps").ok().contains(&format!("0.0.0.0:{first}->80/tcp")));
    world
        .gantry(["update", "--publish-add", &format!("{second}:80"), "--publish-rm", &format!("{first}:80"), "web"])
        .ok();
    eventually("the second port answers", || answers(second));
    assert!(!answers(first));
    // Nobody holds the first one any more.
    TcpListener::bind(("0.0.0.0", first)).expect("free again");
    world.line("update --publish-rm 81 web").fails(1, "No public port '81/tcp'");
    world.line("restart -t 0 web").ok();
    eventually("the port outlives a restart", || answers(second));
    world.line("rm -f web").ok();
    world.assert_no_leaks();
}

#[test]
fn conflicts_are_found_before_anything_starts() {
    need!();
    let world = World::new();
    let taken = TcpListener::bind("0.0.0.0:0").expect("a port");
    let port = taken.local_addr().expect("bound").port();
    let run = world.gantry(["run", "--rm", "-p", &format!("{port}:80"), "bb", "true"]);
    run.fails(125, "bind: address already in use");
    world
        .gantry(["run", "--rm", "-p", "203.0.113.7:80:80", "bb", "true"])
        .fails(125, "cannot assign requested address\nHint: no interface of this host has the address");
    let free = free_port();
    web(&world, "web", &["-p", &format!("{free}:80")]);
    let error = TcpListener::bind(("0.0.0.0", free)).expect_err("the keeper holds it");
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    web(&world, "other", &["-p", &format!("127.0.0.1:{}:80", free_port())]);
    let update = world.gantry(["update", "--publish-add", &format!("{free}:80"), "other"]);
    update.fails(1, "port is already allocated");
    // What was to go stays when what was to come cannot.
    let spare = free_port();
    world.gantry(["update", "--publish-add", &format!("{spare}:80"), "other"]).ok();
    let both = ["update", "--publish-rm", &format!("{spare}:80"), "--publish-add", &format!("{free}:80"), "other"];
    world.gantry(both).fails(1, "port is already allocated");
    eventually("the old port answers", || answers(spare));
    world.line("rm -f web other").ok();
    TcpListener::bind(("0.0.0.0", free)).expect("free again");
    world.assert_no_leaks();
}

#[test]
fn ranges_random_ports_and_all_exposed_ones() {
    need!();
    let world = World::new();
    web(&world, "web", &["-P", "--expose", "80", "--expose", "53/udp", "-p", "127.0.0.1::80"]);
    let list = world.line("port web").ok();
    let random = world.line("port web 80").ok();
    let port: u16 =
        random.lines().next().and_then(|l| l.rsplit(':').next()).and_then(|p| p.parse().ok()).expect("a port");
    eventually("the random port answers", || answers(port));
    assert!(list.contains("53/udp -> 0.0.0.0:"), "{list}");
    world.line("port web 99").fails(1, "No public port '99/tcp' published for web");
    world.line("rm -f web").ok();
    let base = 41_000 + free_port() % 2000;
    web(&world, "many", &["-p", &format!("{}-{}:80-89", base, base + 9)]);
    assert_eq!(world.line("port many").ok().lines().filter(|l| l.contains("0.0.0.0")).count(), 10);
    assert!(world.line("ps").ok().contains(&format!("0.0.0.0:{base}-{}->80-89/tcp", base + 9)));
    eventually("the first of the range answers", || answers(base));
    world.line("rm -f many").ok();
    world.assert_no_leaks();
}

#[test]
fn ports_move_with_the_way_out() {
    need!();
    let world = World::new();
    world.network("a", &[]);
    world.network("b", &[]);
    let port = free_port();
    web(&world, "web", &["--network", "a", "-p", &format!("{port}:80")]);
    eventually("the port answers", || answers(port));
    world.line("network connect b web").ok();
    world.line("network disconnect a web").ok();
    eventually("the port answers by the other network", || answers(port));
    world.line("rm -f web").ok();
    world.line("network rm a b").ok();
    world.assert_no_leaks();
}

/// Answers that leave by another network than they came by are dropped where the host checks that (rp_filter).
#[test]
fn ports_follow_the_default_route() {
    need!();
    let world = World::new();
    let [a, b] = ["a", "b"].map(|name| world.network(name, &[]));
    let port = free_port();
    web(&world, "web", &["--network", "a", "-p", &format!("{port}:80")]);
    let leads_to = |subnet: &str| {
        let text = world.gantry(["port", "explain", &port.to_string()]).ok();
        assert!(text.contains(&format!("leads to {subnet}.")), "{subnet}: {text}");
        eventually("the port answers", || answers(port));
        assert_eq!(format!("80/tcp -> 0.0.0.0:{port}"), world.line("port web").ok().lines().next().unwrap_or_default());
    };
    leads_to(&a);
    world.line("network connect --gw-priority 1 b web").ok();
    leads_to(&b);
    world.line("network disconnect b web").ok();
    leads_to(&a);
    world.line("network connect b web").ok();
    leads_to(&a);
    world.line("rm -f web").ok();
    world.line("network rm a b").ok();
    world.assert_no_leaks();
}

#[test]
fn an_explanation_tells_of_a_firewall_that_was_flushed() {
    need!();
    on_a_host(|| {
        let world = World::new();
        web(&world, "web", &["-p", "18080:80"]);
        let explained = || world.line("port explain 18080").ok() + &world.line("network explain web").ok();
        assert!(!explained().contains("network reload"), "{}", explained());
        let flushed = std::process::Command::new("nft").args(["flush", "ruleset"]).status().expect("nft runs");
        assert!(flushed.success());
        let note = "no rule of the firewall leads 18080/tcp to container web: `gantry network reload` restores";
        assert_eq!(explained().matches(note).count(), 2, "{}", explained());
        world.line("network reload").ok();
        assert!(!explained().contains(note) && answers(18080));
        world.line("rm -f web").ok();
        world.assert_no_leaks();
    });
}

/// A firewall table of this test's own that stops one port, taken away at the end.
struct Wall(String);

impl Wall {
    fn against(port: u16) -> Wall {
        let table = format!("gtwall{port}");
        let rules = format!(
            "table inet {table} {{ chain in {{ type filter hook prerouting priority -400; tcp dport {port} drop comment \"not today\"; }}; }}"
        );
        let made = std::process::Command::new("nft").arg(rules).output().expect("nft runs");
        assert!(made.status.success(), "{made:?}");
        Wall(table)
    }
}

impl Drop for Wall {
    fn drop(&mut self) {
        let _ = std::process::Command::new("nft").args(["delete", "table", "inet", &self.0]).output();
    }
}

#[test]
fn ports_without_an_address_are_where_the_operator_wants_them() {
    need!();
    let world = World::new();
    world.configure("publish-addresses = [\"127.0.0.1\"]\n");
    let [first, second, third] = [free_port(), free_port(), free_port()];
    web(&world, "here", &["-p", &format!("{first}:80")]);
    assert_eq!(format!("80/tcp -> 127.0.0.1:{first}"), world.line("port here").ok());
    web(&world, "chosen", &["-p", &format!("0.0.0.0:{second}:80")]);
    assert_eq!(format!("80/tcp -> 0.0.0.0:{second}"), world.line("port chosen").ok());
    world.line("rm -f here chosen").ok();
    // A network of its own mind is heard by its driver, and what it does is shown, taken back and given free.
    world.configure("");
    world.network("inner", &["-o", "com.docker.network.bridge.host_binding_ipv4=127.0.0.1"]);
    web(&world, "inside", &["--network", "inner", "-p", &format!("{third}:80")]);
    assert_eq!(format!("80/tcp -> 127.0.0.1:{third}"), world.line("port inside").ok());
    let explained = world.gantry(["port", "explain", &third.to_string()]).ok();
    assert!(explained.contains(&format!("127.0.0.1:{third} is container inside")), "{explained}");
    world.gantry(["update", "--publish-rm", &format!("{third}:80"), "inside"]).ok();
    assert_eq!("", world.line("port inside").ok());
    TcpListener::bind(("0.0.0.0", third)).expect("the port is free again");
    world.line("rm -f inside").ok();
    world.line("network rm inner").ok();
    world.assert_no_leaks();
}

#[test]
fn explanations_name_the_owner_and_the_rule() {
    need!();
    let world = World::new();
    let own = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = own.local_addr().expect("bound").port();
    let text = world.gantry(["port", "explain", &taken.to_string()]).ok();
    assert!(text.contains(&format!("is process {}", std::process::id())), "{text}");
    let port = free_port();
    let spec = port.to_string();
    assert!(world.gantry(["port", "explain", &spec]).ok().contains("nobody has it"));
    web(&world, "web", &["-p", &format!("{port}:80")]);
    let text = world.gantry(["port", "explain", &spec]).ok();
    assert!(text.contains("is container web") && !text.contains("not today"), "{text}");
    let wall = Wall::against(port);
    let text = world.gantry(["port", "explain", &spec]).ok();
    assert!(text.contains(&format!("stopped by inet {} in", wall.0)) && text.contains("not today"), "{text}");
    let text = world.line("network explain web").ok();
    assert!(text.contains("default route: IPv4") && text.contains("not today"), "{text}");
    world.line("port explain x").fails(1, "invalid port: x");
    // A container of that name is asked for in the longer way.
    web(&world, "explain", &["-p", "127.0.0.1::80"]);
    assert!(world.line("container port explain").ok().contains("80/tcp -> 127.0.0.1:"));
    world.line("rm -f web explain").ok();
    world.assert_no_leaks();
}
