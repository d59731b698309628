//! The life of volumes, through the driver's public face.

#[path = "../../../shared/testing/mounts.rs"]
mod mounts;

use gantry_driver_volume_local::Local;
use gantry_plugin_api::error::Class;
use gantry_plugin_api::host::Host;
use gantry_plugin_api::options::Options;
use gantry_plugin_api::types::Dirs;
use gantry_plugin_api::volume::{VolumeDriver, VolumeMount};
use std::fs;
use std::os::unix::fs::PermissionsExt;

struct Stage {
    _dir: tempfile::TempDir,
    dirs: Dirs,
    host: Host,
}

fn stage() -> Stage {
    let dir = tempfile::tempdir().unwrap();
    let dirs = Dirs { root: dir.path().join("root"), state: dir.path().join("state") };
    Stage { _dir: dir, dirs, host: Host::null() }
}

fn mode(path: impl AsRef<std::path::Path>) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn tmpfs(o: &str) -> Options {
    Options::from_pairs([("type", "tmpfs"), ("device", "tmpfs"), ("o", o)])
}

#[test]
fn a_plain_volume_from_create_to_remove() {
    let Stage { _dir, dirs, host } = stage();
    let made = Local.create("web", &Options::default(), &dirs, &host).unwrap();
    assert_eq!(made.mountpoint, dirs.root.join("web/_data").display().to_string());
    assert!(made.created_ns > 1_000_000_000_000_000_000);
    assert_eq!((mode(&made.mountpoint), mode(dirs.root.join("web"))), (0o755, 0o701));
    assert!(!dirs.root.join("web/opts.json").exists());
    fs::write(dirs.root.join("web/_data/f"), "x").unwrap();
    let again = Local.create("web", &Options::default(), &dirs, &host).unwrap();
    assert_eq!((again, Local.get("web", &dirs).unwrap()), (made.clone(), made.clone()));
    assert_eq!(Local.mount("web", &dirs, &host).unwrap(), VolumeMount::Directory(made.mountpoint.clone()));
    Local.unmount("web", &dirs, &host).unwrap();
    Local.create("app", &Options::default(), &dirs, &host).unwrap();
    let names: Vec<String> = Local.list(&dirs).unwrap().into_iter().map(|v| v.name).collect();
    assert_eq!(names, ["app", "web"]);
    Local.remove("web", &dirs, &host).unwrap();
    assert!(!std::path::Path::new(&made.mountpoint).exists());
    for error in [
        Local.get("web", &dirs).unwrap_err(),
        Local.remove("web", &dirs, &host).unwrap_err(),
        Local.mount("web", &dirs, &host).unwrap_err(),
    ] {
        assert_eq!((error.class, error.message.as_str()), (Class::NOT_FOUND, "no such volume: web"));
    }
    assert_eq!(fs::read_dir(dirs.root.join(".trash")).unwrap().count(), 0);
}

#[test]
fn other_options_are_a_conflict_that_is_shown() {
    let Stage { _dir, dirs, host } = stage();
    Local.create("vol", &tmpfs("size=1m"), &dirs, &host).unwrap();
    assert_eq!(mode(dirs.root.join("vol/opts.json")), 0o600);
    Local.create("vol", &tmpfs("size=1m"), &dirs, &host).unwrap();
    let error = Local.create("vol", &tmpfs("size=2m"), &dirs, &host).unwrap_err();
    assert_eq!(error.class, Class::EXISTS);
    assert_eq!(error.message, "volume vol exists with other options: o=size=2m (exists: size=1m)");
    assert_eq!(Local.create("vol", &Options::default(), &dirs, &host).unwrap_err().class, Class::EXISTS);
}

#[test]
fn bad_names_and_options_are_refused_before_anything_is_made() {
    let Stage { _dir, dirs, host } = stage();
    for name in ["a", "../x", "x/y", ".trash", ""] {
        assert_eq!(Local.create(name, &Options::default(), &dirs, &host).unwrap_err().class, Class::INVALID);
        assert_eq!(Local.remove(name, &dirs, &host).unwrap_err().class, Class::INVALID);
    }
    assert!(Local.validate("ok", &Options::from_pairs([("foo", "1")])).is_err());
    assert!(Local.validate("ok", &Options::from_pairs([("size", "much")])).is_err());
    Local.validate("ok", &Options::from_pairs([("size", "1g")])).unwrap();
    assert!(!dirs.root.exists());
}

/// A directory in memory, where there are no project quotas.
fn without_quotas() -> (tempfile::TempDir, Dirs) {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let dirs = Dirs { root: dir.path().join("root"), state: dir.path().join("state") };
    (dir, dirs)
}

#[test]
fn a_limit_without_quotas_is_a_file_system_in_a_file() {
    let (_dir, dirs) = without_quotas();
    let host = Host::null();
    let size = |text: &str| Options::from_pairs([("size", text)]);
    let error = Local.create("tiny", &size("100k"), &dirs, &host).unwrap_err();
    assert!(error.message.contains("less than 1 MB") || error.message.contains("quota size requested"), "{error}");
    let made = match Local.create("vol", &size("8m"), &dirs, &host) {
        Ok(made) => made,
        Err(error) => {
            let message = "quota size requested but no quota support, and ";
            assert!(error.class == Class::UNSUPPORTED && error.message.starts_with(message), "{error}");
            assert!(Local.list(&dirs).unwrap().is_empty());
            return eprintln!("skipped: {error}");
        }
    };
    let file = dirs.root.join("vol/_disk/ext4");
    assert_eq!(made.status, [("Backing File".to_owned(), file.display().to_string())]);
    assert_eq!((fs::metadata(&file).unwrap().len(), mode(&file)), (8 << 20, 0o600));
    assert!(std::os::unix::fs::MetadataExt::blocks(&fs::metadata(&file).unwrap()) * 512 < 2 << 20, "it has holes");
    Local.create("vol", &size("8m"), &dirs, &host).unwrap();
    assert_eq!(Local.create("vol", &size("9m"), &dirs, &host).unwrap_err().class, Class::EXISTS);
    let VolumeMount::FileSystem(plan) = Local.mount("vol", &dirs, &host).unwrap() else { panic!("a directory") };
    assert_eq!((plan.fstype.as_str(), plan.source.as_str()), ("ext4", file.to_str().unwrap()));
    assert!(plan.options.contains(&("loop".to_owned(), None)));
    Local.clone_volume("vol", "copy", &dirs, &host).unwrap();
    assert_eq!(fs::read(dirs.root.join("copy/_disk/ext4")).unwrap(), fs::read(&file).unwrap());
    Local.rename("copy", "other", &dirs, &host).unwrap();
    Local.remove("other", &dirs, &host).unwrap();
    Local.remove("vol", &dirs, &host).unwrap();
    assert_eq!(fs::read_dir(dirs.root.join(".trash")).unwrap().count(), 0);
}

#[test]
fn a_tmpfs_volume_can_be_mounted_as_planned() {
    mounts::private(|| {
        let Stage { _dir, dirs, host } = stage();
        let made = Local.create("mem", &tmpfs("size=1m,mode=700,uid=7,noexec"), &dirs, &host).unwrap();
        let VolumeMount::FileSystem(plan) = Local.mount("mem", &dirs, &host).unwrap() else { panic!("a directory") };
        assert_eq!(plan.flags, libc::MS_NOEXEC);
        mounts::execute(&plan, made.mountpoint.as_ref()).unwrap();
        assert_eq!(mode(&made.mountpoint), 0o700);
        assert!(fs::write(std::path::Path::new(&made.mountpoint).join("big"), vec![0; 2 << 20]).is_err());
        nix::mount::umount(made.mountpoint.as_str()).unwrap();
    });
}

#[test]
fn a_bind_volume_names_a_missing_directory() {
    let Stage { _dir, dirs, host } = stage();
    let device = dirs.root.with_file_name("data");
    let o = [("type", "none"), ("device", device.to_str().unwrap()), ("o", "bind,ro")];
    Local.create("data", &Options::from_pairs(o), &dirs, &host).unwrap();
    let error = Local.mount("data", &dirs, &host).unwrap_err();
    assert!(error.message.contains("failed to mount local volume data"), "{error}");
    fs::create_dir(&device).unwrap();
    let VolumeMount::FileSystem(plan) = Local.mount("data", &dirs, &host).unwrap() else { panic!("a directory") };
    assert_eq!((plan.fstype.as_str(), plan.source.as_str()), ("bind", device.to_str().unwrap()));
}

#[test]
fn clone_and_rename() {
    let Stage { _dir, dirs, host } = stage();
    Local.create("one", &Options::default(), &dirs, &host).unwrap();
    fs::write(dirs.root.join("one/_data/f"), "x").unwrap();
    fs::set_permissions(dirs.root.join("one/_data"), fs::Permissions::from_mode(0o1777)).unwrap();
    Local.clone_volume("one", "two", &dirs, &host).unwrap();
    fs::write(dirs.root.join("one/_data/f"), "changed").unwrap();
    assert_eq!(fs::read_to_string(dirs.root.join("two/_data/f")).unwrap(), "x");
    assert_eq!(mode(dirs.root.join("two/_data")), 0o1777);
    assert_eq!(Local.clone_volume("one", "two", &dirs, &host).unwrap_err().class, Class::EXISTS);
    assert_eq!(Local.rename("one", "two", &dirs, &host).unwrap_err().class, Class::EXISTS);
    Local.rename("one", "three", &dirs, &host).unwrap();
    assert_eq!(Local.get("one", &dirs).unwrap_err().class, Class::NOT_FOUND);
    assert_eq!(fs::read_to_string(dirs.root.join("three/_data/f")).unwrap(), "changed");
    Local.create("mem", &tmpfs(""), &dirs, &host).unwrap();
    assert_eq!(Local.clone_volume("mem", "mem2", &dirs, &host).unwrap_err().class, Class::UNSUPPORTED);
}

#[test]
fn leftovers_of_a_killed_process_are_swept() {
    let Stage { _dir, dirs, host } = stage();
    Local.create("vol", &Options::default(), &dirs, &host).unwrap();
    fs::create_dir_all(dirs.root.join(".staging/1.0/_data/deep")).unwrap();
    fs::create_dir_all(dirs.root.join(".trash/1.0/_data/deep")).unwrap();
    assert_eq!(Local.list(&dirs).unwrap().len(), 1);
    Local.remove("vol", &dirs, &host).unwrap();
    assert_eq!(fs::read_dir(dirs.root.join(".staging")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(dirs.root.join(".trash")).unwrap().count(), 0);
}

#[test]
fn many_makers_of_one_volume_agree() {
    let Stage { _dir, dirs, host } = stage();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..20).for_each(|_| drop(Local.create("vol", &Options::default(), &dirs, &host).unwrap())));
        }
    });
    assert_eq!(Local.list(&dirs).unwrap().len(), 1);
}
