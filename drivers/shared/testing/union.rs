//! The same cases for every storage driver: what a program does in a container's root, and what `changes` says of it.
//! Included by path; the including test names its driver `Driver`.
//!
//! The image has two layers. The lower one: /a, /dir/{f,g,sub/x}, /empty, /gone/{f}, /hidden/{f,g}, /link -> a.
//! The upper one deletes /gone and /dir/g, and replaces /hidden by one that holds only `new`.

use crate::Driver;
use crate::mounts::{execute, private, unmount};
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
    Driver.init(&dirs(base), &Options::default(), Host::null()).unwrap()
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
pub fn case(act: impl FnOnce(&Path) + Send + 'static, expected: &'static [&'static str]) {
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
        unmount(&stage.root);
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
        unmount(&stage.root);
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

const CHILD: &str = "GANTRY_TEST_CHILD";

/// This program again, doing one thing to the store in `base`.
fn child(act: &str, base: &Path) -> std::process::Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "union::acts_as_a_child"]).env(CHILD, format!("{act} {}", base.display()));
    command.stdout(std::process::Stdio::null()).spawn().unwrap()
}

#[test]
fn acts_as_a_child() {
    let Ok(order) = std::env::var(CHILD) else { return };
    match order.split_once(' ').unwrap() {
        ("churn", base) => churn(Path::new(base)),
        (_, base) => {
            let store = open(Path::new(base));
            let target = store.begin_layer(&id(1), None).unwrap();
            fs::write(target.path.join("half"), "x").unwrap();
            std::process::exit(0);
        }
    }
}

#[test]
fn a_killed_maker_leaves_only_what_is_collected() {
    private(|| {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path()));
        child("half", dir.path()).wait().unwrap();
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

/// Makes and removes layers and containers until it is killed. Every layer has ten files.
fn churn(base: &Path) -> ! {
    let store = open(base);
    for turn in 0.. {
        let (layer, container) = (id(100 + turn % 3), id(200 + turn % 3));
        let target = store.begin_layer(&layer, Some(&id(1))).unwrap();
        (0..10).for_each(|n| fs::write(target.path.join(format!("n{n}")), "x").unwrap());
        store.commit_layer(&layer).unwrap();
        store.create_container(&container, &[layer.clone(), id(1)], &Options::default()).unwrap();
        store.remove(&container).unwrap();
        store.remove(&layer).unwrap();
        if turn % 4 == 0 {
            store.collect().unwrap();
        }
    }
    unreachable!()
}

#[test]
fn killed_at_any_moment() {
    private(|| {
        let dir = tempfile::tempdir().unwrap();
        build_image(&*open(dir.path()));
        for round in 0..12 {
            let mut child = child("churn", dir.path());
            wait_for_life(&dir.path().join("root/layers"));
            std::thread::sleep(std::time::Duration::from_micros(round * 1_370));
            child.kill().unwrap();
            child.wait().unwrap();
            let store = open(dir.path());
            for n in 100..103 {
                if store.has_layer(&id(n)).unwrap() {
                    store.create_container(&id(300), &[id(n), id(1)], &Options::default()).unwrap();
                    let root = dir.path().join("merged");
                    fs::create_dir_all(&root).unwrap();
                    execute(&store.mount_plan(&id(300), &[id(n), id(1)], false).unwrap()[0], &root).unwrap();
                    (0..10).for_each(|n| assert_eq!(fs::read_to_string(root.join(format!("n{n}"))).unwrap(), "x"));
                    unmount(&root);
                    store.remove(&id(300)).unwrap();
                }
            }
        }
        let store = open(dir.path());
        store.list().unwrap().iter().for_each(|(id, _)| store.remove(id).unwrap());
        store.collect().unwrap();
        let left = Command::new("find").arg(dir.path().join("root")).args(["-mindepth", "2"]).output().unwrap();
        assert_eq!(String::from_utf8(left.stdout).unwrap(), "");
    });
}

/// Waits until names come or go in a directory.
fn wait_for_life(dir: &Path) {
    let changed = || fs::metadata(dir).unwrap().modified().unwrap();
    let before = changed();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while changed() == before && std::time::Instant::now() < end {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// A file system in a file, mounted; `None` when this host cannot.
fn loop_mount(image: &Path, at: &Path) -> Option<()> {
    fs::create_dir_all(at).unwrap();
    let run = |command: &mut Command| command.output().is_ok_and(|o| o.status.success()).then_some(());
    run(Command::new("mount").args(["-o", "loop"]).args([image, at]))
}

/// What would be on the disk if the power failed right after a commit: the backing file, without what the file system
/// still holds back.
#[test]
fn a_committed_layer_survives_a_loss_of_power() {
    private(|| {
        let dir = tempfile::tempdir().unwrap();
        let (image, disk) = (dir.path().join("image"), dir.path().join("disk"));
        fs::File::create(&image).unwrap().set_len(32 << 20).unwrap();
        let made = Command::new("mkfs.ext4").arg("-q").arg(&image).status().is_ok_and(|s| s.success());
        if !made || loop_mount(&image, &disk).is_none() {
            return eprintln!("skipped: needs mkfs.ext4 and loop devices");
        }
        let store = open(&disk);
        for n in 1..=2 {
            let target = store.begin_layer(&id(n), None).unwrap();
            (0..50).for_each(|f| fs::write(target.path.join(format!("f{f}")), [n as u8; 5000]).unwrap());
            if n == 1 {
                // The engine syncs a layer's data before it commits.
                nix::unistd::syncfs(fs::File::open(&target.path).unwrap()).unwrap();
                store.commit_layer(&id(n)).unwrap();
            }
        }
        let after = dir.path().join("after");
        fs::copy(&image, &after).unwrap();
        let disk2 = dir.path().join("disk2");
        loop_mount(&after, &disk2).expect("the copy mounts");
        let store2 = open(&disk2);
        assert!(store2.has_layer(&id(1)).unwrap() && !store2.has_layer(&id(2)).unwrap());
        store2.create_container(&id(9), &[id(1)], &Options::default()).unwrap();
        let root = dir.path().join("merged");
        fs::create_dir(&root).unwrap();
        execute(&store2.mount_plan(&id(9), &[id(1)], false).unwrap()[0], &root).unwrap();
        (0..50).for_each(|f| assert_eq!(fs::read(root.join(format!("f{f}"))).unwrap(), [1; 5000]));
        for mounted in [&root, &disk2, &disk] {
            nix::mount::umount2(mounted, nix::mount::MntFlags::MNT_DETACH).unwrap();
        }
    });
}
