//! Commands that have containers stand still for their own work, killed while they do.

use crate::need;
use gantry_tests::{World, process, within};
use std::process::{Child, Stdio};
use std::time::Duration;

fn busy_world() -> World {
    let world = World::new();
    let script = "echo made >/made; echo made >/v/made; echo ready; sleep 1000";
    world.gantry(["run", "-d", "--name", "cc", "--network", "none", "-v", "vol:/v", "bb", "sh", "-c", script]).ok();
    world.logs_hold("cc", "ready");
    world
}

fn started(world: &World, words: &[&str]) -> Child {
    world.command(words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts")
}

/// Nothing that could mend anything is asked meanwhile.
#[track_caller]
fn thaws(world: &World, what: &str) {
    assert!(within(Duration::from_secs(10), || world.status("cc") == "running"), "{what}: {}", world.status("cc"));
}

/// Each stays for a moment where the container stands still.
const ACTS: [&[&str]; 2] = [
    &["--fault", "storage.overlay2.changes:delay=1s", "commit", "cc", "made:1"],
    &["--fault", "volume.local.clone_volume:delay=1s", "volume", "snapshot", "vol", "kept"],
];

#[test]
fn who_is_killed_does_not_leave_a_container_frozen() {
    need!();
    let world = busy_world();
    for words in ACTS {
        let mut child = started(&world, words);
        assert!(within(Duration::from_secs(10), || world.status("cc") == "paused"), "{words:?} froze nothing");
        child.kill().expect("killed");
        child.wait().expect("reaped");
        thaws(&world, &format!("{words:?}"));
        // Its next freezer finds nothing in its way, nor does the user.
        world.line("pause cc").ok();
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!("paused", world.status("cc"), "a user's pause lasts");
        world.line("unpause cc").ok();
    }
    assert!(!world.line("volume ls -q").ok().contains("kept"), "half a snapshot is none");
    world.line("volume snapshot vol kept").ok();
    world.line("rm -f cc").ok();
    world.line("volume rm kept vol").ok();
    assert_eq!("Everything is as it should be.", world.line("system check").ok());
    world.assert_no_leaks();
}

#[test]
fn a_keeper_s_successor_knows_who_froze_the_container() {
    need!();
    let world = busy_world();
    let id = world.line("inspect cc -f {{.Id}}").ok();
    let mut child = started(&world, ACTS[0]);
    assert!(within(Duration::from_secs(10), || world.status("cc") == "paused"), "nothing was frozen");
    world.supervisors(&id).0.into_iter().for_each(process::murder);
    let frozen = world.status("cc") == "paused";
    child.kill().expect("killed");
    child.wait().expect("reaped");
    assert!(frozen, "the commit was done before anybody could be killed");
    thaws(&world, "keeper and freezer killed");
    world.line("rm -f cc").ok();
    world.assert_no_leaks();
}

#[test]
fn killed_at_many_moments_the_container_runs() {
    need!();
    let world = busy_world();
    for words in ACTS {
        for moment in 0..8 {
            let mut child = started(&world, words);
            std::thread::sleep(Duration::from_millis(15 * moment));
            let _ = child.kill();
            child.wait().expect("reaped");
            thaws(&world, &format!("{words:?}, moment {moment}"));
        }
    }
    world.line("rm -f cc").ok();
    world.assert_no_leaks();
}
