//! Networks of ordinary users: pasta and slirp4netns between container and host, ports, names, and nothing left behind.

use crate::need;
use crate::rootless::User;
use gantry_tests::{eventually, process};
use nix::sched::{CloneFlags, setns};
use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

/// A user with busybox, whose networks are made by this program.
fn user_of(program: &str) -> Option<User> {
    if !Path::new("/usr/bin").join(program).exists() {
        eprintln!("skipped: {program} is missing (packages passt and slirp4netns)");
        return None;
    }
    let tun = Path::new("/dev/net/tun");
    let Ok(meta) = fs::metadata(tun) else {
        eprintln!("skipped: there is no /dev/net/tun");
        return None;
    };
    if meta.permissions().mode() & 0o006 == 0 {
        // As udev has it; machines without udev leave it to root.
        fs::set_permissions(tun, Permissions::from_mode(0o666)).expect("a device of root's");
    }
    let user = User::new(false)?;
    user.import();
    let config = user.path(".config/gantry");
    fs::create_dir_all(&config).expect("made");
    fs::write(config.join("gantry.toml"), format!("[network.user]\nprogram = \"{program}\"\n")).expect("written");
    Some(user)
}

fn free_port(udp: bool) -> u16 {
    let bound = match udp {
        true => UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.local_addr()),
        false => TcpListener::bind("0.0.0.0:0").and_then(|socket| socket.local_addr()),
    };
    bound.expect("a free port").port()
}

fn page(address: &str, port: u16) -> String {
    let mut text = String::new();
    let Ok(mut stream) = TcpStream::connect((address, port)) else { return text };
    stream.set_read_timeout(Some(Duration::from_secs(3))).expect("set");
    let _ = stream.write_all(b"GET / HTTP/1.0\r\n\r\n");
    let _ = stream.read_to_string(&mut text);
    text
}

/// Answers datagrams in the namespace of a process until one has come that says so.
fn echo(pid: &str, port: u16) -> std::thread::JoinHandle<()> {
    let netns = File::open(format!("/proc/{pid}/ns/net")).expect("it runs");
    let (ready, is_ready) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        setns(&netns, CloneFlags::CLONE_NEWNET).expect("entered");
        let socket = UdpSocket::bind(("0.0.0.0", port)).expect("bound");
        ready.send(()).expect("heard");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
        let mut bytes = [0; 64];
        while let Ok((count, from)) = socket.recv_from(&mut bytes) {
            let _ = socket.send_to(&bytes[..count], from);
            if &bytes[..count] == b"bye" {
                break;
            }
        }
    });
    is_ready.recv().expect("it listens");
    thread
}

/// The address by which this host reaches others. What comes from 127.0.0.1 gets no answer through Debian 12's versions of
/// either program.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("198.51.100.1:9").ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

fn asks_by_datagram(address: IpAddr, port: u16) -> bool {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("bound");
    socket.set_read_timeout(Some(Duration::from_millis(500))).expect("set");
    let mut bytes = [0; 64];
    let answered = socket.send_to(b"hello", (address, port)).is_ok() && socket.recv(&mut bytes).is_ok();
    if answered {
        let _ = socket.send_to(b"bye", (address, port));
    }
    answered && &bytes[..5] == b"hello"
}

/// The processes behind a user's networks.
fn helpers(user: &User) -> Vec<i32> {
    let all = process::all().into_iter().filter(|pid| user.owns(*pid));
    all.filter(|pid| process::command_line(*pid).contains("-gantry-")).collect()
}

const SERVER: &str = "httpd -h /www; trap exit TERM; while :; do sleep 0.1; done";

fn life(user: User, program: &str) {
    let (all, own, udp) = (free_port(false), free_port(false), free_port(true));
    let ports = [format!("{all}:80"), format!("127.0.0.1:{own}:80"), format!("{udp}:5000/udp")];
    let mut words = vec!["run", "-d", "--name", "web"];
    words.extend(ports.iter().flat_map(|port| ["-p", port]));
    words.extend(["bb", "sh", "-c", SERVER]);
    user.gantry(&words).ok();
    assert_eq!(helpers(&user).len(), 1);

    // What is published is there, and is what is told.
    for port in [all, own] {
        eventually("the page", || page("127.0.0.1", port).contains("Hello from a container"));
    }
    let told = user.gantry(&["port", "web"]).ok();
    for wanted in [format!("80/tcp -> 0.0.0.0:{all}"), format!("80/tcp -> 127.0.0.1:{own}")] {
        assert!(told.contains(&wanted), "{told}");
    }
    let pid = user.gantry(&["inspect", "--format", "{{.State.Pid}}", "web"]).ok();
    if let Some(address) = own_address() {
        let echo = echo(&pid, 5000);
        eventually("an answer by UDP", || asks_by_datagram(address, udp));
        echo.join().expect("it answered");
    }
    let shown =
        user.gantry(&["inspect", "--format", "{{.NetworkSettings.IPAddress}} {{.NetworkSettings.Gateway}}", "web"]);
    assert_eq!(shown.ok(), "10.0.2.100 10.0.2.2");
    let inside = user
        .gantry(&["exec", "web", "sh", "-c", "ip -4 addr show eth0; ip route; hostname -i; cat /etc/resolv.conf"])
        .ok();
    for wanted in ["inet 10.0.2.100/24", "default via 10.0.2.2 dev eth0", "nameserver "] {
        assert!(inside.contains(wanted), "{wanted}: {inside}");
    }
    assert!(inside.lines().any(|line| line == "10.0.2.100"), "{inside}");

    // It reaches the host by its address, but not what listens for the host alone.
    user.gantry(&["run", "--rm", "-p", &format!("{own}:80"), "bb", "true"]).fails(125, "port is already allocated");
    let alone = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = alone.local_addr().expect("bound").port().to_string();
    let knock = format!("nc -w 2 10.0.2.2 {port} </dev/null || nc -w 2 127.0.0.1 {port} </dev/null");
    user.gantry(&["exec", "web", "sh", "-c", &knock]).code(1);

    // Killed, the process behind it is started again on demand.
    process::murder(helpers(&user)[0]);
    eventually("its end", || helpers(&user).is_empty());
    user.gantry(&["network", "reload"]).ok();
    eventually("the page again", || page("127.0.0.1", all).contains("Hello from a container"));

    // However the container ends, the process goes with it.
    user.gantry(&["stop", "web"]).ok();
    assert!(helpers(&user).is_empty() && page("127.0.0.1", all).is_empty());
    user.gantry(&["start", "web"]).ok();
    eventually("the page of the next run", || page("127.0.0.1", own).contains("Hello from a container"));
    let pid = user.gantry(&["inspect", "--format", "{{.State.Pid}}", "web"]).ok();
    process::murder(pid.parse().expect("a number"));
    eventually("the end of the process", || helpers(&user).is_empty());
    user.gantry(&["start", "web"]).ok();
    let helper = helpers(&user);
    let rest = process::all().into_iter().filter(|pid| user.owns(*pid) && !helper.contains(pid));
    rest.for_each(process::murder);
    user.gantry(&["rm", "-f", "web"]).ok();
    eventually("the end of what nobody was left to end", || helpers(&user).is_empty());

    later_ports(&user, program);
    assert!(user.gantry(&["network", "ls", "--format", "{{.Name}}"]).ok().contains("user"));
    assert_eq!(fs::read_dir(user.path("run/gantry/drivers/network/user")).expect("there").count(), 0);
    user.end();
}

/// slirp4netns takes ports at any time, pasta at its start only.
fn later_ports(user: &User, program: &str) {
    user.gantry(&["run", "-d", "--name", "late", "bb", "sh", "-c", SERVER]).ok();
    let port = free_port(false);
    let added = user.gantry(&["update", "--publish-add", &format!("{port}:80"), "late"]);
    if program == "pasta" {
        added.fails(1, "pasta publishes ports at the start of a container only");
    } else {
        added.ok();
        eventually("the page", || page("127.0.0.1", port).contains("Hello from a container"));
        user.gantry(&["update", "--publish-rm", &format!("{port}:80"), "late"]).ok();
        assert!(page("127.0.0.1", port).is_empty());
    }
    user.gantry(&["rm", "-f", "late"]).ok();
}

#[test]
fn pasta_stands_between() {
    need!();
    let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
    if !routes.lines().any(|line| line.split_whitespace().nth(1) == Some("00000000")) {
        eprintln!("skipped: pasta needs a host with a default route");
        return;
    }
    if let Some(user) = user_of("pasta") {
        life(user, "pasta");
    }
}

#[test]
fn slirp4netns_stands_between() {
    need!();
    if let Some(user) = user_of("slirp4netns") {
        life(user, "slirp4netns");
    }
}
