//! What is said when something is wrong: codes and words that scripts know.

use crate::need;
use gantry_tests::World;

#[test]
fn what_is_missing_is_named() {
    need!();
    let world = World::empty();
    for (line, words) in [
        ("rm X", "No such container: X"),
        ("stop X", "No such container: X"),
        ("start X", "No such container: X"),
        ("logs X", "No such container: X"),
        ("exec X true", "No such container: X"),
        ("kill X", "No such container: X"),
        ("wait X", "No such container: X"),
        ("top X", "No such container: X"),
        ("port X", "No such container: X"),
        ("attach X", "No such container: X"),
        ("rename X YY", "No such container: X"),
        ("inspect X", "No such object: X"),
        ("container inspect X", "No such container: X"),
        ("image inspect X", "No such image: X"),
        ("rmi x", "No such image: x:latest"),
        ("volume rm X", "get X: no such volume"),
        ("network inspect X", "network X not found"),
        ("plugin inspect X", "X"),
    ] {
        let run = world.line(line);
        run.fails(1, words);
        let expected = if line.contains("inspect") { "[]" } else { "" };
        assert_eq!(expected, run.stdout.trim(), "{line}");
    }
}

#[test]
fn a_wrong_run_is_refused_with_125_and_makes_nothing() {
    need!();
    let world = World::new();
    for (options, words) in [
        ("--nosuchflag", "unknown flag: --nosuchflag"),
        ("-m 1k", "Minimum memory limit allowed is 6MB"),
        ("--cpus 1000", "CPUs"),
        ("-p 99999:80", "99999"),
        ("-p a:b", "ort: b"),
        ("--network nosuch", "network nosuch not found"),
        ("--log-driver nosuch", "nosuch"),
        ("--volume-driver nosuch -v x1:/d", "nosuch"),
        ("--user nosuch", "nosuch"),
        ("--cap-add NOSUCH", "NOSUCH"),
        ("--ulimit nosuch=1", "nosuch"),
        ("--security-opt nosuch=1", "nosuch"),
        ("--restart sometimes", "sometimes"),
        ("--name -x", "-x"),
        ("-e =x", "="),
        ("--pid nosuch", "pid"),
        ("--stop-signal NOSUCH", "NOSUCH"),
        ("--sysctl kernel.pid_max=5", "kernel.pid_max"),
        ("--device /dev/nosuch", "/dev/nosuch"),
        ("-w relative", "relative"),
    ] {
        world.line(&format!("run --rm {options} bb true")).fails(125, words);
    }
    assert_eq!("", world.line("ps -aq").ok());
    world.assert_no_leaks();
}

#[test]
fn a_full_disk_is_an_error_and_no_damage() {
    need!();
    let world = World::new();
    let small = world.text("small");
    std::fs::create_dir_all(&small).expect("made");
    let flags = nix::mount::MsFlags::empty();
    nix::mount::mount(Some("tmpfs"), small.as_str(), Some("tmpfs"), flags, Some("size=1m")).expect("root may mount");
    let tar = gantry_tests::image::busybox_tar().to_string_lossy().into_owned();
    let root = format!("{small}/root");
    let mut command = std::process::Command::new(gantry_tests::binary("gantry"));
    command.args(["--root", &root, "--state", &world.text("state2"), "import", &tar, "bb"]);
    let run = gantry_tests::Running::start(command, &[]).end();
    nix::mount::umount(small.as_str()).expect("nothing holds it");
    assert_eq!(1, run.code, "{run:#?}");
    assert!(run.stderr.contains("No space left") || run.stderr.contains("disk"), "{run:#?}");
}
