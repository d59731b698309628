//! `system check`: damage is found, told and mended; what killed commands leave is no damage.

use crate::images::{greeting, saved, saved_stack};
use crate::need;
use gantry_tests::World;
use gantry_tests::image::{self, Layer};
use std::fs;
use std::path::{Path, PathBuf};

const CLEAN: &str = "Everything is as it should be.";

fn below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// Files of that name below the drivers' layers.
fn stored(world: &World, driver: &str, name: &str) -> Vec<PathBuf> {
    let layers = world.path("root/drivers/storage").join(driver).join("layers");
    below(&layers).into_iter().map(|layer| layer.join(name)).filter(|path| path.exists()).collect()
}

fn world_with(driver: &str) -> World {
    let world = World::empty();
    let mut above = Layer::default();
    above.file("more", 0o600, b"another layer\n");
    above.file("etc/.wh.group", 0o644, b"");
    let archive = world.file("stack.tar", saved_stack(&[&greeting(), &above.finish()], "stack:1"));
    world.gantry(["--storage-driver", driver, "load", "-i", &archive]).ok();
    world
}

#[test]
fn a_store_in_order_is_told_so() {
    need!();
    for driver in ["overlay2", "vfs"] {
        let world = world_with(driver);
        world.gantry(["--storage-driver", driver, "create", "--name", "cc", "-v", "vol:/v", "stack:1"]).ok();
        assert_eq!(CLEAN, world.gantry(["--storage-driver", driver, "system", "check"]).ok(), "{driver}");
        world.line("rm cc").ok();
        assert_eq!(CLEAN, world.gantry(["--storage-driver", driver, "system", "check", "--quick"]).ok(), "{driver}");
    }
}

#[test]
fn damaged_layers_are_found_and_made_again() {
    need!();
    type Harm = fn(&Path);
    let harms: [(&str, &str, Harm); 5] = [
        ("who", "another content", |path| {
            let (meta, mut bytes) = (fs::metadata(path).expect("there"), fs::read(path).expect("readable"));
            bytes[0] ^= 1;
            fs::write(path, bytes).expect("writable");
            let file = fs::File::options().write(true).open(path).expect("opens");
            file.set_modified(meta.modified().expect("has a time")).expect("takes a time");
        }),
        ("who", "another size", |path| fs::write(path, "").expect("writable")),
        ("who", "is missing", |path| fs::remove_file(path).expect("removable")),
        ("bin/sh", "leads elsewhere", |path| {
            fs::remove_file(path).expect("removable");
            std::os::unix::fs::symlink("nowhere", path).expect("links");
        }),
        ("etc/stranger", "does not belong to the layer", |path| fs::write(path, "x").expect("writable")),
    ];
    for driver in ["overlay2", "vfs"] {
        let world = world_with(driver);
        let gantry = |words: &str| world.gantry(["--storage-driver", driver].into_iter().chain(words.split(' ')));
        gantry("create --name kept --network none stack:1 cat /who").ok();
        for (name, told, harm) in &harms {
            let base = stored(&world, driver, "bin/busybox")[0].clone();
            harm(&base.parent().and_then(Path::parent).expect("a layer").join(name));
            let found = gantry("system check");
            assert_eq!(1, found.code, "{driver} {name}: {found:#?}");
            assert!(found.stdout.contains(told) && found.stdout.contains("damage"), "{driver} {name}: {found:#?}");
            let mended = gantry("system check --repair").ok();
            assert!(mended.contains("mended") && !mended.contains("found"), "{driver} {name}: {mended}");
            assert_eq!(CLEAN, gantry("system check").ok(), "{driver} {name}");
        }
        assert_eq!("loaded", gantry("start -a kept").ok(), "{driver}: a container follows its layers");
        assert_eq!("another layer", gantry("run --rm --network none stack:1 cat /more").ok());
        world.assert_no_leaks();
    }
}

#[test]
fn damaged_whiteouts_are_found() {
    need!();
    let world = world_with("overlay2");
    let whiteout = world.path("root/drivers/storage/overlay2/layers");
    let hidden = below(&whiteout).into_iter().map(|layer| layer.join("etc/group"));
    let hidden =
        hidden.filter(|path| !path.exists() || fs::read(path).is_err()).find(|path| path.symlink_metadata().is_ok());
    fs::remove_file(hidden.expect("a whiteout")).expect("removable");
    world.line("system check").fails(1, "system check --repair");
    world.line("system check --repair").ok();
    world.line("run --rm --network none stack:1 ls /etc/group").code(1);
}

#[test]
fn lost_content_is_told_and_what_can_be_is_mended() {
    need!();
    let world = World::empty();
    let archive = world.file("one.tar", saved(&greeting(), "one:1"));
    world.gantry(["load", "-i", &archive]).ok();
    let largest = below(&world.path("root/content/blobs/sha256"))
        .into_iter()
        .max_by_key(|path| fs::metadata(path).map_or(0, |m| m.len()));
    let blob = largest.expect("blobs");
    fs::write(&blob, "no layer").expect("writable");
    let found = world.line("system check");
    assert!(found.code == 1 && found.stdout.contains("8 bytes instead of"), "{found:#?}");
    // Its bytes came from an archive: only the user can bring them back.
    let mended = world.line("system check --repair");
    assert!(mended.code == 1 && mended.stderr.contains("is lost"), "{mended:#?}");
    assert_eq!("loaded", world.line("run --rm --network none one:1").ok());
    world.gantry(["load", "-i", &archive]).ok();
    assert_eq!(CLEAN, world.line("system check").ok());
}

#[test]
fn orphans_of_every_sort_are_collected() {
    need!();
    let world = world_with("overlay2");
    let id = "ab".repeat(32);
    world.line("volume create known").ok();
    for dir in [format!("drivers/storage/overlay2/layers/{id}"), format!("drivers/storage/overlay2/containers/{id}")] {
        fs::create_dir_all(world.path("root").join(dir)).expect("our own directory is writable");
    }
    world.file(&format!("root/content/blobs/sha256/{id}"), "nobody's");
    world.file("root/content/ingest/1-2-3", "half");
    world.file("root/volumes/known.json.999999-0.tmp", "{");
    fs::create_dir_all(world.path("root/names")).expect("our own directory is writable");
    std::os::unix::fs::symlink(&id, world.path("root/names/ghost")).expect("links");
    fs::create_dir_all(world.path("root/networks/gone/leases")).expect("our own directory is writable");
    std::os::unix::fs::symlink(&id, world.path("root/networks/gone/leases/10.0.0.2")).expect("links");
    fs::create_dir_all(world.path("root/drivers/volume/local/adopted/_data")).expect("our own directory is writable");
    let found = world.line("system check").ok();
    for told in [
        "no record names it",
        "its container is gone",
        "no image needs",
        "killed",
        "name ghost",
        "10.0.0.2",
        "volume adopted",
    ] {
        assert!(found.contains(told), "{told}: {found}");
    }
    let mended = world.line("system check --repair").ok();
    assert!(!mended.contains("found"), "{mended}");
    assert_eq!(CLEAN, world.line("system check").ok());
    assert_eq!("adopted\nknown", world.line("volume ls -q").ok());
}

#[test]
fn what_an_unclean_end_spoilt_is_mended_before_it_is_used() {
    need!();
    let world = world_with("overlay2");
    let who = stored(&world, "overlay2", "who")[0].clone();
    // As a power cut leaves it: the name is there, the bytes are not, and the boot is another one.
    fs::write(&who, "").expect("writable");
    for record in
        below(&world.path("root/layers/overlay2")).into_iter().filter(|p| p.extension().is_some_and(|e| e == "json"))
    {
        let text = fs::read_to_string(&record).expect("readable");
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("a boot");
        fs::write(&record, text.replace(boot.trim(), "another-boot")).expect("writable");
    }
    let _ = fs::remove_file(world.path("root/layers/.trust"));
    let run = world.line("run --rm --network none stack:1 cat /who");
    assert_eq!("loaded", run.ok());
    assert_eq!(CLEAN, world.line("system check").ok());
}

#[test]
fn a_root_deleted_under_a_running_container_is_made_again_and_the_container_ended() {
    need!();
    let world = World::new();
    let id = world.detached("lost", "sleep 1000");
    fs::remove_dir_all(world.path("root")).expect("root may delete it");
    world.gantry(["import", &image::busybox_tar().to_string_lossy(), "bb"]).ok();
    assert_eq!("alive", world.line("run --rm bb echo alive").ok());
    let told = world.gantry(["system", "check"]);
    assert!(told.stdout.contains("it ran when its directory was deleted"), "{told:?}");
    world.gantry(["system", "check", "--repair"]);
    assert_eq!((None, None), world.supervisors(&id));
    assert_eq!(CLEAN, world.gantry(["system", "check"]).ok());
    world.assert_no_leaks();
}
