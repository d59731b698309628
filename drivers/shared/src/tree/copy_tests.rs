use super::*;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

fn two() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir(&from).unwrap();
    fs::create_dir(&to).unwrap();
    (dir, from, to)
}

fn set_time(path: &Path, seconds: i64, nanos: i64) {
    let time = TimeSpec::new(seconds, nanos);
    utimensat(nix::fcntl::AT_FDCWD, path, &time, &time, UtimensatFlags::NoFollowSymlink).unwrap();
}

#[test]
fn keeps_data_modes_times_and_links() {
    let (_dir, from, to) = two();
    fs::create_dir_all(from.join("d/e")).unwrap();
    (0..200).for_each(|i| fs::write(from.join(format!("d/f{i}")), format!("text {i}")).unwrap());
    fs::hard_link(from.join("d/f0"), from.join("d/e/again")).unwrap();
    symlink("../nowhere", from.join("d/link")).unwrap();
    fs::set_permissions(from.join("d/f1"), fs::Permissions::from_mode(0o4711)).unwrap();
    fs::set_permissions(from.join("d/e"), fs::Permissions::from_mode(0o1777)).unwrap();
    for path in ["d/f1", "d/link", "d/e", "d", ""] {
        set_time(&from.join(path), 1_000_000_000, 123_456_789);
    }
    let report = copy_tree(&from, &to, CopyMode::Copy).unwrap();
    assert_eq!(report.files, 200);
    for path in ["d/f1", "d/link", "d/e", "d", ""] {
        let meta = fs::symlink_metadata(to.join(path)).unwrap();
        assert_eq!((meta.mtime(), meta.mtime_nsec()), (1_000_000_000, 123_456_789), "{path}");
        assert_eq!(meta.mode(), fs::symlink_metadata(from.join(path)).unwrap().mode(), "{path}");
    }
    (0..200).for_each(|i| assert_eq!(fs::read_to_string(to.join(format!("d/f{i}"))).unwrap(), format!("text {i}")));
    assert_eq!(fs::metadata(to.join("d/f0")).unwrap().ino(), fs::metadata(to.join("d/e/again")).unwrap().ino());
    assert_eq!(fs::read_link(to.join("d/link")).unwrap(), Path::new("../nowhere"));
}

#[test]
fn keeps_holes() {
    let (_dir, from, to) = two();
    let file = fs::File::create(from.join("sparse")).unwrap();
    file.set_len(64 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"middle", 32 << 20).unwrap();
    fs::File::create(from.join("empty-but-long")).unwrap().set_len(1 << 20).unwrap();
    copy_tree(&from, &to, CopyMode::Copy).unwrap();
    let meta = fs::metadata(to.join("sparse")).unwrap();
    assert_eq!(meta.len(), 64 << 20);
    assert!(meta.blocks() * 512 < 1 << 20, "{} blocks", meta.blocks());
    assert_eq!(&fs::read(to.join("sparse")).unwrap()[32 << 20..][..6], b"middle");
    assert_eq!(fs::metadata(to.join("empty-but-long")).unwrap().len(), 1 << 20);
}

#[test]
fn keeps_attributes() {
    let (_dir, from, to) = two();
    fs::write(from.join("f"), "x").unwrap();
    let target = xattr::Target::path(&from.join("f"));
    if xattr::set(&target, c"user.color", b"red").is_err() {
        return eprintln!("skipped: no user attributes on this file system");
    }
    let long = vec![7; 1000];
    xattr::set(&target, c"user.long", &long).unwrap();
    copy_tree(&from, &to, CopyMode::Copy).unwrap();
    let copy = xattr::Target::path(&to.join("f"));
    assert_eq!(xattr::get(&copy, c"user.color").unwrap().as_deref(), Some(&b"red"[..]));
    assert_eq!(xattr::get(&copy, c"user.long").unwrap(), Some(long));
}

#[test]
fn keeps_what_needs_root() {
    if !nix::unistd::geteuid().is_root() {
        return eprintln!("skipped: needs root");
    }
    let (_dir, from, to) = two();
    let at = nix::fcntl::AT_FDCWD;
    mknodat(at, &from.join("null"), SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), libc::makedev(1, 3)).unwrap();
    mknodat(at, &from.join("pipe"), SFlag::S_IFIFO, Mode::from_bits_truncate(0o622), 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(from.join("socket")).unwrap();
    fs::write(from.join("su"), "x").unwrap();
    std::os::unix::fs::chown(from.join("su"), Some(12), Some(34)).unwrap();
    fs::set_permissions(from.join("su"), fs::Permissions::from_mode(0o6755)).unwrap();
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    xattr::set(&xattr::Target::path(&from.join("su")), c"security.capability", &capability).unwrap();
    symlink("x", from.join("link")).unwrap();
    std::os::unix::fs::lchown(from.join("link"), Some(5), Some(6)).unwrap();
    xattr::set(&xattr::Target::path(&from.join("link")), c"trusted.note", b"n").unwrap();
    copy_tree(&from, &to, CopyMode::Copy).unwrap();
    for name in ["null", "pipe", "socket", "su", "link"] {
        let (a, b) = (fs::symlink_metadata(from.join(name)).unwrap(), fs::symlink_metadata(to.join(name)).unwrap());
        assert_eq!((a.mode(), a.uid(), a.gid(), a.rdev()), (b.mode(), b.uid(), b.gid(), b.rdev()), "{name}");
    }
    let copied = xattr::get(&xattr::Target::path(&to.join("su")), c"security.capability").unwrap();
    assert_eq!(copied.as_deref(), Some(&capability[..]));
    assert!(xattr::get(&xattr::Target::path(&to.join("link")), c"trusted.note").unwrap().is_some());
}

#[test]
fn links_files_when_asked() {
    let (_dir, from, to) = two();
    fs::create_dir(from.join("d")).unwrap();
    fs::write(from.join("d/f"), "x").unwrap();
    let report = copy_tree(&from, &to, CopyMode::Link).unwrap();
    assert_eq!((report.files, report.copied_bytes), (1, 0));
    assert_eq!(fs::metadata(from.join("d/f")).unwrap().ino(), fs::metadata(to.join("d/f")).unwrap().ino());
}

#[test]
fn names_what_failed() {
    let (_dir, from, to) = two();
    fs::write(from.join("f"), "x").unwrap();
    fs::write(to.join("f"), "in the way").unwrap();
    let error = copy_tree(&from, &to, CopyMode::Copy).unwrap_err();
    assert_eq!(error.path, from.join("f"));
    assert_eq!(error.act, "copy");
}
