//! Who reaches whom, through the command line: two machines outside, two networks, TCP and UDP, IPv4 and IPv6, and what a
//! server sees of its caller. The engine runs in a network namespace of the test's own, which plays the host, so that
//! addresses, routes and firewall are known and nobody else's.

use crate::need;
use gantry_tests::netns::{self, inside, routed_outside};
use gantry_tests::{World, within};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const ARRIVES: Duration = Duration::from_secs(5);
const NEVER_ARRIVES: Duration = Duration::from_millis(400);

/// What a host's own firewall may say.
const FORWARDS_NOTHING: &str =
    "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }";

/// Runs a test on a host of its own with two machines outside: 192.0.2.2 with 2001:db8::2, and 198.51.100.2 with
/// 2001:db8:1::2, the host being .1 and ::1.
fn on_a_host(test: impl FnOnce(&World, &File, &File) + Send + 'static) {
    netns::on_a_host(|| {
        let one = routed_outside("out0", "192.0.2.", "2001:db8::");
        let two = routed_outside("out1", "198.51.100.", "2001:db8:1::");
        test(&World::new(), &one, &two);
    });
}

fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().expect("an address"), port)
}

fn call_tcp(to: SocketAddr, patience: Duration) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&to, patience).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn call_udp(to: SocketAddr, patience: Duration) -> Option<String> {
    let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).ok()?;
    socket.connect(to).ok()?;
    socket.set_read_timeout(Some(patience)).ok()?;
    socket.send(b"?").ok()?;
    let mut buffer = [0; 128];
    let length = socket.recv(&mut buffer).ok()?;
    Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// The address that the server sees, over TCP on one port and over UDP on another.
fn seen(host: &str, tcp: u16, udp: u16) -> [String; 2] {
    let mut answers = [None, None];
    within(Duration::from_secs(20), || {
        answers[0] = answers[0].take().or_else(|| call_tcp(at(host, tcp), ARRIVES));
        answers[1] = answers[1].take().or_else(|| call_udp(at(host, udp), ARRIVES));
        answers.iter().all(Option::is_some)
    });
    answers.map(|answer| answer.unwrap_or_else(|| format!("no answer from {host}")))
}

fn both(address: &str) -> [String; 2] {
    [address.to_owned(), address.to_owned()]
}

fn unreachable(host: &str) -> bool {
    call_tcp(at(host, 80), NEVER_ARRIVES).is_none() && call_udp(at(host, 53), NEVER_ARRIVES).is_none()
}

/// The namespace of a running container.
fn netns_of(world: &World, name: &str) -> File {
    let pid = world.inspect(name, "{{.State.Pid}}");
    File::open(format!("/proc/{pid}/ns/net")).expect("it runs")
}

fn address(world: &World, name: &str, network: &str, field: &str) -> String {
    world.inspect(name, &format!("{{{{(index .NetworkSettings.Networks \"{network}\").{field}}}}}"))
}

/// A running container in whose namespace every caller is told its address, over TCP on port 80 and UDP on port 53, in
/// both families, until this is dropped: sockets would keep the namespace when the container is gone.
struct Server {
    netns: File,
    ends: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

fn server(world: &World, name: &str, options: &[&str]) -> Server {
    let words = [&["run", "-d", "--name", name][..], options, &["bb", "sleep", "300"]].concat();
    world.gantry(words).ok();
    let netns = netns_of(world, name);
    let ends = Arc::new(AtomicBool::new(false));
    let (tcp, udp) =
        inside(&netns, || (TcpListener::bind("[::]:80").expect("tcp"), UdpSocket::bind("[::]:53").expect("udp")));
    tcp.set_nonblocking(true).expect("set");
    udp.set_read_timeout(Some(Duration::from_millis(20))).expect("set");
    let told = |peer: SocketAddr| peer.ip().to_canonical().to_string();
    let (tcp_ends, udp_ends) = (ends.clone(), ends.clone());
    let greets = std::thread::spawn(move || {
        while !tcp_ends.load(Ordering::Relaxed) {
            match tcp.accept() {
                Ok((mut stream, peer)) => drop(stream.write_all(told(peer).as_bytes())),
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    });
    let echoes = std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while !udp_ends.load(Ordering::Relaxed) {
            if let Ok((_, peer)) = udp.recv_from(&mut buffer) {
                let _ = udp.send_to(told(peer).as_bytes(), peer);
            }
        }
    });
    Server { netns, ends, threads: vec![greets, echoes] }
}

#[test]
fn who_reaches_whom() {
    need!();
    on_a_host(|world, one, two| {
        let subnet = world.network("first", &["--ipv6"]);
        world.network("second", &["--ipv6"]);
        world.network("inner", &["--internal"]);
        let published = ["--network", "first", "-p", "8080:80", "-p", "5353:53/udp"];
        let a = server(world, "box-a", &published);
        let b = server(world, "box-b", &["--network", "first"]);
        let c = server(world, "box-c", &["--network", "second"]);
        let d = server(world, "box-d", &["--network", "inner"]);
        let (a4, a6) =
            (address(world, "box-a", "first", "IPAddress"), address(world, "box-a", "first", "GlobalIPv6Address"));
        let c4 = address(world, "box-c", "second", "IPAddress");
        let d4 = address(world, "box-d", "inner", "IPAddress");
        for (outside, v4, v6) in [(one, "192.0.2.2", "2001:db8::2"), (two, "198.51.100.2", "2001:db8:1::2")] {
            assert_eq!(inside(outside, || seen("192.0.2.1", 8080, 5353)), both(v4), "published, caller seen");
            assert_eq!(inside(outside, || seen("2001:db8::1", 8080, 5353)), both(v6), "published, caller seen");
            for own in [&a4, &a6, &c4, &d4] {
                assert!(inside(outside, || unreachable(own)), "{own} is reached from outside");
            }
        }
        for host in ["127.0.0.1", "192.0.2.1", "2001:db8::1"] {
            assert!(!seen(host, 8080, 5353).concat().contains("no answer"), "{host} from the host");
        }
        for netns in [&a.netns, &b.netns, &c.netns] {
            for host in ["192.0.2.1", "2001:db8::1"] {
                let answers = inside(netns, || seen(host, 8080, 5353));
                assert!(!answers.concat().contains("no answer"), "{host} from a container: {answers:?}");
            }
        }
        assert_eq!(inside(&c.netns, || seen("192.0.2.1", 8080, 5353)), both(&c4), "another network's address is kept");
        assert_eq!(seen(&a4, 80, 53), both(&format!("{subnet}.1")), "the host reaches its containers");
        assert!(!inside(&b.netns, || seen(&a6, 80, 53)).concat().contains("no answer"), "neighbours reach each other");
        for (from, to) in [(&c.netns, &a4), (&c.netns, &a6), (&a.netns, &c4), (&d.netns, &a4), (&a.netns, &d4)] {
            assert!(inside(from, || unreachable(to)), "{to} is reached from another network");
        }
        drop((a, b, c, d));
        world.line("rm -f box-a box-b box-c box-d").ok();
        assert!(inside(one, || call_tcp(at("192.0.2.1", 8080), NEVER_ARRIVES)).is_none());
        world.line("network rm first second inner").ok();
        world.assert_no_leaks();
    });
}

#[test]
fn macvlan_with_and_without_the_host() {
    need!();
    on_a_host(|world, one, _| {
        let lan = ["network", "create", "-d", "macvlan", "--subnet", "192.0.2.0/24", "--ip-range", "192.0.2.128/25"];
        let rest = ["--gateway", "192.0.2.2", "-o", "parent=out0"];
        world.gantry(lan.iter().chain(&rest).chain(&["-o", "host-access=true", "near"])).ok();
        let a = server(world, "box-a", &["--network", "near", "--ip", "192.0.2.130"]);
        assert_eq!(inside(one, || seen("192.0.2.130", 80, 53)), both("192.0.2.2"));
        assert_eq!(seen("192.0.2.130", 80, 53), both("192.0.2.1"), "host-access");
        drop(a);
        world.line("rm -f box-a").ok();
        world.line("network rm near").ok();
        world.gantry(lan.iter().chain(&rest).chain(&["far"])).ok();
        let b = server(world, "box-b", &["--network", "far", "--ip", "192.0.2.131"]);
        assert_eq!(inside(one, || seen("192.0.2.131", 80, 53)), both("192.0.2.2"));
        assert!(unreachable("192.0.2.131"));
        // Its packets do not pass the host, so nothing there can be in their way.
        netns::run("nft", &[FORWARDS_NOTHING]);
        let text = world.line("network explain box-b").ok();
        assert!(text.contains("default route: IPv4") && !text.contains("outside"), "{text}");
        drop(b);
        world.line("rm -f box-b").ok();
        world.line("network rm far").ok();
        world.assert_no_leaks();
    });
}

#[test]
fn a_closed_way_is_explained() {
    need!();
    on_a_host(|world, _, _| {
        world.network("open", &[]);
        world.line("run -d --name web --network open -p 18080:80 bb sleep 300").ok();
        let explained = || world.line("port explain 18080").ok();
        let text = explained();
        assert!(text.contains("from out0 to 192.0.2.1: open"), "{text}");
        assert!(!text.contains("2001:db8") && !text.contains("::1"), "the container has no IPv6 address: {text}");
        netns::run("nft", &[FORWARDS_NOTHING]);
        let text = explained();
        assert!(text.contains("stopped by ip filter FORWARD: policy drop"), "{text}");
        world.line("rm -f web").ok();
        world.line("network rm open").ok();
        world.assert_no_leaks();
    });
}
