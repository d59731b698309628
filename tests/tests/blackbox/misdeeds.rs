//! What a driver must not do and does: each misdeed, and that the engine and other containers do not care.

use crate::need;
use crate::plugins::misbehaving;
use gantry_tests::{World, within};
use std::time::Duration;

/// It runs, and is logged, as if nothing were.
fn assert_well(world: &World, misdeed: &str) {
    assert_eq!("running", world.status("good"), "{misdeed}");
    assert_eq!("still here", world.line("exec good echo still here").ok(), "{misdeed}");
    let lines = || world.line("logs good").ok().lines().count();
    let before = lines();
    assert!(within(Duration::from_secs(20), || lines() > before), "{misdeed}");
}

/// A container of good drivers, beside which the misdeeds happen.
fn start_neighbour(world: &World) {
    let script = "while :; do echo tick; sleep 0.1; done";
    world.gantry(["run", "-d", "--name", "good", "--network", "none", "bb", "sh", "-c", script]).ok();
}

fn bad_log<'a>(option: &'a str, script: &'a str) -> Vec<&'a str> {
    let run =
        ["run", "--rm", "--network", "none", "--log-driver", "misbehaving", "--log-opt", option, "bb", "sh", "-c"];
    run.into_iter().chain([script]).collect()
}

#[test]
fn descriptors_that_a_driver_leaks_reach_no_container() {
    need!();
    let world = World::new();
    if misbehaving(&world).is_none() {
        return;
    }
    start_neighbour(&world);
    for call in ["validate", "open", "write"] {
        let option = format!("fault={call}:leak");
        let open = world.gantry(bad_log(&option, "echo x; sleep 0.2; ls /proc/self/fd | wc -l")).ok();
        let count: usize = open.lines().last().and_then(|line| line.trim().parse().ok()).expect("a number");
        assert!(count <= 5, "{call}: {count} descriptors");
    }
    assert_well(&world, "leak");
}

#[test]
fn handlers_of_signals_that_a_driver_changes_keep_nothing_from_working() {
    need!();
    let world = World::new();
    if misbehaving(&world).is_none() {
        return;
    }
    start_neighbour(&world);
    for call in ["validate", "open", "write"] {
        let option = format!("fault={call}:signals");
        assert_eq!("works", world.gantry(bad_log(&option, "echo works")).ok(), "{call}");
    }
    let option = "fault=open:signals";
    let mut words = bad_log(option, "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done");
    words.splice(1..2, ["-d", "--name", "bad"]);
    world.gantry(words).ok();
    world.line("exec bad true").ok();
    world.line("stop -t 20 bad").ok();
    assert_eq!("7", world.inspect("bad", "{{.State.ExitCode}}"));
    assert_well(&world, "signals");
}

#[test]
fn threads_before_anything_was_opened_do_no_harm() {
    need!();
    let world = World::new();
    if misbehaving(&world).is_none() {
        return;
    }
    start_neighbour(&world);
    for misdeed in ["thread", "signals", "leak"] {
        let mut command = world.command(bad_log("fault=", "echo works"));
        let run = command.env("GANTRY_MISBEHAVE", misdeed).output().expect("it runs");
        assert_eq!("works\n", String::from_utf8_lossy(&run.stdout), "{misdeed}: {run:?}");
    }
    assert_well(&world, "threads");
}

#[test]
fn garbage_is_not_believed() {
    need!();
    let world = World::new();
    if misbehaving(&world).is_none() {
        return;
    }
    start_neighbour(&world);
    world.line("network create -d misbehaving -o fault=attach:garbage nonsense").ok();
    // Whether the start is refused or not: nothing of the nonsense reaches the terminal as it is, nothing is left.
    let run = world.line("run --rm --network nonsense bb echo 1");
    assert!(!run.stderr.contains('\u{1b}') && !run.stderr.contains('\u{7}'), "{run:?}");
    world.line("network rm nonsense").ok();
    let plan = world.gantry(["--storage-driver", "misbehaving", "run", "--rm", "--network", "none", "bb", "true"]);
    assert!(plan.code != 0, "{plan:?}");
    assert_well(&world, "garbage");
}

#[test]
fn a_driver_that_kills_the_command_leaves_nothing_behind() {
    need!();
    let world = World::new();
    if misbehaving(&world).is_none() {
        return;
    }
    start_neighbour(&world);
    world.line("network create -d misbehaving -o fault=attach:segfault deadly").ok();
    let crashed =
        world.command(["run", "--name", "bad", "--network", "deadly", "bb", "true"]).output().expect("it runs");
    assert_eq!(None, crashed.status.code(), "{crashed:?}");
    // The container is there, as after `create`, and nothing else of it.
    world.line("run --rm --network none bb true").ok();
    world.line("rm -f bad").ok();
    world.line("network rm deadly").ok();
    assert_well(&world, "segfault");
}

#[test]
fn a_driver_that_hangs_again_and_again_is_put_in_quarantine_alone() {
    need!();
    let world = World::new();
    if misbehaving(&world).is_none() {
        return;
    }
    start_neighbour(&world);
    for _ in 0..3 {
        world.line("volume create -d misbehaving create.hang").fails(1, "create did not return within 1 s");
    }
    world
        .line("volume create -d misbehaving vol")
        .fails(1, "in quarantine: 3 times within a minute, last: create hung");
    let listed = world.line("plugin ls --filter name=misbehaving --format {{.Kind}}:{{.Status}}").ok();
    let status = |kind: &str| listed.lines().any(|line| line == kind);
    assert!(status("volume:quarantined") && status("log:ok") && status("network:ok"), "{listed}");
    world.line("volume create vol").ok();
    assert_well(&world, "hang");
}
