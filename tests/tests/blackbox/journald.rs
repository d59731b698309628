//! `--log-driver journald`, against a journald of our own: what its own tool says, and what `logs` reads back.

use crate::need;
use gantry_tests::{Run, Running, World, within};
use private::Private;
use serde_json::Value;
use std::process::Command;
use std::time::Duration;

#[path = "../../../drivers/shared/testing/journald.rs"]
mod private;

/// A world whose commands run where that journald is.
struct Place {
    world: World,
    journald: Private,
}

impl Place {
    fn new() -> Option<Place> {
        let journald = Private::start()?;
        Some(Place { world: World::new(), journald })
    }

    fn command(&self, words: &[&str]) -> Command {
        wrapped(&["nsenter", "--mount", "--target", &self.journald.pid(), "--"], &self.world.command(words))
    }

    fn spawn(&self, words: &[&str]) -> Running {
        Running::start(self.command(words), &[])
    }

    fn gantry(&self, words: &[&str]) -> Run {
        self.spawn(words).end()
    }

    /// Starts a container that logs to the journal; gives its id.
    #[track_caller]
    fn run(&self, name: &str, options: &[&str], script: &str) -> String {
        let mut words = vec!["run", "-d", "--network", "none", "--name", name, "--log-driver", "journald"];
        words.extend_from_slice(options);
        words.extend(["bb", "sh", "-c", script]);
        self.gantry(&words).ok()
    }
}

/// A command run by another.
fn wrapped(by: &[&str], inner: &Command) -> Command {
    let mut command = Command::new(by[0]);
    command.args(&by[1..]).arg(inner.get_program()).args(inner.get_args());
    command.envs(inner.get_envs().filter_map(|(key, value)| value.map(|value| (key, value))));
    command
}

fn text<'a>(entry: &'a Value, field: &str) -> &'a str {
    entry.get(field).and_then(Value::as_str).unwrap_or_default()
}

#[test]
fn entries_have_every_field_and_come_back() {
    need!();
    let Some(place) = Place::new() else { return };
    let options = ["--label", "app.name=shop", "--log-opt", "labels=app.name", "--log-opt", "tag=t/{{.Name}}"];
    let id = place.run("one", &options, "echo out; echo err >&2; printf 'a\\377b\\n'; echo; printf rest");
    place.world.becomes("one", "exited");
    let entries = place.journald.journalctl(&id);
    assert_eq!(entries.len(), 5);
    let out = entries.iter().find(|entry| text(entry, "MESSAGE") == "out").expect("the first line");
    for (field, want) in [
        ("PRIORITY", "6"),
        ("CONTAINER_ID", &id[..12]),
        ("CONTAINER_NAME", "one"),
        ("CONTAINER_TAG", "t/one"),
        ("SYSLOG_IDENTIFIER", "t/one"),
        ("IMAGE_NAME", "bb"),
        ("APP_NAME", "shop"),
    ] {
        assert_eq!(text(out, field), want, "{field}");
    }
    assert_eq!(entries.iter().filter(|entry| text(entry, "PRIORITY") == "3").count(), 1);
    let logs = place.command(&["logs", "one"]).output().expect("nsenter runs");
    assert_eq!((b"out\na\xffb\n\nrest".to_vec(), b"err\n".to_vec()), (logs.stdout, logs.stderr));
    assert_eq!("APP_NAME=shop rest", place.gantry(&["logs", "--details", "--tail", "1", "one"]).ok());
    assert_eq!("", place.gantry(&["logs", "--since", "2099-01-01", "one"]).ok());
    let stamped = place.gantry(&["logs", "-t", "--tail", "1", "one"]).ok();
    let time = stamped.split(' ').next().expect("a time");
    assert!(time.len() == 30 && !time.ends_with("000Z"), "nanoseconds are kept: {time}");
}

#[test]
fn a_very_long_line_is_whole() {
    need!();
    let Some(place) = Place::new() else { return };
    let id = place.run("long", &[], "head -c 300000 /dev/zero | tr '\\0' x; echo");
    place.world.becomes("long", "exited");
    assert_eq!("x".repeat(300_000), place.gantry(&["logs", "long"]).ok());
    let entries = place.journald.journalctl(&id);
    let ordinals: Vec<_> = entries.iter().map(|entry| text(entry, "CONTAINER_PARTIAL_ORDINAL").to_owned()).collect();
    assert_eq!(ordinals, (1..=19).map(|n| n.to_string()).collect::<Vec<_>>());
    assert!(entries.iter().all(|entry| entry["CONTAINER_PARTIAL_ID"] == entries[0]["CONTAINER_PARTIAL_ID"]));
    let last: Vec<_> = entries.iter().map(|entry| text(entry, "CONTAINER_PARTIAL_LAST") == "true").collect();
    assert!(last[18] && !last[..18].contains(&true));
}

#[test]
fn following_ends_with_the_container_and_goes_over_new_files() {
    need!();
    let Some(place) = Place::new() else { return };
    place.run("fol", &[], "i=0; while [ $i -lt 1000 ]; do i=$((i+1)); echo $i; sleep 0.002; done");
    let follower = place.spawn(&["logs", "-f", "fol"]);
    (0..12).for_each(|_| place.journald.rotate());
    let run = follower.end();
    let expected: Vec<String> = (1..=1000).map(|n| n.to_string()).collect();
    assert_eq!((0, expected.join("\n")), (run.code, run.stdout.trim_end().to_owned()));
}

#[test]
fn a_killed_pump_loses_nothing_and_nothing_is_read_twice() {
    need!();
    let Some(place) = Place::new() else { return };
    let script = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo $i; done";
    let id = place.run("killed", &[], script);
    let mut kills = 0;
    // A pump that goes on storing when its container's end has been told has no successor: one that is killed then loses
    // what a slow journald has not taken. So none is killed here once the container's process has ended.
    let init = std::path::PathBuf::from(format!("/proc/{}", place.world.inspect("killed", "{{.State.Pid}}")));
    while init.exists() && kills < 20 {
        if let (_, Some(pump)) = place.world.supervisors(&id)
            && init.exists()
        {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pump), nix::sys::signal::Signal::SIGKILL);
            kills += 1;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    place.world.becomes("killed", "exited");
    let last = || place.gantry(&["logs", "--tail", "1", "killed"]).ok();
    let told = || place.world.inspect("killed", "{{json .State.Logs}}");
    assert!(within(Duration::from_secs(60), || last() == "20000"), "after {kills} kills: {}, {}", last(), told());
    let logs = place.gantry(&["logs", "killed"]).ok();
    let expected: Vec<String> = (1..=20_000).map(|n| n.to_string()).collect();
    let wrong = logs.lines().zip(&expected).find(|(got, want)| got != want);
    assert_eq!((None, 20_000), (wrong, logs.lines().count()), "after {kills} kills");
}

/// A container's end is not held up by a journald that stands still, and nothing is lost when it goes on.
#[test]
fn a_journald_that_stands_still_for_a_while_loses_nothing() {
    need!();
    let Some(place) = Place::new() else { return };
    let pid = nix::unistd::Pid::from_raw(place.journald.pid().parse().expect("a pid"));
    let signal = |signal| nix::sys::signal::kill(pid, signal).expect("signalled");
    let options = ["--tmpfs", "/go"];
    let script = "while ! [ -e /go/on ]; do sleep 0.05; done; seq 1 3000";
    place.run("still", &options, script);
    signal(nix::sys::signal::Signal::SIGSTOP);
    let begun = std::time::Instant::now();
    place.world.line("exec still touch /go/on").ok();
    place.world.becomes("still", "exited");
    // Longer than two of the driver's tries, and than a sink may stand still in one call.
    std::thread::sleep(Duration::from_secs(8).saturating_sub(begun.elapsed()));
    signal(nix::sys::signal::Signal::SIGCONT);
    let last = || place.gantry(&["logs", "--tail", "1", "still"]).ok();
    let told = || place.world.inspect("still", "{{json .State.Logs}}");
    assert!(within(Duration::from_secs(60), || last() == "3000"), "{}, {}", last(), told());
    let expected: Vec<String> = (1..=3000).map(|n| n.to_string()).collect();
    assert_eq!(expected.join("\n"), place.gantry(&["logs", "still"]).ok());
}

/// journald limits what comes from one unit of systemd; our supervisors belong to none.
#[test]
fn a_flood_of_one_container_silences_no_other() {
    need!();
    let Some(journald) = Private::with("RateLimitIntervalSec=30s\nRateLimitBurst=100", &[]) else { return };
    let place = Place { world: World::new(), journald };
    place.run("flood", &[], "seq 1 5000");
    place.run("limited", &["--log-opt", "rate-limit=50/h"], "seq 1 200");
    place.run("quiet", &[], "seq 1 300");
    for (name, lines) in [("flood", 5000), ("limited", 51), ("quiet", 300)] {
        place.world.becomes(name, "exited");
        let count = || place.gantry(&["logs", name]).ok().lines().count();
        assert!(within(Duration::from_secs(30), || count() == lines), "{name}: {} of {lines}", count());
    }
    assert_eq!("150", place.world.inspect("limited", "{{(index .State.Logs 0).Dropped}}"));
}

#[test]
fn options_of_other_drivers_are_unknown() {
    need!();
    let world = World::new();
    world.line("run --log-driver journald --log-opt max-size=1m bb true").fails(125, "unknown log opt 'max-size'");
}

/// Needs only a place without journald.
#[test]
fn without_journald_the_container_runs_all_the_same() {
    need!();
    let world = World::new();
    let inner = world.command([
        "run",
        "--network",
        "none",
        "--name",
        "none",
        "--log-driver",
        "journald",
        "bb",
        "echo",
        "hello",
    ]);
    let hidden = "mount -t tmpfs tmpfs /run && exec \"$@\"";
    let command = wrapped(&["unshare", "--mount", "--propagation", "private", "sh", "-c", hidden, "sh"], &inner);
    assert_eq!("hello", Running::start(command, &[]).end().ok());
}
