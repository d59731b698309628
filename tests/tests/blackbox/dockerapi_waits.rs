//! `POST /containers/{}/wait` under each condition: before, during and after a run, with and without removal at its end,
//! for several at a time, through the death of the server; and who cleans up after a container that clients wait for.

use crate::need;
use gantry_tests::server::Server;
use gantry_tests::{World, eventually, process};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// A client that has the head of its reply, which comes at once, and waits for the rest.
struct Waiter {
    stream: UnixStream,
    heard: String,
}

impl Waiter {
    #[track_caller]
    fn new(server: &Server, container: &str, condition: &str) -> Waiter {
        let mut stream = UnixStream::connect(&server.socket).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time");
        let request = format!(
            "POST /containers/{container}/wait?condition={condition} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Content-Length: 0\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("the server reads");
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).expect("a head");
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head);
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        Waiter { stream, heard: String::new() }
    }

    /// Whether nothing has come for a while.
    fn waits(&mut self) -> bool {
        self.stream.set_read_timeout(Some(Duration::from_millis(700))).expect("a time");
        let mut bytes = [0; 256];
        match self.stream.read(&mut bytes) {
            Ok(count) => {
                self.heard.push_str(&String::from_utf8_lossy(&bytes[..count]));
                false
            }
            Err(_) => true,
        }
    }

    /// The exit code; `None` when the connection ends without one.
    fn code(mut self) -> Option<i32> {
        self.stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time");
        let mut text = std::mem::take(&mut self.heard);
        let _ = self.stream.read_to_string(&mut text);
        text.split("\"StatusCode\":").nth(1)?.split(['}', ',']).next()?.trim().parse().ok()
    }
}

fn start(server: &Server, container: &str) {
    let reply = server.request("POST", &format!("/containers/{container}/start"), "");
    assert!(reply.starts_with("HTTP/1.1 204"), "{reply}");
}

/// Makes a container that waits for `/go` and ends with 7.
fn made(world: &World, name: &str, options: &str) {
    let script = "until test -e /go; do sleep 0.02; done; exit 7";
    let words = ["create", "--name", name, "--network", "none"].into_iter().chain(options.split_whitespace());
    world.gantry(words.chain(["bb", "sh", "-c", script])).ok();
}

/// The process that touches the file may be killed with the container.
fn go(world: &World, name: &str) {
    let _ = world.line(&format!("exec {name} touch /go"));
}

/// Those who wait for a container that is not started yet.
#[test]
fn before_the_start() {
    need!();
    let world = World::new();
    let server = Server::start(&world, "api.sock", &[]);
    for (name, options) in [("stays", ""), ("goes", "--rm")] {
        made(&world, name, options);
        assert_eq!(Waiter::new(&server, name, "not-running").code(), Some(0), "{name} does not run");
        let mut ends: Vec<_> = (0..3).map(|_| Waiter::new(&server, name, "next-exit")).collect();
        let mut removals: Vec<_> = (0..2).map(|_| Waiter::new(&server, name, "removed")).collect();
        start(&server, name);
        assert!(ends[0].waits() && removals[0].waits());
        go(&world, name);
        assert!(ends.into_iter().all(|end| end.code() == Some(7)), "{name}");
        if options.is_empty() {
            assert!(removals[0].waits(), "it is there");
            assert!(server.request("DELETE", "/containers/stays", "").starts_with("HTTP/1.1 204"));
        }
        assert!(removals.into_iter().all(|removal| removal.code() == Some(7)), "{name}");
        // Whoever was told finds the name free.
        made(&world, name, "");
        world.line(&format!("rm {name}")).ok();
    }
    drop(server);
    world.assert_no_leaks();
}

/// The keepers that were started for a container, one of them with its early init.
fn keepers(id: &str) -> Vec<i32> {
    let all = process::all().into_iter().filter(|pid| process::command_line(*pid).contains(id));
    all.filter(|pid| process::alive(*pid) && process::command_line(*pid).starts_with("gantry-keeper")).collect()
}

/// Whether the keeper of a container that is started is the one that waited for that.
fn starts_with_its_early_one(world: &World, server: &Server, name: &str) -> bool {
    made(world, name, "");
    let id = world.line(&format!("inspect -f {{{{.Id}}}} {name}")).ok().trim().to_owned();
    let waiter = Waiter::new(server, name, "next-exit");
    // The program that forks the two is called the same for a moment.
    std::thread::sleep(Duration::from_millis(150));
    let early = keepers(&id);
    start(server, name);
    let taken = world.supervisors(&id).0.is_some_and(|keeper| early.contains(&keeper));
    go(world, name);
    assert_eq!(waiter.code(), Some(7));
    taken
}

/// Where a client waits for a start, the supervisor is begun with that; it goes when the start does not come.
#[test]
fn a_supervisor_that_is_early() {
    need!();
    let world = World::new();
    let server = Server::start(&world, "api.sock", &[]);
    made(&world, "early", "");
    let id = world.line("inspect -f {{.Id}} early").ok().trim().to_owned();
    let waiter = Waiter::new(&server, "early", "next-exit");
    eventually("a keeper waits", || !keepers(&id).is_empty());
    eventually("it has gone", || keepers(&id).is_empty());
    assert_eq!(world.status("early"), "created");
    drop(waiter);
    // On a busy machine a start may come too late for its supervisor.
    let taken = (0..5).any(|number| starts_with_its_early_one(&world, &server, &format!("early{number}")));
    assert!(taken, "no start took the supervisor that waited");
    // Somebody else starts it, and the early one goes without taking anything from him.
    made(&world, "other", "");
    let id = world.line("inspect -f {{.Id}} other").ok().trim().to_owned();
    let waiter = Waiter::new(&server, "other", "next-exit");
    eventually("a third one waits", || !keepers(&id).is_empty());
    world.line("start other").ok();
    eventually("the early one has gone", || keepers(&id).len() == 1);
    assert_eq!(world.status("other"), "running");
    go(&world, "other");
    assert_eq!(waiter.code(), Some(7));
    drop(server);
    world.assert_no_leaks();
}

/// Those who come while it runs, however it was started and however it ends.
#[test]
fn during_and_after_a_run() {
    need!();
    let world = World::new();
    let server = Server::start(&world, "api.sock", &[]);
    made(&world, "stays", "");
    made(&world, "goes", "--rm");
    start(&server, "stays");
    world.line("start goes").ok();
    for name in ["stays", "goes"] {
        let waiters =
            ["not-running", "next-exit", "not-running"].map(|condition| Waiter::new(&server, name, condition));
        let mut removal = Waiter::new(&server, name, "removed");
        assert!(removal.waits());
        go(&world, name);
        assert_eq!(waiters.map(Waiter::code), [Some(7); 3], "{name}");
        if name == "goes" {
            assert_eq!(removal.code(), Some(7));
            continue;
        }
        assert_eq!(Waiter::new(&server, name, "not-running").code(), Some(7), "after its end");
        let mut next = Waiter::new(&server, name, "next-exit");
        assert!(next.waits() && removal.waits());
        // Started by another door, and stopped by it.
        world.line("start -a stays").code(7);
        assert_eq!(next.code(), Some(7));
        world.line("rm stays").ok();
        assert_eq!(removal.code(), Some(7));
    }
    assert!(server.request("POST", "/containers/goes/wait", "").starts_with("HTTP/1.1 404"));
    drop(server);
    world.assert_no_leaks();
}

/// A stop, a kill and a forced removal by others, while clients of the server wait for the end.
#[test]
fn ends_that_others_bring_about() {
    need!();
    let world = World::new();
    let server = Server::start(&world, "api.sock", &[]);
    for (act, options) in [
        ("stop -t 0", ""),
        ("stop -t 0", "--rm"),
        ("kill", "--rm"),
        ("rm -f", ""),
        ("rm -f", "--rm"),
        ("restart -t 0", ""),
    ] {
        made(&world, "cc", options);
        let (end, mut removal) = (Waiter::new(&server, "cc", "next-exit"), Waiter::new(&server, "cc", "removed"));
        start(&server, "cc");
        world.line(&format!("{act} cc")).ok();
        assert_eq!(end.code(), Some(137), "{act} {options}");
        if act != "rm -f" && options.is_empty() {
            assert!(removal.waits(), "{act}");
            world.line("rm -f cc").ok();
        }
        assert_eq!(removal.code(), Some(137), "{act} {options}");
        assert_eq!(world.line("ps -aq").ok(), "", "{act} {options}");
    }
    drop(server);
    world.assert_no_leaks();
}

/// The process that removed the container whose events stand in the log last.
fn remover(world: &World) -> i64 {
    let log = std::fs::read_to_string(world.path("root/events/log")).expect("a log of events");
    let last = log.lines().rfind(|line| line.contains("\"destroy\"")).expect("a removal");
    let event: serde_json::Value = serde_json::from_str(last).expect("an event");
    event["by"]["pid"].as_i64().expect("who did it")
}

/// The server cleans up after a container that a client waits for, and nobody has to execute a program for that. When it
/// is killed meanwhile, or the client goes, the container's own keeper does it as ever.
#[test]
fn who_cleans_up() {
    need!();
    let world = World::new();
    let mut server = Server::start(&world, "api.sock", &[]);
    made(&world, "cc", "--rm");
    let removal = Waiter::new(&server, "cc", "removed");
    start(&server, "cc");
    go(&world, "cc");
    assert_eq!(removal.code(), Some(7));
    assert_eq!(remover(&world), i64::from(server.pid()));
    made(&world, "cc", "--rm");
    let removal = Waiter::new(&server, "cc", "removed");
    start(&server, "cc");
    drop(removal);
    std::thread::sleep(Duration::from_millis(300));
    go(&world, "cc");
    eventually("it is removed", || world.line("ps -aq").ok().is_empty());
    eventually("its keeper says so", || remover(&world) != i64::from(server.pid()));
    for options in ["--rm", ""] {
        made(&world, "cc", options);
        let removal = Waiter::new(&server, "cc", "removed");
        start(&server, "cc");
        server.kill();
        assert_eq!(removal.code(), None, "{options}");
        server = Server::start(&world, "api.sock", &[]);
        let again = Waiter::new(&server, "cc", "removed");
        let end = Waiter::new(&server, "cc", "not-running");
        go(&world, "cc");
        assert_eq!(end.code(), Some(7), "{options}");
        if options.is_empty() {
            eventually("it is cleaned up", || world.line("rm cc").code == 0);
        }
        assert_eq!(again.code(), Some(7), "{options}");
        assert_eq!(world.line("ps -aq").ok(), "", "{options}");
    }
    drop(server);
    world.assert_no_leaks();
}

/// The server is killed at many moments around the end of containers it was to clean up after.
#[test]
fn servers_killed_at_the_end() {
    need!();
    let world = World::new();
    for moment in 0..12 {
        let mut server = Server::start(&world, "api.sock", &[]);
        world.line("create --rm --name cc --network none bb sh -c exit").ok();
        let _waiter = Waiter::new(&server, "cc", "removed");
        start(&server, "cc");
        std::thread::sleep(Duration::from_millis(moment * 2));
        server.kill();
        eventually("it is removed", || world.line("ps -aq").ok().is_empty());
    }
    world.assert_no_leaks();
}
