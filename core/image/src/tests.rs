//! The store as a whole: every layout in, names and removal, sharing, harm, interruption, many at once.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use gantry_model::class::Class;
use gantry_model::reference::Reference;

use crate::testing::{
    DirSink, Packing, Tar, TarEntry, TestImage, TestLayer, docker_archive, oci_files, pack, tar_of, write_files,
};
use crate::*;

mod links;

struct Fixture {
    dir: tempfile::TempDir,
    store: ImageStore,
    sink: DirSink,
}

impl Fixture {
    fn new(whiteouts: Whiteouts) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = ImageStore::open(dir.path());
        let sink = DirSink::new(&dir.path().join("driver"), whiteouts);
        Self { dir, store, sink }
    }

    fn overlay() -> Self {
        Self::new(Whiteouts::OverlayTrusted)
    }

    fn options(&self) -> UnpackOptions<'_> {
        UnpackOptions::new("test", &self.sink)
    }

    fn load(&self, archive: &[u8]) -> Result<Vec<Loaded>> {
        let path = self.dir.path().join(format!("archive-{}", files::unique_name()));
        fs::write(&path, archive).unwrap();
        let loaded = self.store.load(&path, &self.options());
        fs::remove_file(path).unwrap();
        loaded
    }

    fn remove(&self, name: &str, force: bool, users: &dyn Users) -> Result<Vec<String>> {
        let delete = |layer: &DeadLayer| self.sink.remove(&layer.layer);
        let removal = self.store.remove(name, force, users, &delete)?;
        assert!(removal.failures.is_empty());
        Ok(removal.removed.iter().map(ToString::to_string).collect())
    }

    fn collect(&self) -> Collected {
        let delete = |layer: &DeadLayer| self.sink.remove(&layer.layer);
        self.store.collect_garbage("test", &self.sink.layers(), &(), &delete).unwrap()
    }

    fn layer_dir(&self, name: &str, index: usize) -> PathBuf {
        let image = self.store.resolve(name).unwrap();
        self.sink.path(&self.store.driver_layers(&image, "test", None).unwrap()[index])
    }

    /// Every file that is neither a lock nor the driver's root.
    fn leftovers(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        files_below(self.dir.path(), &mut found);
        found.retain(|path| !path.ends_with("content/lock") && !path.ends_with("images/lock"));
        found.retain(|path| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".lock-")));
        found
    }
}

fn files_below(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => files_below(&entry.path(), found),
            false => found.push(entry.path()),
        }
    }
}

fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}

fn layer(files: &[(&str, &str)], packing: Packing) -> TestLayer {
    let mut tar = Tar::new();
    for (path, text) in files {
        tar.file(path, text.as_bytes());
    }
    TestLayer::new(&tar.finish(), packing)
}

fn three_layers(tags: &[&str]) -> TestImage {
    let layers = vec![
        layer(&[("base", "1"), ("gone", "1")], Packing::Gzip),
        layer(&[("middle", "22"), (".wh.gone", "")], Packing::Zstd),
        layer(&[("top", "333")], Packing::Plain),
    ];
    TestImage::new(layers, tags)
}

#[test]
fn every_layout_gives_the_same_image() {
    if !root() {
        return;
    }
    let image = three_layers(&["app:1", "registry:5000/x/app:2"]);
    let images = std::slice::from_ref(&image);
    let archives = [
        ("docker", docker_archive(images)),
        ("oci", tar_of(&oci_files(images, false))),
        ("oci in docker", tar_of(&oci_files(images, true))),
    ];
    for (name, archive) in archives {
        for packing in [Packing::Plain, Packing::Gzip, Packing::Zstd] {
            for whiteouts in [Whiteouts::OverlayTrusted, Whiteouts::Apply] {
                let fixture = Fixture::new(whiteouts);
                let loaded = fixture.load(&pack(&archive, packing)).unwrap();
                check_loaded(&fixture, &loaded, &image, name);
            }
        }
        let fixture = Fixture::overlay();
        let loaded = fixture.store.load_reader(&archive[..], &fixture.options()).unwrap();
        check_loaded(&fixture, &loaded, &image, name);
    }
    let fixture = Fixture::overlay();
    let layout = tempfile::tempdir().unwrap();
    write_files(layout.path(), &oci_files(images, false));
    let loaded = fixture.store.load(layout.path(), &fixture.options()).unwrap();
    check_loaded(&fixture, &loaded, &image, "directory");
}

fn check_loaded(fixture: &Fixture, loaded: &[Loaded], image: &TestImage, what: &str) {
    assert_eq!(loaded.len(), 1, "{what}");
    assert_eq!(loaded[0].id, image.id(), "{what}");
    assert_eq!(loaded[0].to_string(), "Loaded image: app:1\nLoaded image: registry:5000/x/app:2", "{what}");
    assert!(loaded[0].warnings.is_empty());
    let found = fixture.store.resolve("registry:5000/x/app:2").unwrap();
    assert_eq!((found.id, found.size), (image.id(), 1 + 1 + 2 + 3));
    for (layer, wanted) in found.layers.iter().zip(&image.layers) {
        assert_eq!((layer.blob, layer.compressed), (sha256(&wanted.blob), wanted.blob.len() as u64), "{what}");
        assert_eq!(fs::read(fixture.store.content().path(&layer.blob)).unwrap(), wanted.blob);
    }
    assert!(fixture.store.content().exists(&found.manifest));
    assert_eq!(fs::read_to_string(fixture.layer_dir("app:1", 2).join("top")).unwrap(), "333");
    let whole = fixture.sink.whiteouts == Whiteouts::Apply;
    assert_eq!(fixture.layer_dir("app:1", 2).join("base").exists(), whole);
    assert!(whole != fs::symlink_metadata(fixture.layer_dir("app:1", 1).join("gone")).is_ok());
    assert_eq!(fixture.store.config(&found.id).unwrap().config.cmd, ["/bin/sh"]);
    let collected = fixture.collect();
    assert_eq!((collected.blobs, collected.layers), (0, 0), "nothing is garbage after a load");
}

#[test]
fn resolves_names_ids_and_prefixes() {
    if !root() {
        return;
    }
    let fixture = Fixture::overlay();
    let image = TestImage::of_files(&[("a", "1")], &["app:1"]);
    let id = fixture.load(&docker_archive(&[image])).unwrap()[0].id;
    let manifest = fixture.store.resolve("app:1").unwrap().manifest;
    let names = ["app:1", "docker.io/library/app:1", &id.to_string(), &id.hex(), &id.short(), &id.to_string()[..10]];
    for name in names {
        assert_eq!(fixture.store.resolve(name).unwrap().id, id, "{name}");
    }
    assert_eq!(fixture.store.resolve(&format!("app@{manifest}")).unwrap().id, id);
    let missing = [("app", "No such image: app:latest"), ("UP", "No such image: UP"), ("zz:1", "No such image: zz:1")];
    for (name, wanted) in missing {
        let error = fixture.store.resolve(name).unwrap_err();
        assert_eq!((error.to_string().as_str(), error.class()), (wanted, Class::NotFound));
    }
    let other = sha256(b"other");
    assert_eq!(fixture.store.resolve(&other.to_string()).unwrap_err().to_string(), format!("No such image: {other}"));
    assert!(ImageStore::open(Path::new("/nonexistent")).list().unwrap().is_empty());
}

#[test]
fn tags_list_inspect_and_history() {
    if !root() {
        return;
    }
    let fixture = Fixture::overlay();
    let mut image = three_layers(&["app:1"]);
    image.container = serde_json::json!({"Labels": {"a": "b"}, "ExposedPorts": {"80/tcp": {}}, "Cmd": ["x"]});
    let id = fixture.load(&docker_archive(&[image])).unwrap()[0].id;
    let other = Reference::parse("other").unwrap();
    assert_eq!(fixture.store.tag("app:1", &other).unwrap(), None);
    let second = TestImage::of_files(&[("b", "2")], &["other"]);
    let loaded = fixture.load(&docker_archive(&[second])).unwrap();
    assert_eq!(
        loaded[0].to_string(),
        format!(
            "The image other:latest already exists, renaming the old one with ID {id} to empty string\n\
             Loaded image: other:latest"
        )
    );
    let list = fixture.store.list().unwrap();
    assert_eq!(list.len(), 2);
    assert!(list.iter().all(|summary| summary.tags.len() == 1 && summary.created().is_some()));
    let digest = other.with_digest(id);
    assert!(matches!(fixture.store.tag("app:1", &digest), Err(Error::DigestTag)));
    let image = fixture.store.resolve("app:1").unwrap();
    let inspect = serde_json::to_value(fixture.store.inspect(&image).unwrap()).unwrap();
    assert_eq!(inspect["RepoTags"], serde_json::json!(["app:1"]));
    assert_eq!(inspect["Config"]["ExposedPorts"], serde_json::json!({"80/tcp": {}}));
    assert_eq!(inspect["Config"]["Entrypoint"], serde_json::Value::Null);
    assert_eq!(inspect["RootFS"]["Layers"].as_array().unwrap().len(), 3);
    assert_eq!((&inspect["Size"], &inspect["Os"]), (&serde_json::json!(7), &serde_json::json!("linux")));
    let history = fixture.store.history(&image).unwrap();
    assert_eq!(history.iter().map(|line| line.size).collect::<Vec<_>>(), [3, 2, 2]);
    assert_eq!((history[0].id, history[0].tags.as_slice()), (Some(id), &["app:1".to_owned()][..]));
}

#[test]
fn shared_layers_live_until_the_last_image() {
    if !root() {
        return;
    }
    let fixture = Fixture::overlay();
    let base = layer(&[("base", "1")], Packing::Gzip);
    let one = TestImage::new(vec![base.clone(), layer(&[("one", "1")], Packing::Gzip)], &["one:1"]);
    let two = TestImage::new(vec![base, layer(&[("two", "2")], Packing::Gzip)], &["two:1"]);
    fixture.load(&docker_archive(&[one.clone(), two.clone()])).unwrap();
    assert_eq!(fixture.sink.layers().len(), 3);
    let top = fixture.store.resolve("one:1").unwrap().layers[1].chain;
    let removed = fixture.remove("one:1", false, &()).unwrap();
    assert_eq!(removed, ["Untagged: one:1".into(), format!("Deleted: {}", one.id()), format!("Deleted: {top}")]);
    assert_eq!(fixture.sink.layers().len(), 2);
    assert!(fixture.layer_dir("two:1", 0).join("base").exists());
    let removed = fixture.remove(&two.id().short(), false, &()).unwrap();
    assert_eq!(removed.len(), 4);
    assert_eq!(fixture.leftovers(), Vec::<PathBuf>::new());
    assert_eq!(fixture.remove("two:1", false, &()).unwrap_err().to_string(), "No such image: two:1");
}

struct Used(Vec<User>);

impl Users for Used {
    fn of_image(&self, _: &gantry_model::digest::Digest) -> Vec<User> {
        self.0.clone()
    }

    fn holds_layer(&self, _: &str, _: &gantry_model::digest::ChainId) -> bool {
        !self.0.is_empty()
    }
}

fn used(running: bool) -> Used {
    Used(vec![User { container: "0123456789abcdef".into(), running }])
}

#[test]
fn a_name_may_look_like_the_beginning_of_an_id() {
    if !root() {
        return;
    }
    let fixture = Fixture::overlay();
    let name = TestImage::of_files(&[("a", "1")], &[]).id().hex()[..6].to_owned();
    let image = TestImage::of_files(&[("a", "1")], &[&format!("{name}:latest"), "other:1"]);
    fixture.load(&docker_archive(&[image])).unwrap();
    assert_eq!(fixture.remove(&name, false, &()).unwrap(), [format!("Untagged: {name}:latest")]);
    assert_eq!(fixture.remove(&name, false, &()).unwrap()[0], "Untagged: other:1", "now it can only be the id");
}

#[test]
fn removal_follows_dockers_rules() {
    if !root() {
        return;
    }
    let fixture = Fixture::overlay();
    let image = TestImage::of_files(&[("a", "1")], &["a:1", "a:2", "b:1"]);
    let id = image.id();
    fixture.load(&docker_archive(&[image])).unwrap();
    assert_eq!(fixture.remove("a:1", false, &used(true)).unwrap(), ["Untagged: a:1"], "other names remain");
    let short = id.short();
    let error = fixture.remove(&short, false, &()).unwrap_err();
    let wanted =
        format!("conflict: unable to delete {short} (must be forced) - image is referenced in multiple repositories");
    assert_eq!((error.to_string(), error.class()), (wanted, Class::InUse));
    fixture.remove("a:2", false, &()).unwrap();
    let error = fixture.remove("b:1", false, &used(false)).unwrap_err().to_string();
    let wanted = "conflict: unable to remove repository reference \"b:1\" (must force) - container 0123456789ab is using its referenced image ";
    assert_eq!(error, format!("{wanted}{short}"));
    let error = fixture.remove(&short, false, &used(false)).unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "conflict: unable to delete {short} (must be forced) - image is being used by stopped container 0123456789ab"
        )
    );
    let error = fixture.remove(&short, true, &used(true)).unwrap_err().to_string();
    assert!(error.ends_with("(cannot be forced) - image is being used by running container 0123456789ab"), "{error}");
    assert_eq!(
        fixture.remove("b:1", true, &used(true)).unwrap(),
        ["Untagged: b:1"],
        "the image stays for its container"
    );
    let removed = fixture.remove(&short, true, &used(false)).unwrap();
    assert_eq!(removed, [format!("Deleted: {id}")], "the layer stays under the container");
    assert_eq!(fixture.sink.layers().len(), 1);
    assert_eq!(fixture.collect().layers, 1, "until nobody holds it");
    assert_eq!(fixture.leftovers(), Vec::<PathBuf>::new());
}

#[test]
fn force_removes_all_names() {
    if !root() {
        return;
    }
    let fixture = Fixture::overlay();
    let image = TestImage::of_files(&[("a", "1")], &["a:1", "b:1"]);
    fixture.load(&docker_archive(&[image])).unwrap();
    let id = fixture.store.resolve("a:1").unwrap().id;
    assert_eq!(fixture.remove(&id.hex(), true, &()).unwrap().len(), 4);
    assert_eq!(fixture.leftovers(), Vec::<PathBuf>::new());
}

#[test]
fn imports_with_changes() {
    if !root() {
        return;
    }
    for whiteouts in [Whiteouts::OverlayTrusted, Whiteouts::Apply] {
        let fixture = Fixture::new(whiteouts);
        let mut tar = Tar::new();
        tar.dir("./").file("./bin/app", b"binary");
        let request = ImportRequest {
            reference: Some(Reference::parse("imported").unwrap()),
            changes: vec!["CMD [\"/bin/app\"]".into(), "ENV A=1".into()],
            origin: "-".into(),
            ..ImportRequest::default()
        };
        let bytes = pack(&tar.finish(), Packing::Zstd);
        let imported = fixture.store.import(&bytes[..], &request, &fixture.options()).unwrap();
        let image = fixture.store.resolve("imported").unwrap();
        assert_eq!((image.id, image.size), (imported.id, 6));
        assert_eq!(image.layers[0].blob, sha256(&bytes));
        let config = fixture.store.config(&image.id).unwrap();
        assert_eq!(
            (config.config.cmd.as_slice(), config.config.env.as_slice()),
            (&["/bin/app".into()][..], &["A=1".into()][..])
        );
        assert_eq!(config.history[0].comment, "Imported from -");
        assert!(fixture.layer_dir("imported", 0).join("bin/app").exists());
        let again = fixture.store.import(&bytes[..], &request, &fixture.options()).unwrap();
        assert_ne!(again.id, imported.id, "another time, another image");
        assert_eq!(fixture.sink.layers().len(), 1, "the same layer");
        let bad = ImportRequest { changes: vec!["RUN x".into()], ..ImportRequest::default() };
        let error = fixture.store.import(&bytes[..], &bad, &fixture.options()).unwrap_err();
        assert_eq!(error.to_string(), "RUN is not a valid change command");
    }
}

#[test]
fn another_driver_gets_the_layers_from_the_blobs() {
    if !root() {
        return;
    }
    let fixture = Fixture::overlay();
    fixture.load(&docker_archive(&[three_layers(&["app:1"])])).unwrap();
    let image = fixture.store.resolve("app:1").unwrap();
    let copies = DirSink::new(&fixture.dir.path().join("copies"), Whiteouts::Apply);
    assert!(matches!(fixture.store.driver_layers(&image, "copies", None), Err(Error::NotUnpacked { .. })));
    let options = UnpackOptions::new("copies", &copies);
    fixture.store.unpack_image(&image, &options).unwrap();
    fixture.store.unpack_image(&image, &options).unwrap();
    let layers = fixture.store.driver_layers(&image, "copies", None).unwrap();
    assert!(copies.path(&layers[2]).join("base").exists());
    fs::remove_dir_all(copies.path(&layers[1])).unwrap();
    fixture.store.unpack_image(&image, &options).unwrap();
    let mended = fixture.store.driver_layers(&image, "copies", None).unwrap();
    assert!(
        mended[1] != layers[1] && copies.path(&mended[1]).join("middle").exists(),
        "a lost layer is unpacked again"
    );
}

#[test]
fn hostile_archives_leave_nothing() {
    if !root() {
        return;
    }
    for (name, archive) in hostile_archives() {
        for packing in [Packing::Plain, Packing::Gzip] {
            for whiteouts in [Whiteouts::OverlayTrusted, Whiteouts::Apply] {
                let fixture = Fixture::new(whiteouts);
                let error = fixture.load(&pack(&archive, packing)).expect_err(name);
                assert_eq!(fixture.leftovers(), Vec::<PathBuf>::new(), "{name}: {error}");
                assert!(fixture.sink.layers().is_empty(), "{name}: {error}");
                assert!(matches!(error.class(), Class::Invalid | Class::Unsupported), "{name}: {error:?}");
            }
        }
    }
}

fn hostile_archives() -> Vec<(&'static str, Vec<u8>)> {
    let good = layer(&[("good", "1")], Packing::Gzip);
    let with = |bad: TestLayer| TestImage::new(vec![good.clone(), bad], &["bad:1"]);
    let mut escape = Tar::new();
    escape.file("../../escape", b"x");
    let mut truncated = good.clone();
    truncated.blob.truncate(truncated.blob.len() - 9);
    let mut wrong_diff = layer(&[("other", "2")], Packing::Gzip);
    wrong_diff.diff = good.diff;
    let mut files = oci_files(&[with(layer(&[("x", "y")], Packing::Gzip))], false);
    let blob = files.iter_mut().find(|(name, _)| name.contains(&sha256(&good.blob).hex())).unwrap();
    blob.1 = layer(&[("swapped", "1")], Packing::Gzip).blob;
    let mut missing = oci_files(&[with(layer(&[("x", "y")], Packing::Gzip))], false);
    missing.retain(|(name, _)| !name.contains(&sha256(&good.blob).hex()));
    let mut other_machine = with(layer(&[("x", "y")], Packing::Gzip));
    other_machine.tags = vec!["Bad".into()];
    vec![
        ("escape", docker_archive(&[with(TestLayer::new(&escape.finish(), Packing::Gzip))])),
        ("truncated layer", docker_archive(&[with(truncated)])),
        ("wrong diff id", docker_archive(&[with(wrong_diff)])),
        ("blob is not its name", tar_of(&files)),
        ("missing blob", tar_of(&missing)),
        ("bad tag", docker_archive(&[other_machine])),
        ("no image", tar_of(&[("x".into(), b"y".to_vec())])),
        ("not a tar", b"not a tar at all, just text, longer than a block ".repeat(30)),
        ("manifest is no json", tar_of(&[("manifest.json".into(), b"[{".to_vec())])),
        ("config is missing", tar_of(&[("manifest.json".into(), br#"[{"Config":"../x","Layers":[]}]"#.to_vec())])),
        ("huge manifest", tar_of(&[("manifest.json".into(), vec![b' '; 9 << 20])])),
        (
            "layer count",
            tar_of(&[
                ("c.json".into(), br#"{"rootfs":{"diff_ids":[]}}"#.to_vec()),
                ("manifest.json".into(), br#"[{"Config":"c.json","RepoTags":null,"Layers":["x"]}]"#.to_vec()),
            ]),
        ),
    ]
}

#[test]
fn a_truncated_archive_leaves_nothing() {
    if !root() {
        return;
    }
    let archive = docker_archive(&[three_layers(&["app:1"])]);
    for packing in [Packing::Plain, Packing::Gzip, Packing::Zstd] {
        let packed = pack(&archive, packing);
        for cut in [1, 3, 5, 9] {
            let fixture = Fixture::overlay();
            assert!(fixture.load(&packed[..packed.len() * cut / 10]).is_err(), "{packing:?} {cut}");
            assert_eq!(fixture.leftovers(), Vec::<PathBuf>::new());
        }
    }
}

#[test]
fn a_killed_load_leaves_only_garbage() {
    if !root() {
        return;
    }
    let mut fixture = Fixture::overlay();
    fixture.load(&docker_archive(&[TestImage::of_files(&[("kept", "1")], &["kept:1"])])).unwrap();
    let before = fixture.leftovers();
    fixture.sink.forgetful = true;
    let (base, mut bad) = (layer(&[("x", "1")], Packing::Gzip), layer(&[("y", "1")], Packing::Gzip));
    bad.blob.truncate(30);
    fixture.load(&docker_archive(&[TestImage::new(vec![base, bad], &["bad:1"])])).unwrap_err();
    let content = fixture.dir.path().join("content");
    fs::write(content.join("ingest/1-2-3"), b"half a blob").unwrap();
    fs::write(content.join("blobs/sha256").join(sha256(b"orphan").hex()), b"orphan").unwrap();
    fs::write(fixture.dir.path().join("images/records/.1-2-3"), b"{").unwrap();
    fixture.sink.forgetful = false;
    assert!(fixture.leftovers().len() > before.len());
    let writing = fixture.store.begin_writing().unwrap();
    assert!(fixture.collect().busy, "not while someone writes");
    drop(writing);
    assert!(fixture.store.needs_collection());
    let collected = fixture.collect();
    assert_eq!((collected.layers, collected.blobs), (2, 1));
    assert!(!fixture.store.needs_collection());
    assert_eq!(fixture.leftovers(), before);
    assert!(fixture.layer_dir("kept:1", 0).join("kept").exists());
}

#[test]
fn a_removal_cut_short_is_finished_later() {
    if !root() {
        return;
    }
    let fixture = Fixture::overlay();
    fixture.load(&docker_archive(&[TestImage::of_files(&[("a", "1")], &["a:1"])])).unwrap();
    let fail = |_: &DeadLayer| Err("the driver is gone".into());
    let removal = fixture.store.remove("a:1", false, &(), &fail).unwrap();
    assert_eq!((removal.removed.len(), removal.failures.len()), (2, 1));
    assert!(fixture.store.needs_collection());
    assert_eq!(fixture.collect().layers, 1);
    assert_eq!(fixture.leftovers(), Vec::<PathBuf>::new());
    fixture.load(&docker_archive(&[TestImage::of_files(&[("a", "1")], &["a:1"])])).unwrap();
    let writing = fixture.store.begin_writing().unwrap();
    assert_eq!(fixture.remove("a:1", false, &()).unwrap().len(), 2, "content stays while someone writes");
    drop(writing);
    assert_eq!(fixture.collect().layers, 1);
    assert_eq!(fixture.leftovers(), Vec::<PathBuf>::new());
}

#[test]
fn the_same_image_loaded_many_times_at_once() {
    if !root() {
        return;
    }
    for whiteouts in [Whiteouts::OverlayTrusted, Whiteouts::Apply] {
        let fixture = Fixture::new(whiteouts);
        let archive = docker_archive(&[three_layers(&["app:1"])]);
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| fixture.load(&archive).unwrap());
            }
        });
        assert_eq!(fixture.sink.layers().len(), 3, "each layer was unpacked once");
        assert_eq!(fixture.store.list().unwrap().len(), 1);
        assert_eq!(fixture.remove("app:1", false, &()).unwrap().len(), 5);
        assert_eq!(fixture.leftovers(), Vec::<PathBuf>::new());
    }
}

#[test]
fn loads_and_removals_at_once_leave_a_sound_store() {
    if !root() {
        return;
    }
    let fixture = Fixture::overlay();
    let archive = docker_archive(&[three_layers(&["app:1"])]);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| (0..8).for_each(|_| drop(fixture.load(&archive).unwrap())));
            scope.spawn(|| (0..20).for_each(|_| drop(fixture.remove("app:1", false, &()))));
        }
    });
    fixture.collect();
    for summary in fixture.store.list().unwrap() {
        let layers = fixture.store.driver_layers(&summary.image, "test", None).unwrap();
        assert!(layers.iter().all(|layer| fixture.sink.exists(layer)));
        assert!(summary.image.blobs().all(|blob| fixture.store.content().exists(&blob)));
    }
    let _ = fixture.remove("app:1", true, &());
    fixture.collect();
    assert_eq!(fixture.leftovers(), Vec::<PathBuf>::new());
}

#[test]
fn an_index_of_platforms_gives_this_machines_image() {
    if !root() {
        return;
    }
    let fixture = Fixture::overlay();
    let image = TestImage::of_files(&[("a", "1")], &[]);
    let mut files = oci_files(std::slice::from_ref(&image), false);
    let index: serde_json::Value = serde_json::from_slice(&files.pop().unwrap().1).unwrap();
    let mut wanted = index["manifests"][0].clone();
    wanted["platform"] = serde_json::json!({"os": "linux", "architecture": config::host_architecture()});
    let mut other = wanted.clone();
    other["platform"]["architecture"] = "pdp11".into();
    other["digest"] = serde_json::json!(sha256(b"not in the archive"));
    let nested =
        |entries: Vec<serde_json::Value>| serde_json::to_vec(&serde_json::json!({"manifests": entries})).unwrap();
    let inner = nested(vec![other.clone(), wanted]);
    let outer = |inner: &[u8]| nested(vec![serde_json::json!({"digest": sha256(inner), "size": inner.len()})]);
    let mut good = files.clone();
    good.push((format!("blobs/sha256/{}", sha256(&inner).hex()), inner.clone()));
    good.push(("index.json".into(), outer(&inner)));
    let loaded = fixture.load(&tar_of(&good)).unwrap();
    assert_eq!(loaded[0].to_string(), format!("Loaded image ID: {}", image.id()));
    let foreign = nested(vec![other]);
    files.push((format!("blobs/sha256/{}", sha256(&foreign).hex()), foreign.clone()));
    files.push(("index.json".into(), outer(&foreign)));
    let error = fixture.load(&tar_of(&files)).unwrap_err();
    assert_eq!(error.class(), Class::Unsupported);
    assert!(error.to_string().ends_with("only for linux/pdp11"), "{error}");
}

#[test]
fn newer_records_are_refused_with_a_hint() {
    if !root() {
        return;
    }
    let fixture = Fixture::overlay();
    let id = fixture.load(&docker_archive(&[TestImage::of_files(&[("a", "1")], &["a:1"])])).unwrap()[0].id;
    let path = fixture.dir.path().join("images/records").join(id.hex());
    fs::write(&path, r#"{"schema": 99, "different": true}"#).unwrap();
    let error = fixture.store.resolve("a:1").unwrap_err();
    assert!(matches!(error, Error::NewerRecord { found: 99, .. }) && error.hint().is_some());
    assert!(fixture.store.collect_garbage("test", &[], &(), &|_| Ok(())).is_err(), "nothing is deleted on a guess");
}
