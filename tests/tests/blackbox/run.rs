//! `run`: exit codes, streams, and what a program finds around it.

use crate::need;
use gantry_tests::World;

#[test]
fn the_exit_code_is_the_container_s_own() {
    need!();
    let world = World::new();
    world.shell("exit 0").code(0);
    world.shell("exit 7").code(7);
    world.shell("exit 255").code(255);
    world.assert_no_leaks();
}

#[test]
fn streams_stay_apart() {
    need!();
    let run = World::new().shell("echo out; echo err >&2");
    assert_eq!((0, "out\n", "err\n"), (run.code, run.stdout.as_str(), run.stderr.as_str()));
}

#[test]
fn every_byte_comes_through() {
    need!();
    let world = World::new();
    let run = world.shell("seq 1 200000");
    let expected: String = (1..=200_000).map(|n| format!("{n}\n")).collect();
    assert!(run.code == 0 && run.stdout == expected, "{} of {} bytes", run.stdout.len(), expected.len());
}

#[test]
fn standard_input_is_read_to_its_end() {
    need!();
    let world = World::new();
    let input = "line\n".repeat(50_000);
    let run = world.fed(["run", "--rm", "-i", "--network", "none", "bb", "wc", "-c"], input.as_bytes());
    assert_eq!(input.len().to_string(), run.ok().trim());
    let closed = world.fed(["run", "--rm", "--network", "none", "bb", "wc", "-c"], b"not for it");
    assert_eq!("0", closed.ok().trim(), "without -i stdin is empty");
}

#[test]
fn a_program_finds_its_surroundings() {
    need!();
    let world = World::new();
    let mut wrong = Vec::new();
    for (options, script, expected) in [
        ("", "echo $$", "1"),
        ("-h box", "hostname; cat /etc/hostname; echo $HOSTNAME", "box\nbox\nbox"),
        ("-w /tmp", "pwd", "/tmp"),
        ("-w /made/for/it", "pwd", "/made/for/it"),
        ("-e A=b -e C=", "echo $A,$C,$PATH", "b,,/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("", "echo $HOME", "/root"),
        ("-u web", "id; echo $HOME", "uid=1000(web) gid=1000(web) groups=1000(web),2000(extra)\n/home"),
        ("-u 5:6", "id -u; id -g", "5\n6"),
        ("--group-add 2000", "id -G", "0 2000"),
        ("", "ls /proc/self/fd | head -4", "0\n1\n2\n3"),
        ("", "grep -c . /proc/net/dev", "3"),
        ("", "stat -L -c %F /dev/null /dev/ptmx", "character special file\ncharacter special file"),
        ("", "stat -f -c %T /dev/shm /sys /dev/mqueue | head -2", "tmpfs\nsysfs"),
        ("--read-only", "touch /x 2>/dev/null || echo no; touch /etc/hosts 2>/dev/null || echo no", "no\nno"),
        ("--tmpfs /t:size=1m", "df -k /t | tail -1 | awk '{print $2}'", "1024"),
        (
            "",
            "touch /sys/x 2>/dev/null || echo no; echo 1 > /proc/sys/kernel/hostname 2>/dev/null || echo no",
            "no\nno",
        ),
        ("", "wc -c < /proc/keys; echo h > /proc/sysrq-trigger 2>/dev/null || echo no", "0\nno"),
        ("", "grep Seccomp: /proc/self/status | tr -d '\\t'", "Seccomp:2"),
        ("", "grep CapEff /proc/self/status | tr -d '\\t'", "CapEff:00000000a80425fb"),
        ("--cap-drop ALL", "grep CapEff /proc/self/status | tr -d '\\t'", "CapEff:0000000000000000"),
        ("--cap-drop ALL --cap-add CHOWN", "grep CapEff /proc/self/status | tr -d '\\t'", "CapEff:0000000000000001"),
        ("--security-opt no-new-privileges", "grep NoNewPrivs /proc/self/status | tr -d '\\t'", "NoNewPrivs:1"),
        ("--ulimit nofile=100:200", "ulimit -n; ulimit -Hn", "100\n200"),
        ("--sysctl net.ipv4.ip_default_ttl=70", "cat /proc/sys/net/ipv4/ip_default_ttl", "70"),
        ("--entrypoint /bin/echo", "x", "-c x"),
        ("--add-host other:1.2.3.4", "grep other /etc/hosts", "1.2.3.4\tother"),
    ] {
        let words = ["run", "--rm", "--network", "none"].into_iter().chain(options.split_whitespace());
        let command: &[&str] = if options.contains("entrypoint") { &["-c", script] } else { &["sh", "-c", script] };
        let run = world.gantry(words.chain(["bb"]).chain(command.iter().copied()));
        if (0, expected) != (run.code, run.stdout.trim()) {
            wrong.push((options, script, expected, run));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    world.assert_no_leaks();
}

#[test]
fn limits_reach_the_kernel() {
    need!();
    let world = World::new();
    let id = world
        .gantry(
            ["run", "-d", "--name", "lim", "--network", "none", "-m", "64m", "--pids-limit", "20", "--cpus", "0.5"]
                .into_iter()
                .chain(["bb", "sleep", "300"]),
        )
        .ok();
    let read = |v1: &str, v2: &str| {
        let old = std::fs::read_to_string(format!("/sys/fs/cgroup/{}", v1.replace("ID", &format!("gantry/{id}"))));
        let new = || std::fs::read_to_string(format!("/sys/fs/cgroup/gantry/{id}/{v2}"));
        old.or_else(|_| new()).unwrap_or_default().trim().to_owned()
    };
    assert_eq!("67108864", read("memory/ID/memory.limit_in_bytes", "memory.max"));
    assert_eq!("20", read("pids/ID/pids.max", "pids.max"));
    let cpu = [read("cpu/ID/cpu.cfs_quota_us", "cpu.max"), read("cpu,cpuacct/ID/cpu.cfs_quota_us", "cpu.max")];
    assert!(cpu.iter().any(|quota| quota.starts_with("50000")), "{cpu:?}");
    world.assert_no_leaks();
}

#[test]
fn too_much_memory_ends_in_137_and_is_told() {
    need!();
    let world = World::new();
    let script = "x=$(head -c 100m /dev/zero | tr '\\0' a); sleep 1";
    let run = world.gantry(["run", "--name", "oom", "--network", "none", "-m", "16m", "bb", "sh", "-c", script]);
    assert_eq!(137, run.code, "{run:#?}");
    assert_eq!("true 137", world.inspect("oom", "{{.State.OOMKilled}} {{.State.ExitCode}}"));
}

#[test]
fn commands_that_cannot_run_say_why() {
    need!();
    let world = World::new();
    world
        .line("run --rm --network none bb /nosuch")
        .fails(127, "exec: \"/nosuch\": stat /nosuch: no such file or directory");
    world.line("run --rm --network none bb nosuch").fails(127, "exec: \"nosuch\"");
    world.line("run --rm --network none bb /etc").fails(126, "exec: \"/etc\": permission denied");
    world.line("run --rm --network none bb /etc/passwd").fails(126, "permission denied");
    for (name, text, words) in [
        ("crlf", "#!/bin/sh\r\necho x\r\n", "CR"),
        ("nointerp", "#!/no/such/shell\necho x\n", "/no/such/shell"),
        ("foreign", "\u{7f}ELF\u{2}\u{1}\u{1}\0\0\0\0\0\0\0\0\0\u{2}\0\u{f3}\0\u{1}\0\0\0", ""),
    ] {
        let file = world.file(name, text);
        let _ = std::process::Command::new("chmod").args(["755", &file]).status();
        let run = world.gantry(["run", "--rm", "--network", "none", "-v", &format!("{file}:/prog"), "bb", "/prog"]);
        assert!([126, 127].contains(&run.code), "{name}: {run:#?}");
        assert!(run.stderr.contains(words), "{name}: {run:#?}");
    }
    world.assert_no_leaks();
}

#[test]
fn detached_runs_print_the_id_alone() {
    need!();
    let world = World::new();
    let run = world.line("run -d --network none bb sleep 300");
    assert_eq!((0, ""), (run.code, run.stderr.as_str()));
    let id = run.stdout.trim();
    assert!(id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    assert_eq!(id, world.inspect(&id[..12], "{{.Id}}"));
    world.assert_no_leaks();
}

#[test]
fn rm_removes_detached_containers_at_their_end() {
    need!();
    let world = World::new();
    world.line("run -d --rm --name gone --network none bb sleep 0.2").ok();
    gantry_tests::eventually("the container is gone", || world.line("ps -aq").stdout.is_empty());
    assert!(gantry_tests::leaks::settle(&world).is_empty());
}

#[test]
fn signals_reach_the_program() {
    need!();
    let world = World::new();
    let script = "trap 'echo got; exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    let running = world.spawn(["run", "--rm", "--name", "sig", "--network", "none", "bb", "sh", "-c", script]);
    world.logs_hold("sig", "ready");
    running.signal(nix::sys::signal::Signal::SIGTERM);
    let run = running.end();
    assert_eq!((3, "ready\ngot\n"), (run.code, run.stdout.as_str()), "{run:#?}");
    world.assert_no_leaks();
}

#[test]
fn the_engine_cannot_be_overwritten_from_inside() {
    need!();
    let world = World::new();
    let before = std::fs::metadata(gantry_tests::binary("gantry")).expect("it is there").len();
    world.detached("victim", "sleep 300");
    let script = "for p in /proc/[0-9]*; do echo x > $p/exe; done; exit 0";
    world.gantry(["exec", "victim", "sh", "-c", script]);
    let after = std::fs::metadata(gantry_tests::binary("gantry")).expect("it is there").len();
    assert_eq!(before, after);
    world.gantry(["run", "--rm", "--network", "none", "bb", "/proc/self/exe"]);
    world.assert_no_leaks();
}

#[test]
fn options_not_yet_there_are_refused_by_name() {
    need!();
    let world = World::new();
    for option in ["--isolation=hyperv", "--gpus=all"] {
        let name = option.split('=').next().unwrap_or_default();
        world.gantry(["run", "--rm", option, "bb", "true"]).fails(125, name);
    }
}

#[test]
fn a_signal_s_death_is_128_and_its_number() {
    need!();
    let world = World::new();
    world.shell("sh -c 'kill -TERM $$'; exit $?").code(143);
    world.shell("sh -c 'kill -KILL $$'; exit $?").code(137);
    world.detached("shot", "sleep 300");
    world.line("kill shot").ok();
    assert_eq!("137", world.line("wait shot").ok());
    world.line("kill shot").fails(1, "is not running");
}

#[test]
fn a_terminal_is_one_inside_too() {
    need!();
    if !std::path::Path::new("/usr/bin/script").exists() {
        eprintln!("skipped: needs script");
        return;
    }
    let world = World::new();
    let inner =
        world.command(["run", "--rm", "-it", "--network", "none", "bb", "sh", "-c", "tty; stty size; echo $TERM"]);
    let words = inner.get_args().map(|word| word.to_string_lossy().into_owned()).map(|word| format!("'{word}'"));
    let line = format!(
        "stty rows 33 cols 77; {} {}",
        inner.get_program().to_string_lossy(),
        words.collect::<Vec<_>>().join(" ")
    );
    let mut command = std::process::Command::new("/usr/bin/script");
    command.args(["-qec", &line, "/dev/null"]).env("GANTRY_TEST_WORLD", world.dir());
    let run = gantry_tests::Running::start(command, &[]).end();
    assert!(run.code == 0 && run.stdout.contains("/dev/"), "{run:#?}");
    // Its input ends at once, which script(1) passes on as a character of its own: echoed now and then.
    let shown = run.stdout.replace("^@", "");
    assert!(shown.contains("\r\n33 77\r\nxterm\r\n"), "{run:#?}");
    world.assert_no_leaks();
}

/// As programs want it that open their terminal once more.
#[test]
fn a_terminal_has_a_name_inside_and_is_the_user_s() {
    need!();
    let world = World::new();
    let script = "tty; stat -c '%u %a' /dev/pts/0; echo again > /dev/pts/0";
    let run = ["run", "--rm", "-t", "--network", "none"];
    for (more, owner) in
        [(&["-u", "web"][..], "1000"), (&["--init"], "0"), (&["-v", &format!("{}:/dev/pts", world.text("pts"))], "")]
    {
        let shown = world.gantry(run.iter().chain(more).chain(&["bb", "sh", "-c", script])).stdout;
        match owner {
            "" => assert!(shown.contains("/dev/console"), "without a devpts it is the host's: {shown}"),
            owner => assert_eq!(shown, format!("/dev/pts/0\r\n{owner} 620\r\nagain\r\n")),
        }
    }
    world.line("run --rm -t --network none bb nosuch").fails(127, "executable file not found");
    world.line("run --rm -t --network none -v /proc:/etc/hosts bb true").fails(125, "not a directory");
    world.assert_no_leaks();
}

#[test]
fn interactive_terminals_need_one() {
    need!();
    let run = World::new().line("run --rm -it bb true");
    assert!(run.code != 0 && run.stderr.contains("the input device is not a TTY"), "{run:#?}");
}

#[test]
fn the_output_of_exec_is_logged_on_demand_alone() {
    need!();
    let world = World::new();
    world.detached("cc", "sleep 1000");
    world.gantry(["exec", "cc", "echo", "unseen"]).ok();
    let both = world.gantry(["exec", "--log", "cc", "sh", "-c", "echo out; echo err >&2; exit 6"]);
    assert_eq!((both.code, both.stdout.as_str(), both.stderr.as_str()), (6, "out\n", "err\n"));
    world.gantry(["exec", "-d", "--log", "cc", "sh", "-c", "echo late; echo wrong >&2"]).ok();
    world.logs_hold("cc", "late");
    let logs = || {
        let logs = world.gantry(["logs", "cc"]);
        (logs.stdout, logs.stderr)
    };
    gantry_tests::eventually("errors are logged, too", || logs().1.contains("wrong"));
    assert_eq!(logs(), ("out\nlate\n".to_owned(), "err\nwrong\n".to_owned()));
    world.gantry(["run", "-dt", "--network", "none", "--name", "term", "bb", "sleep", "1000"]).ok();
    world.gantry(["exec", "--log", "term", "true"]).fails(1, "--log wants separate streams");
}
