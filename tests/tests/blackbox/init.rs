//! `--init` and the groups of the user.

use crate::need;
use gantry_tests::{World, eventually};

#[test]
fn init_passes_signals_on_and_ends_as_the_program() {
    need!();
    let world = World::new();
    world.gantry(["run", "--rm", "--init", "--network", "none", "bb", "sh", "-c", "exit 7"]).code(7);
    world.gantry(["run", "--rm", "--init", "--network", "none", "bb", "sh", "-c", "kill -9 $$"]).code(137);
    let script = "trap 'echo got; exit 3' TERM; echo ready $$; while :; do sleep 0.05; done";
    world.gantry(["run", "-d", "--init", "--name", "sig", "--network", "none", "bb", "sh", "-c", script]).ok();
    world.logs_hold("sig", "ready 2");
    let first = world.gantry(["exec", "sig", "sh", "-c", "tr '\\0' ' ' </proc/1/cmdline; cat /proc/1/comm"]).ok();
    assert!(first.starts_with("gantry-init") && first.ends_with("gantry-init"), "{first:?}");
    world.line("stop sig").ok();
    assert_eq!("3", world.inspect("sig", "{{.State.ExitCode}}"));
    assert!(world.line("logs sig").ok().ends_with("got"));
    assert_eq!("true", world.inspect("sig", "{{.HostConfig.Init}}"));
    world.line("run --rm --init --network none bb /nosuch").fails(127, "/nosuch");
    world.assert_no_leaks();
}

#[test]
fn init_reaps_what_nobody_waits_for() {
    need!();
    let world = World::new();
    let script = "for i in 1 2 3 4 5; do sh -c 'sleep 0.1 & exit'; done; exec sleep 300";
    world.gantry(["run", "-d", "--init", "--name", "reap", "--network", "none", "bb", "sh", "-c", script]).ok();
    let zombies =
        || world.gantry(["exec", "reap", "sh", "-c", "grep -l '^State:.Z' /proc/[0-9]*/status | wc -l"]).stdout;
    let sleeps = || world.gantry(["exec", "reap", "sh", "-c", "ps | grep -c '[s]leep'"]).stdout;
    eventually("only one sleeps", || sleeps().trim() == "1");
    eventually("no zombie is left", || zombies().trim() == "0");
    world.assert_no_leaks();
}

#[test]
fn init_runs_as_the_container_s_user_without_the_engine_s_files() {
    need!();
    let world = World::new();
    world.line("run -d --init -u web --cap-drop ALL --name low --network none bb sleep 300").ok();
    let run = world.gantry(["exec", "-u", "0", "low", "sh", "-c", "grep -E '^(Uid|CapEff|Seccomp):' /proc/1/status"]);
    assert_eq!("Uid:\t1000\t1000\t1000\t1000\nCapEff:\t0000000000000000\nSeccomp:\t2", run.ok());
    let pid = world.inspect("low", "{{.State.Pid}}");
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").flatten();
    let mut names: Vec<_> = files.map(|file| file.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    assert_eq!(["0", "1", "2"], names.as_slice());
    world.assert_no_leaks();
}

#[test]
fn groups_are_found_by_name_and_the_first_is_among_them() {
    need!();
    let world = World::new();
    for (options, expected) in [
        ("", "0"),
        ("-u web", "1000 2000"),
        ("-u web:extra", "2000"),
        ("--group-add extra", "0 2000"),
        ("--group-add extra --group-add 77", "0 77 2000"),
        ("-u nobody --group-add web", "65534 1000"),
    ] {
        let run = world.line(&format!("run --rm --network none {options} bb id -G"));
        assert_eq!(expected, run.ok(), "{options}");
    }
    // The kernel's list holds the first group as well, as Docker sees to it.
    let run = world.line("run --rm --network none -u web bb grep Groups: /proc/self/status");
    assert_eq!("Groups:\t1000 2000", run.ok().trim_end());
    world.line("run --rm --network none --group-add nosuch bb true").fails(125, "nosuch");
    world.line("run -d --name more --group-add extra --network none bb sleep 300").ok();
    assert_eq!("0 2000", world.line("exec more id -G").ok());
    world.assert_no_leaks();
}
