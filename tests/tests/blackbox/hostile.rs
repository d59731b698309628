//! Archives that mean harm or are damaged: refused with the right code and words, and the store is as it was before.

use crate::images::{greeting, gzip, hex, oci, saved};
use crate::need;
use gantry_tests::image::Layer;
use gantry_tests::{Run, Running, World};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;
use tar::EntryType;

const MEDIA: &str = "application/vnd.oci.image.layer.v1.tar";

/// A world that holds one image already, so that the store's directories are there.
fn world() -> World {
    let world = World::empty();
    let file = world.file("good.tar", saved(&greeting(), "good:1"));
    world.gantry(["load", "-i", &file]).ok();
    world
}

/// Every file of the store but what a removal has put out of sight, and caches.
fn listing(world: &World) -> Vec<String> {
    fn walk(dir: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if ["trash", "cache"].iter().any(|out| name == *out) {
                continue;
            }
            found.push(entry.path().display().to_string());
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                walk(&entry.path(), found);
            }
        }
    }
    let mut found = Vec::new();
    walk(&world.path("root"), &mut found);
    found.sort();
    found
}

/// A hundred thousand files take their time on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);

fn load(world: &World, name: &str, archive: &[u8]) -> Run {
    let file = world.file(name, archive);
    world.spawn(["load", "-i", &file]).end_within(PATIENCE)
}

/// Loads what must be refused with these words; nothing of it may stay.
#[track_caller]
fn refused(world: &World, archive: &[u8], words: &str) {
    let before = listing(world);
    judge(world, &load(world, "bad.tar", archive), words, before);
}

#[track_caller]
fn judge(world: &World, run: &Run, words: &str, before: Vec<String>) {
    run.fails(1, words);
    assert!(run.stderr.starts_with("Error: "), "{run:#?}");
    let after = listing(world);
    let more: Vec<_> = after.iter().filter(|path| !before.contains(path)).collect();
    let less: Vec<_> = before.iter().filter(|path| !after.contains(path)).collect();
    assert!(more.is_empty() && less.is_empty(), "{words}: the store has {more:#?} more, {less:#?} less");
    assert_eq!("good:1", world.gantry(["images", "--format", "{{.Repository}}:{{.Tag}}"]).ok());
    assert!(!Path::new("/gantry-escaped").exists(), "{words}");
}

fn layer(fill: impl FnOnce(&mut Layer)) -> Vec<u8> {
    let mut layer = Layer::default();
    layer.file("who", 0o644, b"hostile\n");
    fill(&mut layer);
    layer.finish()
}

#[test]
fn paths_that_lead_out_are_refused() {
    need!();
    let world = world();
    type Fill = fn(&mut Layer);
    let cases: [(&str, Fill); 4] = [
        ("leads out of the layer", |l| l.file("../../../../../../gantry-escaped", 0o644, b"x")),
        ("leads out of the layer", |l| l.dir("a/../../b", 0o755)),
        ("leads out of the layer", |l| l.hard_link("passwd", "../../../../../../../../etc/passwd")),
        ("which is not a file of this layer or one below", |l| l.hard_link("passwd", "/etc/passwd")),
    ];
    for (words, fill) in cases {
        refused(&world, &saved(&layer(fill), "bad:1"), words);
    }
}

#[test]
fn a_file_through_a_link_stays_inside() {
    need!();
    let world = world();
    let through = layer(|l| {
        l.link("out", "/");
        l.file("out/gantry-escaped", 0o644, b"x");
    });
    let file = world.file("through.tar", saved(&through, "through:1"));
    world.gantry(["load", "-i", &file]).ok();
    assert!(!Path::new("/gantry-escaped").exists());
    world.line("rmi through:1").ok();
}

#[test]
fn devices_need_the_permission() {
    need!();
    let world = world();
    let before = listing(&world);
    let node = layer(|l| l.entry("disk", EntryType::Block, 0o600, "", &[]));
    let file = world.file("bad.tar", saved(&node, "bad:1"));
    let inner = world.command(["load", "-i", &file]);
    let mut command = std::process::Command::new("setpriv");
    command.args(["--bounding-set", "-mknod", "--inh-caps", "-mknod"]).arg(inner.get_program()).args(inner.get_args());
    let run = Running::start(command, &[]).end();
    judge(&world, &run, "making device nodes needs CAP_MKNOD", before);
}

/// The kernel follows 40 links and takes 50 microseconds to make one: a hundred thousand are made where they are refused
/// at the end, a thousand where the chain itself is asked for.
#[test]
fn a_long_chain_of_links_ends() {
    need!();
    let world = world();
    let chain = |length: u32, last: &dyn Fn(&mut Layer)| {
        layer(|l| {
            for number in 0..length {
                l.entry(&format!("l{number}"), EntryType::Symlink, 0o777, &format!("l{}", number + 1), &[]);
            }
            last(l);
        })
    };
    refused(&world, &saved(&chain(100_000, &|l| l.file("l0/x", 0o644, b"x")), "bad:1"), "\"l0\"");
    load(&world, "chain.tar", &saved(&chain(1000, &|_| {}), "chain:1")).ok();
    let run = world.line("run --rm --network none chain:1 /l0");
    assert!([126, 127].contains(&run.code), "{run:#?}");
    world.assert_no_leaks();
}

/// A gibibyte of nothing, in a few ten thousand bytes.
fn bomb() -> Vec<u8> {
    let size = 1u64 << 30;
    let mut header = tar::Header::new_gnu();
    header.set_path("zeros").expect("a short name");
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("memory takes everything");
    encoder.write_all(header.as_bytes()).expect("memory takes everything");
    std::io::copy(&mut std::io::repeat(0).take(size + 1024), &mut encoder).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

#[test]
fn a_bomb_is_stopped_at_its_limit() {
    need!();
    let world = world();
    let blob = bomb();
    assert!(blob.len() < 1 << 20);
    let archive = oci(b"never looked at", &blob, &format!("{MEDIA}+zstd"), &hex(&blob));
    refused(&world, &archive, "the compression ratio exceeds the limit of 1000");
}

#[test]
fn damaged_archives_are_refused() {
    need!();
    let world = world();
    let layer = layer(|l| l.file("more", 0o644, &[7; 100_000]));
    let zipped = gzip(&layer);
    let media = format!("{MEDIA}+gzip");
    let cut = &zipped[..zipped.len() / 2];
    refused(&world, &oci(&layer, cut, &media, &hex(cut)), "cannot decompress the gzip stream");
    refused(&world, &oci(&layer, &zipped, &media, &"0".repeat(64)), "digest mismatch: expected");
    refused(&world, &oci(b"another", &zipped, &media, &hex(&zipped)), "was expected");
    refused(&world, b"this is no archive", "");
    refused(&world, &saved(&layer, "bad:1")[..20_000], "");
}
