//! Images whose files come when they are opened, in both forms of tables of contents, from a registry of our own that
//! counts what it sends, and dies, stalls and lies as it is told.

use crate::need;
use flate2::Compression;
use flate2::write::GzEncoder;
use gantry_tests::image::{Layer, busybox_tar};
use gantry_tests::registry::{Answer, Request, Server};
use gantry_tests::{Run, World, within};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

const SOUND: u8 = 0;
const DEAD: u8 = 1;
const LYING: u8 = 2;
const SLOW: u8 = 3;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Chunked,
    Stargz,
}

/// A registry with one image of one layer.
struct Fake {
    server: Server,
    mode: Arc<AtomicU8>,
    sent: Arc<AtomicUsize>,
    size: usize,
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

fn noise(count: u32, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..count).map(next).collect()
}

/// Busybox, and more.
fn archive() -> Vec<u8> {
    let mut layer = Layer::default();
    let mut tar = tar::Archive::new(std::fs::File::open(busybox_tar()).expect("it was made"));
    for entry in tar.entries().expect("a tar") {
        let mut entry = entry.expect("a tar");
        let (path, kind) = (entry.path().expect("plain").to_string_lossy().into_owned(), entry.header().entry_type());
        let link =
            entry.link_name().expect("plain").map(|link| link.to_string_lossy().into_owned()).unwrap_or_default();
        let mode = entry.header().mode().expect("plain");
        let mut data = Vec::new();
        entry.read_to_end(&mut data).expect("whole");
        layer.entry(&path, kind, mode, &link, &data);
    }
    layer.file("small", 0o644, b"a small file\n");
    layer.file("empty", 0o644, b"");
    layer.hard_link("linked", "small");
    layer.file("suid", 0o4755, b"of a user\n");
    layer.dir("data", 0o755);
    (0..6).for_each(|n| layer.file(&format!("data/{n}"), 0o600, &noise(4_000_000, n)));
    layer.finish()
}

/// The pieces of an archive: each file's content apart from what is around it.
fn pieces(tar: &[u8]) -> Vec<(Value, std::ops::Range<usize>, std::ops::Range<usize>)> {
    let mut found = Vec::new();
    let mut archive = tar::Archive::new(tar);
    let mut end = 0;
    for entry in archive.entries().expect("a tar") {
        let entry = entry.expect("a tar");
        let header = entry.header();
        let kind = match header.entry_type() {
            tar::EntryType::Regular => "reg",
            tar::EntryType::Directory => "dir",
            tar::EntryType::Symlink => "symlink",
            _ => "hardlink",
        };
        let start = entry.raw_file_position() as usize;
        let data = start..start + entry.size() as usize;
        let mut row = json!({
            "type": kind, "name": entry.path().expect("plain"), "mode": header.mode().expect("plain"),
            "modtime": "2023-11-14T22:13:20Z",
        });
        if let Some(link) = entry.link_name().expect("plain") {
            row["linkName"] = json!(link);
        }
        if !data.is_empty() {
            row["size"] = json!(data.len());
            row["digest"] = json!(hex(&tar[data.clone()]));
        }
        found.push((row, end..start, data.clone()));
        end = data.end;
    }
    found.push((Value::Null, end..tar.len(), tar.len()..tar.len()));
    found
}

/// A layer, its annotations, and the digest of its archive.
fn packed(form: Form) -> (Vec<u8>, Value, String) {
    let mut tar = archive();
    if form == Form::Stargz {
        tar.truncate(tar.len() - 1024);
    }
    let pack = |bytes: &[u8]| match form {
        Form::Chunked => zstd::encode_all(bytes, 1).expect("memory takes everything"),
        Form::Stargz => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes everything")
        }
    };
    let (mut blob, mut rows) = (Vec::new(), Vec::new());
    for (mut row, around, data) in pieces(&tar) {
        blob.extend(if around.is_empty() { Vec::new() } else { pack(&tar[around]) });
        if !data.is_empty() {
            row["offset"] = json!(blob.len());
            blob.extend(pack(&tar[data]));
            row["endOffset"] = json!(blob.len());
        }
        rows.extend(Some(row).filter(|row| !row.is_null()));
    }
    let table = json!({ "version": 1, "entries": rows }).to_string();
    match form {
        Form::Chunked => {
            let manifest = pack(table.as_bytes());
            blob.extend(0x184D_2A50_u32.to_le_bytes());
            blob.extend((manifest.len() as u32).to_le_bytes());
            let key = |name: &str| format!("io.github.containers.zstd-chunked.{name}");
            let position = format!("{}:{}:{}:1", blob.len(), manifest.len(), table.len());
            let notes = json!({ key("manifest-checksum"): hex(&manifest), key("manifest-position"): position });
            blob.extend(manifest);
            (blob, notes, hex(&tar))
        }
        Form::Stargz => {
            let mut last = Layer::default();
            last.file("stargz.index.json", 0o644, table.as_bytes());
            let last = last.finish();
            let start = blob.len();
            blob.extend(pack(&last));
            blob.extend([0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 26, 0]);
            blob.extend(format!("SG\x16\0{start:016x}STARGZ").bytes());
            blob.extend([1, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
            let notes = json!({ "containerd.io/snapshot/stargz/toc.digest": hex(table.as_bytes()) });
            (blob, notes, hex(&[tar, last].concat()))
        }
    }
}

impl Fake {
    fn start(form: Form) -> Fake {
        let (layer, annotations, diff) = packed(form);
        let config = json!({
            "architecture": if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" }, "os": "linux",
            "config": { "Cmd": ["sh"], "Env": ["PATH=/bin"] }, "rootfs": { "type": "layers", "diff_ids": [diff] },
        })
        .to_string();
        let descriptor = |kind: &str, bytes: &[u8], annotations: Value| json!({ "mediaType": kind, "digest": hex(bytes), "size": bytes.len(), "annotations": annotations });
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", config.as_bytes(), json!({})),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer, annotations)],
        })
        .to_string();
        let size = layer.len();
        let blobs = HashMap::from([(hex(&layer), layer), (hex(config.as_bytes()), config.into_bytes())]);
        let (mode, sent) = (Arc::new(AtomicU8::new(SOUND)), Arc::new(AtomicUsize::new(0)));
        let (how, count) = (Arc::clone(&mode), Arc::clone(&sent));
        let server =
            Server::start(move |request| answer(request, &manifest, &blobs, how.load(Ordering::SeqCst), &count));
        Fake { server, mode, sent, size }
    }

    fn image(&self) -> String {
        format!("{}/lazy", self.server.host())
    }

    fn behave(&self, mode: u8) {
        self.mode.store(mode, Ordering::SeqCst);
    }

    fn sent(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }
}

fn answer(
    request: &Request,
    manifest: &str,
    blobs: &HashMap<String, Vec<u8>>,
    mode: u8,
    count: &AtomicUsize,
) -> Answer {
    if mode == DEAD {
        return Answer::new(502, "");
    }
    if request.path.contains("/manifests/") {
        return Answer::new(200, manifest).header("content-type", "application/vnd.oci.image.manifest.v1+json");
    }
    let Some(blob) = request.path.split("/blobs/").nth(1).and_then(|digest| blobs.get(digest)) else {
        return Answer::new(200, "{}");
    };
    let range = request.headers.get("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let Some((start, end)) = range else {
        count.fetch_add(blob.len(), Ordering::SeqCst);
        return Answer::new(200, blob.clone());
    };
    let start: usize = start.parse().expect("a number");
    let end = end.parse().map_or(blob.len(), |last: usize| last + 1);
    let mut part = blob[start..end].to_vec();
    count.fetch_add(part.len(), Ordering::SeqCst);
    if mode == LYING {
        let middle = part.len() / 2;
        part[middle] ^= 0xff;
    }
    if mode == SLOW {
        std::thread::sleep(Duration::from_secs(2));
    }
    Answer::new(206, part).header("content-range", &format!("bytes {start}-{}/{}", end - 1, blob.len()))
}

fn line(world: &World, line: &str) -> Run {
    world.gantry(line.split_whitespace())
}

/// A world with the image, as far as it came; `None` where the kernel cannot ask.
fn lazy_world(fake: &Fake) -> Option<World> {
    let world = World::empty();
    world.configure("[engine.registry]\nretries = 1\n");
    let pulled = line(&world, &format!("pull --lazy {}", fake.image()));
    let told = pulled.ok();
    if pulled.stderr.contains("fetched whole") {
        eprintln!("skipped: {}", pulled.stderr);
        return None;
    }
    assert!(told.contains("its files come when they are opened"), "{told}");
    Some(world)
}

fn run(world: &World, fake: &Fake, words: &[&str]) -> Run {
    world.gantry(["run", "--rm", "--network", "none", &fake.image()].into_iter().chain(words.iter().copied()))
}

fn sum_of(n: u32) -> String {
    hex(&noise(4_000_000, n)).trim_start_matches("sha256:").to_owned()
}

/// The fetchers of a world.
fn fetchers(world: &World) -> Vec<i32> {
    let ours = |pid: &i32| {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        words.contains(&*world.text("root")) && words.contains(" internal lazy ")
    };
    let names = std::fs::read_dir("/proc").expect("proc is there").flatten();
    names.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok()).filter(ours).collect()
}

#[test]
fn a_small_part_is_fetched_and_in_the_end_all_is_as_if_pulled_whole() {
    need!();
    for form in [Form::Chunked, Form::Stargz] {
        let fake = Fake::start(form);
        let Some(world) = lazy_world(&fake) else { return };
        let before = fake.sent();
        assert!(before < fake.size / 20, "{form:?}: the pull took {before} of {}", fake.size);
        assert_eq!(run(&world, &fake, &["cat", "/small", "/linked", "/empty"]).ok(), "a small file\na small file");
        assert!(fake.sent() < fake.size / 4, "{form:?}: {} of {}", fake.sent(), fake.size);
        assert_eq!(run(&world, &fake, &["sha256sum", "/data/3"]).ok(), format!("{}  /data/3", sum_of(3)));
        assert!(fake.sent() < fake.size / 2, "{form:?}: {} of {}", fake.sent(), fake.size);
        let awaited = line(&world, "system check").ok();
        assert!(awaited.contains("incomplete") && awaited.contains(&format!(" files have come from {}", fake.image())));
        line(&world, &format!("pull {}", fake.image())).ok();
        let checked = line(&world, "system check").ok();
        let eager = World::empty();
        line(&eager, &format!("pull {}", fake.image())).ok();
        assert_eq!(checked, line(&eager, "system check").ok());
        assert_eq!(tree(&world), tree(&eager), "{form:?}");
        let size = "images --format {{.ID}}@{{.Size}}";
        assert_eq!(line(&world, size).ok(), line(&eager, size).ok());
        let sent = fake.sent();
        assert_eq!(run(&world, &fake, &["sha256sum", "/data/5"]).ok(), format!("{}  /data/5", sum_of(5)));
        assert_eq!(sent, fake.sent());
        world.assert_no_leaks();
    }
}

/// All of the one layer's directory: names, metadata, contents.
fn tree(world: &World) -> String {
    let base = world.path("root").join("layers/overlay2");
    let mut paths = std::fs::read_dir(base).expect("listed").flatten().map(|entry| entry.path());
    let record = paths.find(|path| path.extension().is_some_and(|end| end == "json")).expect("a layer");
    let record: Value = serde_json::from_slice(&std::fs::read(record).expect("read")).expect("a record");
    let id = record["id"].as_str().expect("an id");
    let mut find = Command::new("find");
    find.arg(world.path("root").join("drivers")).args(["-type", "d", "-name", id, "-print", "-quit"]);
    let dir = String::from_utf8(find.output().expect("find runs").stdout).expect("plain");
    let dir = dir.trim();
    let script =
        "find . -mindepth 1 -printf '%p %y %m %U %G %s %n %T@ %l\\n' | sort; find . -type f | sort | xargs sha256sum";
    let output = Command::new("sh").args(["-c", script]).current_dir(dir).output().expect("sh runs");
    assert!(output.status.success());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn who_cannot_have_a_file_gets_an_error_and_never_a_hole() {
    need!();
    let fake = Fake::start(Form::Chunked);
    let Some(world) = lazy_world(&fake) else { return };
    let image = fake.image();
    line(&world, &format!("run -d --name cc --network none {image} sleep 1000")).ok();
    for mode in [LYING, DEAD] {
        fake.behave(mode);
        let read = line(&world, "exec cc cat /data/1");
        assert_ne!(read.code, 0, "mode {mode}");
        assert!(read.stdout.is_empty() && read.stderr.contains("Input/output error"), "{read:?}");
    }
    let why = line(&world, "why cc").ok();
    assert!(why.contains("/data/1"), "{why}");
    line(&world, &format!("save -o {} {image}", world.text("saved")))
        .fails(1, "cannot complete the layers of the image");
    fake.behave(SOUND);
    assert_eq!(line(&world, "exec cc sha256sum /data/1").ok(), format!("{}  /data/1", sum_of(1)));
    line(&world, "rm -f cc").ok();
    line(&world, &format!("save -o {} {image}", world.text("saved"))).ok();
    world.assert_no_leaks();
}

#[test]
fn a_killed_fetcher_has_a_successor_that_answers_those_who_wait() {
    need!();
    let fake = Fake::start(Form::Chunked);
    let Some(world) = lazy_world(&fake) else { return };
    let image = fake.image();
    line(&world, &format!("run -d --name cc --network none {image} sleep 1000")).ok();
    line(&world, &format!("run -d --name dd --network none {image} sleep 1000")).ok();
    fake.behave(SLOW);
    for n in 0..3 {
        let name = if n == 1 { "dd" } else { "cc" };
        let reading = world.spawn(["exec", name, "sha256sum", &format!("/data/{n}")]);
        std::thread::sleep(Duration::from_millis(700));
        let killed = fetchers(&world);
        assert!(killed.len() >= 2, "{killed:?}");
        for pid in killed {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
        let read = reading.end_within(Duration::from_secs(60));
        let right = read.stdout.trim_end() == format!("{}  /data/{n}", sum_of(n));
        assert!(right || read.stderr.contains("Input/output error"), "{read:?}");
        assert_eq!(line(&world, &format!("exec dd sha256sum /data/{n}")).ok(), format!("{}  /data/{n}", sum_of(n)));
    }
    fake.behave(SOUND);
    // The rest comes by itself, and the fetchers go.
    assert!(within(Duration::from_secs(60), || fetchers(&world).is_empty()), "{:?}", fetchers(&world));
    fake.behave(DEAD);
    assert_eq!(line(&world, "exec cc sha256sum /data/5").ok(), format!("{}  /data/5", sum_of(5)));
    line(&world, "rm -f cc dd").ok();
    world.assert_no_leaks();
}

#[test]
fn a_copy_outlives_its_fetcher_and_fails_when_none_stays_alive() {
    need!();
    let fake = Fake::start(Form::Stargz);
    let Some(world) = lazy_world(&fake) else { return };
    line(&world, &format!("create --name cc {} true", fake.image())).ok();
    fake.behave(SLOW);
    let kill = || {
        for pid in fetchers(&world) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
    };
    let target = world.text("copied");
    let copying = world.spawn(["cp", "cc:/data/1", &target]);
    std::thread::sleep(Duration::from_millis(700));
    assert!(!fetchers(&world).is_empty());
    kill();
    let copied = copying.end_within(Duration::from_secs(60));
    assert_eq!(copied.code, 0, "{copied:?}");
    assert_eq!(hex(&std::fs::read(&target).expect("copied")), hex(&noise(4_000_000, 1)));
    let copying = world.spawn(["cp", "cc:/data/2", &target]);
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(300));
        kill();
    }
    let copied = copying.end_within(Duration::from_secs(20));
    assert!(copied.code != 0 && copied.stderr.contains("Input/output error"), "{copied:?}");
    fake.behave(SOUND);
    line(&world, &format!("cp cc:/data/2 {target}")).ok();
    assert_eq!(hex(&std::fs::read(&target).expect("copied")), hex(&noise(4_000_000, 2)));
    line(&world, "rm -f cc").ok();
    world.assert_no_leaks();
}

#[test]
fn supervisors_may_die_while_files_are_awaited() {
    need!();
    let fake = Fake::start(Form::Stargz);
    let Some(world) = lazy_world(&fake) else { return };
    let id = line(&world, &format!("run -d --name cc --network none {} sleep 1000", fake.image())).ok();
    fake.behave(SLOW);
    for n in 0..2 {
        let (keeper, pump) = world.supervisors(&id);
        let reading = world.spawn(["exec", "cc", "sha256sum", &format!("/data/{n}")]);
        std::thread::sleep(Duration::from_millis(700));
        let victim = if n == 0 { pump } else { keeper }.expect("it runs");
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(victim), nix::sys::signal::Signal::SIGKILL);
        let read = reading.end_within(Duration::from_secs(60));
        // Whose connection died may hear nothing; a wrong sum nobody may.
        assert!(!read.stdout.contains("/data") || read.stdout.contains(&sum_of(n)), "{read:?}");
        let again = || line(&world, &format!("exec cc sha256sum /data/{n}")).stdout.contains(&sum_of(n));
        assert!(within(Duration::from_secs(30), again));
    }
    line(&world, "rm -f cc").ok();
    world.assert_no_leaks();
}

#[test]
fn what_looks_into_stopped_containers_and_volumes_sees_no_holes() {
    need!();
    let fake = Fake::start(Form::Chunked);
    let Some(world) = lazy_world(&fake) else { return };
    let image = fake.image();
    line(&world, &format!("create --name cc -v filled:/data {image} true")).ok();
    line(&world, "start -a cc").ok();
    let target = world.text("copied");
    line(&world, &format!("cp cc:/suid {target}")).ok();
    assert_eq!(std::fs::read(&target).expect("copied"), b"of a user\n");
    let mounted = format!("run --rm --network none -v filled:/data {image} sha256sum /data/2");
    assert_eq!(line(&world, &mounted).ok(), format!("{}  /data/2", sum_of(2)));
    line(&world, &format!("run --rm --network none -u web {image} id -u")).ok();
    let shown =
        format!("run --rm --network none --mount type=image,source={image},target=/i {image} sha256sum /i/data/4");
    assert_eq!(line(&world, &shown).ok(), format!("{}  /i/data/4", sum_of(4)));
    line(&world, "rm -f cc").ok();
    line(&world, "volume rm filled").ok();
    world.assert_no_leaks();
}
