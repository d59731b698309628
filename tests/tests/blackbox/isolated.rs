//! Drivers in a process of their own (`plugins.isolate`), as a user has them.

use crate::need;
use crate::plugins::misbehaving;
use gantry_tests::{World, within};
use std::time::Duration;

const ALL: &str = "[plugins]\nisolate = [\"storage/overlay2\", \"network/bridge\"]\n\
    [log.json-file]\nisolation = \"process\"\n[volume.local]\nisolation = \"process\"\n";

#[test]
fn a_container_of_isolated_drivers_lives_as_any_other() {
    need!();
    let world = World::new();
    world.configure(ALL);
    let run = ["run", "-d", "--name", "box", "--log-driver", "json-file", "-v", "vol:/data", "bb", "sh", "-c"];
    world.gantry(run.into_iter().chain(["seq 1 2000; echo x >/data/file; exec sleep 300"])).ok();
    assert!(within(Duration::from_secs(20), || world.line("logs box").ok().lines().count() == 2000));
    assert!(!world.inspect("box", "{{.NetworkSettings.Networks.bridge.IPAddress}}").is_empty());
    assert_eq!("x", world.line("run --rm --network none -v vol:/data bb cat /data/file").ok());
    world.line("rm -f box").ok();
    world.line("volume rm vol").ok();
    world.assert_no_leaks();
}

/// The sink goes on in another process with the last token: nothing is lost, nothing is doubled, and the pump lives.
#[test]
fn a_log_driver_that_crashes_in_its_process_costs_no_line() {
    need!();
    let world = World::new();
    world.configure(ALL);
    let fault = "log.json-file.write:crash:after=3:times=1";
    let script = "i=0; while [ $i -lt 60 ]; do echo $i; sleep 0.02; i=$((i+1)); done; exec sleep 300";
    let words = ["--fault", fault, "run", "-d", "--name", "box", "--network", "none", "--log-driver", "json-file"];
    let id = world.gantry(words.into_iter().chain(["bb", "sh", "-c", script])).ok();
    let pump = world.supervisors(&id).1;
    let all = || world.line("logs box").ok().lines().eq((0..60).map(|number| number.to_string()));
    assert!(within(Duration::from_secs(20), all), "{}", world.line("logs box").ok());
    assert!(pump.is_some() && pump == world.supervisors(&id).1, "the pump is the same");
}

#[test]
fn misdeeds_in_a_process_of_its_own_are_errors_of_a_call() {
    need!();
    let world = World::new();
    if misbehaving(&world).is_none() {
        return;
    }
    let dir = world.text("plugins");
    let isolate = "isolate = [\"volume/misbehaving\", \"network/misbehaving\"]";
    world.configure(&format!("[plugins]\npath = [\"{dir}\"]\ndeadline = \"1s\"\n{isolate}\n"));
    world.line("volume create -d misbehaving create.segfault").fails(1, "its process ended in create by signal 11");
    world.line("volume create -d misbehaving create.hang").fails(1, "create did not return within 1s");
    world.line("network create -d misbehaving -o fault=attach:segfault deadly").ok();
    world.line("run --rm --network deadly bb true").fails(125, "its process ended in attach");
    assert_eq!("", world.line("ps -aq").ok());
    world.line("network rm deadly").ok();
    world.line("volume create -d misbehaving create.hang").fails(1, "create did not return");
    let listed = world.line("plugin ls --filter name=misbehaving --format {{.Kind}}:{{.Status}}").ok();
    assert!(listed.lines().any(|line| line == "volume:quarantined"), "{listed}");
    world.configure("[plugins]\nisolate = [\"json-file\"]\n");
    world.line("config check").fails(1, "plugins.isolate: \"json-file\" names no plugin");
}
