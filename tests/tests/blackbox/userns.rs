//! Containers with a user namespace of their own: maps, layers and volumes seen through them, ranges that no two have.

use crate::need;
use gantry_tests::{World, eventually, process};
use std::fs;
use std::os::unix::fs::MetadataExt;

const MAP: [&str; 2] = ["--uidmap", "0:300000:65536"];

fn owner(path: &str) -> u32 {
    fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{path}: {error}")).uid()
}

/// `run OPTIONS bb sh -c SCRIPT`.
fn run(world: &World, options: &[&str], script: &str) -> gantry_tests::Run {
    let words = ["run", "--rm", "--network", "none"].into_iter().chain(options.iter().copied());
    world.gantry(words.chain(["bb", "sh", "-c", script]))
}

#[test]
fn a_container_with_its_own_users() {
    need!();
    let world = World::new();
    let script = "id -u; tr -s ' ' </proc/self/uid_map; stat -c %u /bin/busybox /etc/hosts /dev/pts; \
                  touch /new && chown 7:8 /new; stat -c %u:%g /new; \
                  echo 1.2.3.4 x >>/etc/hosts && echo written; echo again >/dev/stdout; trap 'exit 3' TERM; \
                  while :; do sleep 0.1; done";
    let words = ["run", "-d", "--name", "cc", "-p", "0:80"].into_iter().chain(MAP).chain(["bb", "sh", "-c", script]);
    let id = world.gantry(words).ok();
    world.logs_hold("cc", "again");
    let log = world.gantry(["logs", "cc"]).ok();
    let lines: Vec<&str> = log.lines().map(str::trim).collect();
    assert_eq!(lines, ["0", "0 300000 65536", "0", "0", "0", "7:8", "written", "again"]);
    let pid = world.inspect("cc", "{{.State.Pid}}");
    assert_eq!(owner(&format!("/proc/{pid}/cmdline")), 300_000);
    let maps = world.inspect(
        "cc",
        "{{.HostConfig.UsernsMode}} {{.HostConfig.IDMappings.UidMap}} \
                                   {{.HostConfig.IDMappings.GidMap}}",
    );
    assert_eq!(maps, "private [0:300000:65536] [0:300000:65536]");

    // On the disk nothing is shifted; outside, the running container's files are the container's.
    let changes = world.gantry(["diff", "cc"]).ok();
    assert!(changes.contains("A /new") && !changes.contains("/bin"), "{changes}");
    let upper = world.path("root").join("drivers/storage/overlay2/containers").join(&id).join("new");
    assert_eq!(owner(&upper.to_string_lossy()), 7);
    assert_eq!(world.gantry(["exec", "cc", "id", "-u"]).ok(), "0");
    assert_eq!(world.gantry(["exec", "--user", "1000:1001", "cc", "sh", "-c", "id -u; id -g"]).ok(), "1000\n1001");
    let tty = world.gantry(["exec", "-t", "cc", "sh", "-c", "test -t 0 && touch /from-exec && stat -c %u /from-exec"]);
    assert_eq!(tty.ok().trim(), "0");

    // Copies: the container's owners on its side, whether it runs or not.
    let file = world.file("in", "text");
    world.gantry(["cp", &file, "cc:/in"]).ok();
    assert_eq!(world.gantry(["exec", "cc", "stat", "-c", "%u", "/in"]).ok(), "0");
    world.gantry(["cp", "-a", "cc:/new", &world.text("out")]).ok();
    assert_eq!(owner(&world.text("out")), 7);
    std::os::unix::fs::chown(&file, Some(42), Some(43)).expect("our own file");
    world.gantry(["cp", "-a", &file, "cc:/in2"]).ok();
    assert_eq!(world.gantry(["exec", "cc", "stat", "-c", "%u:%g", "/in2"]).ok(), "42:43");
    let archive = world.text("c.tar");
    world.gantry(["export", "-o", &archive, "cc"]).ok();
    let owners = std::process::Command::new("tar").args(["--numeric-owner", "-tvf", &archive, "new", "in2"]).output();
    let owners = String::from_utf8_lossy(&owners.expect("tar runs").stdout).into_owned();
    assert!(owners.contains("7/8") && owners.contains("42/43"), "{owners}");

    // Stopped and started again, with the same map; an image of it has the container's owners.
    world.gantry(["stop", "cc"]).ok();
    assert_eq!(world.inspect("cc", "{{.State.ExitCode}}"), "3");
    world.gantry(["cp", "-a", "cc:/new", &world.text("out2")]).ok();
    assert_eq!(owner(&world.text("out2")), 7);
    world.gantry(["start", "cc"]).ok();
    eventually("the second run", || world.gantry(["logs", "cc"]).ok().matches("again").count() == 2);
    world.gantry(["commit", "cc", "made"]).ok();
    let seen = world.gantry(["run", "--rm", "--network", "none", "made", "stat", "-c", "%u:%g", "/new"]).ok();
    assert_eq!(seen, "7:8");
    world.gantry(["rm", "-f", "cc"]).ok();
    world.assert_no_leaks();
}

#[test]
fn ranges_of_their_own() {
    need!();
    let world = World::new();
    world.configure("[engine.userns]\nrange = \"700000:5000\"\n");
    let create = |name: &str, mode: &str| {
        world.gantry(["create", "--network", "none", "--name", name, "--userns", mode, "bb", "sleep", "60"])
    };
    let map = |name: &str| world.inspect(name, "{{index .HostConfig.IDMappings.UidMap 0}}");
    create("aa", "auto").ok();
    create("bb", "auto:size=2000").ok();
    assert_eq!((map("aa"), map("bb")), ("0:700000:2001".into(), "0:702001:2000".into()));
    create("cc", "auto:size=2000").fails(1, "no range of 2000 ids is free");
    world.gantry(["start", "bb"]).ok();
    assert_eq!(
        world.gantry(["exec", "bb", "cat", "/proc/self/gid_map"]).ok().split_whitespace().nth(1),
        Some("702001")
    );

    // Freed at removal, kept over a restart, and not lost or leaked by a command that is killed.
    world.gantry(["rm", "aa"]).ok();
    create("dd", "auto").ok();
    assert_eq!(map("dd"), "0:700000:2001");
    world.gantry(["rm", "dd"]).ok();
    for delay in [1, 3, 6, 10, 15, 25] {
        let words = ["create", "--network", "none", "--userns", "auto:size=1500", "bb", "true"];
        let killed = world.spawn(words);
        std::thread::sleep(std::time::Duration::from_millis(delay));
        process::murder(killed.pid());
        killed.end();
    }
    for id in world.gantry(["ps", "-aq", "--no-trunc", "--filter", "status=created"]).ok().lines() {
        world.gantry(["rm", id]).ok();
    }
    create("ee", "auto:size=2900").fails(1, "no range");
    world.gantry(["restart", "-t", "0", "bb"]).ok();
    assert_eq!(map("bb"), "0:702001:2000");
    create("ff", "auto:size=1024").ok();
    assert_eq!(map("ff"), "0:700000:1024");
    world.gantry(["rm", "-f", "bb", "ff"]).ok();
    assert_eq!(fs::read_dir(world.path("root/userns")).expect("it is there").count(), 0);
    world.assert_no_leaks();
}

#[test]
fn volumes_and_binds() {
    need!();
    let world = World::new();
    // A volume has on the disk the owners that containers see, whatever their maps.
    run(&world, &["--uidmap", "0:300000:1000", "-v", "vol:/v"], "touch /v/a; chown 5 /v/a; chmod 700 /v").ok();
    let other = run(&world, &["--uidmap", "0:400000:1000", "-v", "vol:/v"], "stat -c %u /v/a; touch /v/b").ok();
    let plain = run(&world, &["-v", "vol:/v"], "stat -c %u /v/a /v/b").ok();
    assert_eq!((other.as_str(), plain.as_str()), ("5", "5\n0"));

    // A bind shows the host's owners, unless it is mapped or given away.
    let file = world.file("dir/f", "x");
    let dir = world.text("dir");
    std::os::unix::fs::chown(&dir, Some(300_003), Some(300_003)).expect("our own");
    let look = "stat -c %u /m /m/f; touch /m/new 2>/dev/null || echo refused";
    assert_eq!(run(&world, &[MAP[0], MAP[1], "-v", &format!("{dir}:/m")], look).ok(), "3\n65534");
    assert_eq!(owner(&world.text("dir/new")), 300_000);
    std::os::unix::fs::chown(&dir, Some(0), Some(0)).expect("our own");
    fs::remove_file(world.path("dir/new")).expect("our own");
    assert_eq!(run(&world, &[MAP[0], MAP[1], "-v", &format!("{dir}:/m")], look).ok(), "65534\n65534\nrefused");
    assert_eq!(run(&world, &[MAP[0], MAP[1], "-v", &format!("{dir}:/m:idmap")], look).ok(), "0\n0");
    assert_eq!(owner(&world.text("dir/new")), 0);
    let layered = run(&world, &[MAP[0], MAP[1], "-v", &format!("{dir}:/m:O")], "rm /m/f; touch /m/o; stat -c %u /m/o");
    assert_eq!(layered.ok(), "0");
    assert!(fs::metadata(&file).is_ok() && fs::metadata(world.path("dir/o")).is_err());
    run(&world, &[MAP[0], MAP[1], "--user", "9", "-v", &format!("{dir}:/m:U")], "touch /m/u; stat -c %u /m/f").ok();
    assert_eq!((owner(&file), owner(&world.text("dir/u"))), (300_009, 300_009));
    run(&world, &["-v", &format!("{dir}:/m:idmap")], "true").fails(125, "idmap needs a user namespace");
    world.assert_no_leaks();
}

#[test]
fn what_goes_together() {
    need!();
    let world = World::new();
    world.configure("[defaults]\nuserns = \"auto\"\n[engine.userns]\nrange = \"800000:100000\"\n");
    let first = |run: gantry_tests::Run| run.ok().lines().next().unwrap_or_default().trim().to_owned();
    let map = "tr -s ' ' </proc/self/uid_map";
    assert_eq!(first(run(&world, &[], map)), "0 800000 2001");
    assert_eq!(first(run(&world, &["--userns", "host"], map)), "0 0 4294967295");
    assert_eq!(first(run(&world, &["--userns", "keep-id"], &format!("{map}; touch /x"))), "0 0 4294967295");
    // All rights, but of the namespace only; nothing of the host's.
    let rights = "mkdir /x && mount -t tmpfs t /x && echo mounted; echo 1 >/proc/sys/vm/drop_caches || echo refused";
    assert_eq!(run(&world, &["--privileged"], rights).ok(), "mounted\nrefused");
    let host_net = world.line("run --rm --network host bb ls /sys/class/net");
    assert!(host_net.ok().contains("lo"));
    for (words, message) in [
        ("--pid host", "cannot share the host PID namespace when user namespaces are enabled"),
        ("--ipc host", "cannot share the host IPC namespace when user namespaces are enabled"),
        ("--uidmap 0:1:2 --userns auto", "exclude each other"),
        ("--subuidname nobody-has-this", "/etc/subuid gives no ids to \"nobody-has-this\""),
        ("--userns nomap", "for containers of an ordinary user"),
        ("--uidmap 1:1000:5", "user and group 0 must be mapped"),
    ] {
        let options: Vec<&str> = words.split(' ').collect();
        run(&world, &options, "true").fails(125, message);
    }
    assert_eq!(first(run(&world, &["--pid", "host", "--userns", "host"], map)), "0 0 4294967295");

    // Health checks and secrets, and a terminal.
    let words = ["run", "-d", "--name", "hh", "--network", "none", "--health-cmd", "test $(id -u) = 0"];
    world.gantry(words.into_iter().chain(["--health-interval", "200ms", "bb", "sleep", "60"])).ok();
    eventually("a healthy container", || world.inspect("hh", "{{.State.Health.Status}}") == "healthy");
    world.gantry(["rm", "-f", "hh"]).ok();
    let tty = run(&world, &["-t", "--user", "5"], "echo x >/dev/tty; tty; id -u").ok();
    assert!(tty.contains('5') && tty.contains('x'), "{tty}");
    world.assert_no_leaks();
}
