//! Where images and writable layers are kept: limits, storage drivers side by side, what takes space and what goes when
//! it gets tight, and file systems that share blocks.

use crate::need;
use gantry_tests::{World, within};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

fn succeeds(program: &str, words: &[&str]) -> bool {
    Command::new(program).args(words).output().is_ok_and(|output| output.status.success())
}

/// A file system of its own as the world's root, made by `make`, mounted with `options`.
fn on_file_system(world: &World, make: &[&str], megabytes: u64, options: &str) -> bool {
    let (disk, root) = (world.path("disk.img"), world.text("root"));
    fs::File::create(&disk).and_then(|file| file.set_len(megabytes << 20)).expect("a sparse file takes no room");
    fs::create_dir_all(&root).expect("our own directory is writable");
    let disk = world.text("disk.img");
    let words: Vec<&str> = make[1..].iter().copied().chain([disk.as_str()]).collect();
    let made = succeeds(make[0], &words) && succeeds("mount", &["-o", &format!("loop,{options}"), &disk, &root]);
    if !made {
        eprintln!("skipped: needs {}, loop devices, and a kernel that mounts it with {options}", make[0]);
    }
    made
}

/// `dd` of so many megabytes; prints what it said, and the size of what it wrote.
fn filling(path: &str, megabytes: u32) -> String {
    format!("dd if=/dev/zero of={path} bs=1M count={megabytes} 2>&1 | tail -1; stat -c 'size %s' {path}")
}

const LIMIT: u64 = 8 << 20;

/// Bytes of the file that was written up to the limit.
fn written(output: &str) -> u64 {
    let size = output.lines().find_map(|line| line.strip_prefix("size ")).and_then(|text| text.parse().ok());
    size.unwrap_or_else(|| panic!("no size in {output:?}"))
}

#[test]
fn writable_layers_and_volumes_keep_to_their_limits() {
    need!();
    let plain = World::new();
    let refused = plain.line("create --storage-opt size=8m --network none bb true");
    if refused.code != 0 {
        refused.fails(1, "supported only for overlay over xfs with 'pquota' mount option, or ext4 with 'prjquota'");
    }
    plain.line("run --storage-opt sise=8m bb true").fails(125, "size");
    plain.line("run --storage-opt size bb true").fails(125, "KEY=VALUE");
    let world = World::empty();
    let make = ["mkfs.ext4", "-q", "-F", "-O", "quota,project", "-E", "quotatype=prjquota"];
    if !on_file_system(&world, &make, 200, "prjquota") {
        return;
    }
    let tar = gantry_tests::image::busybox_tar().to_string_lossy().into_owned();
    world.gantry(["import", &tar, "bb"]).ok();
    let limited = |driver: &str, size: &str, script: &str| {
        let size = format!("size={size}");
        let words = ["--storage-driver", driver, "run", "--rm", "--network", "none", "--storage-opt", &size, "bb"];
        world.gantry(words.into_iter().chain(["sh", "-c", script])).ok()
    };
    let full = limited("overlay2", "8m", &filling("/big", 30));
    assert!((LIMIT / 2..=LIMIT).contains(&written(&full)), "{full}");
    let shown = limited("overlay2", "8m", "df -k / | tail -1");
    assert_eq!(Some("8192"), shown.split_whitespace().nth(1), "{shown}");
    // The image's files are copied up into the same limit; the kernel moves them there from its work directory.
    let copied = limited("overlay2", "8m", "echo x >>/bin/busybox; stat -c %n /bin/busybox; echo fine");
    assert!(copied.ends_with("fine"), "{copied}");
    assert_eq!(30 << 20, written(&world.shell(&filling("/big", 30)).ok()), "without a limit there is none");
    let copies = limited("vfs", "16m", &filling("/big", 30));
    assert!(written(&copies) <= 16 << 20, "{copies}");

    world.line("volume create -o size=8m vol").ok();
    let into =
        |script: &str| world.gantry(["run", "--rm", "--network", "none", "-v", "vol:/v", "bb", "sh", "-c", script]);
    let full = into(&filling("/v/big", 30)).ok();
    assert!((LIMIT / 2..=LIMIT).contains(&written(&full)), "{full}");
    world.line("volume rm vol").ok();
    world.line("volume create vol").ok();
    assert_eq!(30 << 20, written(&into(&filling("/v/big", 30)).ok()), "the limit went with the volume");
    world.line("volume create -o size=x bad").fails(1, "size");
}

#[test]
fn a_file_system_that_shares_blocks_is_copied_in_no_time_and_space() {
    need!();
    let world = World::empty();
    if !on_file_system(&world, &["mkfs.xfs", "-q", "-m", "reflink=1"], 320, "noatime") {
        return;
    }
    let tar = gantry_tests::image::busybox_tar().to_string_lossy().into_owned();
    let mut more = fs::read(tar).expect("made by the harness");
    more.truncate(more.len() - 1024);
    let mut layer = gantry_tests::image::Layer::default();
    layer.file("big", 0o644, &vec![7; 20 << 20]);
    more.extend(layer.finish());
    world.fed(["--storage-driver", "vfs", "import", "-", "bb"], &more).ok();
    let used = || nix::sys::statvfs::statvfs(&world.path("root")).map(|s| (s.blocks() - s.blocks_free()) * 4096);
    let before = used().expect("measured");
    for number in 0..8 {
        world.line(&format!("--storage-driver vfs create --name c{number} --network none bb cat /big")).ok();
    }
    let more = used().expect("measured").saturating_sub(before);
    assert!(more < 40 << 20, "eight copies of 20 MB took {more} bytes");
    let info = world.line("--storage-driver vfs info").ok();
    assert!(info.contains("Container copies: reflink"), "{info}");
}

fn layers_in(world: &World, driver: &str) -> usize {
    let entries = fs::read_dir(world.path("root/layers").join(driver)).into_iter().flatten().flatten();
    entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "json")).count()
}

#[test]
fn an_image_moves_from_one_storage_driver_to_another() {
    need!();
    let world = World::new();
    world.line("create --name old --network none bb echo old").ok();
    world.line("tag bb other").ok();
    world.line("image move --keep bb vfs").ok();
    assert_eq!((1, 1), (layers_in(&world, "overlay2"), layers_in(&world, "vfs")));
    // A container stands on it there.
    world.line("image move bb vfs").ok();
    assert_eq!(1, layers_in(&world, "overlay2"));
    world.line("start -a old").ok();
    world.line("rm old").ok();
    world.line("image move bb vfs").ok();
    assert_eq!((0, 1), (layers_in(&world, "overlay2"), layers_in(&world, "vfs")));
    assert_eq!("moved", world.line("--storage-driver vfs run --rm --network none bb echo moved").ok());
    let df = world.line("system df -v").ok();
    assert!(df.contains("STORAGE DRIVER") && df.contains("\nvfs "), "{df}");
    // Where it lacks it is unpacked again.
    assert_eq!("back", world.line("run --rm --network none bb echo back").ok());
    assert!(layers_in(&world, "overlay2") > 0);
    world.line("image move bb nosuch").fails(1, "nosuch");
    world.line("system check").ok();
    world.assert_no_leaks();
}

#[test]
fn images_that_nobody_used_for_long_go_when_it_gets_tight() {
    need!();
    let world = World::new();
    world.line("system gc").fails(1, "collection by watermarks is off");
    for (name, text) in [("used", "1"), ("young", "2"), ("idle", "3")] {
        let mut layer = gantry_tests::image::Layer::default();
        layer.file("who", 0o644, text.as_bytes());
        world.fed(["import", "-", name], &layer.finish()).ok();
    }
    world.line("create --name holder --network none used /who").ok();
    let on = |keep: &str| {
        world.configure(&format!("[engine.gc]\nhigh = \"1%\"\nlow = 1\nkeep = \"{keep}\"\n"));
    };
    on("24h");
    assert_eq!("Total reclaimed space: 0B", world.line("system gc --dry-run").ok(), "all are young");
    on("1ns");
    let told = world.line("system gc -n").ok();
    assert!(told.starts_with("Would remove:\n") && told.contains("idle:latest (") && !told.contains("used:"), "{told}");
    assert!(told.find("young:") < told.find("idle:"), "the longest unused first: {told}");
    world.line("run --rm --network none young /who");
    let told = world.line("system gc -n").ok();
    assert!(told.find("idle:") < told.find("young:"), "a container is a use: {told}");
    assert_eq!(4, world.line("images -q").ok().lines().count(), "nothing went yet");
    let df = world.line("system df -v").ok();
    for head in
        ["Images space usage:", "Containers space usage:", "Local Volumes space usage:", "UNIQUE SIZE", "holder"]
    {
        assert!(df.contains(head), "{head}: {df}");
    }
    let json = world.gantry(["system", "df", "-v", "--format", "{{json .Images}}"]).ok();
    assert!(json.contains("\"Repository\":\"idle\""), "{json}");
    assert!(world.line("system gc").ok().starts_with("Deleted Images:\n"));
    assert_eq!("used", world.gantry(["images", "--format", "{{.Repository}}"]).ok());
    world.line("system check").ok();
    // What is brought while it is tight starts a collection that nobody waits for.
    world.line("tag used again").ok();
    world.line("rm holder").ok();
    let mut layer = gantry_tests::image::Layer::default();
    layer.file("who", 0o644, b"4");
    world.fed(["import", "-", "fresh"], &layer.finish()).ok();
    let gone =
        gantry_tests::within(std::time::Duration::from_secs(20), || world.line("images -q used").ok().is_empty());
    assert!(gone, "{}", world.line("images").ok());
    world.assert_no_leaks();
}

#[test]
fn pruning_keeps_to_its_filters() {
    need!();
    let world = World::new();
    world.line("create --label keep=yes --name kept --network none bb true").ok();
    world.line("create --name gone --network none bb true").ok();
    let tar = gantry_tests::image::busybox_tar().to_string_lossy().into_owned();
    world.gantry(["import", "--change", "LABEL keep=yes", &tar, "labelled"]).ok();
    world.line("system prune -a -f --filter until=24h").ok();
    assert_eq!(2, world.line("ps -aq").ok().lines().count(), "all are younger");
    let pruned = world.line("system prune -a -f --filter label!=keep=yes").ok();
    assert!(pruned.contains("Deleted Containers:") && !pruned.contains("labelled"), "{pruned}");
    assert_eq!("kept", world.gantry(["ps", "-a", "--format", "{{.Names}}"]).ok());
    assert!(world.line("images -q labelled").ok().len() == 12);
    world.line("system prune -f --filter colour=red").fails(1, "invalid filter 'colour'");
    assert!(Path::new(&world.text("root")).is_dir());
    world.assert_no_leaks();
}

/// Bytes of the files below.
fn bytes_below(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => bytes_below(&entry.path()),
        other => other.map_or(0, |meta| meta.len()),
    };
    entries.map(size).sum()
}

#[test]
fn what_is_removed_gives_its_space_back() {
    need!();
    let world = World::new();
    let (root, much) = (world.path("root"), 5 << 20);
    let script = format!("head -c {much} /dev/zero > /much; sleep 1");
    for driver in ["overlay2", "vfs"] {
        if driver == "vfs" {
            world.line("image move bb vfs").ok();
        }
        let before = bytes_below(&root);
        let run = |name: &str| {
            let words = ["--storage-driver", driver, "run", "--name", name, "--network", "none", "bb", "sh", "-c"];
            world.gantry(words.iter().copied().chain([script.as_str()])).ok()
        };
        let freed = |what: &str| {
            let done = || bytes_below(&root) < before + much;
            assert!(within(Duration::from_secs(30), done), "{driver}, {what}: {} more", bytes_below(&root) - before);
        };
        run("big");
        world.line(&format!("--storage-driver {driver} commit big big")).ok();
        assert!(bytes_below(&root) >= before + 2 * much, "{driver}: the file is there twice");
        world.line("rm big").ok();
        world.line("rmi big").ok();
        freed("rm and rmi");
        run("again");
        world.line("container prune -f").ok();
        freed("prune");
    }
    world.assert_no_leaks();
}

/// What all files below take and how many they are, each once; what is thrown away may be deleted meanwhile.
fn blocks_below(dir: &Path, seen: &mut std::collections::BTreeMap<u64, u64>) {
    use std::os::unix::fs::MetadataExt;
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(meta) if meta.is_dir() => blocks_below(&entry.path(), seen),
            Ok(meta) if meta.is_file() => drop(seen.insert(meta.ino(), meta.blocks() * 512)),
            _ => {}
        }
    }
}

#[test]
fn nothing_below_the_root_is_left_unexplained() {
    need!();
    let world = World::new();
    let rows = || world.gantry(["system", "df", "--format", "{{.Type}}={{.Size}}"]).ok();
    let told = || rows().lines().map(|row| bytes_of(row.rsplit('=').next().unwrap_or_default())).sum::<u64>();
    let take = |script: &str, more: &[&str]| {
        let all = [&["run", "--network", "none"], more, &["bb", "sh", "-c", script]].concat();
        world.gantry(all).ok();
    };
    take("head -c 3000000 /dev/urandom >/mine; head -c 500000 /dev/urandom | od -x", &["--name", "one"]);
    take("head -c 2000000 /dev/urandom >/v/x", &["--rm", "-v", "vol:/v"]);
    world.line("--storage-driver vfs create --network none bb true").ok();
    // A layer that nobody has any more, and one that is thrown away.
    for place in ["layers", "trash"] {
        let lost = world.path(&format!("root/drivers/storage/overlay2/{place}/{}", "ab".repeat(32)));
        fs::create_dir_all(&lost).expect("made");
        fs::write(lost.join("lost"), vec![1; 1_000_000]).expect("written");
    }
    fs::create_dir_all(world.path("root/trash/old")).expect("made");
    fs::write(world.path("root/trash/old/file"), vec![1; 700_000]).expect("written");
    let trash = rows().lines().find_map(|row| row.strip_prefix("Trash=").map(bytes_of));
    assert!(trash.is_some_and(|bytes| bytes >= 2_700_000), "{}", rows());
    nix::unistd::sync();
    let (mut seen, told) = (std::collections::BTreeMap::new(), told());
    blocks_below(&world.path("root"), &mut seen);
    // The kernel gives whole blocks; lists round to four digits.
    let (taken, rounding) = (seen.values().sum::<u64>(), 4096 * seen.len() as u64 + 20_000);
    assert!(taken.abs_diff(told) <= rounding, "{taken} are taken, {told} explained, {rounding}: {}", rows());
    assert!(world.line("system check --repair").ok().contains("no record names it"));
    world.assert_no_leaks();
}

/// `1.5MB` as a number.
fn bytes_of(size: &str) -> u64 {
    let end = size.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(size.len());
    let unit = match &size[end..] {
        "kB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        _ => 1.0,
    };
    (size[..end].parse::<f64>().unwrap_or_default() * unit) as u64
}

#[test]
fn sizes_of_containers_are_true_however_often_they_are_asked() {
    need!();
    let world = World::new();
    let size = || {
        // A look soon after a change is not kept; the second one is.
        let told = || world.line("ps -a -s --filter name=sized --format {{.Size}}").ok();
        std::thread::sleep(Duration::from_millis(150));
        let (first, second) = (told(), told());
        assert_eq!(first, second);
        first.split(' ').next().unwrap_or_default().to_owned()
    };
    let script = "head -c 1000000 /dev/zero >>/data";
    world.gantry(["create", "--name", "sized", "--network", "none", "bb", "sh", "-c", script]).ok();
    assert_eq!("0B", size());
    for wanted in ["1MB", "2MB"] {
        world.line("start -a sized").ok();
        assert_eq!(wanted, size());
    }
    world.gantry(["cp", &world.file("more", vec![1; 500_000]), "sized:/more"]).ok();
    assert_eq!("2.5MB", size());
    let space = world.gantry(["system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Size}}"]).ok();
    assert!(space.contains("Containers 1 2.5MB"), "{space}");
    fs::write(world.path("root/cache/sizes.json"), "nonsense").expect("writable");
    assert_eq!("2.5MB", size());
    world.line("rm sized").ok();
}
