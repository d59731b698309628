//! The cases that every storage driver passes, and those of overlay alone.

#[path = "../../../shared/testing/mounts.rs"]
mod mounts;
#[path = "../../../shared/testing/posix.rs"]
mod posix;
#[path = "../../../shared/testing/union.rs"]
mod union;

use gantry_driver_storage_overlay2::Overlay2 as Driver;
use gantry_plugin_api::error::Class;
use gantry_plugin_api::host::Host;
use gantry_plugin_api::options::Options;
use gantry_plugin_api::storage::{StorageDriver, Store};
use mounts::{execute, private, unmount};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use union::{CONTAINER, Stage, id, open};

/// An image of so many layers, each with a file of its own number and one common file.
fn tower(store: &dyn Store, height: usize) -> Vec<String> {
    for n in 1..=height {
        let target = store.begin_layer(&id(n), None).unwrap().path;
        fs::write(target.join(format!("f{n}")), "x").unwrap();
        fs::write(target.join("top"), n.to_string()).unwrap();
        store.commit_layer(&id(n)).unwrap();
    }
    (1..=height).rev().map(id).collect()
}

#[test]
fn five_hundred_layers() {
    private(|| {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let layers = tower(&*store, 500);
        let container = id(1000);
        store.create_container(&container, &layers, &Options::default()).unwrap();
        let root = dir.path().join("merged");
        fs::create_dir(&root).unwrap();
        for read_only in [false, true] {
            execute(&store.mount_plan(&container, &layers, read_only).unwrap()[0], &root).unwrap();
            assert_eq!(fs::read_to_string(root.join("top")).unwrap(), "500");
            assert_eq!(fs::read_dir(&root).unwrap().count(), 501);
            assert_eq!(fs::write(root.join("top"), "changed").is_err(), read_only);
            fs::write(root.join("top"), "500").ok();
            unmount(&root);
        }
        assert_eq!(store.changes(&container, &layers).unwrap().len(), 1);
    });
}

#[test]
fn one_layer_too_many() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let layers: Vec<String> = (0..501).map(id).collect();
    let error = store.create_container(&id(1000), &layers, &Options::default()).unwrap_err();
    assert_eq!(error.class, Class::UNSUPPORTED);
    assert!(error.message.contains("max depth exceeded"), "{error}");
}

#[test]
fn a_store_on_overlay_is_refused() {
    private(|| {
        let stage = Stage::set();
        let error = Driver.init(&union::dirs(&stage.root), &Options::default(), Host::null()).err().unwrap();
        assert_eq!(error.class, Class::UNSUPPORTED);
        assert!(error.message.contains("overlayfs") && error.message.contains("merged/root"), "{error}");
        assert!(error.hint.contains("vfs"));
    });
}

#[test]
fn a_lost_link_is_healed_and_a_dangling_one_swept() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let layers = tower(&*store, 1);
    store.create_container(&id(9), &layers, &Options::default()).unwrap();
    let links = dir.path().join("root/l");
    let link = fs::read_dir(&links).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(&link).unwrap();
    store.mount_plan(&id(9), &layers, false).unwrap();
    assert!(link.exists());
    fs::remove_dir_all(dir.path().join("root/layers").join(id(1))).unwrap();
    let error = store.mount_plan(&id(9), &layers, false).unwrap_err();
    assert_eq!(error.class, Class::NOT_FOUND);
    assert!(error.message.contains(&id(1)) && error.message.contains(&id(9)), "{error}");
    store.collect().unwrap();
    assert_eq!(fs::read_dir(&links).unwrap().count(), 0);
}

#[test]
fn the_roots_owner_and_mode_come_from_the_image() {
    private(|| {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let target = store.begin_layer(&id(1), None).unwrap().path;
        fs::set_permissions(&target, fs::Permissions::from_mode(0o1750)).unwrap();
        std::os::unix::fs::chown(&target, Some(5), Some(6)).unwrap();
        store.commit_layer(&id(1)).unwrap();
        store.begin_layer(&id(2), Some(&id(1))).unwrap();
        store.commit_layer(&id(2)).unwrap();
        let layers = [id(2), id(1)];
        store.create_container(&id(9), &layers, &Options::default()).unwrap();
        let meta = fs::metadata(store.writable_dir(&id(9)).unwrap().unwrap()).unwrap();
        // The owner's change clears no bit here: mode is set after it.
        assert_eq!((meta.mode() & 0o7777, meta.uid(), meta.gid()), (0o1750, 5, 6));
    });
}

#[test]
fn a_volatile_layer_mounts_again_in_the_same_boot_only() {
    private(|| {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        let layers = tower(&*store, 1);
        let options = Options::from_pairs([("volatile", "true")]);
        store.create_container(&id(9), &layers, &options).unwrap();
        let root = dir.path().join("merged");
        fs::create_dir(&root).unwrap();
        for turn in 0..2 {
            execute(&store.mount_plan(&id(9), &layers, false).unwrap()[0], &root).unwrap();
            fs::write(root.join(turn.to_string()), "x").unwrap();
            unmount(&root);
        }
        assert_eq!(store.changes(&id(9), &layers).unwrap().len(), 2);
        fs::write(dir.path().join("root/work").join(id(9)).join("volatile"), "another boot").unwrap();
        let error = store.mount_plan(&id(9), &layers, false).unwrap_err();
        assert!(error.message.contains("volatile"), "{error}");
    });
}

#[test]
fn a_limit_without_quotas_is_a_disk() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let limited = |size: &str| store.create_container(&id(9), &[], &Options::from_pairs([("size", size)]));
    let small = limited("9k").unwrap_err();
    assert!(store.list().unwrap().is_empty(), "nothing is left of what was refused");
    if !store.capabilities().quota {
        assert_eq!(small.class, Class::UNSUPPORTED);
        return eprintln!("skipped: neither quotas nor disks");
    }
    limited("8m").unwrap();
    let Some(disk) = store.container_disk(&id(9)).unwrap() else { return };
    assert!(small.message.contains("less than 1 MB"), "{small}");
    assert_eq!((disk.fstype.as_str(), &disk.options[0]), ("ext4", &("loop".to_owned(), None)));
    let upper = store.writable_dir(&id(9)).unwrap().unwrap();
    assert!(upper.starts_with(&disk.target), "{} is not on {}", upper.display(), disk.target);
    assert!((1..4 << 20).contains(&store.usage(&id(9)).unwrap().bytes), "{:?}", store.usage(&id(9)));
    assert_eq!(store.clone_container(&id(8), &id(9)).unwrap_err().class, Class::UNSUPPORTED);
    store.create_container(&id(7), &[], &Options::default()).unwrap();
    assert_eq!(store.container_disk(&id(7)).unwrap(), None);
    store.remove(&id(9)).unwrap();
    assert!(store.trash().unwrap().bytes >= 8 << 20);
    store.collect().unwrap();
    assert_eq!((store.trash().unwrap().bytes, store.container_disk(&id(9)).unwrap()), (0, None));
}

#[test]
fn marked_empty_files_are_deletions_too() {
    private(|| {
        let stage = Stage::set();
        unmount(&stage.root);
        let upper = stage.store.writable_dir(&id(CONTAINER)).unwrap().unwrap();
        union::set_attribute(&upper, "trusted.overlay.opaque", b"x");
        fs::write(upper.join("a"), "").unwrap();
        union::set_attribute(&upper.join("a"), "trusted.overlay.whiteout", b"y");
        let found = stage.store.changes(&id(CONTAINER), &stage.layers).unwrap();
        assert_eq!((found.len(), found[0].kind), (1, 'D'));
    });
}

#[test]
fn facts_as_docker_shows_them() {
    let dir = tempfile::tempdir().unwrap();
    let status = open(dir.path()).status();
    let keys: Vec<&str> = status.iter().map(|(k, _)| k.as_str()).collect();
    assert_eq!(keys, ["Backing Filesystem", "Supports d_type", "Using metacopy", "Native Overlay Diff", "userxattr"]);
}

/// The cases again, by this very program in a user namespace: attributes are `user.overlay.*` there.
#[test]
fn in_a_user_namespace() {
    const INSIDE: &str = "GANTRY_TEST_USER_NAMESPACE";
    if std::env::var_os(INSIDE).is_some() {
        let dir = tempfile::tempdir().unwrap();
        let status = open(dir.path()).status();
        return assert!(status.contains(&("userxattr".to_owned(), "true".to_owned())), "{status:?}");
    }
    if !std::process::Command::new("unshare").args(["-Urm", "true"]).status().is_ok_and(|s| s.success()) {
        return eprintln!("skipped: needs unshare(1) and user namespaces");
    }
    let cases =
        ["the_image", "rename", "move", "delete", "remove", "make_again", "what", "write", "one_sort", "inspection"];
    let output = std::process::Command::new("unshare")
        .arg("-Urm")
        .arg(std::env::current_exe().unwrap())
        .arg("in_a_user_namespace")
        .args(cases.map(|c| format!("union::{c}")))
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains("running 0 tests"));
}
