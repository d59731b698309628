//! Fidelity, whiteouts in every mode, and archives that mean harm.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

use super::*;
use crate::testing::{Tar, TarEntry};

struct Case {
    dir: tempfile::TempDir,
    target: LayerTarget,
    limits: Limits,
}

impl Case {
    fn new(whiteouts: Whiteouts) -> Self {
        Self::in_dir(tempfile::tempdir().unwrap(), whiteouts)
    }

    /// In memory, for many entries.
    fn in_memory(whiteouts: Whiteouts) -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self::in_dir(dir.unwrap(), whiteouts)
    }

    fn in_dir(dir: tempfile::TempDir, whiteouts: Whiteouts) -> Self {
        let path = dir.path().join("layer");
        fs::create_dir(&path).unwrap();
        fs::write(dir.path().join("secret"), "secret").unwrap();
        Self { dir, target: LayerTarget { path, whiteouts }, limits: Limits::default() }
    }

    fn apply(&self, tar: &Tar) -> Result<Applied, ApplyError> {
        self.apply_bytes(&tar.finish())
    }

    fn apply_bytes(&self, bytes: &[u8]) -> Result<Applied, ApplyError> {
        let unpacked = crate::pipeline::unpack(bytes, None, &self.target, &self.limits)?;
        assert_eq!(unpacked.diff.0, crate::hash::sha256(bytes), "the whole stream is hashed");
        Ok(unpacked.applied)
    }

    fn refused(&self, tar: &Tar) -> String {
        let error = self.apply(tar).expect_err("must be refused");
        assert_eq!(fs::read_to_string(self.dir.path().join("secret")).unwrap(), "secret");
        assert_eq!(fs::read_dir(self.dir.path()).unwrap().count(), 2, "nothing appears outside the layer");
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        format!("{error}{cause}")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.target.path.join(name)
    }

    fn stat(&self, name: &str) -> fs::Metadata {
        fs::symlink_metadata(self.path(name)).unwrap()
    }

    fn exists(&self, name: &str) -> bool {
        fs::symlink_metadata(self.path(name)).is_ok()
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn is_whiteout(&self, name: &str) -> bool {
        let stat = self.stat(name);
        stat.file_type().is_char_device() && stat.rdev() == 0
    }

    fn is_opaque(&self, name: &str) -> bool {
        let attribute = match self.target.whiteouts {
            Whiteouts::OverlayUser => "user.overlay.opaque",
            _ => "trusted.overlay.opaque",
        };
        self.xattr(name, attribute).as_deref() == Some(b"y")
    }

    fn xattr(&self, name: &str, attribute: &str) -> Option<Vec<u8>> {
        let mut value = vec![0; 256];
        let count = rustix::fs::lgetxattr(self.path(name), attribute, &mut value).ok()?;
        value.truncate(count);
        Some(value)
    }
}

fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}

#[test]
fn every_kind_with_its_metadata() {
    if !root() {
        return;
    }
    let case = Case::new(Whiteouts::OverlayTrusted);
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut tar = Tar::new();
    tar.add(TarEntry::new(b'5', "./").mode(0o1777).owner(3, 4).pax("mtime", b"55.000000001"))
        .add(TarEntry::new(b'5', "d/").mode(0o2750).owner(1, 2).pax("mtime", b"1234567890.123456789"))
        .add(TarEntry::new(b'0', "d/suid").mode(0o4755).owner(7, 8).data(b"hello").pax("mtime", b"99.5"))
        .hard_link("d/link", "d/suid")
        .hard_link("d/absolute-link", "/d/suid")
        .add(TarEntry::new(b'2', "d/sym").link("/etc/passwd").mode(0o777).owner(5, 6).pax("mtime", b"77.25"))
        .add(TarEntry::new(b'6', "d/fifo").mode(0o620).owner(9, 10))
        .add(TarEntry::new(b'3', "d/null").mode(0o666).device(1, 3))
        .add(TarEntry::new(b'4', "d/disk").mode(0o600).device(8, 1))
        .add(
            TarEntry::new(b'0', "d/cap").mode(0o755).owner(11, 12).pax("SCHILY.xattr.security.capability", &capability),
        )
        .add(TarEntry::new(b'0', "d/attr").pax("SCHILY.xattr.user.note", b"v\0=x\n").data(b"x"))
        .add(TarEntry::new(b'g', "global").data(b"").pax("path", b"ignored"));
    // A global header changes nothing: here it carries the name of the next entry, and must not rename it.
    let mut global = Tar::new();
    global.add(TarEntry::new(b'g', "g").data(b"16 path=renamed\n")).file("kept", b"k");
    tar = tar_without_last(&tar, &global);
    let applied = case.apply(&tar).unwrap();
    assert_eq!(applied.size, 5 + 1 + 1);
    assert_eq!((case.stat("").mode() & 0o7777, case.stat("").uid(), case.stat("").gid()), (0o1777, 3, 4));
    assert_eq!((case.stat("").mtime(), case.stat("").mtime_nsec()), (55, 1));
    let dir = case.stat("d");
    assert_eq!((dir.mode() & 0o7777, dir.uid(), dir.gid()), (0o2750, 1, 2));
    assert_eq!((dir.mtime(), dir.mtime_nsec()), (1_234_567_890, 123_456_789), "set after the directory was filled");
    let suid = case.stat("d/suid");
    assert_eq!((suid.mode() & 0o7777, suid.uid(), suid.gid(), suid.nlink()), (0o4755, 7, 8, 3));
    assert_eq!((suid.mtime(), suid.mtime_nsec()), (99, 500_000_000));
    assert_eq!(case.stat("d/link").ino(), suid.ino());
    let sym = case.stat("d/sym");
    assert_eq!(fs::read_link(case.path("d/sym")).unwrap(), Path::new("/etc/passwd"), "stored as it is");
    assert_eq!((sym.uid(), sym.gid(), sym.mtime(), sym.mtime_nsec()), (5, 6, 77, 250_000_000));
    let fifo = case.stat("d/fifo");
    assert!(fifo.file_type().is_fifo() && fifo.mode() & 0o777 == 0o620 && fifo.uid() == 9);
    assert_eq!(case.stat("d/null").rdev(), rustix::fs::makedev(1, 3));
    assert!(case.stat("d/disk").file_type().is_block_device());
    assert_eq!(case.xattr("d/cap", "security.capability").as_deref(), Some(&capability[..]));
    assert_eq!(case.xattr("d/attr", "user.note").as_deref(), Some(&b"v\0=x\n"[..]));
    assert!(case.exists("kept") && !case.exists("renamed"));
}

/// The first tar without its last two blocks' entry, followed by the second.
fn tar_without_last(first: &Tar, second: &Tar) -> Tar {
    let bytes = first.finish();
    let mut joined = Tar::new();
    // The global entry made above is a pax header (two blocks) and its own header: three blocks and the end.
    joined.raw(&bytes[..bytes.len() - 1024 - 3 * 512]).raw(second.finish().strip_suffix(&[0; 1024]).unwrap());
    joined
}

#[test]
fn parents_replacements_and_long_names() {
    let case = Case::new(Whiteouts::OverlayTrusted);
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(200));
    // The field in the header ends at a slash here, and the file is no directory for that.
    let cut = format!("{}/{}", "c".repeat(99), "f".repeat(20));
    let mut tar = Tar::new();
    tar.file("a/b/c", b"deep")
        .file(&cut, b"whole")
        .file("/absolute", b"x")
        .file("x", b"one")
        .file("x", b"two")
        .dir("y")
        .file("y/inside", b"")
        .file("y", b"now a file")
        .file("z", b"file")
        .dir("z")
        .file("z/inside", b"dir")
        .symlink("s", "target")
        .file("s", b"not through the link")
        .file(&long, b"long")
        .symlink("long-link", &"t".repeat(300));
    if !root() {
        return;
    }
    case.apply(&tar).unwrap();
    assert_eq!(case.stat("a").mode() & 0o7777, 0o755);
    assert_eq!((case.text("a/b/c"), case.text("absolute"), case.text("x")), ("deep".into(), "x".into(), "two".into()));
    assert_eq!((case.text("y"), case.text("z/inside")), ("now a file".into(), "dir".into()));
    assert_eq!(case.text("s"), "not through the link");
    assert!(!case.exists("target"));
    assert_eq!((case.text(&long), case.text(&cut)), ("long".into(), "whole".into()));
    assert_eq!(fs::read_link(case.path("long-link")).unwrap().as_os_str().len(), 300);
}

#[test]
fn an_archive_may_end_with_its_last_byte() {
    let case = Case::new(Whiteouts::OverlayTrusted);
    let mut tar = Tar::new();
    tar.file("a", b"padded").file("b", b"not padded");
    if !root() {
        return;
    }
    let bytes = tar.finish();
    case.apply_bytes(&bytes[..3 * 512 + 10]).unwrap();
    assert_eq!((case.text("a"), case.text("b")), ("padded".into(), "not padded".into()));
    let cut = case.apply_bytes(&bytes[..3 * 512 + 9]).expect_err("a byte is missing");
    assert!(cut.to_string().contains("truncated"), "{cut}");
}

#[test]
fn symlinked_directories_stay_inside() {
    if !root() {
        return;
    }
    let case = Case::new(Whiteouts::OverlayTrusted);
    let mut tar = Tar::new();
    tar.dir("usr/lib").symlink("lib", "usr/lib").file("lib/x", b"x").symlink("up", "../../usr").file("up/y", b"y");
    tar.symlink("abs", "/usr/lib").file("abs/z", b"z").hard_link("hard", "abs/z");
    case.apply(&tar).unwrap();
    assert_eq!(
        (case.text("usr/lib/x"), case.text("usr/y"), case.text("usr/lib/z")),
        ("x".into(), "y".into(), "z".into())
    );
    assert_eq!(case.stat("hard").nlink(), 2);
}

#[test]
fn sparse_files_keep_their_holes() {
    if !root() {
        return;
    }
    let case = Case::new(Whiteouts::OverlayTrusted);
    let map = format!("2\n0\n4\n{}\n4\n", 4 << 20);
    let mut stored = map.into_bytes();
    stored.resize(512, 0);
    stored.extend_from_slice(b"headtail");
    let mut tar = Tar::new();
    tar.add(
        TarEntry::new(b'0', "GNUSparseFile.0/one")
            .pax("GNU.sparse.major", b"1")
            .pax("GNU.sparse.minor", b"0")
            .pax("GNU.sparse.name", b"one")
            .pax("GNU.sparse.realsize", b"8388608")
            .data(&stored),
    );
    tar.add(
        TarEntry::new(b'0', "ignored")
            .pax("GNU.sparse.size", b"1048576")
            .pax("GNU.sparse.name", b"two")
            .pax("GNU.sparse.map", b"1048570,6")
            .data(b"ending"),
    );
    tar.raw(&old_gnu_sparse()).file("after", b"after");
    case.apply(&tar).unwrap();
    for (name, size, end) in [("one", 8 << 20, None), ("two", 1 << 20, Some("ending")), ("three", 1 << 20, Some("3"))] {
        let bytes = fs::read(case.path(name)).unwrap();
        assert_eq!(bytes.len(), size, "{name}");
        assert!(end.is_none_or(|end| bytes.ends_with(end.as_bytes())), "{name}");
        assert!(case.stat(name).blocks() * 512 < 64 << 10, "{name} has holes");
    }
    let one = fs::read(case.path("one")).unwrap();
    assert_eq!((&one[..4], &one[4 << 20..(4 << 20) + 4]), (&b"head"[..], &b"tail"[..]));
    assert_eq!(case.text("after"), "after");
}

/// An entry of GNU's old sparse type whose last byte is `3`, with one continuation block.
fn old_gnu_sparse() -> Vec<u8> {
    let field = |value: u64| format!("{value:011o}\0").into_bytes();
    let mut block = crate::testing::tarball::header(b'S', b"three", &TarEntry::new(b'S', "three"), 5);
    block[257..265].copy_from_slice(b"ustar  \0");
    for (index, offset) in [0u64, 4096, 8192, 12288].into_iter().enumerate() {
        let at = 386 + index * 24;
        block[at..at + 12].copy_from_slice(&field(offset));
        block[at + 12..at + 24].copy_from_slice(&field(1));
    }
    block[482] = 1;
    block[483..495].copy_from_slice(&field(1 << 20));
    crate::testing::tarball::seal(&mut block);
    let mut more = [0; 512];
    more[..12].copy_from_slice(&field((1 << 20) - 1));
    more[12..24].copy_from_slice(&field(1));
    let mut data = b"abcd3".to_vec();
    data.resize(512, 0);
    [&block[..], &more, &data].concat()
}

#[test]
fn overlay_whiteouts() {
    if !root() {
        return;
    }
    for whiteouts in [Whiteouts::OverlayTrusted, Whiteouts::OverlayUser] {
        let case = Case::new(whiteouts);
        let mut tar = Tar::new();
        tar.file("d/.wh.gone", b"")
            .file("own", b"mine")
            .file(".wh.own", b"")
            .dir("opq")
            .file("opq/early", b"")
            .file("opq/.wh..wh..opq", b"")
            .file("opq/late", b"")
            .file(".wh.back", b"")
            .dir("back")
            .file("back/x", b"")
            .file(".wh.implicit", b"")
            .file("implicit/x", b"")
            .dir("dir-first")
            .file(".wh.dir-first", b"")
            .file(".wh.again", b"")
            .file("again", b"again")
            .file(".wh..wh.aufs", b"ignored")
            .file(".wh.linked", b"");
        case.apply(&tar).unwrap();
        assert!(case.is_whiteout("d/gone"));
        assert_eq!(case.text("own"), "mine", "a layer's own entries survive");
        assert!(case.is_opaque("opq") && case.exists("opq/early") && case.exists("opq/late"));
        assert!(case.is_opaque("back"), "a directory that replaces a hidden one hides its content");
        assert!(case.is_opaque("implicit") && case.is_opaque("dir-first"));
        assert_eq!(case.text("again"), "again");
        assert!(case.is_whiteout("linked"));
        assert!(!case.exists(".wh..wh.aufs") && !case.is_opaque("d"));
    }
}

#[test]
fn whiteouts_delete_where_the_tree_holds_the_parent() {
    if !root() {
        return;
    }
    let case = Case::new(Whiteouts::Apply);
    let mut lower = Tar::new();
    lower.file("gone", b"1").file("tree/a/b", b"2").file("opq/old", b"3").file("opq/sub/old", b"4").file("own", b"5");
    lower.file("mixed/old", b"6").file("over", b"lower").hard_link("other-name", "over");
    case.apply(&lower).unwrap();
    let mut upper = Tar::new();
    upper
        .file(".wh.gone", b"")
        .file(".wh.tree", b"")
        .file(".wh.missing", b"")
        .file("opq/sub/new", b"n")
        .file("opq/.wh..wh..opq", b"")
        .file("own", b"mine")
        .file(".wh.own", b"")
        .file("mixed/new", b"n")
        .file(".wh.mixed", b"")
        .file("over", b"upper");
    case.apply(&upper).unwrap();
    assert!(!case.exists("gone") && !case.exists("tree") && !case.exists("missing"));
    assert!(!case.exists("opq/old") && !case.exists("opq/sub/old") && case.exists("opq/sub/new"));
    assert_eq!(case.text("own"), "mine");
    assert!(case.exists("mixed/new") && !case.exists("mixed/old"));
    assert_eq!((case.text("over"), case.text("other-name")), ("upper".into(), "lower".into()));
}

#[test]
fn a_directory_over_a_directory_merges() {
    if !root() {
        return;
    }
    let case = Case::new(Whiteouts::Apply);
    let mut lower = Tar::new();
    lower.add(TarEntry::new(b'5', "d").pax("SCHILY.xattr.user.old", b"1")).file("d/kept", b"k");
    case.apply(&lower).unwrap();
    let mut upper = Tar::new();
    upper.add(TarEntry::new(b'5', "d").mode(0o700).owner(5, 5).pax("SCHILY.xattr.user.new", b"2"));
    case.apply(&upper).unwrap();
    assert_eq!((case.stat("d").mode() & 0o7777, case.stat("d").uid()), (0o700, 5));
    assert!(case.exists("d/kept"));
    assert_eq!((case.xattr("d", "user.old"), case.xattr("d", "user.new")), (None, Some(b"2".to_vec())));
}

#[test]
fn overlay_attributes_of_strangers_are_dropped() {
    if !root() {
        return;
    }
    let case = Case::new(Whiteouts::OverlayTrusted);
    let mut tar = Tar::new();
    let evil = TarEntry::new(b'5', "d").pax("SCHILY.xattr.trusted.overlay.redirect", b"/etc");
    tar.add(evil.pax("SCHILY.xattr.trusted.overlay.opaque", b"y").pax("SCHILY.xattr.user.overlay.opaque", b"y"));
    tar.add(TarEntry::new(b'3', "zero").device(0, 0));
    let applied = case.apply(&tar).unwrap();
    assert!(case.xattr("d", "trusted.overlay.redirect").is_none() && !case.is_opaque("d"));
    assert!(!case.exists("zero") && applied.warnings.len() == 1);
}

#[test]
fn times_out_of_range_become_the_epoch() {
    if !root() {
        return;
    }
    let case = Case::new(Whiteouts::OverlayTrusted);
    let mut tar = Tar::new();
    tar.add(TarEntry::new(b'0', "old").pax("mtime", b"-5.5"));
    tar.add(TarEntry::new(b'0', "far").pax("mtime", b"9223372036854775807"));
    case.apply(&tar).unwrap();
    assert_eq!((case.stat("old").mtime(), case.stat("far").mtime()), (0, 0));
}

#[test]
fn hostile_paths_are_refused() {
    if !root() {
        return;
    }
    type Write = fn(&mut Tar) -> &mut Tar;
    let cases: [(&str, Write, &str); 16] = [
        ("parent", |tar| tar.file("../secret", b"x"), "leads out of the layer"),
        ("deep parent", |tar| tar.file("a/../../secret", b"x"), "leads out of the layer"),
        ("root as a file", |tar| tar.file(".", b"x"), "leads out of the layer"),
        ("link target", |tar| tar.hard_link("x", "../secret"), "leads out of the layer"),
        (
            "link by symlink",
            |tar| tar.symlink("s", "../..").hard_link("x", "s/secret"),
            "not a file of this layer or one below",
        ),
        ("link to a directory", |tar| tar.dir("d").hard_link("x", "d"), "not a file of this layer or one below"),
        ("link to nothing", |tar| tar.hard_link("x", "nothing"), "not a file of this layer or one below"),
        ("link to itself", |tar| tar.file("x", b"").hard_link("x", "x"), "not a file of this layer or one below"),
        (
            "link to a whiteout",
            |tar| tar.file(".wh.w", b"").hard_link("x", "w"),
            "not a file of this layer or one below",
        ),
        ("empty whiteout", |tar| tar.file("d/.wh.", b""), "not a valid whiteout"),
        ("whiteout of .", |tar| tar.file("d/.wh..", b""), "not a valid whiteout"),
        ("whiteout of ..", |tar| tar.file("d/.wh...", b""), "not a valid whiteout"),
        ("below a whiteout", |tar| tar.file(".wh.d/x", b""), "not a valid whiteout"),
        ("file as directory", |tar| tar.file("f", b"").file("f/x", b""), "cannot create the directory"),
        ("dangling directory", |tar| tar.symlink("s", "/none").file("s/x", b""), "cannot create the directory"),
        ("unknown type", |tar| tar.add(TarEntry::new(b'Z', "x")), "unknown type"),
    ];
    for (name, write, wanted) in cases {
        for whiteouts in [Whiteouts::OverlayTrusted, Whiteouts::Apply] {
            let mut tar = Tar::new();
            write(&mut tar);
            if name == "link to a whiteout" && whiteouts == Whiteouts::Apply {
                continue;
            }
            let error = Case::new(whiteouts).refused(&tar);
            assert!(error.contains(wanted), "{name}: {error}");
        }
    }
}

#[test]
fn writing_through_symlinks_ends_inside() {
    if !root() {
        return;
    }
    let case = Case::new(Whiteouts::OverlayTrusted);
    let outside = case.dir.path().to_str().unwrap().to_owned();
    let mut tar = Tar::new();
    tar.symlink("out", &outside).file("out/secret", b"stolen");
    assert!(case.refused(&tar).contains("cannot create the directory"));
    let mut tar = Tar::new();
    tar.symlink("up", "../../../../../..").file("up/secret", b"kept inside");
    case.apply(&tar).unwrap();
    assert_eq!(case.text("secret"), "kept inside");
    assert_eq!(fs::read_to_string(case.dir.path().join("secret")).unwrap(), "secret");
}

#[test]
fn symlink_chains_end() {
    if !root() {
        return;
    }
    let case = Case::in_memory(Whiteouts::OverlayTrusted);
    let mut tar = Tar::new();
    tar.dir("end");
    for index in 0..100_000u32 {
        let target = if index == 0 { "end".to_owned() } else { format!("l{}", index - 1) };
        tar.symlink(&format!("l{index}"), &target);
    }
    tar.file("l99999/x", b"x");
    assert!(case.refused(&tar).contains("Too many levels of symbolic links"));
    let mut ring = Tar::new();
    ring.symlink("a", "b").symlink("b", "a").file("a/x", b"");
    assert!(Case::new(Whiteouts::Apply).refused(&ring).contains("Too many levels"));
}

#[test]
fn depth_cannot_be_built_up_through_symlinks() {
    if !root() {
        return;
    }
    let mut case = Case::new(Whiteouts::OverlayTrusted);
    case.limits.depth = 10;
    let mut tar = Tar::new();
    tar.dir("a/a/a/a/a/a").symlink("s", "a/a/a/a/a/a").dir("s/b/b/b/b/b/b");
    assert!(case.refused(&tar).contains("exceeds the limit of 10"));
}

#[test]
fn limits_are_kept() {
    if !root() {
        return;
    }
    let mut case = Case::new(Whiteouts::OverlayTrusted);
    case.limits = Limits { entries: 3, path_bytes: 300, layer_bytes: 1 << 20, header_bytes: 2000, ..case.limits };
    let mut many = Tar::new();
    many.file("1", b"").file("2", b"").file("3", b"").file("4", b"");
    assert!(case.refused(&many).contains("number of entries exceeds the limit of 3"));
    let mut long = Tar::new();
    long.file(&"x/".repeat(200), b"");
    assert!(case.refused(&long).contains("length of a path"));
    let mut big = Tar::new();
    big.file("big", &vec![7; 2 << 20]);
    assert!(case.refused(&big).contains("uncompressed size exceeds the limit of 1048576"));
    let mut header = Tar::new();
    header.add(TarEntry::new(b'0', "x").pax("comment", &[b'c'; 5000]));
    assert!(case.refused(&header).contains("extended archive header exceeds"));
    let mut huge = Tar::new();
    huge.raw(&crate::testing::tarball::header(b'0', b"huge", &TarEntry::new(b'0', "huge"), 0o77_777_777_777));
    assert!(case.refused(&huge).contains("truncated"));
}

#[test]
fn bombs_are_refused() {
    if !root() {
        return;
    }
    for packing in [crate::testing::Packing::Gzip, crate::testing::Packing::Zstd] {
        let mut case = Case::new(Whiteouts::OverlayTrusted);
        case.limits = Limits { ratio: 100, ratio_floor: 1 << 20, ..case.limits };
        let mut tar = Tar::new();
        tar.file("zeros", &vec![0; 8 << 20]);
        let bytes = crate::testing::pack(&tar.finish(), packing);
        let error = crate::pipeline::unpack(&bytes[..], None, &case.target, &case.limits).err().unwrap();
        assert!(error.to_string().contains("compression ratio exceeds the limit of 100"), "{error}");
    }
}

#[test]
fn damaged_streams_are_refused() {
    let case = Case::new(Whiteouts::OverlayTrusted);
    let mut tar = Tar::new();
    tar.file("x", &[1; 5000]);
    let plain = tar.finish();
    let mut wrong_sum = plain.clone();
    wrong_sum[0] ^= 1;
    let gzip = crate::testing::pack(&plain, crate::testing::Packing::Gzip);
    let zstd = crate::testing::pack(&plain, crate::testing::Packing::Zstd);
    let mut flipped = gzip.clone();
    let end = flipped.len() - 6;
    flipped[end] ^= 0xff;
    let cases = [
        &plain[..3000],
        &plain[..700],
        &plain[..100],
        &wrong_sum,
        &gzip[..gzip.len() - 1],
        &gzip[..20],
        &flipped,
        &zstd[..zstd.len() - 1],
        &[&gzip[..], b"garbage"].concat(),
        b"BZh91AY",
        b"\xfd7zXZ\0....",
    ];
    for (index, bytes) in cases.iter().enumerate() {
        let result = crate::pipeline::unpack(*bytes, None, &case.target, &case.limits);
        assert!(result.is_err(), "case {index}");
    }
}

#[test]
fn many_members_and_trailing_zeros_are_read() {
    if !root() {
        return;
    }
    let case = Case::new(Whiteouts::OverlayTrusted);
    let mut tar = Tar::new();
    tar.file("x", &[1; 5000]);
    let plain = [&tar.finish()[..], &[0; 9000]].concat();
    let half = plain.len() / 2;
    let pack = |bytes: &[u8]| crate::testing::pack(bytes, crate::testing::Packing::Gzip);
    let gzip = [pack(&plain[..half]), pack(&plain[half..])].concat();
    let unpacked = crate::pipeline::unpack(&gzip[..], None, &case.target, &case.limits).unwrap();
    assert_eq!(unpacked.diff.0, crate::hash::sha256(&plain));
    assert_eq!(case.stat("x").permissions().mode() & 0o777, 0o644);
}
