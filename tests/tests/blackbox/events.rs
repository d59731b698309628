//! `events`: what happened is there to be read, filtered, and followed.

use crate::need;
use gantry_tests::{World, now_text, within};
use serde_json::Value;
use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

fn events(world: &World, words: &[&str]) -> Vec<Value> {
    let now = now_text();
    let words =
        ["events", "--since", "1h", "--until", &now, "--format", "json"].into_iter().chain(words.iter().copied());
    world.gantry(words).ok().lines().map(|line| serde_json::from_str(line).expect("json")).collect()
}

fn actions(events: &[Value]) -> Vec<String> {
    let words = |event: &Value| format!("{} {}", event["Type"], event["Action"]).replace('"', "");
    events.iter().map(words).collect()
}

#[test]
fn a_container_s_life_is_told_in_docker_s_words() {
    need!();
    let world = World::new();
    world.line("network create web").ok();
    let run = ["run", "-d", "--name", "cc", "-l", "tier=front", "--network", "web", "-v", "data:/data"];
    let id = world
        .gantry(run.iter().chain(&["bb", "sh", "-c", "trap 'exit 3' TERM; echo up; while :; do sleep 0.1; done"]))
        .ok();
    world.logs_hold("cc", "up");
    world.gantry(["exec", "cc", "sh", "-c", "exit 4"]);
    world.gantry(["exec", "-d", "cc", "sh", "-c", "exit 5"]).ok();
    let ends = || events(&world, &["--filter", "event=exec_die"]).len() == 2;
    assert!(within(Duration::from_secs(20), ends), "{:?}", events(&world, &[]));
    for line in [
        "pause cc",
        "unpause cc",
        "rename cc dd",
        "update -m 64m dd",
        "stop dd",
        "rm dd",
        "volume rm data",
        "network rm web",
    ] {
        world.line(line).ok();
    }
    let all = events(&world, &[]);
    let told: Vec<String> = actions(&all).into_iter().filter(|a| !a.contains("exec_")).collect();
    let want = [
        "image import",
        "network create",
        "volume create",
        "container create",
        "volume mount",
        "network connect",
        "container start",
        "container pause",
        "container unpause",
        "container rename",
        "container update",
        "container kill",
        "container die",
        "network disconnect",
        "volume unmount",
        "container stop",
        "container destroy",
        "volume destroy",
        "network destroy",
    ];
    assert_eq!(told, want);
    let one =
        |action: &str| all.iter().find(|e| e["Type"] == "container" && e["Action"] == action).expect("told").clone();
    let die = one("die");
    assert_eq!((&die["id"], &die["status"], &die["from"]), (&Value::from(&*id), &"die".into(), &"bb".into()));
    assert_eq!(die["Actor"]["Attributes"]["exitCode"], "3");
    assert_eq!(die["Actor"]["Attributes"]["tier"], "front");
    assert_eq!((&die["Actor"]["Attributes"]["name"], &die["scope"]), (&"dd".into(), &"local".into()));
    assert_eq!(one("kill")["Actor"]["Attributes"]["signal"], "15");
    assert_eq!(one("rename")["Actor"]["Attributes"]["oldName"], "/cc");
    let codes = |e: &Value| e["Actor"]["Attributes"]["exitCode"].as_str().unwrap_or_default().to_owned();
    let mut ends: Vec<String> = events(&world, &["-f", "event=exec_die"]).iter().map(codes).collect();
    ends.sort();
    assert_eq!(ends, ["4", "5"]);
    assert_eq!(2, events(&world, &["-f", "event=exec_create", "-f", "container=cc"]).len());
    assert_eq!(0, events(&world, &["-f", "label=tier=back"]).len());
    assert_eq!(2, events(&world, &["-f", "type=network", "-f", "event=connect", "-f", "event=disconnect"]).len());
    world.line("events --filter colour=red").fails(1, "invalid filter 'colour'");
}

#[test]
fn a_restart_is_told_after_what_it_did() {
    need!();
    let world = World::new();
    world.line("run -d --name cc --network none bb sleep 100").ok();
    world.line("pause cc").ok();
    for _ in 0..10 {
        world.line("restart -t 0 cc").ok();
    }
    let told = actions(&events(&world, &["--filter", "type=container"]));
    let once = ["kill", "kill", "die", "stop", "start", "restart"].map(|action| format!("container {action}"));
    let mut want: Vec<String> = ["create", "start", "pause"].map(|action| format!("container {action}")).to_vec();
    want.extend(once.iter().cloned().cycle().take(60));
    want.insert(4, "container unpause".to_owned());
    assert_eq!(told, want);
}

#[test]
fn followers_see_what_happens() {
    need!();
    let world = World::new();
    let told = world.path("told");
    let format = "{{.Type}} {{.Action}} {{.Actor.Attributes.name}}";
    let mut command = world.command(["events", "--format", format, "--filter", "type=container"]);
    command.stdin(Stdio::null()).stdout(File::create(&told).expect("our own directory"));
    let mut follower = command.spawn().expect("the command runs");
    let seen = || std::fs::read_to_string(&told).unwrap_or_default();
    // Whether it follows already shows when it tells something.
    let follows = || {
        world.line("run --rm --name probe --network none bb true").ok();
        within(Duration::from_millis(300), || !seen().is_empty())
    };
    assert!(within(Duration::from_secs(20), follows));
    world.line("run --rm --name one --network none bb true").ok();
    let want =
        ["create", "attach", "start", "die", "destroy"].map(|action| format!("container {action} one\n")).concat();
    assert!(within(Duration::from_secs(10), || seen().contains(&want)), "{}", seen());
    follower.kill().expect("it runs");
    follower.wait().expect("it ends");
    let last = world.line(&format!("events --since 1h --until {}", now_text())).ok();
    assert!(last.lines().last().is_some_and(|line| line.contains(" container destroy ")), "{last}");
}
