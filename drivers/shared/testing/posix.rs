//! What POSIX promises of files, on the mounted root of a container, for every storage driver; and what `changes` says
//! afterwards. Included by path beside `union`.

use crate::union::{case, set_attribute};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, Flock, FlockArg, OFlag, RenameFlags, open, renameat2};
use nix::sys::stat::{Mode, UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

fn text(root: &Path, name: &str) -> String {
    fs::read_to_string(root.join(name)).unwrap()
}

fn rename(root: &Path, from: &str, to: &str, flags: RenameFlags) -> Result<(), Errno> {
    renameat2(AT_FDCWD, &root.join(from), AT_FDCWD, &root.join(to), flags)
}

#[test]
fn a_file_without_a_name_may_get_one() {
    let act = |root: &Path| {
        let unnamed = || open(&root.join("dir"), OFlag::O_TMPFILE | OFlag::O_RDWR, Mode::from_bits_truncate(0o640));
        let Ok(mut file) = unnamed().map(File::from) else {
            // Overlay knows it since Linux 6.1.
            eprintln!("skipped: this kernel's overlay has no O_TMPFILE");
            return fs::write(root.join("dir/made"), "named").unwrap();
        };
        drop(unnamed());
        file.write_all(b"named").unwrap();
        let name = format!("/proc/self/fd/{}", file.as_raw_fd());
        let follow = nix::fcntl::AtFlags::AT_SYMLINK_FOLLOW;
        nix::unistd::linkat(AT_FDCWD, name.as_str(), AT_FDCWD, &root.join("dir/made"), follow).unwrap();
        assert_eq!(text(root, "dir/made"), "named");
    };
    case(act, &["C /dir", "A /dir/made"]);
}

#[test]
fn an_open_file_outlives_its_name() {
    let act = |root: &Path| {
        let mut file = OpenOptions::new().read(true).write(true).open(root.join("a")).unwrap();
        fs::remove_file(root.join("a")).unwrap();
        file.write_all(b"FI").unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        let mut all = String::new();
        file.read_to_string(&mut all).unwrap();
        assert_eq!((all.as_str(), file.metadata().unwrap().nlink()), ("FIrst", 0));
    };
    case(act, &["D /a"]);
}

#[test]
fn attributes_come_along_when_a_file_is_copied_up() {
    let act = |root: &Path| {
        use gantry_driver_shared::tree::xattr;
        let path = root.join("dir/f");
        set_attribute(&path, "trusted.note", b"first");
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"23").unwrap();
        assert_eq!(xattr::get(&xattr::Target::path(&path), c"trusted.note").unwrap().as_deref(), Some(&b"first"[..]));
        assert_eq!(text(root, "dir/f"), "123");
    };
    case(act, &["C /dir", "C /dir/f"]);
}

#[test]
fn two_files_change_places() {
    let act = |root: &Path| {
        rename(root, "a", "dir/f", RenameFlags::RENAME_EXCHANGE).unwrap();
        assert_eq!((text(root, "a"), text(root, "dir/f")), ("1".into(), "first".into()));
    };
    case(act, &["C /a", "C /dir", "C /dir/f"]);
}

#[test]
fn a_name_that_is_taken_is_not_replaced_unasked() {
    let act = |root: &Path| {
        assert_eq!(rename(root, "a", "dir/f", RenameFlags::RENAME_NOREPLACE), Err(Errno::EEXIST));
        // What the image deleted is free.
        rename(root, "a", "gone", RenameFlags::RENAME_NOREPLACE).unwrap();
        assert_eq!(text(root, "gone"), "first");
    };
    case(act, &["D /a", "A /gone"]);
}

#[test]
fn a_directory_that_holds_something_is_not_replaced() {
    let act = |root: &Path| {
        fs::create_dir(root.join("new")).unwrap();
        assert_eq!(rename(root, "new", "dir", RenameFlags::empty()), Err(Errno::ENOTEMPTY));
        assert_eq!(rename(root, "a", "empty", RenameFlags::empty()), Err(Errno::EISDIR));
        assert_eq!(rename(root, "new", "a", RenameFlags::empty()), Err(Errno::ENOTDIR));
        fs::remove_dir(root.join("dir")).unwrap_err();
        fs::remove_dir(root.join("new")).unwrap();
    };
    case(act, &[]);
}

#[test]
fn a_file_of_the_image_is_cut_and_stretched() {
    let act = |root: &Path| {
        let file = OpenOptions::new().write(true).open(root.join("a")).unwrap();
        file.set_len(2).unwrap();
        file.set_len(8).unwrap();
        assert_eq!(text(root, "a"), "fi\0\0\0\0\0\0");
    };
    case(act, &["C /a"]);
}

#[test]
fn what_is_appended_comes_after_what_was_there() {
    let act = |root: &Path| {
        let open = || OpenOptions::new().append(true).open(root.join("a")).unwrap();
        let (mut one, mut other) = (open(), open());
        one.write_all(b" second").unwrap();
        other.write_all(b" third").unwrap();
        assert_eq!(text(root, "a"), "first second third");
    };
    case(act, &["C /a"]);
}

#[test]
fn holes_stay_holes() {
    let act = |root: &Path| {
        let file = File::create(root.join("sparse")).unwrap();
        file.set_len(32 << 20).unwrap();
        file.write_all_at(b"end", 16 << 20).unwrap();
        let meta = file.metadata().unwrap();
        assert!(meta.len() == 32 << 20 && meta.blocks() * 512 < 4 << 20, "{} blocks", meta.blocks());
    };
    case(act, &["A /sparse"]);
}

#[test]
fn times_are_kept_to_the_nanosecond() {
    let act = |root: &Path| {
        let time = TimeSpec::new(1_234_567_890, 123_456_789);
        utimensat(AT_FDCWD, &root.join("a"), &time, &time, UtimensatFlags::NoFollowSymlink).unwrap();
        let meta = fs::metadata(root.join("a")).unwrap();
        assert_eq!((meta.mtime(), meta.mtime_nsec()), (1_234_567_890, 123_456_789));
        assert_eq!(text(root, "a"), "first");
    };
    case(act, &["C /a"]);
}

#[test]
fn a_link_of_the_image_leads_elsewhere() {
    let act = |root: &Path| {
        fs::remove_file(root.join("link")).unwrap();
        symlink("dir/f", root.join("link")).unwrap();
        assert_eq!(text(root, "link"), "1");
        fs::rename(root.join("link"), root.join("dir/l")).unwrap();
        fs::rename(root.join("dir/l"), root.join("link")).unwrap();
    };
    case(act, &["C /link"]);
}

#[test]
fn a_write_through_a_link_changes_what_it_leads_to() {
    let act = |root: &Path| fs::write(root.join("link"), "through").unwrap();
    case(act, &["C /a"]);
}

#[test]
fn sockets_are_bound_and_connected_to() {
    let act = |root: &Path| {
        let _listener = UnixListener::bind(root.join("dir/s")).unwrap();
        std::os::unix::net::UnixStream::connect(root.join("dir/s")).unwrap();
    };
    case(act, &["C /dir", "A /dir/s"]);
}

#[test]
fn locks_exclude_each_other() {
    let act = |root: &Path| {
        let open = || File::open(root.join("a")).unwrap();
        let lock = Flock::lock(open(), FlockArg::LockExclusiveNonblock).unwrap();
        assert!(matches!(Flock::lock(open(), FlockArg::LockSharedNonblock), Err((_, Errno::EWOULDBLOCK))));
        drop(lock);
        Flock::lock(open(), FlockArg::LockSharedNonblock).unwrap();
    };
    case(act, &[]);
}

#[test]
fn a_directory_shows_what_came_and_went() {
    let act = |root: &Path| {
        let count = || fs::read_dir(root.join("dir")).unwrap().count();
        (0..300).for_each(|n| fs::write(root.join(format!("dir/n{n}")), "").unwrap());
        assert_eq!(count(), 302);
        (0..300).for_each(|n| fs::remove_file(root.join(format!("dir/n{n}"))).unwrap());
        assert_eq!(count(), 2);
    };
    case(act, &[]);
}

#[test]
fn new_files_get_the_group_of_a_directory_that_says_so() {
    let act = |root: &Path| {
        chown(root.join("dir"), Some(0), Some(9)).unwrap();
        fs::set_permissions(root.join("dir"), fs::Permissions::from_mode(0o2775)).unwrap();
        fs::create_dir(root.join("dir/n")).unwrap();
        let meta = fs::metadata(root.join("dir/n")).unwrap();
        assert_eq!((meta.gid(), meta.mode() & 0o2000), (9, 0o2000));
    };
    case(act, &["C /dir", "A /dir/n"]);
}

#[test]
fn a_file_is_the_same_file_after_a_write() {
    let act = |root: &Path| {
        let before = fs::metadata(root.join("a")).unwrap().ino();
        fs::write(root.join("a"), "changed").unwrap();
        assert_eq!(before, fs::metadata(root.join("a")).unwrap().ino());
        fs::hard_link(root.join("a"), root.join("b")).unwrap();
        let (a, b) = (fs::metadata(root.join("a")).unwrap(), fs::metadata(root.join("b")).unwrap());
        assert_eq!((a.ino(), a.nlink()), (b.ino(), 2));
    };
    case(act, &["C /a", "A /b"]);
}

#[test]
fn names_have_their_length_and_no_more() {
    let act = |root: &Path| {
        let (longest, longer) = (root.join("n".repeat(255)), root.join("n".repeat(256)));
        fs::write(&longest, "x").unwrap();
        assert_eq!(fs::write(longer, "x").unwrap_err().raw_os_error(), Some(libc::ENAMETOOLONG));
        fs::remove_file(longest).unwrap();
    };
    case(act, &[]);
}

#[test]
fn a_copy_in_the_kernel_is_a_copy() {
    let act = |root: &Path| {
        assert_eq!(fs::copy(root.join("dir/sub/x"), root.join("copied")).unwrap(), 1);
        fs::write(root.join("copied"), "other").unwrap();
        assert_eq!((text(root, "dir/sub/x"), text(root, "copied")), ("3".into(), "other".into()));
    };
    case(act, &["A /copied"]);
}
