//! Log servers that are not there, refuse, never read or go: what that costs the container, the copy that is read, and
//! whoever gives commands. The servers are the tests' own.

use super::{assert_balanced, counters, quick};
use crate::need;
use crate::plugins::misbehaving;
use gantry_tests::{World, within};
use serde_json::Value;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

fn start(world: &World, name: &str, options: &[&str], script: &str) -> String {
    let mut words = vec!["run", "-d", "--network", "none", "--name", name, "--log-driver", "syslog"];
    options.iter().for_each(|option| words.extend(["--log-opt", option]));
    words.extend(["bb", "sh", "-c", script]);
    quick("the start", || world.gantry(words)).ok()
}

/// What must work whatever a sink does: nothing waits for it.
fn all_is_quick(world: &World, name: &str) {
    quick("ps", || world.line("ps -a").ok());
    quick("inspect", || world.line(&format!("inspect {name}")).ok());
    quick("logs", || world.line(&format!("logs --tail 1 {name}")).ok());
    quick("stats", || world.line(&format!("stats --no-stream {name}")).ok());
    quick("kill", || world.line(&format!("kill {name}")).ok());
    quick("rm", || world.line(&format!("rm -f {name}")).ok());
}

/// The sink of a driver. On a busy machine `inspect` does not wait for a pump that is late with its answer.
fn sink_of(world: &World, name: &str, driver: &str) -> Value {
    let mut found = None;
    within(Duration::from_secs(20), || {
        found = counters(world, name).into_iter().find(|sink| sink["Driver"] == driver);
        found.is_some()
    });
    found.unwrap_or_else(|| panic!("no {driver} in {:?}", counters(world, name)))
}

#[test]
fn a_refusing_server_stops_nothing_and_the_copy_is_complete() {
    need!();
    let world = World::new();
    start(&world, "m0", &["syslog-address=tcp://127.0.0.1:1", "cache-max-size=50m"], "seq 1 20000; sleep 300");
    assert!(within(Duration::from_secs(20), || world.line("logs m0").stdout.lines().count() == 20_000));
    let sinks = counters(&world, "m0");
    let remote = sinks.iter().find(|sink| sink["Driver"] == "syslog").expect("the remote sink");
    assert!(remote["State"] != "open" || remote["Out"] == 0, "{sinks:?}");
    assert!(sinks.iter().any(|sink| sink["Cache"] == true && sink["Out"] == 20_000), "{sinks:?}");
    sinks.iter().for_each(assert_balanced);
    all_is_quick(&world, "m0");
    let strict = ["syslog-address=tcp://127.0.0.1:1", "strict=true"];
    let mut words = vec!["run", "--network", "none", "--log-driver", "syslog"];
    strict.iter().for_each(|option| words.extend(["--log-opt", option]));
    words.extend(["bb", "true"]);
    world.gantry(words).fails(125, "syslog");
}

#[test]
fn a_black_hole_freezes_nothing() {
    need!();
    let world = World::new();
    let hole = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("syslog-address=tcp://{}", hole.local_addr().expect("bound"));
    let held = std::thread::spawn(move || hole.accept().map(|(stream, _)| stream));
    start(&world, "m1", &[&address, "cache-max-size=100m"], "seq 1 500000; sleep 300");
    let complete = within(Duration::from_secs(30), || {
        counters(&world, "m1").iter().any(|sink| sink["Cache"] == true && sink["Out"] == 500_000)
    });
    assert!(complete, "{:?}", counters(&world, "m1"));
    counters(&world, "m1").iter().for_each(assert_balanced);
    all_is_quick(&world, "m1");
    drop(held.join());
}

/// Counts lines; may be told to be away.
struct Server {
    lines: Arc<AtomicU64>,
    away: Arc<AtomicBool>,
    address: String,
}

fn server() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let (lines, away) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let server =
        Server { lines: lines.clone(), away: away.clone(), address: format!("syslog-address=tcp://127.0.0.1:{port}") };
    std::thread::spawn(move || {
        let mut listener = Some(listener);
        loop {
            if away.load(Ordering::SeqCst) {
                listener = None;
                std::thread::sleep(Duration::from_millis(10));
                continue;
            }
            let listening =
                listener.get_or_insert_with(|| TcpListener::bind(("127.0.0.1", port)).expect("the same port"));
            listening.set_nonblocking(true).expect("a socket");
            match listening.accept() {
                Ok((stream, _)) => serve(stream, &lines, &away),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    });
    server
}

fn serve(mut stream: TcpStream, lines: &AtomicU64, away: &AtomicBool) {
    stream.set_nonblocking(false).expect("a socket");
    stream.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
    let mut bytes = [0; 65_536];
    while !away.load(Ordering::SeqCst) {
        match stream.read(&mut bytes) {
            Ok(0) => return,
            Ok(length) => {
                let count = bytes[..length].iter().filter(|byte| **byte == b'\n').count();
                lines.fetch_add(count as u64, Ordering::SeqCst);
            }
            Err(_) => {}
        }
    }
    // What has arrived already is read, as by a server that is stopped in order.
    stream.shutdown(std::net::Shutdown::Read).expect("a socket");
    while let Ok(length) = stream.read(&mut bytes) {
        if length == 0 {
            return;
        }
        let count = bytes[..length].iter().filter(|byte| **byte == b'\n').count();
        lines.fetch_add(count as u64, Ordering::SeqCst);
    }
}

#[test]
fn an_outage_costs_nothing_with_spill() {
    need!();
    let world = World::new();
    let server = server();
    let script = "i=0; while [ $i -lt 800 ]; do echo line $i; sleep 0.005; i=$((i+1)); done; sleep 300";
    start(&world, "m3", &[&server.address, "policy=spill"], script);
    std::thread::sleep(Duration::from_secs(1));
    server.away.store(true, Ordering::SeqCst);
    std::thread::sleep(Duration::from_secs(2));
    server.away.store(false, Ordering::SeqCst);
    let all = within(Duration::from_secs(40), || server.lines.load(Ordering::SeqCst) >= 800);
    assert!(all, "{} lines of 800: {:?}", server.lines.load(Ordering::SeqCst), counters(&world, "m3"));
    counters(&world, "m3").iter().for_each(assert_balanced);
    let reconnected = || sink_of(&world, "m3", "syslog")["Metrics"]["reconnects"].as_i64() > Some(0);
    assert!(within(Duration::from_secs(20), reconnected), "{:?}", counters(&world, "m3"));
    assert_eq!(800, world.line("logs m3").ok().lines().count());
}

/// Demand M2: a small buffer before a server that takes nothing.
#[test]
fn a_small_buffer_before_a_black_hole_costs_the_copy_nothing_and_is_counted() {
    need!();
    let world = World::new();
    let path = world.path("hole");
    let _hole = UnixListener::bind(&path).expect("a socket");
    let address = format!("syslog-address=unix://{}", path.display());
    let line = "x".repeat(61);
    let script = format!("yes {line} | head -n 100000; sleep 300");
    let options = [&address, "mode=non-blocking", "max-buffer-size=64k", "cache-max-size=50m"];
    start(&world, "m2", &options, &script);
    let all = within(Duration::from_secs(30), || sink_of(&world, "m2", "local")["Out"] == 100_000);
    assert!(all, "{:?}", counters(&world, "m2"));
    assert_eq!(100_000, world.line("logs m2").ok().lines().count());
    let remote = sink_of(&world, "m2", "syslog");
    assert_balanced(&remote);
    assert_eq!(remote["In"], 100_000);
    assert!(remote["DroppedSlow"].as_u64() > Some(50_000), "{remote}");
    quick("kill", || world.line("kill m2").ok());
    world.becomes("m2", "exited");
    quick("logs", || assert_eq!(100_000, world.line("logs m2").ok().lines().count()));
    let settled = within(Duration::from_secs(15), || {
        let remote = sink_of(&world, "m2", "syslog");
        remote["Waiting"] == 0 && remote["Dropped"].as_u64() > Some(50_000)
    });
    assert!(settled, "{:?}", counters(&world, "m2"));
    counters(&world, "m2").iter().for_each(assert_balanced);
}

/// Demand M4: the server goes for good in the middle.
#[test]
fn what_a_server_that_went_did_not_get_is_in_the_copy() {
    need!();
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("syslog-address=tcp://{}", listener.local_addr().expect("bound"));
    let server = std::thread::spawn(move || {
        let mut stream = listener.accept().expect("a connection").0;
        drop(listener);
        let (mut lines, mut byte) = (0, [0]);
        while lines < 233 && stream.read(&mut byte).is_ok_and(|length| length == 1) {
            lines += usize::from(byte[0] == b'\n');
        }
        lines
    });
    start(&world, "m4", &[&address], "i=0; while [ $i -lt 300 ]; do echo line $i; sleep 0.005; i=$((i+1)); done");
    world.becomes("m4", "exited");
    assert_eq!(233, server.join().expect("the server"));
    let read = world.line("logs m4").ok();
    assert!(read.lines().eq((0..300).map(|number| format!("line {number}"))), "{read}");
    let settled = within(Duration::from_secs(15), || sink_of(&world, "m4", "syslog")["Waiting"] == 0);
    let remote = sink_of(&world, "m4", "syslog");
    assert!(settled && remote["In"] == 300 && remote["Dropped"].as_u64() > Some(0), "{remote}");
    assert_balanced(&remote);
}

/// Containers that write much, each with a sink that is no good in its own way; answers their names.
fn bad_company(world: &World) -> (Vec<String>, TcpListener) {
    let hole = TcpListener::bind("127.0.0.1:0").expect("a port");
    let hole_address = format!("syslog-address=tcp://{}", hole.local_addr().expect("bound"));
    let mut sinks = vec![
        ("refusing".to_owned(), "syslog", "syslog-address=tcp://127.0.0.1:1".to_owned()),
        ("hole".to_owned(), "syslog", hole_address),
    ];
    if misbehaving(world).is_some() {
        for call in ["open", "write", "write:hang,close:hang,remove"] {
            let name = format!("hung-{}", call.replace([':', ','], "-"));
            sinks.push((name, "misbehaving", format!("fault={call}:hang")));
        }
    }
    let script = "trap 'exit 0' TERM; seq 1 30000; while :; do sleep 0.1; done";
    for (name, driver, option) in &sinks {
        let words = ["run", "-d", "--network", "none", "--name", name, "--log-driver", driver, "--log-opt", option];
        quick("the start", || world.gantry(words.iter().chain(&["bb", "sh", "-c", script]))).ok();
    }
    (sinks.into_iter().map(|(name, ..)| name).collect(), hole)
}

#[test]
fn no_command_waits_for_a_sink() {
    need!();
    let world = World::new();
    let (names, _hole) = bad_company(&world);
    quick("stats", || world.line("stats --no-stream").ok());
    for name in &names {
        quick(&format!("ps {name}"), || world.line("ps -a").ok());
        quick(&format!("inspect {name}"), || world.line(&format!("inspect {name}")).ok());
        quick(&format!("logs {name}"), || world.line(&format!("logs --tail 1 {name}")).code(0).clone());
        quick(&format!("stop {name}"), || world.line(&format!("stop -t 20 {name}")).ok());
        world.line(&format!("start {name}")).ok();
        quick(&format!("kill {name}"), || world.line(&format!("kill {name}")).ok());
        world.becomes(name, "exited");
        world.line(&format!("start {name}")).ok();
        quick(&format!("rm -f {name}"), || world.line(&format!("rm -f {name}")).ok());
    }
    world.assert_no_leaks();
}

#[test]
fn one_driver_has_two_sinks_under_two_names() {
    need!();
    let world = World::new();
    let (first, second) = (server(), server());
    std::fs::create_dir_all(world.path("plugins/log")).expect("our own directory");
    let plugin = gantry_tests::target_dir().join("libgantry_log_syslog.so");
    std::os::unix::fs::symlink(plugin, world.path("plugins/log/central.so")).expect("our own directory");
    let plugins = world.text("plugins");
    let addresses = [format!("syslog.{}", first.address), format!("central.{}", second.address)];
    let mut words = vec!["--plugin-dir", &plugins, "run", "-d", "--network", "none", "--name", "both"];
    words.extend(["--log-driver", "syslog", "--log-driver", "central"]);
    addresses.iter().for_each(|address| words.extend(["--log-opt", address]));
    words.extend(["bb", "sh", "-c", "seq 1 1000; exec sleep 300"]);
    world.gantry(words).ok();
    let have = || [&first, &second].iter().all(|server| server.lines.load(Ordering::SeqCst) == 1000);
    assert!(within(Duration::from_secs(20), have), "{:?}", counters(&world, "both"));
    assert_eq!(sink_of(&world, "both", "central")["Out"], 1000);
    world.gantry(["--plugin-dir", &plugins, "rm", "-f", "both"]).ok();
}
