//! Bind mounts, tmpfs and volumes in their simplest form.

use crate::need;
use gantry_tests::World;

#[test]
fn a_directory_is_shared() {
    need!();
    let world = World::new();
    world.file("shared/in", "from the host\n");
    let bind = format!("{}:/m", world.text("shared"));
    let run = world.gantry([
        "run",
        "--rm",
        "--network",
        "none",
        "-v",
        &bind,
        "bb",
        "sh",
        "-c",
        "cat /m/in; echo back > /m/out",
    ]);
    assert_eq!("from the host", run.ok());
    assert_eq!("back\n", std::fs::read_to_string(world.path("shared/out")).expect("written by the container"));
    let readonly = format!("{bind}:ro");
    let run = world.gantry(["run", "--rm", "--network", "none", "-v", &readonly, "bb", "touch", "/m/x"]);
    run.fails(1, "Read-only file system");
    world.assert_no_leaks();
}

#[test]
fn a_missing_source_is_made_for_v_and_refused_for_mount() {
    need!();
    let world = World::new();
    let missing = world.text("missing");
    let mount = format!("type=bind,src={missing},dst=/m");
    world.gantry(["run", "--rm", "--mount", &mount, "bb", "true"]).fails(125, "bind source path does not exist");
    world.gantry(["run", "--rm", "--network", "none", "-v", &format!("{missing}:/m"), "bb", "true"]).ok();
    assert!(world.path("missing").is_dir());
    world.configure("[engine.volume]\nbind-autocreate = false\n");
    let other = world.text("other");
    world.gantry(["run", "--rm", "-v", &format!("{other}:/m"), "bb", "true"]).code(125);
    assert!(!world.path("other").exists());
}

#[test]
fn wrong_mounts_are_told_and_make_nothing() {
    need!();
    let world = World::new();
    for (option, value) in [
        ("-v", "/m:ro:x:y"),
        ("-v", "/tmp:/m:zz"),
        ("-v", "/tmp:relative"),
        ("-v", "a/b:/m"),
        ("-v", ":/b"),
        ("-v", "/tmp:/"),
        ("--mount", "type=bind,dst=/m"),
        ("--mount", "type=tmpfs,src=/x,dst=/m"),
        ("--mount", "type=nosuch,dst=/m"),
        ("--mount", "type=volume"),
        ("--mount", "type=volume,dst=/m,nosuch=1"),
        ("--tmpfs", "relative"),
    ] {
        let run = world.gantry(["run", "--rm", "--network", "none", option, value, "bb", "true"]);
        assert_eq!(125, run.code, "{option} {value}: {run:#?}");
    }
    assert_eq!("", world.line("ps -aq").ok());
    assert_eq!("", world.line("volume ls -q").ok());
}

#[test]
fn named_volumes_last() {
    need!();
    let world = World::new();
    assert_eq!("data", world.line("volume create data").ok());
    assert_eq!("data", world.line("volume create data").ok());
    world.gantry(["run", "--rm", "--network", "none", "-v", "data:/d", "bb", "sh", "-c", "echo kept > /d/f"]).ok();
    assert_eq!("kept", world.line("run --rm --network none -v data:/d bb cat /d/f").ok());
    assert!(world.line("volume ls").ok().contains("local"));
    assert_eq!("data", world.line("volume ls -q -f name=^dat.$").ok(), "an expression, as in Docker");
    assert_eq!("", world.line("volume ls -q -f name=^ata").ok());
    assert_eq!("data", world.line("volume create --ignore -o type=tmpfs data").ok());
    world.line("create --volume-driver nosuch -v data:/d bb true").fails(1, "already exists with driver local");
    world.line("create --name holder -v data:/d bb true").ok();
    world.line("volume rm data").fails(1, "in use");
    world.line("rm -v holder").ok();
    assert_eq!("data", world.line("volume rm data").ok());
    world.line("volume rm data").fails(1, "get data: no such volume");
    assert!(!world.path("state/volumes/data").exists(), "nobody needs to know any more who used it");
    world.assert_no_leaks();
}

#[test]
fn anonymous_volumes_go_with_rm_v() {
    need!();
    let world = World::new();
    world.line("run --name anon --network none -v /d bb touch /d/x").ok();
    assert_eq!(1, world.line("volume ls -q").ok().lines().count());
    world.line("rm -v anon").ok();
    assert_eq!("", world.line("volume ls -q").ok());
    world.line("run --rm --network none -v /d bb touch /d/x").ok();
    assert_eq!("", world.line("volume ls -q").ok());
}

#[test]
fn a_new_volume_takes_what_the_image_has_there() {
    need!();
    let world = World::new();
    assert_eq!(
        "Hello from a container",
        world.line("run --rm --network none -v site:/www bb cat /www/index.html").ok()
    );
    let bind = format!("{}:/www", world.text("empty"));
    world.gantry(["run", "--rm", "--network", "none", "-v", &bind, "bb", "cat", "/www/index.html"]).code(1);
}

#[test]
fn inner_mounts_lie_upon_outer_ones() {
    need!();
    let world = World::new();
    world.file("outer/name", "outer");
    world.file("inner/name", "inner");
    let (outer, inner) = (format!("{}:/a", world.text("outer")), format!("{}:/a/b", world.text("inner")));
    let words = ["run", "--rm", "--network", "none", "-v", &inner, "-v", &outer, "bb", "cat", "/a/name", "/a/b/name"];
    assert_eq!("outerinner", world.gantry(words).ok());
}

#[test]
fn tmpfs_has_its_options() {
    need!();
    let world = World::new();
    let mount = "type=tmpfs,dst=/m,tmpfs-size=1m,tmpfs-mode=700";
    let script = "grep ' /m ' /proc/mounts; stat -c %a /m";
    let text = world.gantry(["run", "--rm", "--network", "none", "--mount", mount, "bb", "sh", "-c", script]).ok();
    for word in ["size=1024k", "nosuid", "nodev", "noexec", "700"] {
        assert!(text.contains(word), "{word} in {text}");
    }
}

#[test]
fn vfs_stores_layers_too() {
    need!();
    let world = World::empty();
    let tar = gantry_tests::image::busybox_tar().to_string_lossy().into_owned();
    world.gantry(["--storage-driver", "vfs", "import", &tar, "bb"]).ok();
    let run = world.gantry([
        "--storage-driver",
        "vfs",
        "run",
        "--rm",
        "--network",
        "none",
        "bb",
        "sh",
        "-c",
        "echo x > /y; cat /y",
    ]);
    assert_eq!("x", run.ok());
    world.assert_no_leaks();
}

#[test]
fn the_image_stays_as_it_was() {
    need!();
    let world = World::new();
    world.shell("rm /www/index.html; echo changed > /etc/passwd; mkdir /new").ok();
    assert_eq!("Hello from a container", world.shell("cat /www/index.html; ls -d /new 2>/dev/null || true").ok());
}
