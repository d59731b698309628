//! `--log-driver local`: what json-file can, in Docker's binary files.

use crate::need;
use gantry_tests::World;
use std::path::PathBuf;

fn files(world: &World, id: &str) -> Vec<(String, u64)> {
    let dir: PathBuf = world.path("root/containers").join(id).join("local-logs");
    let entries = std::fs::read_dir(dir).expect("the directory of the log").flatten();
    let mut files: Vec<_> = entries
        .map(|file| (file.file_name().to_string_lossy().into_owned(), file.metadata().expect("a file").len()))
        .filter(|(name, _)| name.starts_with("container.log"))
        .collect();
    files.sort();
    files
}

fn run(world: &World, name: &str, options: &[&str], script: &str) -> String {
    let mut words = vec!["run", "-d", "--network", "none", "--name", name, "--log-driver", "local"];
    options.iter().for_each(|option| words.extend(["--log-opt", option]));
    words.extend(["bb", "sh", "-c", script]);
    let id = world.gantry(words).ok();
    world.becomes(name, "exited");
    id
}

#[test]
fn streams_times_and_bytes_come_back() {
    need!();
    let world = World::new();
    let script = "echo out; echo err >&2; echo; printf 'a\\377b\\000c\\n'; head -c 40000 /dev/zero | tr '\\0' x; echo; printf rest";
    let id = run(&world, "one", &[], script);
    assert_eq!("local", world.inspect("one", "{{.HostConfig.LogConfig.Type}}"));
    let logs = world.command(["logs", "one"]).output().expect("gantry runs");
    let long = "x".repeat(40_000);
    assert_eq!([&b"out\n\na\xffb\0c\n"[..], long.as_bytes(), b"\nrest"].concat(), logs.stdout);
    assert_eq!(b"err\n".to_vec(), logs.stderr);
    let stamped = world.line("logs -t --tail 6 one");
    let time = stamped.stdout.split(' ').next().expect("a time");
    assert!(time.ends_with('Z') && time.len() == 30, "{time}");
    let bytes =
        std::fs::read(world.path("root/containers").join(&id).join("local-logs/container.log")).expect("the log");
    let length = u32::from_be_bytes(bytes[..4].try_into().expect("four bytes")) as usize;
    assert_eq!(&bytes[4..13], b"\n\x06stdout\x10");
    assert_eq!(bytes[..4], bytes[4 + length..8 + length]);
}

#[test]
fn tail_since_and_until_cut() {
    need!();
    let world = World::new();
    run(&world, "cut", &["tag=t/{{.Name}}"], "for i in 1 2 3 4; do echo $i; sleep 0.05; done; echo 5");
    assert_eq!("4\n5", world.line("logs --tail 2 cut").ok());
    assert_eq!("", world.line("logs --tail 0 cut").ok());
    let all = world.line("logs -t cut").ok();
    let time = |line: usize| all.lines().nth(line).and_then(|l| l.split_once(' ')).expect("a line").0.to_owned();
    assert_eq!("4\n5", world.gantry(["logs", "--since", &time(3), "cut"]).ok());
    assert_eq!("1\n2", world.gantry(["logs", "--until", &time(1), "cut"]).ok());
    assert_eq!("tag=t%2Fcut 5", world.line("logs --details --tail 1 cut").ok());
}

#[test]
fn rotated_files_are_compressed_and_still_read() {
    need!();
    let world = World::new();
    let id = run(&world, "rot", &["max-size=20k", "max-file=3"], "seq 1 10000");
    let names: Vec<_> = files(&world, &id).into_iter().map(|(name, _)| name).collect();
    assert_eq!(["container.log", "container.log.1.gz", "container.log.2.gz"], names.as_slice());
    let logs = world.line("logs rot").ok();
    let numbers: Vec<u32> = logs.lines().map(|line| line.parse().expect("a number")).collect();
    assert_eq!(Some(&10_000), numbers.last());
    assert!(numbers.len() > 1000 && numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "a hole in the log");
    assert_eq!("9999\n10000", world.line("logs -n 2 rot").ok());
}

#[test]
fn following_goes_on_over_rotation() {
    need!();
    let world = World::new();
    let script = "i=0; while [ $i -lt 4000 ]; do i=$((i+1)); echo $i; done";
    let mut words = vec!["run", "-d", "--network", "none", "--name", "fol", "--log-driver", "local"];
    words.extend(["--log-opt", "max-size=4k", "--log-opt", "max-file=200", "bb", "sh", "-c", script]);
    let id = world.gantry(words).ok();
    let logs = world.line("logs -f fol").ok();
    let expected: Vec<String> = (1..=4000).map(|n| n.to_string()).collect();
    let gap = logs.lines().zip(&expected).find(|(got, want)| got != want);
    assert_eq!(
        (None, 4000),
        (gap, logs.lines().count()),
        "{:?}",
        std::fs::read_to_string(world.path(&format!("state/containers/{id}/supervisor.log")))
    );
    assert!(files(&world, &id).len() > 20);
}

#[test]
fn options_are_checked_in_dockers_words() {
    need!();
    let world = World::new();
    for (option, words) in [
        ("max-size=-1", "max-size must not be negative"),
        ("max-size=tiny", "max-size"),
        ("max-file=-1", "max-file must not be negative"),
        ("max-file=1", "compression cannot be enabled when max file count is 1"),
        ("max-fil=1", "did you mean 'max-file'"),
        ("partial-metadata=true", "unknown log opt"),
    ] {
        world.gantry(["run", "--log-driver", "local", "--log-opt", option, "bb", "true"]).fails(125, words);
    }
    assert_eq!("", world.line("ps -aq").ok());
}
