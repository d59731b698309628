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
fn what_a_state_forbids_is_told_as_docker_tells_it() {
    need!();
    let world = World::new();
    world.line("run --name over --network none bb true").ok();
    world.line("run -d --name up --network none bb sleep 100").ok();
    for (line, words) in [
        ("unpause over", "is not paused"),
        ("pause over", "is not running"),
        ("rename up over", "is already in use"),
        ("rename X x", "No such container: X"),
        ("update --restart foo up", "unknown policy 'foo'"),
        ("update --restart on-failure:x up", "must be an integer"),
        ("update -m 100m --memory-swap 50m up", "Minimum memoryswap limit should be larger than memory limit"),
        ("kill -s FROB up", "invalid signal: FROB"),
        ("kill -s 99 up", "does not support signal 99"),
        ("kill -s RTMIN+31 up", "does not support signal RTMIN+31"),
        ("kill over", "cannot kill container: over: container"),
        ("kill X", "cannot kill container: X: No such container: X"),
        ("rename up over", "error when allocating new name: Conflict. The container name"),
        ("create --restart foo bb true", "unknown policy 'foo'"),
        ("create --restart always:3 bb true", "cannot be used with restart policy 'always'"),
    ] {
        world.line(line).fails(1, words);
    }
    world.line("create --restart on-failure:x bb true").fails(125, "must be an integer");
    world.line("run --restart foo bb true").fails(125, "unknown policy 'foo'");
    for (line, words) in [
        ("exec -u 2147483648 up true", "uids and gids must be in range 0-2147483647"),
        ("exec -u nosuch up true", "unable to find user nosuch"),
        ("exec -u 0:nosuch up true", "unable to find group nosuch"),
    ] {
        world.line(line).fails(126, words);
    }
    world.gantry(["rename", "up", ""]).fails(1, "Neither old nor new names may be empty");
    for (mode, beside) in [("pid", "--network none"), ("ipc", "--network none"), ("network", "")] {
        let run = world.line(&format!("run --rm {beside} --{mode} container:over bb true"));
        run.fails(125, &format!("cannot join {mode} of a non running container"));
    }
    world.gantry(["kill", "-s", "", "up"]).ok();
    assert_eq!(world.line("wait up").ok(), "137");
}

#[test]
fn users_and_groups_by_number_have_a_largest_one() {
    need!();
    let world = World::new();
    let run = |options: &str| world.line(&format!("run --rm --network none {options} bb id -u"));
    for options in
        ["--user 2147483648", "--user 0:2147483648", "--user 4294967296", "--user -1", "--group-add 2147483648"]
    {
        run(options).fails(125, "uids and gids must be in range 0-2147483647");
    }
    run("--user 99999999999999999999").fails(125, "unable to find user 99999999999999999999");
    assert_eq!(run("--user 2147483647:2147483647").ok(), "2147483647");
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
        ("--restart sometimes", "both --restart and --rm"),
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
fn the_words_and_the_hint_are_docker_s() {
    need!();
    let world = World::new();
    let twin = world.line("create --name twin --network none bb true").ok();
    let taken = format!(
        "Conflict. The container name \"/twin\" is already in use by container \"{twin}\". You have to remove (or rename) \
         that container to be able to reuse that name."
    );
    for (code, words, said) in [
        (125, "--pull never nosuch true", "No such image: nosuch:latest"),
        (125, "--log-driver nosuch bb true", "unknown log driver \"nosuch\" (known: "),
        (125, "--log-opt nosuch=1 bb true", "unknown log opt 'nosuch' for json-file log driver (known: max-size, "),
        (125, "--network nosuch bb true", "network nosuch not found"),
        (125, "--name twin bb true", &*taken),
        (125, "--name bad! bb true", "Invalid container name (bad!), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"),
        (125, "-p 99999:80 bb true", "invalid hostPort: 99999"),
        (125, "-m 1k bb true", "Minimum memory limit allowed is 6MB"),
        (125, "--cpus 1000 bb true", "range of CPUs is from 0.01 to "),
        (
            125,
            "--mount type=bind,src=/nosuch,dst=/x bb true",
            "invalid mount config for type \"bind\": bind source path does not exist: /nosuch",
        ),
        (
            125,
            "-v /tmp:relative bb true",
            "invalid volume specification: '/tmp:relative': invalid mount path: 'relative' mount path must be absolute",
        ),
        (125, "-v /proc:/etc/hosts bb true", "mount /proc on /etc/hosts: attach mount: not a directory"),
        (126, "bb /etc", "exec: \"/etc\": permission denied"),
        (127, "bb /nosuch", "exec: \"/nosuch\": stat /nosuch: no such file or directory"),
        (127, "bb nosuch", "exec: \"nosuch\": executable file not found in $PATH"),
    ] {
        let network = if words.contains("--network") { "" } else { "--network none" };
        let run = world.line(&format!("run --rm {network} {words}"));
        run.code(code);
        assert_eq!("", run.stdout, "{words}");
        assert!(run.stderr.starts_with(&format!("gantry: {said}")), "{words}: {run:#?}");
        assert!(run.stderr.ends_with("\n\nRun 'gantry run --help' for more information\n"), "{words}: {run:#?}");
    }
    let run = world.line("run --nosuchflag bb");
    let usage = "unknown flag: --nosuchflag\n\nUsage:  gantry run [OPTIONS] IMAGE [COMMAND] [ARG...]\n\n\
                 Run 'gantry run --help' for more information\n";
    assert_eq!((125, usage), (run.code, run.stderr.as_str()));
    let run = world.gantry(["--storage-driver", "nosuch", "run", "bb", "true"]);
    run.fails(125, "gantry: unknown storage driver \"nosuch\" (known: overlay2, vfs)");
    world.assert_no_leaks();
}
