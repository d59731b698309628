//! Names of containers: the resolver at 127.0.0.11, and the three files of `/etc`.

use crate::need;
use gantry_tests::{World, eventually};

fn sleeper(world: &World, name: &str, options: &[&str]) {
    let words = [&["run", "-d", "--name", name][..], options, &["bb", "sleep", "300"]].concat();
    world.gantry(words).ok();
}

/// What a name means inside a container; empty when nothing.
fn look_up(world: &World, asker: &str, name: &str) -> String {
    world.gantry(["exec", asker, "nslookup", name]).stdout
}

fn finds(world: &World, asker: &str, name: &str, address: &str) {
    eventually(&format!("{asker} finds {name} at {address}"), || look_up(world, asker, name).contains(address));
}

#[test]
fn containers_find_each_other() {
    need!();
    let world = World::new();
    let subnet = world.network("net", &[]);
    sleeper(&world, "asker", &["--network", "net"]);
    sleeper(&world, "web", &["--network", "net", "--network-alias", "www", "-h", "box"]);
    let address = format!("{subnet}.3");
    let id = world.inspect("web", "{{.Id}}");
    for name in ["web", "WEB", "www", "box", "web.net", &id[..12]] {
        finds(&world, "asker", name, &address);
    }
    let reverse = look_up(&world, "asker", &address);
    assert!(reverse.contains("web.net"), "{reverse}");
    let told = world.line("network dns asker www").ok();
    assert!(told.contains(&format!("A    network net: {address} (")), "{told}");
    assert!(told.contains("AAAA network net: a name of ours, without such an address"), "{told}");
    assert!(world.gantry(["network", "dns", "asker", &address]).ok().contains("PTR  network net: web.net ("));
    let resolv = world.line("exec asker cat /etc/resolv.conf").ok();
    assert!(resolv.starts_with("nameserver 127.0.0.11\n") && resolv.contains("ndots:0"), "{resolv}");
    world.line("rename web shop").ok();
    finds(&world, "asker", "shop", &address);
    world.line("rm -f shop").ok();
    assert!(!look_up(&world, "asker", "shop").contains(&address));
    world.line("rm -f asker").ok();
    world.line("network rm net").ok();
    world.assert_no_leaks();
}

#[test]
fn names_come_and_go_with_networks() {
    need!();
    let world = World::new();
    let (a, _) = (world.network("a", &[]), world.network("b", &[]));
    sleeper(&world, "one", &["--network", "a"]);
    sleeper(&world, "two", &["--network", "b"]);
    assert!(!look_up(&world, "two", "one").contains(&format!("{a}.2")));
    world.line("network connect --alias second a two").ok();
    finds(&world, "two", "one", &format!("{a}.2"));
    finds(&world, "one", "second", &format!("{a}.3"));
    world.line("network disconnect a two").ok();
    assert!(!look_up(&world, "one", "second").contains(&format!("{a}.3")));
    world.line("rm -f one two").ok();
    world.line("network rm a b").ok();
    world.assert_no_leaks();
}

#[test]
fn a_container_of_the_default_network_learns_names_later() {
    need!();
    let world = World::new();
    let subnet = world.network("net", &[]);
    sleeper(&world, "plain", &[]);
    sleeper(&world, "web", &["--network", "net"]);
    assert!(!world.line("exec plain cat /etc/resolv.conf").ok().contains("127.0.0.11"));
    world.line("network connect net plain").ok();
    assert!(world.line("exec plain cat /etc/resolv.conf").ok().contains("127.0.0.11"));
    finds(&world, "plain", "web", &format!("{subnet}.2"));
    world.line("rm -f plain web").ok();
    world.line("network rm net").ok();
    world.assert_no_leaks();
}

#[test]
fn a_killed_pump_s_successor_resolves_as_well() {
    need!();
    let world = World::new();
    let subnet = world.network("net", &[]);
    sleeper(&world, "web", &["--network", "net"]);
    finds(&world, "web", "web", &format!("{subnet}.2"));
    let id = world.inspect("web", "{{.Id}}");
    let pump = world.supervisors(&id).1.expect("a pump");
    gantry_tests::process::murder(pump);
    eventually("a new pump", || world.supervisors(&id).1.is_some_and(|new| new != pump));
    finds(&world, "web", "web", &format!("{subnet}.2"));
    world.line("restart -t 0 web").ok();
    finds(&world, "web", "web", &format!("{subnet}.2"));
    world.line("rm -f web").ok();
    world.line("network rm net").ok();
    world.assert_no_leaks();
}

#[test]
fn port_53_is_the_container_s() {
    need!();
    let world = World::new();
    let subnet = world.network("net", &[]);
    world.line("run -d --name server --network net bb httpd -f -p 53 -h /www").ok();
    sleeper(&world, "asker", &["--network", "net"]);
    finds(&world, "server", "asker", &format!("{subnet}.3"));
    let url = format!("http://{subnet}.2:53/");
    let page = || world.gantry(["exec", "asker", "wget", "-qO-", &url]).stdout;
    eventually("the container serves on port 53", || page().contains("Hello from a container"));
    world.line("rm -f server asker").ok();
    world.line("network rm net").ok();
    world.assert_no_leaks();
}

#[test]
fn links_on_the_default_network() {
    need!();
    let world = World::new();
    world.line("run -d --name db --expose 5432 -e COLOUR=blue bb sleep 300").ok();
    let address = world.inspect("db", "{{.NetworkSettings.IPAddress}}");
    let text = world
        .gantry(["run", "--rm", "--name", "app", "--link", "db:store", "bb", "sh", "-c", "cat /etc/hosts; env"])
        .ok();
    let id = world.inspect("db", "{{.Id}}");
    assert!(text.contains(&format!("{address}\tstore {} db", &id[..12])), "{text}");
    for line in [
        format!("STORE_PORT=tcp://{address}:5432"),
        format!("STORE_PORT_5432_TCP_ADDR={address}"),
        "STORE_PORT_5432_TCP_PROTO=tcp".to_owned(),
        "STORE_NAME=/app/store".to_owned(),
        "STORE_ENV_COLOUR=blue".to_owned(),
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in {text}");
    }
    world.line("stop -t 0 db").ok();
    world.line("run --rm --link db bb true").fails(125, "Cannot link to a non running container");
    world.line("run --rm --link nosuch bb true").fails(125, "could not get container for nosuch");
    world.line("rm -f db").ok();
    world.assert_no_leaks();
}

#[test]
fn links_on_a_network_of_one_s_own_are_names_of_the_linker_alone() {
    need!();
    let world = World::new();
    let subnet = world.network("net", &[]);
    sleeper(&world, "db", &["--network", "net"]);
    sleeper(&world, "app", &["--network", "net", "--link", "db:store"]);
    sleeper(&world, "other", &["--network", "net"]);
    finds(&world, "app", "store", &format!("{subnet}.2"));
    assert!(!look_up(&world, "other", "store").contains(&format!("{subnet}.2")));
    assert!(!world.line("exec app env").ok().contains("STORE_"));
    world.line("rm -f db app other").ok();
    world.line("network rm net").ok();
    world.assert_no_leaks();
}

#[test]
fn hosts_of_one_s_own() {
    need!();
    let world = World::new();
    let subnet = world.network("net", &[]);
    let run = world.gantry([
        "run",
        "--rm",
        "--network",
        "net",
        "-h",
        "box.example.org",
        "--add-host",
        "a:1.2.3.4",
        "--add-host",
        "gw=host-gateway",
        "bb",
        "cat",
        "/etc/hosts",
        "/etc/hostname",
    ]);
    let text = run.ok();
    for line in
        ["127.0.0.1\tlocalhost", "1.2.3.4\ta", &format!("{subnet}.1\tgw"), &format!("{subnet}.2\tbox.example.org box")]
    {
        assert!(text.lines().any(|l| l == line), "{line} in {text}");
    }
    world.line("network rm net").ok();
    world.assert_no_leaks();
}

/// Answers every question for an IPv4 address with the same one, until it is dropped.
pub(crate) struct NameServer(std::sync::Arc<std::sync::atomic::AtomicBool>);

impl NameServer {
    fn at(address: &str) -> NameServer {
        NameServer::on(std::net::UdpSocket::bind(address).expect("port 53 of the bridge is free"))
    }

    pub(crate) fn on(socket: std::net::UdpSocket) -> NameServer {
        socket.set_read_timeout(Some(std::time::Duration::from_millis(100))).expect("a timeout");
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stopped = stop.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    let _ = socket.send_to(&NameServer::answer(&buffer[..length]), from);
                }
            }
        });
        NameServer(stop)
    }

    fn answer(question: &[u8]) -> Vec<u8> {
        let name = question[12..].iter().position(|b| *b == 0).map_or(0, |end| 12 + end + 1);
        let is_a = question[name..name + 2] == [0, 1];
        let mut answer = question[..name + 4].to_vec();
        (answer[2], answer[3]) = (0x81, 0x80);
        answer[6..12].copy_from_slice(&[0, u8::from(is_a), 0, 0, 0, 0]);
        if is_a {
            answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 198, 51, 100, 7]);
        }
        answer
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

#[test]
fn unknown_names_go_to_the_servers_of_the_user_s_choice() {
    need!();
    let world = World::new();
    let subnet = world.network("net", &[]);
    sleeper(&world, "first", &["--network", "net"]);
    let server = format!("{subnet}.1");
    let _serving = NameServer::at(&format!("{server}:53"));
    sleeper(&world, "asker", &["--network", "net", "--dns", &server]);
    finds(&world, "asker", "www.example.org", "198.51.100.7");
    finds(&world, "asker", "first", &format!("{subnet}.2"));
    // Who says how many dots a name of the outside has keeps the others inside.
    sleeper(&world, "strict", &["--network", "net", "--dns", &server, "--dns-opt", "ndots:1"]);
    finds(&world, "strict", "www.example.org", "198.51.100.7");
    assert!(!look_up(&world, "strict", "single").contains("198.51.100.7"));
    let told = world.line("network dns asker www.example.org").ok();
    assert!(told.contains(&format!("A    server {server} (from the container): 198.51.100.7 (")), "{told}");
    assert!(world.line("network dns strict single").ok().contains("option ndots:1: names without a dot go to nobody"));
    world.line("rm -f first asker strict").ok();
    world.line("network rm net").ok();
    world.assert_no_leaks();
}

/// Asks the resolver of a container by TCP, from a thread in its namespace; gives the answer's bytes.
fn ask_by_tcp(world: &World, name: &str, question: &'static str) -> Vec<u8> {
    use std::io::{Read, Write};
    let pid = world.inspect(name, "{{.State.Pid}}");
    let visit = move || -> std::io::Result<Vec<u8>> {
        let namespace = std::fs::File::open(format!("/proc/{pid}/ns/net"))?;
        nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET)?;
        let mut stream = std::net::TcpStream::connect("127.0.0.11:53")?;
        stream.set_read_timeout(Some(std::time::Duration::from_secs(10)))?;
        let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, question.len() as u8];
        message.extend_from_slice(question.as_bytes());
        message.extend_from_slice(&[0, 0, 1, 0, 1]);
        let length = (message.len() as u16).to_be_bytes();
        // In two pieces, as a slow peer would.
        stream.write_all(&length)?;
        stream.write_all(&message)?;
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut answer)?;
        Ok(answer)
    };
    std::thread::spawn(visit).join().expect("no panic").expect("an answer")
}

#[test]
fn names_resolve_by_tcp_as_well() {
    need!();
    let world = World::new();
    let subnet = world.network("net", &[]);
    sleeper(&world, "web", &["--network", "net"]);
    let answer = ask_by_tcp(&world, "web", "web");
    let last: u8 = 2;
    let numbers: Vec<u8> = subnet.split('.').filter_map(|n| n.parse().ok()).chain([last]).collect();
    assert!(answer.starts_with(&[0x12, 0x34]) && answer.ends_with(&numbers), "{answer:?}");
    world.line("rm -f web").ok();
    world.line("network rm net").ok();
    world.assert_no_leaks();
}
