//! Writable layers that are limited where the host's file system keeps no quotas: each is a file system in a file.

use crate::need;
use gantry_tests::{World, process, within};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const FILL: &str = "dd if=/dev/zero of=/big bs=64k count=400 2>/dev/null; stat -c %s /big";

/// Files of the world that a loop device shows.
fn shown(world: &World) -> Vec<String> {
    let devices = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let files = devices.filter_map(|entry| fs::read_to_string(entry.path().join("loop/backing_file")).ok());
    files.filter(|file| Path::new(file.trim()).starts_with(world.dir())).collect()
}

/// What is mounted below the world's directory on the host.
fn mounted(world: &World) -> usize {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("readable");
    mounts.lines().filter(|line| line.contains(&*world.dir().to_string_lossy())).count()
}

#[track_caller]
fn nothing_is_left(world: &World) {
    let clean = || shown(world).is_empty() && mounted(world) == 0;
    assert!(within(Duration::from_secs(20), clean), "{:?}, {} mounts", shown(world), mounted(world));
}

fn disk(world: &World, id: &str) -> PathBuf {
    world.path(&format!("root/drivers/storage/overlay2/work/{id}/ext4"))
}

/// A container that waits, its layer limited to 8 MB; `None` where quotas do that.
fn limited(world: &World, more: &[&str]) -> Option<String> {
    let words = ["run", "-d", "--name", "cc", "--network", "none", "--storage-opt", "size=8m"];
    let id = world.gantry(words.iter().chain(more).chain(&["bb", "sleep", "1000"])).ok();
    let found = disk(world, &id).exists();
    if !found {
        eprintln!("skipped: this file system keeps project quotas");
        world.line("rm -f cc").ok();
    }
    found.then_some(id)
}

fn inside(world: &World, script: &str) -> String {
    world.gantry(["exec", "cc", "sh", "-c", script]).ok()
}

#[test]
fn a_limited_layer_is_as_any_other() {
    need!();
    let world = World::new();
    let Some(id) = limited(&world, &[]) else { return };
    let full: u64 = inside(&world, FILL).parse().expect("a size");
    assert!((4 << 20..8 << 20).contains(&full), "{full}");
    inside(&world, "rm /big /bin/stat; echo kept >/f; mkdir /d");
    assert_eq!("C /bin\nD /bin/stat\nA /d\nA /f", world.line("diff cc").ok());
    for _ in 0..5 {
        world.line("restart -t 0 cc").ok();
        // An earlier run's namespace may still have it mounted: it must be the same file system.
        assert_eq!(1, shown(&world).len());
        assert_eq!("kept", inside(&world, "cat /f"));
    }
    world.line("stop -t 0 cc").ok();
    nothing_is_left(&world);

    world.gantry(["cp", &world.file("new", "new\n"), "cc:/new"]).ok();
    assert_eq!("C /bin\nD /bin/stat\nA /d\nA /f\nA /new", world.line("diff cc").ok());
    world.line("commit cc made:1").ok();
    assert_eq!("kept\nnew", world.line("run --rm --network none made:1 cat /f /new").ok());
    nothing_is_left(&world);
    let size = world.gantry(["system", "df", "-v", "--format", "{{json .Containers}}"]).ok();
    assert!(!size.contains("\"Size\":\"0B"), "what the file takes is told: {size}");

    world.line("start cc").ok();
    assert_eq!("new", inside(&world, "cat /new"));
    world.line("rm -f cc").ok();
    nothing_is_left(&world);
    assert!(!disk(&world, &id).exists());
    assert_eq!("Everything is as it should be.", world.line("system check").ok());
    world.assert_no_leaks();
}

#[test]
fn whoever_is_killed_leaves_no_disk_mounted() {
    need!();
    let world = World::new();
    let Some(id) = limited(&world, &[]) else { return };
    let (keeper, pump) = world.supervisors(&id);
    keeper.into_iter().chain(pump).for_each(process::murder);
    world.line("rm -f cc").ok();
    nothing_is_left(&world);
    // A run that is killed before and after the mount, and a look into a stopped container.
    world.line("create --name cc --network none --storage-opt size=8m bb true").ok();
    for moment in 0..6 {
        for words in [&["start", "cc"][..], &["cp", "cc:/etc/passwd", "-"]] {
            let mut command = world.command(words);
            let mut child = command.stdout(std::process::Stdio::null()).spawn().expect("starts");
            std::thread::sleep(Duration::from_millis(12 * moment));
            let _ = child.kill();
            child.wait().expect("reaped");
        }
    }
    world.line("start -a cc").ok();
    world.line("rm -f cc").ok();
    nothing_is_left(&world);
    world.line("system check --repair").ok();
    assert_eq!("Everything is as it should be.", world.line("system check").ok());
    world.assert_no_leaks();
}

#[test]
fn a_limit_goes_with_other_owners() {
    need!();
    let world = World::new();
    let Some(_) = limited(&world, &["--uidmap", "0:300000:65536"]) else { return };
    inside(&world, "echo mine >/f; chown 7:8 /f; rm /bin/stat");
    assert_eq!("C /bin\nD /bin/stat\nA /f", world.line("diff cc").ok());
    world.line("stop -t 0 cc").ok();
    world.line("commit cc made:1").ok();
    let owner = world.line("run --rm --network none made:1 ls -ln /f").ok();
    assert!(owner.contains(" 7 ") && owner.contains(" 8 "), "{owner}");
    world.line("rm -f cc").ok();
    nothing_is_left(&world);
    world.line("create --storage-opt size=9k --network none bb true").fails(1, "less than 1 MB");
    world.assert_no_leaks();
}

#[test]
fn a_volume_with_a_limit_has_one_device_over_restarts() {
    need!();
    let world = World::new();
    world.line("volume create -o size=8m vol").ok();
    if !world.path("root/drivers/volume/local/vol/_disk/ext4").exists() {
        return eprintln!("skipped: this file system keeps project quotas");
    }
    world.gantry(["run", "-d", "--name", "cc", "--network", "none", "-v", "vol:/v", "bb", "sleep", "1000"]).ok();
    for number in 0..8 {
        inside(&world, &format!("echo {number} >>/v/f"));
        world.line("restart -t 0 cc").ok();
        assert_eq!(1, shown(&world).len(), "restart {number}");
    }
    assert_eq!("01234567", inside(&world, "cat /v/f").replace('\n', ""));
    world.line("rm -f cc").ok();
    nothing_is_left(&world);
    world.assert_no_leaks();
}
