//! `stats`: what containers use, and what their log sinks have taken.

use crate::need;
use gantry_tests::{World, within};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

fn json(world: &World, words: &[&str]) -> Vec<Value> {
    let words = ["stats", "--no-stream", "--format", "json"].iter().chain(words);
    let text = world.gantry(words).ok();
    text.lines().map(|line| serde_json::from_str(line).expect("json")).collect()
}

fn number(text: &Value) -> f64 {
    let text = text.as_str().expect("text");
    text.trim_end_matches('%').parse().unwrap_or_else(|_| panic!("{text:?} is no number"))
}

#[test]
fn a_container_s_numbers_are_the_kernel_s() {
    need!();
    let world = World::new();
    world.line("network create web").ok();
    let script =
        "head -c 8388608 /dev/zero > /dev/shm/x; ping -c 2 127.0.0.1 >/dev/null; echo ready; while :; do :; done";
    let run = ["run", "-d", "--name", "busy", "--network", "web", "-m", "64m", "--pids-limit", "20"];
    let id = world.gantry(run.iter().chain(&["bb", "sh", "-c", script])).ok();
    world.logs_hold("busy", "ready");
    let [row] = &json(&world, &["busy"])[..] else { panic!("one row") };
    assert_eq!((row["ID"].as_str(), row["Name"].as_str()), (Some(&id[..12]), Some("busy")));
    assert_eq!(row["PIDs"], "1");
    assert!(number(&row["CPUPerc"]) > 5.0 && number(&row["CPUPerc"]) < 300.0, "{row}");
    assert!(number(&row["MemPerc"]) > 10.0 && number(&row["MemPerc"]) <= 100.0, "{row}");
    assert!(row["MemUsage"].as_str().is_some_and(|usage| usage.ends_with("MiB / 64MiB")), "{row}");
    let sent = || json(&world, &["busy"])[0]["NetIO"] != "0B / 0B";
    world.line("exec busy ping -c 1 -W 1 198.51.100.1");
    assert!(within(std::time::Duration::from_secs(10), sent), "nothing was sent");
}

#[test]
fn tables_and_templates_are_docker_s() {
    need!();
    let world = World::new();
    let id = world.detached("idle", "sleep 300");
    world.gantry(["create", "--name", "never", "bb", "true"]).ok();
    let table = world.line("stats --no-stream").ok();
    let lines: Vec<&str> = table.lines().collect();
    let head = ["CONTAINER ID", "NAME", "CPU %", "MEM USAGE / LIMIT", "MEM %", "NET I/O", "BLOCK I/O", "PIDS"];
    assert!(lines.len() == 2 && head.iter().all(|word| lines[0].contains(word)), "{table}");
    assert!(lines[1].starts_with(&id[..12]) && lines[1].contains("0B / 0B"), "{table}");
    assert_eq!(3, world.line("stats --no-stream -a").ok().lines().count());
    let full =
        world.gantry(["stats", "--no-stream", "--no-trunc", "--format", "{{.ID}} {{.Container}} {{.PIDs}}", "idle"]);
    assert_eq!(full.ok(), format!("{id} idle 1"));
    let stopped = world.gantry(["stats", "--no-stream", "--format", "{{.CPUPerc}} {{.MemUsage}}", "never"]).ok();
    assert_eq!(stopped, "0.00% 0B / 0B");
    world.line("stats --no-stream nosuch").fails(1, "No such container: nosuch");
}

#[test]
fn sinks_are_counted() {
    need!();
    let world = World::new();
    let run = "run -d --network none --name two --log-driver json-file --log-driver syslog --log-opt \
               syslog.syslog-address=tcp://127.0.0.1:1 bb sh -c";
    world.gantry(run.split_whitespace().chain(["seq 1 1000; exec sleep 300"])).ok();
    world.logs_hold("two", "1000");
    let logs = json(&world, &["two"])[0]["Logs"].clone();
    let sink = |driver: &str| logs.as_array().and_then(|l| l.iter().find(|sink| sink["Driver"] == driver)).cloned();
    let (file, remote) = (sink("json-file").expect("the file"), sink("syslog").expect("the server"));
    assert_eq!((&file["In"], &file["Out"], &file["Dropped"]), (&1000.into(), &1000.into(), &0.into()), "{logs}");
    let all = |key: &str| remote[key].as_u64().expect("a number");
    assert_eq!((all("In"), all("Out") + all("Dropped") + all("Waiting")), (1000, 1000), "{logs}");
    let shown = world.line("stats --no-stream --format {{.LogIO}} two").ok();
    assert!(shown.starts_with("json-file 1000 / 1000 / 0, syslog 1000 / 0 / "), "{shown}");
}

#[test]
fn the_table_comes_again_until_the_last_container_is_gone() {
    need!();
    let world = World::new();
    world.detached("brief", "sleep 300");
    let mut command = world.command(["stats", "--format", "{{.Name}} {{.PIDs}}", "brief"]);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("gantry runs");
    let mut lines = BufReader::new(child.stdout.take().expect("piped above")).lines();
    for _ in 0..3 {
        assert_eq!(lines.next().expect("a line").expect("text"), "brief 1");
    }
    world.line("rm -f brief").ok();
    assert!(lines.all(|line| line.expect("text").starts_with("brief ")));
    assert!(child.wait().expect("ended").success());
}
