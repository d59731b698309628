//! What a container may do, and what options give and take.

use crate::need;
use gantry_tests::World;

fn script(world: &World, options: &[&str], script: &str) -> gantry_tests::Run {
    world.gantry(["run", "--rm", "--network", "none"].iter().chain(options).chain(&["bb", "sh", "-c", script]))
}

#[test]
fn options_give_and_take_what_they_say() {
    need!();
    let world = World::new();
    let hidden = "mount | grep -c ' on /proc/sys '; mount | grep -c ' on /proc/keys '";
    for (options, wanted) in
        [(&[][..], "1\n1"), (&["--security-opt", "systempaths=unconfined"], "0\n0"), (&["--privileged"], "0\n0")]
    {
        let seen = script(&world, options, &format!("{hidden}; true"));
        assert_eq!(seen.ok(), wanted, "{options:?}");
    }
    let status = "grep -E 'NoNewPrivs|Seccomp:' /proc/self/status | tr -s '\\t\\n' '  '";
    for (options, wanted) in [
        (&[][..], "NoNewPrivs: 0 Seccomp: 2"),
        (&["--security-opt", "no-new-privileges"], "NoNewPrivs: 1 Seccomp: 2"),
        (&["--security-opt", "no-new-privileges:false"], "NoNewPrivs: 0 Seccomp: 2"),
        (&["--security-opt", "seccomp=unconfined"], "NoNewPrivs: 0 Seccomp: 0"),
        (&["--privileged"], "NoNewPrivs: 0 Seccomp: 0"),
        (&["--privileged", "--security-opt", "seccomp=builtin"], "NoNewPrivs: 0 Seccomp: 2"),
        (&["--security-opt", "label=disable", "--security-opt", "apparmor=unconfined"], "NoNewPrivs: 0 Seccomp: 2"),
    ] {
        assert_eq!(script(&world, options, status).ok().trim(), wanted, "{options:?}");
    }
    for (option, words) in [
        ("label=what", "invalid --security-opt"),
        ("systempaths=some", "invalid --security-opt"),
        ("nonsense=1", "invalid --security-opt"),
        ("seccomp=/nosuch", "opening seccomp profile"),
    ] {
        script(&world, &["--security-opt", option], "true").fails(125, words);
    }
}

#[test]
fn labels_of_a_kernel_that_has_none_are_told() {
    need!();
    let world = World::new();
    for (option, dir) in
        [("apparmor=mine", "/sys/kernel/security/apparmor"), ("label=type:mine_t", "/sys/fs/selinux/enforce")]
    {
        if std::path::Path::new(dir).exists() {
            eprintln!("skipped for {option}: this kernel has it");
            continue;
        }
        let run = script(&world, &["--security-opt", option], "echo ran");
        assert!(run.stdout == "ran\n" && run.stderr.contains("has no effect"), "{run:?}");
    }
    for option in ["label=disable", "label=nested"] {
        let run = script(&world, &["--security-opt", option], "echo ran");
        assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("ran\n", ""), "{option}");
    }
    let world_dir = world.path("shared");
    std::fs::create_dir(&world_dir).unwrap();
    let volume = format!("{}:/shared:Z", world_dir.display());
    assert_eq!(script(&world, &["-v", &volume], "touch /shared/x; ls /shared").ok(), "x");
}

#[test]
fn devices_can_be_used_as_they_were_given() {
    need!();
    let world = World::new();
    let mem = "/dev/kmsg";
    // A device that no container has by itself and that every host has.
    let open =
        |options: &[&str], path: &str| script(&world, options, &format!("dd if={path} of=/dev/null bs=1 count=0 2>&1"));
    assert_eq!(open(&[], mem).code, 1);
    assert_eq!(open(&["--device", mem, "--cap-add", "SYSLOG"], mem).code, 0);
    assert_eq!(open(&["--device", "/dev/kmsg:/dev/here:r", "--cap-add", "SYSLOG"], "/dev/here").code, 0);
    let written = script(
        &world,
        &["--device", "/dev/kmsg:/dev/here:r", "--cap-add", "SYSLOG"],
        "dd if=/dev/null of=/dev/here bs=1 count=0 conv=notrunc 2>&1",
    );
    assert!(written.code != 0 && written.stdout.contains("not permitted"), "{written:?}");
    assert_eq!(open(&["--privileged"], mem).code, 0);
    let net = script(&world, &["--device", "/dev/net:/dev/mine"], "ls /dev/mine");
    if std::path::Path::new("/dev/net/tun").exists() {
        assert_eq!(net.ok(), "tun");
    }
    script(&world, &["--device", "/etc/passwd"], "true").fails(125, "not a device node");
    script(&world, &["--device", "/dev/nosuch"], "true").fails(125, "no such file or directory");
    script(&world, &["--device", "/dev/null:/dev/x:q"], "true").fails(125, "invalid device mode");
}

#[test]
fn users_and_groups_are_what_was_asked_for() {
    need!();
    let world = World::new();
    let id = "echo $(id -u) $(id -g) $(id -G | tr ' ' ,)";
    for (options, wanted) in [
        (&["--user", "5"][..], "5 0 0"),
        (&["--user", "5:6"], "5 6 6"),
        (&["--user", "nobody"], "65534 65534 65534"),
        (&["--user", "nobody:7", "--group-add", "8", "--group-add", "root"], "65534 7 7,8,0"),
        (&["--group-add", "9"], "0 0 0,9"),
    ] {
        let seen = script(&world, options, id).ok();
        let sorted = |text: &str| {
            let (first, groups) = text.rsplit_once(' ').unwrap_or_default();
            let mut groups: Vec<_> = groups.split(',').map(str::to_owned).collect();
            groups.sort();
            (first.to_owned(), groups)
        };
        assert_eq!(sorted(&seen), sorted(wanted), "{options:?}");
    }
    script(&world, &["--user", "nosuch"], "true").fails(125, "unable to find user nosuch");
    script(&world, &["--group-add", "nosuch"], "true").fails(125, "nosuch");
}

#[test]
fn shared_memory_goes_by_the_ipc_mode() {
    need!();
    let world = World::new();
    let donor = |name: &str, ipc: &str| {
        let words = ["run", "-d", "--name", name, "--network", "none", "--ipc", ipc, "bb", "sleep", "300"];
        world.gantry(words).ok();
    };
    let with = |ipc: &str, script: &str| {
        world.gantry(["run", "--rm", "--network", "none", "--ipc", ipc, "bb", "sh", "-c", script])
    };
    donor("open", "shareable");
    donor("closed", "private");
    world.gantry(["exec", "open", "touch", "/dev/shm/mine"]).ok();

    // Who joins has the namespace and what lies in /dev/shm, both ways, and so has who joins him.
    let own = world.gantry(["exec", "open", "readlink", "/proc/self/ns/ipc"]).ok();
    let joined = with("container:open", "readlink /proc/self/ns/ipc; ls /dev/shm; touch /dev/shm/theirs").ok();
    assert_eq!(joined, format!("{own}\nmine"));
    assert_eq!(world.gantry(["exec", "open", "ls", "/dev/shm"]).ok(), "mine\ntheirs");
    donor("between", "container:open");
    assert_eq!(with("container:between", "ls /dev/shm").ok(), "mine\ntheirs");
    assert!(with("container:open", "grep ' /dev/shm ' /proc/mounts").ok().contains("nosuid,nodev,noexec"));
    assert_eq!(with("shareable", "ls /dev/shm").ok(), "");
    with("container:closed", "true").fails(125, "can't join IPC of container closed: non-shareable IPC");

    let device = |path: &str| std::os::unix::fs::MetadataExt::dev(&std::fs::metadata(path).expect("there"));
    assert_eq!(with("host", "stat -c %d /dev/shm").ok(), device("/dev/shm").to_string());
    assert_eq!(with("none", "ls /dev | grep -c shm; readlink /proc/self/ns/ipc").stdout.lines().next(), Some("0"));
    world.gantry(["rm", "-f", "open", "closed", "between"]).ok();
    world.assert_no_leaks();
}

#[test]
fn what_excludes_each_other_is_said_as_docker_says_it() {
    need!();
    let world = World::new();
    let refused = |words: &[&str], told: &str| {
        let words = [&["run", "--rm", "--network", "none"], words, &["bb", "true"]].concat();
        world.gantry(words).fails(125, told);
    };
    refused(&["--uts", "host", "--hostname", "x"], "conflicting options: hostname and the UTS mode");
    refused(&["--cap-add", "foo"], "invalid CapAdd: unknown capability: \"CAP_FOO\"");
    refused(&["--cap-drop", "CAP_foo"], "invalid CapDrop: unknown capability: \"CAP_FOO\"");
    world.assert_no_leaks();
}
