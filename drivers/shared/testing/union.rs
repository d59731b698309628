//! The same cases for every storage driver: what a program does in a container's root, and what `changes` says of it.
//! Included by path; the including test names its driver `Driver`.
//!
//! The image has two layers. The lower one: /a, /dir/{f,g,sub/x}, /empty, /gone/{f}, /hidden/{f,g}, /link -> a.
//! The upper one deletes /gone and /dir/g, and replaces /hidden by one that holds only `new`.

use crate::Driver;
use crate::mounts::{execute, private};
use gantry_plugin_api::host::Host;
use gantry_plugin_api::options::Options;
use gantry_plugin_api::storage::{LayerTarget, StorageDriver, Store, Whiteouts};
use gantry_plugin_api::types::Dirs;
use nix::sys::stat::{Mode, SFlag, mknod};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A store with the image, and a container of it mounted at `root`.
pub struct Stage {
    pub _dir: tempfile::TempDir,
    pub store: Box<dyn Store>,
    pub root: PathBuf,
    pub layers: Vec<String>,
}

pub fn id(n: usize) -> String {
    format!("{n:064x}")
}

pub const CONTAINER: usize = 0xc0;

pub fn dirs(base: &Path) -> Dirs {
    Dirs { root: base.join("root"), state: base.join("state") }
}

pub fn open(base: &Path) -> Box<dyn Store> {
    Driver::default().init(&dirs(base), &Options::default(), Host::null()).unwrap()
}

impl Stage {
    /// Makes image and container, and mounts it.
    pub fn set() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        build_image(&*store);
        let layers = vec![id(2), id(1)];
        store.create_container(&id(CONTAINER), &layers, &Options::default()).unwrap();
        let root = dir.path().join("merged");
        fs::create_dir(&root).unwrap();
        let plan = store.mount_plan(&id(CONTAINER), &layers, false).unwrap();
        execute(&plan[0], &root).unwrap();
        Stage { _dir: dir, store, root, layers }
    }

    fn changes(&self) -> Vec<String> {
        let found = self.store.changes(&id(CONTAINER), &self.layers).unwrap();
        found.iter().map(|c| format!("{} {}", c.kind, c.path.display())).collect()
    }
}

pub fn build_image(store: &dyn Store) {
    let target = store.begin_layer(&id(1), None).unwrap();
    for (path, text) in [
        ("a", "first"),
        ("dir/f", "1"),
        ("dir/g", "2"),
        ("dir/sub/x", "3"),
        ("gone/f", "4"),
        ("hidden/f", "5"),
        ("hidden/g", "6"),
    ] {
        fs::create_dir_all(target.path.join(path).parent().unwrap()).unwrap();
        fs::write(target.path.join(path), text).unwrap();
    }
    fs::create_dir(target.path.join("empty")).unwrap();
    symlink("a", target.path.join("link")).unwrap();
    store.commit_layer(&id(1)).unwrap();
    let target = store.begin_layer(&id(2), Some(&id(1))).unwrap();
    fs::create_dir_all(target.path.join("dir")).unwrap();
    whiteout(&target, "gone");
    whiteout(&target, "dir/g");
    opaque(&target, "hidden");
    fs::write(target.path.join("hidden/new"), "7").unwrap();
    store.commit_layer(&id(2)).unwrap();
}

fn whiteout(target: &LayerTarget, name: &str) {
    let path = target.path.join(name);
    if target.whiteouts == Whiteouts::APPLY {
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    } else {
        mknod(&path, SFlag::S_IFCHR, Mode::empty(), 0).unwrap();
    }
}

fn opaque(target: &LayerTarget, name: &str) {
    let path = target.path.join(name);
    if target.whiteouts == Whiteouts::APPLY {
        fs::remove_dir_all(&path).unwrap();
        return fs::create_dir(&path).unwrap();
    }
    fs::create_dir(&path).unwrap();
    let user = target.whiteouts == Whiteouts::OVERLAY_USER;
    set_attribute(&path, if user { "user.overlay.opaque" } else { "trusted.overlay.opaque" }, b"y");
}

pub fn set_attribute(path: &Path, name: &str, value: &[u8]) {
    use gantry_driver_shared::tree::xattr;
    let name = std::ffi::CString::new(name).unwrap();
    xattr::set(&xattr::Target::path(path), &name, value).unwrap();
}

/// Runs one case: what happens in the root, and what is to be found.
fn case(act: impl FnOnce(&Path) + Send + 'static, expected: &'static [&'static str]) {
    private(move || {
        let stage = Stage::set();
        act(&stage.root);
        assert_eq!(stage.changes(), expected);
    });
}

#[test]
fn the_image_shows_as_built() {
    private(|| {
        let stage = Stage::set();
        let list = |path: &str| {
            let mut names: Vec<String> = fs::read_dir(stage.root.join(path))
                .unwrap()
                .map(|e| e.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names.join(" ")
        };
        assert_eq!(list(""), "a dir empty hidden link");
        assert_eq!(list("dir"), "f sub");
        assert_eq!(list("hidden"), "new");
        assert!(stage.changes().is_empty());
        assert_eq!(fs::metadata(&stage.root).unwrap().permissions().mode() & 0o7777, 0o755);
    });
}

#[test]
fn write_to_a_file_of_the_image() {
    case(|root| fs::write(root.join("dir/sub/x"), "longer").unwrap(), &["C /dir", "C /dir/sub", "C /dir/sub/x"]);
}

#[test]
fn new_files_and_directories() {
    let act = |root: &Path| {
        fs::create_dir_all(root.join("new/deep")).unwrap();
        fs::write(root.join("new/deep/file"), "x").unwrap();
        symlink("nowhere", root.join("dir/l")).unwrap();
        mknod(&root.join("pipe"), SFlag::S_IFIFO, Mode::S_IRUSR, 0).unwrap();
        mknod(&root.join("null"), SFlag::S_IFCHR, Mode::S_IRUSR, libc::makedev(1, 3)).unwrap();
    };
    case(act, &["C /dir", "A /dir/l", "A /new", "A /new/deep", "A /new/deep/file", "A /null", "A /pipe"]);
}

#[test]
fn delete_a_file_and_a_directory() {
    let act = |root: &Path| {
        fs::remove_file(root.join("a")).unwrap();
        fs::remove_dir_all(root.join("dir/sub")).unwrap();
        fs::remove_dir(root.join("empty")).unwrap();
    };
    case(act, &["D /a", "C /dir", "D /dir/sub", "D /empty"]);
}

#[test]
fn create_and_delete_leaves_nothing() {
    let act = |root: &Path| {
        fs::create_dir(root.join("new")).unwrap();
        fs::write(root.join("new/f"), "x").unwrap();
        fs::remove_dir_all(root.join("new")).unwrap();
    };
    case(act, &[]);
}

#[test]
fn rename_a_file() {
    case(|root| fs::rename(root.join("dir/f"), root.join("moved")).unwrap(), &["C /dir", "D /dir/f", "A /moved"]);
}

#[test]
fn move_a_directory_of_the_image() {
    let act = |root: &Path| {
        assert!(Command::new("mv").arg(root.join("dir")).arg(root.join("dir2")).status().unwrap().success());
        assert_eq!(fs::read_to_string(root.join("dir2/sub/x")).unwrap(), "3");
    };
    case(act, &["D /dir", "A /dir2", "A /dir2/f", "A /dir2/sub", "A /dir2/sub/x"]);
}

#[test]
fn rename_a_new_directory_over_an_empty_one_of_the_image() {
    let act = |root: &Path| {
        fs::create_dir(root.join("new")).unwrap();
        fs::write(root.join("new/f"), "x").unwrap();
        fs::rename(root.join("new"), root.join("empty")).unwrap();
        assert!(root.join("empty/f").exists());
    };
    case(act, &["C /empty", "A /empty/f"]);
}

#[test]
fn hard_link_of_a_file_of_the_image() {
    let act = |root: &Path| fs::hard_link(root.join("dir/f"), root.join("second")).unwrap();
    case(act, &["A /second"]);
}

#[test]
fn write_through_a_hard_link() {
    let act = |root: &Path| {
        fs::hard_link(root.join("dir/f"), root.join("second")).unwrap();
        fs::write(root.join("second"), "longer").unwrap();
        assert_eq!(fs::read_to_string(root.join("dir/f")).unwrap(), "longer");
    };
    case(act, &["C /dir", "C /dir/f", "A /second"]);
}

#[test]
fn remove_a_directory_and_make_it_again() {
    let act = |root: &Path| {
        fs::remove_dir_all(root.join("dir")).unwrap();
        fs::create_dir(root.join("dir")).unwrap();
        fs::write(root.join("dir/new"), "x").unwrap();
        assert_eq!(fs::read_dir(root.join("dir")).unwrap().count(), 1);
    };
    case(act, &["C /dir", "D /dir/f", "A /dir/new", "D /dir/sub"]);
}

#[test]
fn make_again_what_was_nested() {
    let act = |root: &Path| {
        fs::remove_dir_all(root.join("dir")).unwrap();
        fs::create_dir_all(root.join("dir/sub")).unwrap();
    };
    case(act, &["C /dir", "D /dir/f", "C /dir/sub", "D /dir/sub/x"]);
}

#[test]
fn delete_and_write_again() {
    let act = |root: &Path| {
        fs::remove_file(root.join("a")).unwrap();
        fs::write(root.join("a"), "second time").unwrap();
    };
    case(act, &["C /a"]);
}

#[test]
fn one_sort_replaces_another() {
    let act = |root: &Path| {
        fs::remove_file(root.join("a")).unwrap();
        fs::create_dir(root.join("a")).unwrap();
        fs::write(root.join("a/f"), "x").unwrap();
        fs::remove_dir_all(root.join("dir")).unwrap();
        fs::write(root.join("dir"), "x").unwrap();
        fs::remove_file(root.join("link")).unwrap();
        symlink("elsewhere", root.join("link")).unwrap();
    };
    case(act, &["C /a", "A /a/f", "C /dir", "C /link"]);
}

#[test]
fn modes_owners_and_capabilities() {
    let act = |root: &Path| {
        fs::set_permissions(root.join("dir"), fs::Permissions::from_mode(0o700)).unwrap();
        chown(root.join("a"), Some(7), Some(8)).unwrap();
        let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        set_attribute(&root.join("hidden/new"), "security.capability", &capability);
    };
    case(act, &["C /a", "C /dir", "C /hidden", "C /hidden/new"]);
}

#[test]
fn a_mode_changed_back_is_no_change() {
    let act = |root: &Path| {
        let mode = fs::metadata(root.join("a")).unwrap().permissions();
        fs::set_permissions(root.join("a"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::set_permissions(root.join("a"), mode).unwrap();
    };
    case(act, &[]);
}

#[test]
fn what_the_image_deleted_comes_back_as_new() {
    let act = |root: &Path| {
        fs::create_dir(root.join("gone")).unwrap();
        fs::write(root.join("gone/f"), "x").unwrap();
        fs::write(root.join("dir/g"), "x").unwrap();
        fs::write(root.join("hidden/f"), "x").unwrap();
    };
    case(act, &["C /dir", "A /dir/g", "A /gone", "A /gone/f", "C /hidden", "A /hidden/f"]);
}

#[test]
fn remove_what_the_image_made_opaque() {
    let act = |root: &Path| {
        fs::remove_dir_all(root.join("hidden")).unwrap();
        fs::create_dir(root.join("hidden")).unwrap();
    };
    case(act, &["C /hidden", "D /hidden/new"]);
}

#[test]
fn names_that_are_not_text_or_sort_oddly() {
    use std::os::unix::ffi::OsStrExt;
    let act = |root: &Path| {
        fs::write(root.join(std::ffi::OsStr::from_bytes(b"z\xff")), "x").unwrap();
        fs::write(root.join("dir-b"), "x").unwrap();
        fs::write(root.join("dir/b"), "x").unwrap();
    };
    case(act, &["C /dir", "A /dir/b", "A /dir-b", "A /z\u{fffd}"]);
}

#[test]
fn inspection_writes_nothing_and_shows_all() {
    private(|| {
        let stage = Stage::set();
        fs::write(stage.root.join("a"), "changed").unwrap();
        fs::remove_file(stage.root.join("link")).unwrap();
        nix::mount::umount(&stage.root).unwrap();
        let plan = stage.store.mount_plan(&id(CONTAINER), &stage.layers, true).unwrap();
        execute(&plan[0], &stage.root).unwrap();
        assert_eq!(fs::read_to_string(stage.root.join("a")).unwrap(), "changed");
        assert!(!stage.root.join("link").exists());
        assert!(fs::write(stage.root.join("b"), "x").is_err());
    });
}

#[test]
fn a_container_without_an_image() {
    private(|| {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        store.create_container(&id(1), &[], &Options::default()).unwrap();
        let root = dir.path().join("merged");
        fs::create_dir(&root).unwrap();
        execute(&store.mount_plan(&id(1), &[], false).unwrap()[0], &root).unwrap();
        fs::write(root.join("f"), "x").unwrap();
        let found = store.changes(&id(1), &[]).unwrap();
        assert_eq!((found.len(), found[0].kind, found[0].path.as_path()), (1, 'A', Path::new("/f")));
    });
}

#[test]
fn a_copy_of_a_container() {
    private(|| {
        let stage = Stage::set();
        fs::remove_dir_all(stage.root.join("dir")).unwrap();
        fs::create_dir(stage.root.join("dir")).unwrap();
        fs::write(stage.root.join("a"), "changed").unwrap();
        nix::mount::umount(&stage.root).unwrap();
        stage.store.clone_container(&id(0xc1), &id(CONTAINER)).unwrap();
        let plan = stage.store.mount_plan(&id(0xc1), &stage.layers, false).unwrap();
        execute(&plan[0], &stage.root).unwrap();
        assert_eq!(fs::read_to_string(stage.root.join("a")).unwrap(), "changed");
        assert_eq!(fs::read_dir(stage.root.join("dir")).unwrap().count(), 0);
        assert_eq!(
            stage.store.changes(&id(0xc1), &stage.layers).unwrap(),
            stage.store.changes(&id(CONTAINER), &stage.layers).unwrap()
        );
    });
}

#[test]
fn a_killed_maker_leaves_only_what_is_collected() {
    private(|| {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path()));
        // SAFETY: the child makes a layer and exits; it takes no lock that another thread of this test may hold.
        match unsafe { nix::unistd::fork() }.unwrap() {
            nix::unistd::ForkResult::Child => {
                let store = open(dir.path());
                let target = store.begin_layer(&id(1), None).unwrap();
                fs::write(target.path.join("half"), "x").unwrap();
                std::mem::forget(store);
                // SAFETY: ends this process at once, as a SIGKILL would.
                unsafe { libc::_exit(0) };
            }
            nix::unistd::ForkResult::Parent { child } => drop(nix::sys::wait::waitpid(child, None).unwrap()),
        }
        let store = open(dir.path());
        assert!(!store.has_layer(&id(1)).unwrap());
        assert_eq!(store.list().unwrap(), [(id(1), false)]);
        let target = store.begin_layer(&id(1), None).unwrap();
        assert!(!target.path.join("half").exists());
        store.commit_layer(&id(1)).unwrap();
        assert!(store.has_layer(&id(1)).unwrap());
        store.remove(&id(1)).unwrap();
        store.collect().unwrap();
        assert!(store.list().unwrap().is_empty());
        let left = Command::new("find").arg(dir.path().join("root")).args(["-mindepth", "2"]).output().unwrap();
        assert_eq!(String::from_utf8(left.stdout).unwrap(), "");
    });
}
