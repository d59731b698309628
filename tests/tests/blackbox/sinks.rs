//! Several sinks at once, sinks that fail, and changes of sinks while the container runs.

mod remote;

use crate::need;
use gantry_tests::{World, within};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// `State.Logs` of a container.
fn counters(world: &World, name: &str) -> Vec<Value> {
    let text = world.inspect(name, "{{json .State.Logs}}");
    serde_json::from_str(&text).expect("a list of sinks")
}

/// Fields that must add up.
fn assert_balanced(sink: &Value) {
    let number = |key: &str| sink[key].as_u64().expect("a number");
    assert_eq!(number("In"), number("Out") + number("Dropped") + number("Waiting"), "{sink}");
}

fn numbers(text: &str) -> Vec<u64> {
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

fn quick<T>(what: &str, act: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = act();
    assert!(begun.elapsed() < Duration::from_secs(5), "{what} took {:?}", begun.elapsed());
    done
}

#[test]
fn two_drivers_get_every_line_and_are_counted() {
    need!();
    let world = World::new();
    let run = "run -d --network none --name two --log-driver local --log-driver json-file --log-opt json-file.max-size=50m bb seq 1 20000";
    let id = world.line(run).ok();
    world.becomes("two", "exited");
    assert_eq!((1..=20_000).collect::<Vec<_>>(), numbers(&world.line("logs two").ok()));
    let file = world.path("root/containers").join(&id).join(format!("{id}-json.log"));
    assert_eq!(20_000, std::fs::read_to_string(file).expect("the second log").lines().count());
    let sinks = counters(&world, "two");
    let shown: Vec<_> =
        sinks.iter().map(|s| (s["Driver"].as_str(), s["Out"].as_u64(), s["Dropped"].as_u64())).collect();
    assert_eq!(shown, [(Some("local"), Some(20_000), Some(0)), (Some("json-file"), Some(20_000), Some(0))]);
    sinks.iter().for_each(assert_balanced);
}

#[test]
fn bad_options_of_the_engine_are_refused_before_anything_is_made() {
    need!();
    let world = World::new();
    for (options, words) in [
        ("--log-opt policy=hope", "policy"),
        ("--log-opt policy=spill --log-opt spool-size=1k", "spool-size"),
        ("--log-opt block-timeout=soon", "block-timeout"),
        ("--log-opt strict=perhaps", "strict"),
        ("--log-opt line-limit=9m", "line-limit"),
        ("--log-opt rate-limit=many", "rate-limit"),
        ("--log-opt rate-burst=5", "needs rate-limit"),
        ("--log-opt rate-limit-bytes=1m/s --log-opt rate-excess=hope", "choose drop or wait"),
        ("--log-opt mode=sometimes", "logging mode not supported"),
        ("--log-opt max-buffer-size=4m", "only supported with"),
        ("--log-opt tag={{.Nope}}", "Nope"),
        ("--log-opt tag={{.Name", "tag"),
        ("--log-opt labels-regex=(", "error parsing regexp"),
        ("--log-opt env-regex=[", "error parsing regexp"),
        ("--log-opt cache-max-size=tiny", "cache-max-size"),
        ("--log-driver local --log-driver local", "twice"),
        ("--log-driver local --log-driver json-file --log-opt max-size=1m", "must name its driver"),
    ] {
        world.line(&format!("run {options} bb true")).fails(125, words);
    }
    assert_eq!("", world.line("ps -aq").ok());
}

#[test]
fn a_flood_beyond_the_limit_is_counted_and_told_in_the_log() {
    need!();
    let world = World::new();
    let script = "seq 1 5000; sleep 1.5; echo last";
    let run =
        ["run", "--network", "none", "--name", "flood", "--log-opt", "rate-limit=100/s", "bb", "sh", "-c", script];
    let shown = world.gantry(run).ok();
    assert_eq!(5001, shown.lines().count(), "who is attached sees all");
    let text = world.line("logs flood").ok();
    let sink = &counters(&world, "flood")[0];
    assert_balanced(sink);
    assert_eq!((sink["In"].as_u64(), &sink["Dropped"]), (Some(5001), &sink["DroppedRate"]), "{sink}");
    let kept = text.lines().filter(|line| !line.starts_with("[gantry] ")).count() as u64;
    assert_eq!(sink["Out"].as_u64(), Some(kept));
    assert!((100..1000).contains(&kept) && text.starts_with("1\n2\n") && text.ends_with("last"), "{text}");
    let told = text.lines().filter_map(|line| line.strip_prefix("[gantry] ")?.split(' ').next()?.parse::<u64>().ok());
    assert_eq!(sink["Dropped"].as_u64(), Some(told.sum()), "{text}");
}

#[test]
fn all_logs_together_stay_below_their_limit_and_what_goes_is_counted() {
    need!();
    let world = World::new();
    world.configure("[engine.logs]\nmax-total = \"4m\"\n");
    world.detached("quiet", "echo precious; sleep 300");
    world.logs_hold("quiet", "precious");
    let options = ["--log-opt", "max-size=500k", "--log-opt", "max-file=100"];
    let script = "for i in 1 2 3 4 5; do seq 1 30000; sleep 0.5; done; sleep 300";
    let run = ["run", "-d", "--network", "none", "--name", "noisy"].into_iter().chain(options);
    let id = world.gantry(run.chain(["bb", "sh", "-c", script])).ok();
    let dir = world.path("root/containers").join(&id);
    let size = || {
        let sizes = std::fs::read_dir(&dir).expect("directory").filter_map(|e| e.ok()?.metadata().ok());
        sizes.map(|meta| meta.len()).sum::<u64>()
    };
    let out = || counters(&world, "noisy")[0]["Out"].as_u64();
    assert!(within(Duration::from_secs(60), || out() == Some(150_000) && size() <= 4 << 20), "{} bytes", size());
    let sink = &counters(&world, "noisy")[0];
    let left = numbers(&world.line("logs noisy").ok()).len() as u64;
    assert!(left > 0 && sink["TrimmedBytes"].as_u64() > Some(1 << 20), "{sink}");
    assert_eq!(Some(150_000 - left), sink["TrimmedRecords"].as_u64(), "{sink}");
    assert_eq!("precious", world.line("logs quiet").ok(), "whoever takes most gives first");
    let told =
        world.line("events --since 10m --until 0s --filter event=log-trim --format {{.Actor.Attributes.name}}").ok();
    assert!(told.lines().count() > 0 && told.lines().all(|name| name == "noisy"), "{told}");
}

#[test]
fn tags_and_attributes_are_each_sink_s_own() {
    need!();
    let world = World::new();
    let run = "run --network none --name tagged --label app=web --label tier=x -e MODE=fast --log-opt tag={{.Name}}/{{upper(.ImageName)}} \
               --log-opt labels=app --log-opt env-regex=^MO bb echo line";
    world.line(run).ok();
    assert_eq!("MODE=fast,app=web,tag=tagged%2FBB line", world.line("logs --details tagged").ok());
    let json: Value = serde_json::from_str(&world.line("logs --format json tagged").ok()).expect("json");
    assert_eq!((json["log"].as_str(), json["attrs"]["app"].as_str()), (Some("line\n"), Some("web")));
}

#[test]
fn odd_lines_and_a_line_limit() {
    need!();
    let world = World::new();
    let script = "printf 'a\\000b\\n\\n\\377\\n'; head -c 1048576 /dev/zero | tr '\\0' z; echo; printf end";
    for (name, limit) in [("small", "20"), ("usual", "16k"), ("large", "1m")] {
        let limit = format!("line-limit={limit}");
        world.gantry([
            "run",
            "--network",
            "none",
            "--name",
            name,
            "--log-opt",
            &limit,
            "--log-opt",
            "max-size=200m",
            "bb",
            "sh",
            "-c",
            script,
        ]);
        let output = world.command(["logs", name]).output().expect("gantry runs").stdout;
        let mut want = b"a\0b\n\n\xff\n".to_vec();
        want.extend(std::iter::repeat_n(b'z', 1_048_576));
        want.extend_from_slice(b"\nend");
        assert!(output == want, "{name}: {} bytes", output.len());
    }
    let pieces = |name: &str| world.gantry(["logs", "--format", "json", name]).ok().lines().count();
    assert_eq!((pieces("large"), pieces("usual")), (6, 4 + 65));
}

#[test]
fn lines_are_joined_to_records_wherever_the_pump_is_killed() {
    need!();
    let world = World::new();
    // A record of three lines at once, one that comes in parts, and a last one that nothing follows for a while.
    let script = "i=0; while [ $i -lt 600 ]; do i=$((i+1)); echo \"$i start\"; echo '  at one'; echo '  at two'; done; \
                  echo 601 slow; sleep 0.3; echo '  at three'; echo '602 last' >&2; sleep 3; echo '  late'; sleep 300";
    let options = ["--log-opt", "multiline-pattern=^[0-9]+ ", "--log-opt", "multiline-timeout=1s"];
    let words = ["run", "-d", "--network", "none", "--name", "joined"];
    let id = world.gantry(words.iter().chain(&options).chain(&["bb", "sh", "-c", script])).ok();
    for _ in 0..4 {
        if let (_, Some(pump)) = world.supervisors(&id) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pump), nix::sys::signal::Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let records = || -> Vec<String> {
        let run = world.line("logs --format json joined");
        let text = run.stdout + &run.stderr;
        let log = |line: &str| serde_json::from_str::<Value>(line).expect("json")["log"].as_str().map(str::to_owned);
        text.lines().filter_map(log).collect()
    };
    let want = |records: &[String]| records.iter().any(|record| record == "  late\n");
    let mut found = Vec::new();
    assert!(within(Duration::from_secs(30), || want({
        found = records();
        &found
    })));
    let last = found.iter().position(|record| record == "602 last\n").map(|at| found.remove(at));
    assert!(last.is_some(), "the other stream's, for itself");
    let mut wanted: Vec<String> = (1..=600).map(|n| format!("{n} start\n  at one\n  at two\n")).collect();
    wanted.extend(["601 slow\n  at three\n".to_owned(), "  late\n".to_owned()]);
    let wrong = found.iter().zip(&wanted).find(|(got, want)| got != want);
    assert_eq!((None, wanted.len()), (wrong, found.len()));
    assert_eq!("late", world.line("logs --tail 1 joined").ok().trim());
    world.line("update --log-opt line-limit=32k joined").ok();
    world.line("rm -f joined").ok();
    world.line("run --log-opt multiline-pattern=( bb true").fails(125, "error parsing regexp");
    world.line("run --log-opt multiline-timeout=2s bb true").fails(125, "multiline-timeout needs multiline-pattern");
}

#[test]
fn a_log_that_was_moved_away_goes_on_in_a_new_file_at_a_signal() {
    need!();
    let world = World::new();
    let id = world.detached("moved", "echo first; while ! [ -e /go ]; do sleep 0.1; done; echo second; sleep 300");
    world.logs_hold("moved", "first");
    let log = world.path("root/containers").join(&id).join(format!("{id}-json.log"));
    let away = log.with_extension("log-20261122");
    std::fs::rename(&log, &away).expect("moved");
    let pid = world.inspect("moved", "{{.State.LogPid}}").parse().expect("a process");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGUSR1).expect("told");
    assert!(within(Duration::from_secs(10), || log.exists()), "a new file under the old name");
    world.line("exec moved touch /go").ok();
    world.logs_hold("moved", "second");
    let text = |path| std::fs::read_to_string(path).expect("a log");
    assert!(text(&away).contains("first") && !text(&away).contains("second"));
    assert!(text(&log).contains("second"));
}

#[test]
fn several_containers_are_printed_with_their_names() {
    need!();
    let world = World::new();
    world.detached("a1", "echo one; sleep 0.5; echo two");
    world.detached("second", "echo three");
    world.becomes("a1", "exited");
    world.becomes("second", "exited");
    assert_eq!("a1     | one\na1     | two\nsecond | three", world.line("logs a1 second").ok());
    let mut lines: Vec<String> = world.line("logs -f second a1").ok().lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(["a1     | one", "a1     | two", "second | three"], lines.as_slice());
    let run = world.line("logs a1 nosuch");
    assert_eq!(1, run.code);
    assert!(run.stdout.contains("a1     | one") && run.stderr.contains("nosuch"), "{run:?}");
}

#[test]
fn rotating_by_hand_begins_new_files() {
    need!();
    let world = World::new();
    let id = world.detached("rotate", "echo first; sleep 300");
    world.detached("other", "echo 1; sleep 300");
    world.logs_hold("rotate", "first");
    world.logs_hold("other", "1");
    assert_eq!("first", world.line("logs rotate").ok(), "a container may be called so");
    assert_eq!("other", world.line("logs rotate other").ok());
    assert_eq!("rotate", world.line("logs rotate rotate").ok());
    let rotated = world.path("root/containers").join(&id).join(format!("{id}-json.log.1"));
    assert!(within(Duration::from_secs(10), || rotated.exists()));
    assert_eq!("first", world.line("logs rotate").ok());
    world.line("rm -f -v other").ok();
    world.line("kill rotate").ok();
    world.line("logs rotate rotate").ok();
    assert_eq!("first", world.line("logs rotate").ok());
}

#[test]
fn torn_records_are_skipped_and_told() {
    need!();
    let world = World::new();
    let id = world.detached("torn", "echo one; echo two; echo three");
    world.becomes("torn", "exited");
    let path = world.path("root/containers").join(&id).join(format!("{id}-json.log"));
    let text = std::fs::read_to_string(&path).expect("the log");
    let lines: Vec<&str> = text.lines().collect();
    std::fs::write(&path, format!("{}\n{}\n{}\n", lines[0], &lines[1][..20], lines[2])).expect("ours");
    let run = world.line("logs torn");
    assert_eq!("one\nthree", run.ok());
    assert!(!run.stderr.is_empty(), "{run:?}");
}

/// Each round begins seventy files, and follows when the last line of the one before was delivered: a follower that keeps
/// up with its hundred files misses nothing, however slow the machine is.
#[test]
fn rotation_loses_nothing_for_a_follower() {
    need!();
    let world = World::new();
    let sync = world.path("sync");
    std::fs::create_dir(&sync).expect("our own directory");
    let script = "i=0; while [ $i -lt 20 ]; do seq $((i*1000+1)) $((i*1000+1000)); i=$((i+1)); \
                  while [ ! -e /sync/$i ]; do sleep 0.02; done; done";
    let volume = format!("{}:/sync", sync.display());
    let mut words = vec!["run", "-d", "--network", "none", "--name", "rot", "-v", &volume];
    words.extend(["--log-opt", "max-size=1k", "--log-opt", "max-file=100", "bb", "sh", "-c", script]);
    world.gantry(words).ok();
    let mut command = world.command(["logs", "-f", "rot"]);
    let mut follower = command.stdout(Stdio::piped()).spawn().expect("gantry runs");
    let mut seen = Vec::new();
    for line in BufReader::new(follower.stdout.take().expect("piped above")).lines() {
        let number: u64 = line.expect("text").parse().expect("a number");
        if number.is_multiple_of(1000) {
            std::fs::write(sync.join((number / 1000).to_string()), "").expect("our own directory");
        }
        seen.push(number);
    }
    assert!(follower.wait().expect("ended").success());
    assert!(seen == (1..=20_000).collect::<Vec<_>>(), "{} lines", seen.len());
}

#[test]
fn drivers_change_while_the_container_runs() {
    need!();
    let world = World::new();
    let script = "i=0; while [ $i -lt 60 ]; do seq $((i*100+1)) $((i*100+100)); sleep 0.05; i=$((i+1)); done";
    world.detached("swap", script);
    let follower = world.spawn(["logs", "-f", "swap"]);
    for (words, driver) in [
        ("update --log-driver local swap", "local"),
        ("update --log-opt max-size=1m swap", "local"),
        ("update --log-driver json-file --log-opt max-size=2m swap", "json-file"),
        ("update --log-driver json-file --log-driver local --log-opt local.compress=false swap", "json-file"),
    ] {
        std::thread::sleep(Duration::from_millis(400));
        assert_eq!("swap", world.line(words).ok());
        assert_eq!(driver, world.inspect("swap", "{{.HostConfig.LogConfig.Type}}"));
    }
    let want: Vec<u64> = (1..=6000).collect();
    let followed = numbers(&follower.end().ok());
    assert!(followed == want, "followed {} lines", followed.len());
    world.becomes("swap", "exited");
    let read = numbers(&world.line("logs swap").ok());
    assert!(read == want, "read {} lines", read.len());
    for tail in [1, 50, 3000, 5999, 7000] {
        let text = world.gantry(["logs", "--tail", &tail.to_string(), "swap"]).ok();
        assert_eq!(want[want.len().saturating_sub(tail)..], numbers(&text), "tail {tail}");
    }
    assert_eq!("swap", world.line("update --log-driver none swap").ok());
    assert_eq!(6000, numbers(&world.line("logs swap").ok()).len());
    world.line("update --log-opt nosuch=1 swap").fails(1, "none");
    world.line("update swap").fails(1, "flags");
    world.line("start -a swap").ok();
    assert_eq!(6000, numbers(&world.line("logs swap").ok()).len());
}

#[test]
fn a_killed_pump_loses_and_doubles_nothing() {
    need!();
    let world = World::new();
    let script = "i=0; while [ $i -lt 200 ]; do seq $((i*1000+1)) $((i*1000+1000)); sleep 0.01; i=$((i+1)); done";
    let drivers = ["--log-driver", "json-file", "--log-driver", "local", "--log-opt", "json-file.max-size=1g"];
    let mut words = vec!["run", "-d", "--network", "none", "--name", "killed"];
    words.extend(drivers);
    words.extend(["bb", "sh", "-c", script]);
    let id = world.gantry(words).ok();
    let mut kills = 0;
    while world.status("killed") == "running" {
        if let (_, Some(pump)) = world.supervisors(&id) {
            gantry_tests::process::murder(pump);
            kills += 1;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(kills > 5, "{kills} kills");
    let read = numbers(&world.line("logs killed").ok());
    assert!(read == (1..=200_000).collect::<Vec<_>>(), "{} lines", read.len());
}
