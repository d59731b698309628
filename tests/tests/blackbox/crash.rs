//! Bad days: SIGKILL of any of our processes at any moment. The next command finds the truth and nothing is left.

use crate::need;
use gantry_tests::{World, eventually, process};
use std::time::Duration;

const COUNT: &str = "i=0; while [ $i -lt 2000 ]; do echo $i; i=$((i+1)); [ $((i % 20)) = 0 ] && sleep 0.01; done";

fn counted() -> String {
    (0..2000).map(|n| format!("{n}\n")).collect()
}

#[test]
fn a_killed_pump_loses_no_line() {
    need!();
    let world = World::new();
    let id = world.detached("lines", COUNT);
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(120));
        if let (_, Some(pump)) = world.supervisors(&id) {
            process::murder(pump);
        }
    }
    world.becomes("lines", "exited");
    assert_eq!("0", world.inspect("lines", "{{.State.ExitCode}}"));
    let logs = world.line("logs lines").ok() + "\n";
    assert!(logs == counted(), "{} lines instead of 2000", logs.lines().count());
    world.assert_no_leaks();
}

#[test]
fn a_killed_keeper_keeps_container_and_exit_code() {
    need!();
    let world = World::new();
    let id = world.detached("kept", "for i in 1 2 3 4 5 6 7 8 9 10; do echo $i; sleep 0.1; done; sleep 3; exit 12");
    std::thread::sleep(Duration::from_millis(300));
    let (keeper, _) = world.supervisors(&id);
    process::murder(keeper.expect("a keeper"));
    assert_eq!("running", world.status("kept"));
    eventually("there is a keeper again", || world.supervisors(&id).0.is_some_and(|pid| Some(pid) != keeper));
    assert_eq!("12", world.line("wait kept").ok());
    assert_eq!("1\n2\n3\n4\n5\n6\n7\n8\n9\n10", world.line("logs kept").ok());
    world.assert_no_leaks();
}

#[test]
fn both_killed_cost_no_other_container_anything() {
    need!();
    let world = World::new();
    let victim = world.detached("victim", "sleep 300");
    world.detached("other", "sleep 300");
    let (keeper, pump) = world.supervisors(&victim);
    [keeper, pump].into_iter().flatten().for_each(process::murder);
    assert_eq!("running", world.status("other"));
    assert_eq!("hi", world.line("exec other echo hi").ok());
    world.line("rm -f victim").ok();
    world.line("stop -t 0 other").ok();
    world.assert_no_leaks();
}

/// Kills `command` after each of many delays and demands a clean slate afterwards.
fn killed_at_any_moment(mut start: impl FnMut(&World, &str) -> gantry_tests::Running) {
    let world = World::new();
    for (round, delay) in (0..24).map(|n| (n, n * 3)).chain([(100, 100), (200, 200)]) {
        let name = format!("k{round}x");
        let running = start(&world, &name);
        std::thread::sleep(Duration::from_millis(delay));
        running.signal(nix::sys::signal::Signal::SIGKILL);
        running.end();
        let listed = world.line("ps -a");
        assert_eq!(0, listed.code, "{listed:#?}");
        let removed = world.gantry(["rm", "-f", &name]);
        let again = world.gantry(["run", "--rm", "--name", &name, "bb", "echo", "again"]);
        assert_eq!((0, "again\n"), (again.code, again.stdout.as_str()), "round {round}: {removed:#?} {again:#?}");
    }
    world.assert_no_leaks();
}

#[test]
fn run_may_be_killed_at_any_moment() {
    need!();
    killed_at_any_moment(|world, name| world.spawn(["run", "--name", name, "bb", "sleep", "300"]));
}

#[test]
fn a_detached_run_may_be_killed_at_any_moment() {
    need!();
    killed_at_any_moment(|world, name| world.spawn(["run", "-d", "--name", name, "bb", "sleep", "300"]));
}

#[test]
fn stop_may_be_killed_at_any_moment() {
    need!();
    killed_at_any_moment(|world, name| {
        world.gantry(["run", "-d", "--name", name, "bb", "sleep", "300"]).ok();
        world.spawn(["stop", "-t", "0", name])
    });
}

#[test]
fn rm_may_be_killed_at_any_moment() {
    need!();
    killed_at_any_moment(|world, name| {
        world.gantry(["run", "-d", "--name", name, "bb", "sleep", "300"]).ok();
        world.spawn(["rm", "-f", name])
    });
}

#[test]
fn a_killed_program_is_told_by_its_signal() {
    need!();
    let world = World::new();
    world.detached("shot", "sleep 300");
    let pid: i32 = world.inspect("shot", "{{.State.Pid}}").parse().expect("a number");
    process::murder(pid);
    world.becomes("shot", "exited");
    assert_eq!("137", world.inspect("shot", "{{.State.ExitCode}}"));
    world.assert_no_leaks();
}

#[test]
fn a_foreground_client_s_death_does_not_end_the_container() {
    need!();
    let world = World::new();
    let script = "echo up; sleep 1; echo late; exit 8";
    let client = world.spawn(["run", "--name", "lone", "--network", "none", "bb", "sh", "-c", script]);
    world.logs_hold("lone", "up");
    client.signal(nix::sys::signal::Signal::SIGKILL);
    client.end();
    assert_eq!("8", world.line("wait lone").ok());
    assert_eq!("up\nlate", world.line("logs lone").ok());
    world.assert_no_leaks();
}
