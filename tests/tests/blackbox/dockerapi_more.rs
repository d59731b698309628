//! The Docker Engine API where clients other than the docker command go their own ways.

use crate::need;
use gantry_tests::registry::{self, Registry};
use gantry_tests::server::{Server, docker_programs, private_memory, touched_code};
use gantry_tests::{World, eventually, within};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;
use std::time::Duration;

/// Makes an exec and starts it with a taken-over connection; gives what comes after the reply's head.
fn executed(server: &Server, create: &str, start: &str) -> Vec<u8> {
    let made = server.request("POST", "/containers/cc/exec", create);
    let id = made.split("\"Id\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("an id").to_owned();
    let mut stream = UnixStream::connect(&server.socket).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time");
    let length = start.len();
    let request = format!(
        "POST /exec/{id}/start HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{start}"
    );
    stream.write_all(request.as_bytes()).expect("the server reads");
    // One read takes the head and nothing else: some clients would lose what came with it.
    let mut head = [0; 4096];
    let count = stream.read(&mut head).expect("a head");
    let head = String::from_utf8_lossy(&head[..count]);
    assert!(head.starts_with("HTTP/1.1 101") && head.ends_with("\r\n\r\n"), "{head:?}");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("output");
    rest
}

/// Frames are for the start of an exec to choose, the terminal for its making.
#[test]
fn frames_and_terminals() {
    need!();
    let world = World::new();
    let server = Server::start(&world, "api.sock", &[]);
    world.detached("cc", "sleep 1000");
    let create = |tty: bool| {
        format!(r#"{{"AttachStdout":true,"AttachStderr":true,"Tty":{tty},"Cmd":["sh","-c","test -t 1; echo $?"]}}"#)
    };
    assert_eq!(executed(&server, &create(true), r#"{"Tty":true}"#), b"0\r\n");
    assert_eq!(executed(&server, &create(true), r#"{"Tty":false}"#), b"\x01\0\0\0\0\0\0\x030\r\n");
    assert_eq!(executed(&server, &create(false), r#"{"Tty":false}"#), b"\x01\0\0\0\0\0\0\x021\n");
    assert_eq!(executed(&server, &create(false), r#"{"Tty":true}"#), b"1\n");
}

/// Files are put into volumes of containers that never ran, and what is wrong with an archive is said in the stream.
#[test]
fn archives() {
    need!();
    let world = World::new();
    let server = Server::start(&world, "api.sock", &[]);
    world.line("create --network none --name cc -v /new/place bb cat /new/place/file").ok();
    let file = world.file("file", "content");
    world.gantry(["cp", &file, "cc:/new/place/"]).code(0);
    assert_eq!(world.line("start -a cc").ok(), "content");
    let reply = server.request("POST", "/images/load", "abc");
    assert!(reply.starts_with("HTTP/1.1 200") && reply.contains("errorDetail"), "{reply}");
    world.line("rm -v cc").ok();
}

/// A socket that systemd would pass: the server answers on it, and leaves its file alone.
#[test]
fn a_passed_socket() {
    need!();
    let world = World::new();
    let socket = world.path("passed.sock");
    let listener = UnixListener::bind(&socket).expect("bound");
    let serve = world.command(["serve", "--host", "fd://"]);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\" 3<&0 </dev/null", "sh"]);
    command.arg(serve.get_program()).args(serve.get_args()).stdin(OwnedFd::from(listener));
    let mut server = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("sh is there");
    let ping = || {
        let mut stream = UnixStream::connect(&socket).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
        stream.write_all(b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).ok()?;
        Some(reply)
    };
    let reply = ping();
    let _ = server.kill();
    let _ = server.wait();
    assert!(reply.is_some_and(|reply| reply.starts_with("HTTP/1.1 200")));
    assert!(socket.exists(), "it is systemd's");
    world.gantry(["serve", "--host", "fd://"]).fails(125, "LISTEN_FDS");
}

/// Credentials of a registry are tried through the API, and go with a push and a pull.
#[test]
fn login_and_push() {
    need!();
    let Some(program) = docker_programs().pop().filter(|_| registry::able()) else { return };
    let world = World::new();
    let registry = Registry::guarded(&world);
    let (host, name) = (registry.host(), registry.image("bb"));
    world.configure(&format!("[registry.\"{host}\"]\nca = \"{}\"\n", world.text("ca.pem")));
    let server = Server::start(&world, "api.sock", &[]);
    let d = |line: &str| server.docker(&program, &line.split_whitespace().collect::<Vec<_>>());
    d(&format!("tag bb {name}")).ok();
    d(&format!("push {name}")).fails(1, "denied");
    d(&format!("login -u u -p wrong {host}")).code(1);
    assert!(d(&format!("login -u u -p p {host}")).ok().contains("Login Succeeded"));
    d(&format!("push {name}")).code(0);
    d(&format!("rmi -f {name} bb")).code(0);
    d(&format!("pull {name}")).code(0);
}

/// Two hundred clients at once, half of them streaming, one never reading: all are served, and memory stays bounded.
#[test]
fn two_hundred_clients() {
    need!();
    let world = World::new();
    let server = Server::start(&world, "api.sock", &[]);
    world.detached("cc", "yes 0123456789012345678901234567890123456789 | head -n 100000; echo end; sleep 1000");
    world.logs_hold("cc", "end");
    let mut lazy = UnixStream::connect(&server.socket).expect("the server listens");
    lazy.write_all(b"GET /containers/cc/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: x\r\n\r\n").expect("written");
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..200)
            .map(|number| {
                let server = &server;
                scope.spawn(move || match number % 2 {
                    0 => server.request("GET", "/containers/json", "").contains("200 OK"),
                    _ => server.request("GET", "/containers/cc/logs?stdout=1&tail=2000", "").contains("end\n"),
                })
            })
            .collect();
        assert!(clients.into_iter().all(|client| client.join().expect("no panic")), "each is answered");
    });
    assert!(private_memory(server.pid()) < 200 << 10, "{} KiB", private_memory(server.pid()));
    let mut head = [0; 12];
    lazy.read_exact(&mut head).expect("its head is there");
    assert!(within(Duration::from_secs(5), || server.request("GET", "/_ping", "").contains("200 OK")));
    eventually("the container goes", || world.line("rm -f cc").code == 0);
}

/// What a server has touched of its program it lets go of when nobody asks any more, and answers as before.
#[test]
fn a_server_at_rest() {
    need!();
    let world = World::new();
    let server = Server::start(&world, "api.sock", &[]);
    world.line("create --name cc --network none bb true").ok();
    assert!(server.request("POST", "/containers/cc/start", "").contains("204"));
    let busy = touched_code(server.pid());
    eventually("the code is let go of", || touched_code(server.pid()) < busy / 2);
    assert!(server.request("GET", "/containers/cc/json", "").contains("200 OK"));
}
