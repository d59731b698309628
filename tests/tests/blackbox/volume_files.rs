//! Volumes that are a file system in a file: limits where the host's file system keeps no quotas, disk images of the
//! user's; and copies of volumes, among them such that are only read.

use crate::need;
use gantry_tests::{World, within};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Files of the world that a loop device shows.
fn shown(world: &World) -> Vec<String> {
    let devices = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let files = devices.filter_map(|entry| fs::read_to_string(entry.path().join("loop/backing_file")).ok());
    files.filter(|file| Path::new(file.trim()).starts_with(world.dir())).collect()
}

fn in_volume(world: &World, volume: &str, script: &str) -> gantry_tests::Run {
    world.gantry(["run", "--rm", "--network", "none", "-v", &format!("{volume}:/v"), "bb", "sh", "-c", script])
}

const FILL: &str = "dd if=/dev/zero of=/v/big bs=64k count=400 2>/dev/null; stat -c %s /v/big";

#[test]
fn a_limit_is_kept_where_there_are_no_quotas() {
    need!();
    let world = World::new();
    let disk = world.path("root/drivers/volume/local/vol/_disk/ext4");
    world.line("volume create -o size=8m vol").ok();
    if !disk.exists() {
        return eprintln!("skipped: this file system keeps project quotas");
    }
    world.line("volume create -o size=8m vol").ok();
    world.line("volume create -o size=9m vol").fails(1, "has [size=8m], asked for [size=9m]");
    world.line("volume create -o size=9k tiny").fails(1, "less than 1 MB");
    assert_eq!("", in_volume(&world, "vol", "ls -A /v").ok());
    let full: u64 = in_volume(&world, "vol", FILL).ok().parse().expect("a size");
    assert!((4 << 20..8 << 20).contains(&full), "{full}");
    // What is deleted is given back to the host.
    in_volume(&world, "vol", "rm /v/big; echo kept >/v/f").ok();
    let taken = || fs::metadata(&disk).expect("there").blocks() * 512;
    assert!(within(Duration::from_secs(20), || taken() < 3 << 20), "{} bytes are taken", taken());
    let size = world.gantry(["system", "df", "-v", "--format", "{{json .Volumes}}"]).ok();
    assert!(size.contains("kB") || size.contains("MB"), "it takes something: {size}");
    assert!(within(Duration::from_secs(20), || shown(&world).is_empty()), "{:?}", shown(&world));

    // Used by two, killed, copied meanwhile.
    for name in ["one", "two"] {
        world.gantry(["run", "-d", "--network", "none", "--name", name, "-v", "vol:/v", "bb", "sleep", "300"]).ok();
    }
    assert_eq!(1, shown(&world).len());
    assert!(world.line("volume inspect vol -f {{.Mountpoint}}").ok().ends_with("volumes/vol/data"));
    world.line("volume clone vol copy").ok();
    assert_eq!("kept", in_volume(&world, "copy", "cat /v/f").ok());
    world.line("rm -f one two").ok();
    assert!(within(Duration::from_secs(20), || shown(&world).is_empty()), "{:?}", shown(&world));
    world.line("volume clone vol again").ok();
    assert_eq!("kept", in_volume(&world, "again", "cat /v/f").ok());

    // A stopped container's, and what an image has in its place.
    world.line("create --name stopped --network none -v vol:/v bb true").ok();
    world.gantry(["cp", &world.file("new", "new\n"), "stopped:/v/new"]).ok();
    assert_eq!("kept\nnew", in_volume(&world, "vol", "cat /v/f /v/new").ok());
    let mount = "type=volume,src=etc,dst=/etc,volume-opt=size=4m";
    world.gantry(["run", "--rm", "--network", "none", "--mount", mount, "bb", "sh", "-c", "ls /etc/passwd"]).ok();
    let other = mount.replace("4m", "5m");
    world.gantry(["run", "--rm", "--mount", &other, "bb", "true"]).fails(125, "asked for [size=5m]");

    world.line("rm stopped").ok();
    world.line("volume rm vol copy again etc").ok();
    assert!(!disk.exists());
    assert_eq!("Everything is as it should be.", world.line("system check").ok());
    world.assert_no_leaks();
}

#[test]
fn a_disk_image_of_the_users_is_mounted_as_mount_does() {
    need!();
    let world = World::new();
    let image = world.text("disk.img");
    fs::File::create(&image).and_then(|file| file.set_len(4 << 20)).expect("a sparse file");
    let made = Command::new("mkfs.ext4").args(["-q", "-F", &image]).status();
    if !made.is_ok_and(|status| status.success()) || !Path::new("/dev/loop-control").exists() {
        return eprintln!("skipped: needs mkfs.ext4 and loop devices");
    }
    let device = format!("device={image}");
    world.gantry(["volume", "create", "-o", "type=ext4", "-o", &device, "-o", "o=loop,noatime", "disk"]).ok();
    assert_eq!("lost+found", in_volume(&world, "disk", "echo x >/v/x; rm /v/x; ls /v").ok());
    let missing = "device=/nosuch/image";
    world.gantry(["volume", "create", "-o", "type=ext4", "-o", missing, "-o", "o=loop", "gone"]).ok();
    in_volume(&world, "gone", "true").fails(125, "failed to mount local volume");
    assert!(within(Duration::from_secs(20), || shown(&world).is_empty()), "{:?}", shown(&world));
    world.assert_no_leaks();
}

#[test]
fn a_snapshot_is_only_read() {
    need!();
    let world = World::new();
    in_volume(&world, "data", "echo first >/v/f").ok();
    world.gantry(["run", "-d", "--name", "writer", "--network", "none", "-v", "data:/v", "bb", "sleep", "300"]).ok();
    assert_eq!("kept", world.line("volume snapshot data kept").ok());
    assert_eq!("running", world.status("writer"), "it stood still for a moment only");
    in_volume(&world, "data", "echo second >/v/f").ok();
    let named = world.line("volume snapshot --pause=false data").ok();
    assert!(named.starts_with("data-20") && named.len() == "data-20261122-071500.123".len(), "{named}");
    let read = |name: &str| {
        world.gantry(["run", "--rm", "--network", "none", "-v", &format!("{name}:/v:ro"), "bb", "cat", "/v/f"]).ok()
    };
    assert_eq!(("first", "second"), (read("kept").as_str(), read(&named).as_str()));
    in_volume(&world, "kept", "true").fails(125, "is a snapshot of data and cannot be written to");
    world.gantry(["run", "--rm", "-v", "kept:/v:ro,U", "bb", "true"]).fails(125, "is a snapshot of data");
    world.fed(["volume", "import", "kept", "-"], b"").fails(1, "is a snapshot of data");
    let over = ["run", "--rm", "--network", "none", "-v", "kept:/v:O", "bb", "sh", "-c", "echo x >/v/f; cat /v/f"];
    assert_eq!("x", world.gantry(over).ok());
    assert_eq!("first", read("kept"));
    assert_eq!("data", world.line("volume inspect kept -f {{.Status.SnapshotOf}}").ok());
    world.line("volume clone kept back").ok();
    assert_eq!("third", in_volume(&world, "back", "echo third >/v/f; cat /v/f").ok());
    world.line("volume snapshot data kept").fails(1, "already exists");
    world.line("volume snapshot nosuch").fails(1, "no such volume");
    world.line("rm -f writer").ok();
    world.assert_no_leaks();
}

#[test]
fn passwords_are_not_shown_when_options_differ() {
    need!();
    let world = World::new();
    let create = |o: &str| {
        let o = format!("o={o}");
        world.gantry(["volume", "create", "-o", "type=cifs", "-o", "device=//host/share", "-o", &o, "share"])
    };
    create("username=u,password=geheim").ok();
    let refused = create("username=v,password=anders");
    assert!(refused.stderr.contains("o=username=u,password=********"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("geheim") && !refused.stderr.contains("anders"), "{}", refused.stderr);
}
