//! Faults on demand (`--fault`, `GANTRY_FAULT`): each kind of driver fails somewhere, and what that costs; and what is
//! counted of drivers' calls.

use crate::need;
use gantry_tests::{World, within};
use serde_json::Value;
use std::time::{Duration, Instant};

fn sinks(world: &World, name: &str) -> Vec<Value> {
    serde_json::from_str(&world.inspect(name, "{{json .State.Logs}}")).expect("a list of sinks")
}

/// What `plugin inspect` says of one call of a driver.
fn counted(world: &World, driver: &str, call: &str) -> Value {
    let told: Value = serde_json::from_str(&world.line(&format!("plugin inspect {driver}")).ok()).expect("JSON");
    let calls = told[0]["Metrics"]["Calls"].as_array().cloned().unwrap_or_default();
    calls.into_iter().find(|found| found["Call"] == call).unwrap_or(Value::Null)
}

#[test]
fn a_wrong_fault_is_refused_before_anything_is_done() {
    need!();
    let world = World::empty();
    for (fault, reason, hint) in [
        ("log.syslog.write", "no act is given", "delay=TIME"),
        ("log.syslog.mount:panic", "a log driver has no call \"mount\"", "write, flush"),
        ("cloud.x.y:panic", "there is no such kind of driver", "storage.NAME."),
        ("volume.locl.mount:panic", "there is no volume driver \"locl\"", "local"),
    ] {
        for command in ["ps", "run bb true", "volume create x"] {
            let run = world.gantry(["--fault", fault].into_iter().chain(command.split(' ')));
            run.fails(125, reason);
            assert!(run.stderr.contains(hint) && run.stderr.contains(fault), "{run:?}");
        }
    }
    let mut command = world.command(["ps"]);
    let run = command.env("GANTRY_FAULT", "log.x.y:panic").output().expect("it runs");
    assert_eq!(Some(125), run.status.code());
}

#[test]
fn a_log_driver_that_fails_loses_what_it_was_given_and_it_is_counted() {
    need!();
    let world = World::new();
    let fault = "log.json-file.write:err=EIO:after=1";
    let words = ["--fault", fault, "run", "-d", "--name", "aa", "--network", "none", "--log-driver", "json-file"];
    world.gantry(words.into_iter().chain(["bb", "sh", "-c", "seq 1 500; exec sleep 300"])).ok();
    let all = within(Duration::from_secs(20), || sinks(&world, "aa")[0]["DroppedError"] == 500);
    assert!(all, "{:?}", sinks(&world, "aa"));
    assert!(sinks(&world, "aa")[0]["LastError"].as_str().is_some_and(|text| text.contains("Input/output error")));
    let write = counted(&world, "log/json-file", "write");
    assert!(write["Errors"].as_u64() > Some(0) && write["Calls"].as_u64() > write["Errors"].as_u64(), "{write}");
    // The next run was given nothing to suffer.
    world.line("rm -f aa").ok();
    world.line("run --name bb --network none --log-driver json-file bb seq 1 500").ok();
    assert_eq!(500, world.line("logs bb").ok().lines().count());
}

/// The pump that takes over goes on counting where the crashed one was, so one crash is one crash.
#[test]
fn a_pump_that_crashes_in_a_driver_goes_on_without_a_loss() {
    need!();
    let world = World::new();
    let fault = "log.json-file.write:crash:after=2:times=1";
    let script = "i=0; while [ $i -lt 40 ]; do echo $i; sleep 0.02; i=$((i+1)); done";
    let words = ["--fault", fault, "run", "--name", "aa", "--network", "none", "--log-driver", "json-file"];
    world.gantry(words.into_iter().chain(["bb", "sh", "-c", script])).ok();
    let logs = world.line("logs aa").ok();
    assert!(logs.lines().eq((0..40).map(|number| number.to_string())), "{logs}");
}

#[test]
fn a_storage_driver_that_fails_leaves_nothing() {
    need!();
    let world = World::new();
    let before = world.line("ps -aq").ok();
    for act in ["err=ENOSPC", "panic"] {
        let fault = format!("storage.*.mount_plan:{act}");
        world.gantry(["--fault", &fault, "run", "--rm", "--network", "none", "bb", "true"]).fails(125, "mount_plan");
    }
    assert_eq!(before, world.line("ps -aq").ok());
    world.assert_no_leaks();
    world.line("run --rm --network none bb true").ok();
}

#[test]
fn a_network_driver_that_fails_or_kills_the_command_leaves_nothing() {
    need!();
    let world = World::new();
    let refused = world.gantry(["--fault", "network.bridge.attach:err=ENODEV", "run", "--rm", "bb", "true"]);
    refused.fails(125, "No such device");
    let mut command =
        world.command(["--fault", "network.bridge.attach:crash", "run", "-d", "--name", "aa", "bb", "true"]);
    let crashed = command.output().expect("it runs");
    assert_eq!(None, crashed.status.code(), "{crashed:?}");
    // The next command that writes mends what the crashed one left; the container itself is there, as after `create`.
    world.line("run --rm bb true").ok();
    world.line("rm -f aa").ok();
    world.assert_no_leaks();
}

#[test]
fn a_volume_driver_that_hangs_misses_its_deadline() {
    need!();
    let world = World::new();
    world.configure("[plugins]\ndeadline = \"500ms\"\n");
    let start = Instant::now();
    let run = ["--fault", "volume.local.mount:hang", "run", "--rm", "--network", "none", "-v", "vol:/v", "bb", "true"];
    world.gantry(run).fails(125, "mount did not return within 500 ms");
    assert!(start.elapsed() < Duration::from_secs(20));
    assert_eq!(counted(&world, "volume/local", "mount")["Timeouts"], 1);
    world.line("run --rm --network none -v vol:/v bb true").ok();
    world.assert_no_leaks();
}

#[test]
fn single_calls_have_their_own_deadlines() {
    need!();
    let world = World::new();
    let slow = ["--fault", "volume.local.create:delay=700ms", "volume", "create"];
    let create = |name: &str| world.gantry(slow.iter().chain(&[name]));
    world.configure("[plugins]\ndeadline = \"200ms\"\n[plugins.deadlines]\n\"volume/local.create\" = \"20s\"\n");
    create("patient").ok();
    world.configure("[plugins.deadlines]\n\"volume/local\" = \"20s\"\n\"volume/local.create\" = \"100ms\"\n");
    create("hasty").fails(1, "create did not return within 100 ms");
    let shown = world.line("config show").ok();
    assert!(shown.contains("plugins.deadlines.volume/local.create = \"100ms\""), "{shown}");
    world.configure("[plugins.deadlines]\n\"local.create\" = \"100ms\"\n");
    world.line("config check").fails(1, "names no plugin");
}

#[test]
fn calls_of_drivers_are_counted_over_all_processes() {
    need!();
    let world = World::new();
    let plans = |world: &World| counted(world, "storage/overlay2", "mount_plan")["Calls"].as_u64().unwrap_or(0);
    let before = plans(&world);
    world.line("run --rm --network none --log-driver json-file bb echo 1").ok();
    world.line("run --rm --network none --log-driver json-file bb echo 2").ok();
    assert!(plans(&world) >= before + 2);
    assert!(counted(&world, "log/json-file", "write")["Calls"].as_u64() >= Some(2), "the pump counts too");
    let text = world.line("metrics").ok();
    let labels = "kind=\"storage\",driver=\"overlay2\",call=\"mount_plan\"";
    for name in ["gantry_driver_calls_total", "gantry_driver_errors_total", "gantry_driver_call_seconds_count"] {
        assert!(text.contains(&format!("{name}{{{labels}}}")), "{name} in {text}");
    }
}
