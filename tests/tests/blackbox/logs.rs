//! `logs` over json-file: nothing lost, streams apart, rotation, following.

use crate::need;
use gantry_tests::World;
use serde_json::Value;

#[test]
fn streams_and_times_are_kept() {
    need!();
    let world = World::new();
    let id = world.detached("one", "echo out; echo err >&2; printf rest");
    world.becomes("one", "exited");
    let run = world.line("logs one");
    assert_eq!(("out\nrest", "err\n"), (run.stdout.as_str(), run.stderr.as_str()));
    let stamped = world.line("logs -t one").ok();
    let (time, line) = stamped.lines().next().and_then(|l| l.split_once(' ')).expect("a time and a line");
    assert!(time.ends_with('Z') && time.contains('T') && time.len() == 30, "{time}");
    assert_eq!("out", line);
    let path = world.inspect("one", "{{.LogPath}}");
    assert!(path.ends_with(&format!("{id}-json.log")), "{path}");
    let text = std::fs::read_to_string(path).expect("the log is there");
    let first: Value = serde_json::from_str(text.lines().next().expect("a line")).expect("json");
    assert_eq!((first["log"].as_str(), first["stream"].as_str()), (Some("out\n"), Some("stdout")));
    assert!(first["time"].as_str().is_some_and(|time| time.ends_with('Z')));
    assert_eq!("json-file", world.inspect("one", "{{.HostConfig.LogConfig.Type}}"));
}

#[test]
fn many_lines_are_all_there_in_order() {
    need!();
    let world = World::new();
    let run = "run -d --network none --name many --log-opt max-size=100m bb seq 1 100000";
    world.line(run).ok();
    world.becomes("many", "exited");
    let expected: Vec<String> = (1..=100_000).map(|n| n.to_string()).collect();
    let logs = world.line("logs many").ok();
    assert!(logs.lines().eq(expected.iter().map(String::as_str)), "{} lines", logs.lines().count());
}

#[test]
fn tail_since_and_until_cut() {
    need!();
    let world = World::new();
    world.detached("cut", "for i in 1 2 3 4 5; do echo $i; done; sleep 1.2; echo 6");
    world.becomes("cut", "exited");
    assert_eq!("5\n6", world.line("logs --tail 2 cut").ok());
    assert_eq!("5\n6", world.line("logs -n 2 cut").ok());
    assert_eq!("", world.line("logs --tail 0 cut").ok());
    let all = world.line("logs -t cut").ok();
    let sixth = all.lines().last().and_then(|l| l.split_once(' ')).expect("a line").0.to_owned();
    assert_eq!("6", world.gantry(["logs", "--since", &sixth, "cut"]).ok());
    assert_eq!(
        "1\n2\n3\n4\n5",
        world.line("logs --until 2001-01-01 cut").stdout.trim().to_owned() + &first_five(&world)
    );
}

/// `--until` a moment before the last line.
fn first_five(world: &World) -> String {
    let all = world.line("logs -t cut").ok();
    let fifth = all.lines().nth(4).and_then(|l| l.split_once(' ')).expect("a line").0.to_owned();
    world.gantry(["logs", "--until", &fifth, "cut"]).ok()
}

#[test]
fn following_ends_with_the_container() {
    need!();
    let world = World::new();
    world.detached("follow", "for i in 1 2 3; do echo $i; sleep 0.3; done");
    let run = world.line("logs -f follow");
    assert_eq!((0, "1\n2\n3\n"), (run.code, run.stdout.as_str()));
}

#[test]
fn rotation_keeps_what_was_asked() {
    need!();
    let world = World::new();
    let run = "run -d --network none --name rot --log-opt max-size=20k --log-opt max-file=3 bb seq 1 10000";
    let id = world.line(run).ok();
    world.becomes("rot", "exited");
    let logs = world.line("logs rot").ok();
    let numbers: Vec<u32> = logs.lines().map(|line| line.parse().expect("a number")).collect();
    assert_eq!(Some(&10_000), numbers.last());
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "a hole in the log");
    let dir = world.path("root/containers").join(&id);
    let files: Vec<u64> = std::fs::read_dir(dir)
        .expect("the container's directory")
        .flatten()
        .filter(|file| file.file_name().to_string_lossy().contains("-json.log"))
        .map(|file| file.metadata().expect("a file").len())
        .collect();
    assert!(files.len() == 3 && files.iter().all(|len| *len <= 21_000), "{files:?}");
}

#[test]
fn bytes_that_are_no_text_come_back() {
    need!();
    let world = World::new();
    world.detached("raw", "printf 'a\\377b\\000c\\n\"quoted\\\\\"\\n'");
    world.becomes("raw", "exited");
    let output = world.command(["logs", "raw"]).output().expect("gantry runs").stdout;
    assert_eq!(b"a\xffb\0c\n\"quoted\\\"\n".to_vec(), output);
}

#[test]
fn a_very_long_line_is_whole() {
    need!();
    let world = World::new();
    world.detached("long", "head -c 100000 /dev/zero | tr '\\0' x; echo");
    world.becomes("long", "exited");
    assert_eq!("x".repeat(100_000), world.line("logs long").ok());
}

#[test]
fn options_of_log_drivers_are_checked_before_anything_is_made() {
    need!();
    let world = World::new();
    for (options, words) in [
        ("--log-opt nosuch=1", "nosuch"),
        ("--log-opt max-size=tiny", "max-size"),
        ("--log-opt max-file=0", "max-file"),
        ("--log-driver nosuch", "nosuch"),
        ("--log-driver none --log-opt max-size=1m", "none"),
    ] {
        world.line(&format!("run {options} bb true")).fails(125, words);
    }
    assert_eq!("", world.line("ps -aq").ok());
}

#[test]
fn no_log_is_kept_with_none() {
    need!();
    let world = World::new();
    assert_eq!("x", world.line("run --name quiet --network none --log-driver none bb echo x").ok());
    world.line("logs quiet").fails(1, "does not support reading");
}

#[test]
fn exec_s_output_is_not_the_container_s() {
    need!();
    let world = World::new();
    world.detached("own", "echo mine; sleep 300");
    world.logs_hold("own", "mine");
    assert_eq!("other", world.line("exec own echo other").ok());
    assert_eq!("mine", world.line("logs own").ok());
}

#[test]
fn the_configuration_s_options_are_the_default() {
    need!();
    let world = World::new();
    world.configure("[log.json-file]\nmax-size = \"7m\"\n");
    world.line("run --name conf --network none bb true").ok();
    let options = world.inspect("conf", "{{json .HostConfig.LogConfig}}");
    assert!(options.contains("7m"), "{options}");
}
