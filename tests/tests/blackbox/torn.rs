//! Commands killed at any moment, and the power cut at any moment: images are whole or not there, never silently broken.
//! `GANTRY_KILLS` says how many moments of each act are tried.

use crate::images::{greeting, gzip, saved_stack};
use crate::need;
use gantry_tests::image::Layer;
use gantry_tests::registry::Registry;
use gantry_tests::{World, within};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const CLEAN: &str = "Everything is as it should be.";

fn kills() -> u32 {
    std::env::var("GANTRY_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(4)
}

/// An archive of an image of two layers whose unpacking takes a moment.
fn archive(world: &World) -> String {
    let mut above = Layer::default();
    for number in 0_u32..150 {
        let noise: Vec<u8> = (0..8192_u32).map(|byte| (byte.wrapping_mul(number + 7) >> 3) as u8).collect();
        above.file(&format!("data/{number}"), 0o644, &noise);
    }
    world.file("torn.tar", saved_stack(&[&greeting(), &above.finish()], "torn:1"))
}

/// Runs an act to its end to learn how long it takes, then kills it after parts of that time, and looks.
fn killed_at_many_moments(world: &World, words: &[&str], before: impl Fn(), whole: impl Fn()) {
    before();
    let start = Instant::now();
    world.gantry(words).ok();
    let time = start.elapsed();
    for moment in 0..kills() {
        before();
        let mut child = world.command(words).stdout(std::process::Stdio::null()).spawn().expect("starts");
        // Nobody knows how fast this machine is right now: from at once to a little after the end.
        std::thread::sleep(time.mul_f64(1.1 * f64::from(moment) / f64::from(kills())));
        let _ = child.kill();
        let _ = child.wait();
        let seen = world.line("system check");
        assert!(seen.code == 0 && !seen.stdout.contains("damage"), "{words:?}, moment {moment}: {seen:#?}");
        let mended = world.line("system check --repair");
        assert!(mended.code == 0 && !mended.stdout.contains("found"), "{words:?}, moment {moment}: {mended:#?}");
        assert_eq!(CLEAN, world.line("system check").ok(), "{words:?}, moment {moment}");
    }
    before();
    world.gantry(words).ok();
    whole();
}

fn without_image(world: &World, name: &str) {
    world.gantry(["rmi", "-f", name]);
    assert_eq!("", world.gantry(["images", "-q", name]).ok());
}

#[test]
fn a_killed_load_leaves_a_sound_store() {
    need!();
    let world = World::empty();
    let archive = archive(&world);
    let whole =
        || assert_eq!("150", world.line("run --rm --network none torn:1 sh -c ls$IFS/data|wc$IFS-l").ok().trim());
    killed_at_many_moments(&world, &["load", "-i", &archive], || without_image(&world, "torn:1"), whole);
    world.assert_no_leaks();
}

#[test]
fn a_killed_removal_leaves_a_sound_store() {
    need!();
    let world = World::empty();
    let archive = archive(&world);
    let load = || drop(world.gantry(["load", "-i", &archive]).ok());
    killed_at_many_moments(&world, &["rmi", "-f", "torn:1"], load, || assert_eq!("", world.line("images -q").ok()));
}

#[test]
fn a_killed_commit_leaves_a_sound_store() {
    need!();
    let world = World::new();
    let script =
        "mkdir /made; for i in 1 2 3 4 5 6 7 8 9; do head -c 300000 /dev/urandom > /made/$i; done; rm /etc/group";
    world.gantry(["run", "--name", "maker", "--network", "none", "bb", "sh", "-c", script]).ok();
    let whole = || assert!(world.line("run --rm --network none made:1 ls /made").ok().ends_with('9'));
    killed_at_many_moments(&world, &["commit", "maker", "made:1"], || without_image(&world, "made:1"), whole);
    world.assert_no_leaks();
}

#[test]
fn a_killed_pull_leaves_a_sound_store() {
    need!();
    if !gantry_tests::registry::able() {
        return;
    }
    let world = World::empty();
    let registry = Registry::plain(&world);
    let archive = archive(&world);
    let name = registry.image("torn:1");
    world.gantry(["load", "-i", &archive]).ok();
    world.gantry(["tag", "torn:1", &name]).ok();
    world.gantry(["push", &name]).ok();
    world.gantry(["rmi", "torn:1"]).ok();
    let whole = || assert_eq!("loaded", world.gantry(["run", "--rm", "--network", "none", &name, "cat", "/who"]).ok());
    killed_at_many_moments(&world, &["pull", "-q", &name], || without_image(&world, &name), whole);
}

fn succeeds(program: &str, words: &[&str]) -> bool {
    Command::new(program).args(words).output().is_ok_and(|output| output.status.success())
}

/// A file system in a file, mounted there; `None` where that cannot be.
fn mounted(image: &Path, place: &Path) -> bool {
    fs::create_dir_all(place).expect("our own directory is writable");
    succeeds("mount", &["-o", "loop", &image.to_string_lossy(), &place.to_string_lossy()])
}

/// What has reached the disk by now, nothing more. The copy is of one moment when a second one, made while the writer
/// stands still, is the same: blocks of different moments would be no state that a power cut leaves.
fn copy_of_a_moment(writer: u32, disk: &Path, copy: &Path) {
    // One that has ended stands still too.
    let send = |signal| kill(Pid::from_raw(writer.cast_signed()), signal);
    let _ = send(Signal::SIGSTOP);
    let same = within(Duration::from_secs(60), || {
        fs::copy(disk, copy).expect("room for a copy");
        succeeds("cmp", &["-s", &disk.to_string_lossy(), &copy.to_string_lossy()])
    });
    let _ = send(Signal::SIGCONT);
    assert!(same, "the kernel writes all the time");
}

#[test]
fn after_a_power_cut_images_are_whole_or_not_there() {
    need!();
    let world = World::empty();
    let disk = world.path("disk.img");
    fs::File::create(&disk).and_then(|file| file.set_len(160 << 20)).expect("room for a small disk");
    let made = succeeds("mkfs.ext4", &["-q", "-F", &disk.to_string_lossy()]) && mounted(&disk, &world.path("root"));
    if !made {
        eprintln!("skipped: needs mkfs.ext4 and loop devices");
        return;
    }
    let archive = world.file("zipped.tar.gz", gzip(&fs::read(archive(&world)).expect("made above")));
    let start = Instant::now();
    world.gantry(["load", "-i", &archive]).ok();
    let time = start.elapsed();
    for moment in 0..kills() {
        without_image(&world, "torn:1");
        let mut child =
            world.command(["load", "-i", &archive]).stdout(std::process::Stdio::null()).spawn().expect("starts");
        std::thread::sleep(time.mul_f64(1.2 * f64::from(moment + 1) / f64::from(kills())));
        let cut = World::empty();
        copy_of_a_moment(child.id(), &disk, &cut.path("disk.img"));
        child.wait().expect("ends");
        assert!(mounted(&cut.path("disk.img"), &cut.path("root")), "the journal is replayed");
        let there = cut.line("images -q").ok();
        let seen = cut.line("system check");
        assert!(seen.code == 0 || !there.is_empty(), "moment {moment}: {seen:#?}");
        assert_eq!(0, cut.line("system check --repair").code, "moment {moment}: {seen:#?}");
        // It may be there without its name: the removal before took that away first, a load gives it last.
        for id in there.lines() {
            let run = cut.gantry(["run", "--rm", "--network", "none", id, "cat", "/who"]);
            assert_eq!("loaded", run.ok(), "moment {moment}: {seen:#?}");
        }
        cut.gantry(["load", "-i", &archive]).ok();
        assert_eq!("loaded", cut.line("run --rm --network none torn:1 cat /who").ok(), "moment {moment}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
