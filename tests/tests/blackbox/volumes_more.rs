//! The whole grammar of volumes, and what is done with them as wholes.

use crate::need;
use gantry_tests::World;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

#[test]
fn pruning_takes_what_has_no_name_and_no_user() {
    need!();
    let world = World::new();
    world.line("volume create named").ok();
    world.line("volume create --label keep=1 labelled").ok();
    world.gantry(["volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "elsewhere"]).ok();
    let anonymous = world.line("volume create").ok();
    world.line("create --name user -v /d bb true").ok();
    let pruned = world.line("volume prune -f").ok();
    assert!(pruned.starts_with(&format!("Deleted Volumes:\n{anonymous}\n")), "{pruned}");
    assert_eq!(4, world.line("volume ls -q").ok().lines().count(), "the container's stays");
    world.line("volume prune -a -f --filter label!=keep").ok();
    let left = world.line("volume ls -q").ok();
    assert!(left.contains("labelled") && left.contains("elsewhere") && !left.contains("named\n"), "{left}");
    world.line("rm user").ok();
    world.line("system prune -f --volumes").ok();
    assert_eq!("elsewhere\nlabelled", world.line("volume ls -q").ok());
    world.line("volume prune --filter nonsense=1 -f").code(1);
}

#[test]
fn volumes_are_exported_imported_cloned_and_renamed() {
    need!();
    let world = World::new();
    let script = "echo data > /v/f; ln /v/f /v/g; mkdir -m 700 /v/d; chown 5:6 /v/d; ln -s f /v/l";
    world.gantry(["run", "--rm", "--network", "none", "-v", "one:/v", "bb", "sh", "-c", script]).ok();
    let archive = world.text("one.tar");
    world.gantry(["volume", "export", "-o", &archive, "one"]).ok();
    world.line("volume create two").ok();
    world.gantry(["volume", "import", "two", &archive]).ok();
    assert_eq!("three", world.line("volume clone two three").ok());
    world.line("volume clone one three").fails(1, "already exists");
    let look = "cat /v/l; stat -c '%h %a %u:%g' /v/f /v/d";
    for name in ["one", "two", "three"] {
        let bind = format!("{name}:/v");
        let seen = world.gantry(["run", "--rm", "--network", "none", "-v", &bind, "bb", "sh", "-c", look]).ok();
        assert_eq!("data\n2 644 0:0\n2 700 5:6", seen, "{name}");
    }
    world.line("create --name holder -v one:/v bb true").ok();
    world.line("volume rename one four").fails(1, "in use");
    world.line("rm holder").ok();
    world.line("volume rename one four").ok();
    assert_eq!("four\nthree\ntwo", world.line("volume ls -q").ok());
    world.line("volume export nosuch").fails(1, "no such volume");
    assert_eq!("Everything is as it should be.", world.line("system check").ok());
    world.assert_no_leaks();
}

#[test]
fn a_part_of_a_volume_leads_nowhere_else() {
    need!();
    let world = World::new();
    let script = "mkdir -p /v/sub; echo inside > /v/sub/f; ln -s /etc /v/out; ln -s sub /v/in; ln -s ../../.. /v/up";
    world.gantry(["run", "--rm", "--network", "none", "-v", "vol:/v", "bb", "sh", "-c", script]).ok();
    let run = |part: &str| {
        let mount = format!("type=volume,src=vol,dst=/m,volume-subpath={part}");
        world.gantry(["run", "--rm", "--network", "none", "--mount", &mount, "bb", "ls", "/m"])
    };
    assert_eq!("f", run("sub").ok());
    assert_eq!("f", run("in").ok());
    run("../x").fails(125, "must be a relative path within the volume");
    // A link is followed within the volume, whose root ends every way up; there is no /etc there.
    assert_eq!(125, run("out").code);
    let up = run("up").ok();
    assert!(up.contains("sub") && !up.contains("usr"), "the volume itself, not the host: {up}");
    assert_eq!(125, run("missing").code);
}

#[test]
fn changes_over_a_source_are_thrown_away() {
    need!();
    let world = World::new();
    world.file("shared/f", "kept\n");
    let bind = format!("{}:/m:O", world.text("shared"));
    let script = "cat /m/f; echo changed > /m/f; echo more > /m/g; cat /m/f";
    world.gantry(["create", "--name", "thrown", "--network", "none", "-v", &bind, "bb", "sh", "-c", script]).ok();
    assert_eq!("kept\nchanged", world.line("start -a thrown").ok());
    assert_eq!("kept\nchanged", world.line("start -a thrown").ok());
    assert_eq!("kept\n", std::fs::read_to_string(world.path("shared/f")).expect("there"));
    assert!(!world.path("shared/g").exists());
    world.assert_no_leaks();
}

#[test]
fn sources_are_given_to_the_user() {
    need!();
    let world = World::new();
    let file = world.file("shared/f", "x");
    for (user, owner) in [("1234:77", (1234, 77)), ("web", (1000, 1000))] {
        let bind = format!("{}:/m:U", world.text("shared"));
        world.gantry(["run", "--rm", "--network", "none", "-u", user, "-v", &bind, "bb", "touch", "/m/new"]).ok();
        let meta = std::fs::metadata(&file).expect("there");
        assert_eq!(owner, (meta.uid(), meta.gid()), "{user}");
    }
}

#[test]
fn a_volume_driver_is_replaced_while_its_volumes_are_used() {
    need!();
    let world = World::new();
    let dir = world.text("plug/volume");
    std::fs::create_dir_all(&dir).expect("made");
    let library = gantry_tests::target_dir().join("libgantry_volume_local.so");
    let install = || {
        std::fs::copy(&library, format!("{dir}/.new")).expect("copied");
        std::fs::rename(format!("{dir}/.new"), format!("{dir}/mine.so")).expect("renamed into place");
    };
    world.configure(&format!("[plugins]\npath = [\"{}\"]\n", world.text("plug")));
    install();
    world.line("volume create -d mine vol").ok();
    let start = |name: &str, script: &str| {
        let words = ["run", "-d", "--name", name, "--network", "none", "-v", "vol:/v", "bb", "sh", "-c", script];
        world.gantry(words).ok();
        world.logs_hold(name, "ready");
    };
    start("one", "echo one >>/v/f; echo ready; sleep 1000");
    install();
    start("two", "echo two >>/v/f; echo ready; sleep 1000");
    assert_eq!("one\ntwo", world.line("exec one cat /v/f").ok());
    world.line("rm -f one").ok();
    // Without it the volume is what it is for those who have it, and they can go.
    std::fs::remove_file(format!("{dir}/mine.so")).expect("there");
    assert_eq!("one\ntwo", world.line("run --rm --network none -v vol:/v bb cat /v/f").ok());
    world.line("rm -f two").ok();
    world.line("run --rm --network none -v vol:/v bb true").fails(125, "unknown volume driver \"mine\"");
    install();
    assert_eq!("one\ntwo", world.line("run --rm --network none -v vol:/v bb cat /v/f").ok());
    world.line("volume rm vol").ok();
    assert_eq!("Everything is as it should be.", world.line("system check").ok());
    world.assert_no_leaks();
}

#[test]
fn a_bind_shows_other_owners() {
    need!();
    let world = World::new();
    let dir = world.text("shown");
    std::fs::create_dir(&dir).expect("made");
    std::fs::write(format!("{dir}/f"), "f").expect("written");
    for path in [dir.clone(), format!("{dir}/f")] {
        std::os::unix::fs::chown(path, Some(5000), Some(6000)).expect("given away");
    }
    let bind = |bind: &str, more: &[&str], script: &str| {
        world.gantry([&["run", "--rm", "--network", "none", "-v", bind], more, &["bb", "sh", "-c", script]].concat())
    };
    let map = format!("{dir}:/v:idmap=uids=5000-0-1#0-5000-1;gids=6000-7-1#0-0-1");
    assert_eq!("0 7", bind(&map, &[], "stat -c '%u %g' /v/f; echo new >/v/new").ok());
    let owner = |name: &str| {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(format!("{dir}/{name}")).map(|meta| (meta.uid(), meta.gid())).expect("there")
    };
    assert_eq!((5000, 0), owner("new"), "what root writes belongs to who is shown as root");
    let plain = format!("{dir}:/v");
    assert_eq!("0", bind(&plain, &["--map-user", "5000"], "stat -c %u /v/f; echo new >/v/by-root").ok());
    assert_eq!((5000, 5000), owner("by-root"));
    let user = ["--map-user", "5000:33", "--user", "33"];
    assert_eq!("33", bind(&format!("{plain}:rw"), &user, "stat -c %u /v/f; echo new >>/v/f").ok());
    bind(&plain, &["--map-user", "nobody-knows"], "true").fails(125, "HOST[:CONTAINER]");
    bind(&format!("{plain}:idmap=uids=1"), &[], "true").fails(125, "invalid mode");
    bind(&format!("{plain}:idmap"), &[], "true").fails(125, "add --userns");
    world.assert_no_leaks();
}

#[test]
fn modes_of_binds_are_checked_and_kept() {
    need!();
    let world = World::new();
    let missing = format!("{}:/m:nocreate", world.text("missing"));
    world.gantry(["run", "--rm", "-v", &missing, "bb", "true"]).fails(125, "bind source path does not exist");
    world.file("shared/f", "x");
    let source = world.text("shared");
    // A mount of its own, private: nothing can be passed on from there.
    let mount = |words: &[&str]| assert!(Command::new("mount").args(words).status().expect("mount runs").success());
    mount(&["--bind", &source, &source]);
    mount(&["--make-private", &source]);
    let shared = format!("{source}:/m:rshared");
    world.gantry(["run", "--rm", "-v", &shared, "bb", "true"]).fails(125, "is not a shared mount");
    mount(&["--make-shared", &source]);
    world.gantry(["run", "--rm", "--network", "none", "-v", &shared, "bb", "true"]).ok();
    let strict = format!("type=bind,src={source},dst=/m,readonly,bind-recursive=readonly,bind-propagation=rprivate");
    world.gantry(["run", "--rm", "--network", "none", "--mount", &strict, "bb", "touch", "/m/x"]).code(1);
    assert!(Command::new("umount").arg(&source).status().expect("umount runs").success());
}

#[test]
fn a_volume_of_its_own_is_mounted_once_and_unmounted_once() {
    need!();
    let world = World::new();
    world.gantry(["volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m", "ram"]).ok();
    let script = "touch /r/$HOSTNAME; sleep 300";
    for name in ["first", "second"] {
        world.gantry(["run", "-d", "--network", "none", "--name", name, "-v", "ram:/r", "bb", "sh", "-c", script]).ok();
    }
    let mounted = || {
        std::fs::read_to_string("/proc/self/mountinfo")
            .expect("readable")
            .matches(&world.text("state/volumes/ram/data"))
            .count()
    };
    assert_eq!(1, mounted());
    assert!(world.line("exec second df -m /r").ok().contains(" 1 "));
    world.line("rm -f first").ok();
    assert_eq!(1, mounted(), "the second still uses it");
    world.line("rm -f second").ok();
    assert_eq!(0, mounted());
    assert_eq!("", world.line("run --rm --network none -v ram:/r bb ls /r").ok(), "its content went with it");
    world.line("volume create -o type=tmpfs bad").fails(1, "missing required option: \"device\"");
    world.line("volume create -o foo=1 bad").fails(1, "foo");
    world.line("volume create ram").fails(1, "other options");
    world.assert_no_leaks();
}

#[test]
fn mounts_of_another_container_are_taken_over() {
    need!();
    let world = World::new();
    world.file("shared/f", "bound\n");
    let bind = format!("{}:/b", world.text("shared"));
    world.gantry(["create", "--name", "giver", "-v", "/anon", "-v", "vol:/v", "-v", &bind, "bb", "true"]).ok();
    let run = |from: &str, script: &str| {
        world.gantry(["run", "--rm", "--network", "none", "--volumes-from", from, "bb", "sh", "-c", script])
    };
    assert_eq!("bound", run("giver", "cat /b/f; touch /anon/x /v/x").ok());
    assert_eq!("x\nx", run("giver:ro", "ls /anon /v | grep x; touch /v/y 2>/dev/null || true").ok());
    assert_eq!("x", run("giver", "ls /v").ok(), "nothing was written read-only");
    run("giver:zz", "true").fails(125, "invalid mode");
    run("nosuch", "true").fails(125, "No such container");
    let words = ["run", "--rm", "--network", "none", "--volumes-from", "giver", "-v", "other:/v", "bb", "ls", "/v"];
    assert_eq!("", world.gantry(words).ok(), "what is asked for by itself wins");
    assert_eq!(3, world.line("volume ls -q").ok().lines().count(), "the giver's volumes stay");
}

#[test]
fn labels_options_and_nocopy_reach_the_volume() {
    need!();
    let world = World::new();
    let mount = "type=volume,src=made,dst=/www,volume-label=a=b,volume-label=c,volume-nocopy";
    assert_eq!("", world.gantry(["run", "--rm", "--network", "none", "--mount", mount, "bb", "ls", "/www"]).ok());
    assert_eq!("map[a:b c:]", world.gantry(["volume", "inspect", "-f", "{{.Labels}}", "made"]).ok());
    let options = "type=volume,src=ram,dst=/r,volume-driver=local,volume-opt=type=tmpfs,volume-opt=device=tmpfs,\"volume-opt=o=size=2m,mode=700\"";
    let seen =
        world.gantry(["run", "--rm", "--network", "none", "--mount", options, "bb", "stat", "-c", "%a", "/r"]).ok();
    assert_eq!("700", seen);
}
