//! `why`, `metrics`, `system start-all` and `system stop-all`.

use crate::need;
use gantry_tests::{World, within};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

fn why(world: &World, name: &str) -> Value {
    serde_json::from_str(&world.gantry(["why", "--format", "json", name]).ok()).expect("json")
}

fn because(world: &World, name: &str) -> String {
    why(world, name)["Because"].as_str().expect("text").to_owned()
}

#[test]
fn the_reason_is_told() {
    need!();
    let world = World::new();
    world.gantry(["run", "--network", "none", "--name", "self", "bb", "sh", "-c", "exit 3"]);
    assert_eq!(because(&world, "self"), "it ended with exit code 3 after 0 s: its program ended by itself");
    world.detached("stopped", "trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done");
    world.logs_hold("stopped", "up");
    world.line("stop stopped").ok();
    let text = because(&world, "stopped");
    assert!(text.contains("exit code 0") && text.contains("SIGTERM was sent, by gantry stop stopped (pid "), "{text}");
    world.detached("deaf", "trap '' TERM; echo up; while :; do sleep 0.1; done");
    world.logs_hold("deaf", "up");
    world.line("stop -t 1 deaf").ok();
    assert!(because(&world, "deaf").ends_with("it did not end within 1 s of SIGTERM, so it was killed"));
    world.gantry(["run", "--network", "none", "--name", "refused", "bb", "/nosuch"]);
    assert!(because(&world, "refused").starts_with("its start was refused: "), "{}", because(&world, "refused"));
    world.gantry([
        "run",
        "--network",
        "none",
        "--name",
        "oom",
        "-m",
        "16m",
        "bb",
        "sh",
        "-c",
        "head -c 99999999 /dev/zero | tail",
    ]);
    let grown = why(&world, "oom")["Chain"].to_string();
    assert!(grown.contains("its own limit of 16MiB was reached"), "{grown}");
    let again = ["run", "-d", "--network", "none", "--name", "again", "--restart", "on-failure:1", "bb", "false"];
    world.gantry(again).ok();
    let chain = || why(&world, "again")["Chain"].to_string();
    assert!(within(Duration::from_secs(20), || chain().contains("starts it again after exit code 1: restart 1")));
    world.becomes("again", "exited");
    let id = world.gantry(["run", "-d", "--rm", "--network", "none", "--name", "gone", "bb", "true"]).ok();
    assert!(within(Duration::from_secs(20), || why(&world, "gone")["Status"] == "removed"));
    assert_eq!(why(&world, &id[..12])["Name"], "gone");
    let text = world.line("why gone").ok();
    assert!(text.contains("it was made from image bb") && text.contains("it was removed"), "{text}");
    world.line("why nosuch").fails(1, "No such container: nosuch");
}

#[test]
fn a_start_of_all_starts_what_must_run() {
    need!();
    let world = World::new();
    for (name, policy) in
        [("always", "always"), ("unless", "unless-stopped"), ("never", "no"), ("down", "unless-stopped")]
    {
        let run = ["run", "-d", "--network", "none", "--name", name, "--restart", policy, "bb", "sleep", "1000"];
        world.gantry(run).ok();
    }
    let rm = ["run", "-d", "--rm", "--network", "none", "--name", "brief", "bb", "sleep", "1000"];
    world.gantry(rm).ok();
    world.line("stop -t 0 down").ok();
    world.line("stop -t 0 always").ok();
    assert_eq!(world.line("system start-all").ok(), "always");
    // The host goes down: all processes at once, and the state directory.
    lose_power(&world);
    let names = world.line("system start-all").ok();
    assert_eq!(names, "always\nunless");
    assert_eq!(world.line("system start-all").ok(), "");
    assert_eq!((world.status("never"), world.status("down")), ("exited".into(), "exited".into()));
    assert_eq!(world.inspect("never", "{{.State.ExitCode}}"), "255");
    assert_eq!(world.status("brief"), "");
    assert!(because(&world, "unless").contains("restart policy") || because(&world, "unless").contains("on request"));
    assert_eq!("ok", world.gantry(["exec", "always", "echo", "ok"]).ok());
    world.assert_no_leaks();
}

#[test]
fn an_orderly_shutdown_ends_all_and_a_boot_brings_them_back() {
    need!();
    let world = World::new();
    // Its program says goodbye, with the exit code of a success; so its policy would not start it again.
    let polite = "trap 'echo goodbye; exit 0' USR1; while :; do sleep 0.1; done";
    let start = |name: &str, options: &str, script: &str| {
        let words = format!("run -d --name {name} {options} bb sh -c");
        world.gantry(words.split_whitespace().chain([script])).ok()
    };
    world.network("net", &["-o", "com.docker.network.bridge.name=gtboot0"]);
    start("base", "--network net -p 127.0.0.1:0:80 --restart on-failure --stop-signal USR1", polite);
    start("joined", "--network container:base --restart unless-stopped -t", "sleep 1000");
    start("deaf", "--network none --restart always --stop-timeout 1", "trap '' TERM; while :; do sleep 0.1; done");
    start("plain", "--network none", "sleep 1000");
    start("brief", "--network none --rm", "sleep 1000");
    start("looping", "--network none --restart always", "exit 3");
    world.line("create --name never --network none --restart always bb sleep 1000").ok();
    world.logs_hold("base", "");
    world.line("pause plain").ok();
    let stopped = world.line("system stop-all -t 2");
    let names = stopped.clone().ok();
    assert_eq!(
        names.lines().filter(|name| *name != "looping").collect::<Vec<_>>(),
        ["base", "joined", "deaf", "plain", "brief"]
    );
    assert_eq!(world.line("ps -q").ok(), "");
    world.becomes("looping", "exited");
    assert_eq!(world.line("logs base").ok(), "goodbye");
    assert_eq!(world.inspect("base", "{{.State.ExitCode}}"), "0");
    assert_eq!((world.inspect("deaf", "{{.State.ExitCode}}"), world.status("brief")), ("137".into(), String::new()));
    assert!(because(&world, "base").contains("host's end"), "{}", because(&world, "base"));
    lose_power(&world);
    // The host's interfaces are gone, too.
    let gone = std::process::Command::new("ip").args(["link", "del", "gtboot0"]).output();
    assert!(gone.is_ok_and(|output| output.status.success()));
    let started = world.line("system start-all").ok();
    let mut started: Vec<&str> = started.lines().collect();
    started.sort_unstable();
    assert_eq!(started, ["base", "deaf", "joined", "looping"]);
    for name in ["base", "joined", "deaf"] {
        assert_eq!(world.status(name), "running", "{name}");
    }
    assert_eq!((world.status("plain"), world.status("never")), ("exited".into(), "created".into()));
    let address = |name: &str| world.gantry(["exec", name, "ip", "-4", "-o", "addr", "show", "eth0"]).ok();
    assert_eq!(address("joined"), address("base"));
    world.line("stop -t 0 base joined deaf looping").ok();
    assert_eq!(world.line("system start-all").ok(), "deaf\nlooping");
    world.assert_no_leaks();
}

/// Everything of the world's dies; its records say another boot.
fn lose_power(world: &World) {
    let state = world.path("state");
    let records = || std::fs::read_dir(world.path("root/containers")).into_iter().flatten().flatten();
    let inits: Vec<i32> =
        world.line("ps -q").ok().lines().filter_map(|id| world.inspect(id, "{{.State.Pid}}").parse().ok()).collect();
    // Keeper and pump start each other again.
    let mut quiet = 0;
    assert!(within(Duration::from_secs(30), || {
        let found = gantry_tests::process::naming(&state);
        quiet = if found.is_empty() { quiet + 1 } else { 0 };
        found.into_iter().chain(inits.iter().copied()).for_each(gantry_tests::process::murder);
        quiet > 20
    }));
    for record in records() {
        let path = record.path().join("record.json");
        let text = std::fs::read_to_string(&path).expect("a record");
        let body = text.split_once("\",").map_or("", |(_, body)| body).trim_end();
        // Without its check sum a record counts as written by hand.
        let mut body: Value = serde_json::from_str(&format!("{{{body}")).expect("json");
        body["state"]["boot"] = "00000000".into();
        std::fs::write(&path, body.to_string()).expect("write");
    }
    let boot = std::fs::read_to_string("/proc/mounts").expect("mounts");
    boot.lines()
        .filter_map(|line| line.split(' ').nth(1))
        .filter(|at| at.starts_with(&*state.to_string_lossy()))
        .for_each(|at| {
            let _ = std::process::Command::new("umount").arg("-l").arg(at).status();
        });
    let _ = std::fs::remove_dir_all(&state);
}

#[test]
fn metrics_are_printed_and_served() {
    need!();
    let world = World::new();
    world.line("network create web").ok();
    let run = ["run", "-d", "--name", "cc", "--network", "web", "--health-cmd", "true", "--health-interval", "100ms"];
    world.gantry(run.iter().chain(&["bb", "sh", "-c", "echo one; sleep 1000"])).ok();
    world.logs_hold("cc", "one");
    let has = |text: &str, parts: &[&str]| text.lines().any(|line| parts.iter().all(|part| line.contains(part)));
    let healthy = || has(&world.line("metrics").ok(), &["gantry_container_health{", "status=\"healthy\"", "} 1"]);
    assert!(within(Duration::from_secs(20), healthy));
    let text = world.line("metrics").ok();
    for parts in [
        &["gantry_containers{state=\"running\"} 1"][..],
        &["gantry_container_cpu_seconds_total{", "name=\"cc\"", "image=\"bb\""],
        &["gantry_container_memory_usage_bytes{", "name=\"cc\""],
        &["gantry_container_network_receive_bytes_total{", "interface=\"eth0\""],
        &["gantry_log_records_out_total{", "driver=\"json-file\"", "} 1"],
        &["gantry_log_dropped_total{", "reason=\"slow\"", "} 0"],
        &["gantry_driver_info{kind=\"log\",name=\"json-file\""],
        &["# TYPE gantry_container_pids gauge"],
    ] {
        assert!(has(&text, parts), "{parts:?} in {text}");
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
    let address = format!("127.0.0.1:{port}");
    let mut server = world.command(["metrics", "--metrics-addr", &address]);
    let mut server = server.stderr(std::process::Stdio::null()).spawn().expect("the command runs");
    let ask = |path: &str| -> std::io::Result<String> {
        let mut client = TcpStream::connect(&address)?;
        client.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())?;
        let mut text = String::new();
        client.read_to_string(&mut text)?;
        Ok(text)
    };
    assert!(within(Duration::from_secs(20), || ask("/").is_ok_and(|text| text.starts_with("HTTP/1.1 404"))));
    let served = ask("/metrics").expect("an answer");
    assert!(
        served.starts_with("HTTP/1.1 200 OK\r\n") && has(&served, &["gantry_container_pids{", "name=\"cc\""]),
        "{served}"
    );
    server.kill().expect("it runs");
    server.wait().expect("it ends");
}
