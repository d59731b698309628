//! The cases that every storage driver passes, and those of vfs alone.

#[path = "../../../shared/testing/mounts.rs"]
mod mounts;
#[path = "../../../shared/testing/posix.rs"]
mod posix;
#[path = "../../../shared/testing/union.rs"]
mod union;

use gantry_driver_storage_vfs::Vfs as Driver;
use gantry_plugin_api::error::Class;
use gantry_plugin_api::host::Host;
use gantry_plugin_api::options::Options;
use gantry_plugin_api::storage::StorageDriver;
use std::fs;
use std::os::unix::fs::MetadataExt;
use union::{id, open};

#[test]
fn layers_hold_files_of_their_own_unless_linked() {
    for (option, shared) in [("false", false), ("true", true)] {
        let dir = tempfile::tempdir().unwrap();
        let options = Options::from_pairs([("link-layers", option)]);
        let store = Driver.init(&union::dirs(dir.path()), &options, Host::null()).unwrap();
        let first = store.begin_layer(&id(1), None).unwrap().path;
        fs::write(first.join("f"), "x").unwrap();
        store.commit_layer(&id(1)).unwrap();
        let second = store.begin_layer(&id(2), Some(&id(1))).unwrap().path;
        assert_eq!(fs::metadata(second.join("f")).unwrap().nlink(), if shared { 2 } else { 1 });
        store.commit_layer(&id(2)).unwrap();
        store.create_container(&id(3), &[id(2), id(1)], &Options::default()).unwrap();
        let root = store.writable_dir(&id(3)).unwrap().unwrap();
        assert_eq!(fs::metadata(root.join("f")).unwrap().nlink(), 1);
    }
}

#[test]
fn what_is_missing_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let error = store.create_container(&id(3), &[id(2)], &Options::default()).unwrap_err();
    assert_eq!(error.class, Class::NOT_FOUND);
    assert!(error.message.contains(&id(2)), "{error}");
    assert_eq!(store.mount_plan(&id(3), &[], false).unwrap_err().class, Class::NOT_FOUND);
    let quota = Options::from_pairs([("size", "10m")]);
    let error = store.create_container(&id(3), &[], &quota).unwrap_err();
    assert_eq!(error.class, Class::UNSUPPORTED);
    assert!(store.list().unwrap().is_empty());
}

#[test]
fn a_full_disk_leaves_nothing() {
    mounts::private(|| {
        let dir = tempfile::tempdir().unwrap();
        let flags = nix::mount::MsFlags::empty();
        nix::mount::mount(Some("small"), dir.path(), Some("tmpfs"), flags, Some("size=3m")).unwrap();
        let store = open(dir.path());
        let target = store.begin_layer(&id(1), None).unwrap().path;
        fs::write(target.join("big"), vec![7; 2 << 20]).unwrap();
        store.commit_layer(&id(1)).unwrap();
        let error = store.create_container(&id(3), &[id(1)], &Options::default()).unwrap_err();
        assert_eq!(error.class, Class::NO_SPACE, "{error}");
        assert_eq!(store.list().unwrap(), [(id(1), false)]);
        fs::write(dir.path().join("free"), vec![0; 512 << 10]).unwrap();
        nix::mount::umount2(dir.path(), nix::mount::MntFlags::MNT_DETACH).unwrap();
    });
}
