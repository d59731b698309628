//! Containers that runc and crun make in place of our own runtime.

use crate::need;
use gantry_tests::{World, within};
use std::path::Path;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(30);

/// Those of the two that are installed; both are, where the tests' packages are.
fn others() -> Vec<&'static str> {
    let installed = |name: &&str| ["/usr/bin", "/usr/sbin"].iter().any(|dir| Path::new(dir).join(name).exists());
    let found: Vec<_> = ["runc", "crun"].into_iter().filter(installed).collect();
    if found.is_empty() {
        eprintln!("skipped: needs runc or crun");
    }
    found
}

const UNIFIED: &str = "/sys/fs/cgroup/unified";

/// crun refuses hosts where version 2 has a controller beside version 1; it is not shown that.
fn table(other: &str) -> String {
    if other != "crun" || !Path::new(UNIFIED).is_dir() {
        return String::new();
    }
    let script = format!("umount -l {UNIFIED}; exec \"$0\" \"$@\"");
    let unshare = "\"/usr/bin/unshare\", \"--mount\", \"--propagation\", \"slave\"";
    format!("[engine.runtimes]\ncrun = [{unshare}, \"sh\", \"-c\", '{script}', \"/usr/bin/crun\"]\n")
}

#[test]
fn others_make_containers_and_everything_else_is_as_ever() {
    need!();
    let world = World::new();
    for other in others() {
        world.configure(&table(other));
        whole_life(&world, other);
        faults(&world, other);
    }
}

fn whole_life(world: &World, other: &str) {
    let script = "echo out; echo err >&2; id -u; hostname; trap 'exit 7' TERM; while :; do sleep 1 & wait; done";
    let user = ["--user", "nobody", "--hostname", "there", "-m", "64m", "--group-add", "5"];
    let fixed = ["run", "-d", "--runtime", other, "--name", other];
    world.gantry(fixed.iter().chain(&user).chain(&["bb", "sh", "-c", script])).ok();
    assert!(within(LONG, || world.line(&format!("logs {other}")).stdout.ends_with("there\n")), "{other} logs nothing");
    let logs = world.line(&format!("logs {other}"));
    assert!(logs.stdout.starts_with("out\n") && logs.stderr.contains("err"), "{logs:?}");
    assert_eq!(world.inspect(other, "{{.HostConfig.Runtime}} {{.State.Status}}"), format!("{other} running"));
    let exec = |words: &[&str]| world.gantry(["exec", other].iter().chain(words));
    assert_eq!(exec(&["hostname"]).ok(), "there");
    let status = exec(&["cat", "/proc/1/status"]).ok();
    assert_eq!(exec(&["id", "-u"]).ok(), "65534");
    assert!(status.contains("Seccomp:\t2") && status.contains("NoNewPrivs:\t0"), "{status}");
    assert!(exec(&["ip", "addr", "show", "eth0"]).ok().contains(&format!("{}.", world.subnet)));
    exec(&["sh", "-c", "exit 5"]).code(5);
    assert!(world.line(&format!("top {other}")).ok().contains("sleep"));
    let stats = world.gantry(["stats", "--no-stream", "--format", "{{.MemUsage}}", other]).ok();
    assert!(stats.contains("64MiB"), "{stats}");
    world.line(&format!("pause {other}")).ok();
    assert_eq!(world.status(other), "paused");
    world.line(&format!("unpause {other}")).ok();
    world.line(&format!("stop {other}")).ok();
    assert_eq!(world.inspect(other, "{{.State.ExitCode}}"), "7");
    world.line(&format!("start {other}")).ok();
    world.line(&format!("rm -f {other}")).ok();
    let left = std::fs::read_dir(world.path("state").join("runtimes").join(other)).map_or(0, Iterator::count);
    assert_eq!(left, 0, "{other} still knows a container");
}

fn faults(world: &World, other: &str) {
    let run =
        |words: &[&str]| world.gantry(["run", "--rm", "--network", "none", "--runtime", other].iter().chain(words));
    assert_eq!(run(&["bb", "echo", "hi"]).ok(), "hi");
    run(&["bb", "sh", "-c", "exit 9"]).code(9);
    run(&["bb", "nosuch"]).code(127);
    run(&["bb", "/etc"]).code(126);
    run(&["-t", "bb", "true"]).fails(125, "not supported with --runtime");
    run(&["--runtime", "nosuch", "bb", "true"]).fails(125, "unknown or invalid runtime name");
}

#[test]
fn runtimes_have_paths_and_names() {
    need!();
    if !others().contains(&"runc") {
        return;
    }
    let world = World::new();
    let path = if Path::new("/usr/sbin/runc").exists() { "/usr/sbin/runc" } else { "/usr/bin/runc" };
    let run =
        |runtime: &str| world.gantry(["run", "--rm", "--network", "none", "--runtime", runtime, "bb", "echo", "hi"]);
    assert_eq!(run(path).ok(), "hi");
    run("/nosuch").fails(125, "/nosuch");
    world.configure(&format!("[engine.runtimes]\nmine = [\"{path}\", \"--debug\"]\n[defaults]\nruntime = \"mine\"\n"));
    assert_eq!(run("mine").ok(), "hi");
    world.line("create --name cc bb true").ok();
    assert_eq!(world.inspect("cc", "{{.HostConfig.Runtime}}"), "mine");
    assert!(world.gantry(["info", "--format", "{{json .Runtimes}}"]).stdout.contains(path));
    world.configure("[engine.runtimes]\nmine = \"relative\"\n");
    world.line("config check").fails(1, "absolute path");
    world.configure("");
}
