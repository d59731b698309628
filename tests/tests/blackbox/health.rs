//! Health checks: what they find is shown, told, acted upon, and goes on whoever is killed.

use crate::need;
use gantry_tests::{World, eventually, within};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(30);
const STATUS: &str = "{{.State.Health.Status}}";

fn start(world: &World, name: &str, options: &[&str], script: &str) {
    let fixed = ["run", "-d", "--network", "none", "--name", name, "--health-interval", "100ms"];
    world.gantry(fixed.iter().chain(options).chain(&["bb", "sh", "-c", script])).ok();
}

#[track_caller]
fn becomes(world: &World, name: &str, status: &str) {
    let is = || world.gantry(["inspect", "-f", STATUS, name]).stdout.trim() == status;
    assert!(within(LONG, is), "{name}: {:?}", world.gantry(["inspect", "-f", "{{json .State.Health}}", name]));
}

#[test]
fn checks_follow_the_container_s_state() {
    need!();
    let world = World::new();
    let check = ["--health-cmd", "cat /ok; echo err >&2", "--health-retries", "2"];
    start(&world, "cc", &["--health-cmd", "cat /ok", check[2], check[3]], "sleep 1000");
    assert!(world.line("ps").ok().contains("(health: starting)") || world.inspect("cc", STATUS) == "unhealthy");
    becomes(&world, "cc", "unhealthy");
    assert!(world.line("ps").ok().contains("(unhealthy)"));
    let last = world.inspect("cc", "{{(index .State.Health.Log 0).ExitCode}} {{(index .State.Health.Log 0).Output}}");
    assert!(last.starts_with("1 cat: can't open '/ok'"), "{last}");
    world.gantry(["exec", "cc", "sh", "-c", "echo fine > /ok"]).ok();
    becomes(&world, "cc", "healthy");
    assert!(world.line("ps").ok().contains("(healthy)"));
    assert_eq!("cc", world.gantry(["ps", "--filter", "health=healthy", "--format", "{{.Names}}"]).ok());
    assert_eq!("", world.line("ps -q --filter health=unhealthy").ok());
    let now = gantry_tests::now_text();
    let told = world.gantry([
        "events",
        "--since",
        "1h",
        "--until",
        &now,
        "-f",
        "event=health_status",
        "--format",
        "{{.Action}}",
    ]);
    assert_eq!(told.ok(), "health_status: unhealthy\nhealth_status: healthy");
    // What starts the checks is none of the container's processes.
    let id = world.inspect("cc", "{{.Id}}");
    let inside = world.gantry(["exec", "cc", "ps"]).ok();
    assert!(!inside.contains("keeper") && !world.line("top cc").ok().contains("keeper"), "{inside}");
    eventually("one starts all checks", || starters(&world, &id) == 1);
    world.line("stop -t 0 cc").ok();
    assert_eq!(world.inspect("cc", STATUS), "unhealthy");
    world.line("start cc").ok();
    becomes(&world, "cc", "healthy");
}

#[test]
fn checks_go_on_after_keeper_and_pump_are_killed_and_rest_while_paused() {
    need!();
    let world = World::new();
    start(&world, "cc", &["--health-cmd", "echo x >> /count"], "sleep 1000");
    becomes(&world, "cc", "healthy");
    let id = world.inspect("cc", "{{.Id}}");
    let count =
        || world.gantry(["exec", "cc", "sh", "-c", "wc -l < /count"]).ok().trim().parse::<u32>().expect("count");
    for who in ["keeper", "pump"] {
        let (keeper, pump) = world.supervisors(&id);
        gantry_tests::process::murder(if who == "keeper" { keeper } else { pump }.expect("it runs"));
        let before = count();
        assert!(within(LONG, || count() > before + 3), "no checks after the {who} was killed");
    }
    world.line("pause cc").ok();
    let started = || world.inspect("cc", "{{range .State.Health.Log}}{{.Start}} {{end}}");
    let before = started();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(before, started());
    world.line("unpause cc").ok();
    assert!(within(LONG, || started() != before));
    becomes(&world, "cc", "healthy");
}

#[test]
fn what_takes_too_long_or_cannot_start_is_a_failure() {
    need!();
    let world = World::new();
    let slow = ["--health-cmd", "echo slow; sleep 1000", "--health-timeout", "200ms", "--health-retries", "1"];
    start(&world, "slow", &slow, "sleep 1000");
    start(&world, "long", &["--health-cmd", "yes | head -c 100000; exit 7", "--health-retries", "1"], "sleep 1000");
    becomes(&world, "slow", "unhealthy");
    let template = "{{(index .State.Health.Log 0).ExitCode}} {{(index .State.Health.Log 0).Output}}";
    assert_eq!(world.inspect("slow", template), "-1 Health check exceeded timeout (200ms): slow");
    becomes(&world, "long", "unhealthy");
    let text = world.inspect("long", template);
    assert!(text.starts_with("7 y\ny\n") && text.len() < 4200 && text.ends_with("..."), "{} bytes", text.len());
    world
        .gantry(["import", "-c", "HEALTHCHECK --interval=50ms --retries=1 CMD [\"/nosuch\"]", &busybox(), "sick"])
        .ok();
    world.line("run -d --name sick --network none sick sleep 1000").ok();
    becomes(&world, "sick", "unhealthy");
    assert!(world.inspect("sick", template).contains("no such file"), "{}", world.inspect("sick", template));
    world.line("run -d --name none --network none --no-healthcheck sick sleep 1000").ok();
    assert!(!world.inspect("none", "{{json .State}}").contains("Health"));
}

#[test]
fn the_unhealthy_are_killed_stopped_or_started_again() {
    need!();
    let world = World::new();
    let act = |name: &str, action: &str, more: &[&str]| {
        let options = ["--health-cmd", "test -e /ok", "--health-retries", "1", "--health-on-failure", action];
        let all: Vec<&str> = options.iter().chain(more).copied().collect();
        start(&world, name, &all, "trap 'exit 5' TERM; while :; do sleep 0.1; done");
    };
    act("killed", "kill", &[]);
    act("stopped", "stop", &[]);
    act("again", "restart", &[]);
    act("policy", "kill", &["--restart", "always"]);
    assert!(within(LONG, || world.status("killed") == "exited" && world.status("stopped") == "exited"));
    let code = |name: &str| world.inspect(name, "{{.State.ExitCode}}");
    assert_eq!((code("killed"), code("stopped")), ("137".to_owned(), "5".to_owned()));
    let starts = |name: &str| {
        let now = gantry_tests::now_text();
        let words = ["events", "--since", "1h", "--until", &now, "-f", "event=start", "-f"];
        let filter = format!("container={name}");
        world.gantry(words.into_iter().chain([filter.as_str()])).ok().lines().count()
    };
    assert!(within(LONG, || starts("again") > 1 && starts("policy") > 1));
    world.line("run --health-on-failure dance bb true").fails(125, "invalid health action: dance");
}

/// Processes of the container's keeper that stay in the container: forks of it, in another cgroup.
fn starters(world: &World, id: &str) -> usize {
    let (Some(keeper), _) = world.supervisors(id) else { return 0 };
    let parent = |pid: i32| gantry_tests::process::parent(pid);
    let all = gantry_tests::process::all().into_iter().filter(|pid| parent(*pid) == Some(keeper));
    all.filter(|pid| gantry_tests::process::command_line(*pid).contains("keeper")).count()
}

fn busybox() -> String {
    gantry_tests::image::busybox_tar().to_string_lossy().into_owned()
}
