//! Hard links across layers.

use super::*;

/// A layer with links to the one below, one of which takes the place of its file, and to what a higher one replaced.
fn linked() -> TestImage {
    let mut base = Tar::new();
    base.add(
        TarEntry::new(b'0', "etc/real").data(b"below").mode(0o4750).owner(12, 34).pax("SCHILY.xattr.user.k", b"v"),
    );
    base.symlink("etc/soft", "real").symlink("lib", "usr/lib").file("usr/lib/so", b"library").file("etc/gone", b"x");
    base.add(TarEntry::new(b'6', "pipe")).dir("etc/dir");
    let mut middle = Tar::new();
    middle.file("usr/lib/so", b"newer").file("etc/.wh.gone", b"");
    let mut top = Tar::new();
    top.file("etc/.wh.real", b"").hard_link("moved", "etc/real").hard_link("again", "/etc/real");
    top.hard_link("soft", "etc/soft").hard_link("so", "lib/so").hard_link("pipe2", "pipe");
    let layers = [base, middle, top].map(|tar| TestLayer::new(&tar.finish(), Packing::Gzip));
    TestImage::new(layers.to_vec(), &["linked:1"])
}

#[test]
fn hard_links_lead_to_lower_layers() {
    if !root() {
        return;
    }
    for whiteouts in [Whiteouts::OverlayTrusted, Whiteouts::OverlayUser] {
        let fixture = Fixture::new(whiteouts);
        fixture.load(&docker_archive(&[linked()])).unwrap();
        let top = fixture.layer_dir("linked:1", 2);
        let (moved, again) = (fs::metadata(top.join("moved")).unwrap(), fs::metadata(top.join("again")).unwrap());
        assert_eq!((moved.ino(), moved.nlink()), (again.ino(), 2), "one file under two names");
        assert_eq!((moved.mode() & 0o7777, moved.uid(), moved.gid()), (0o4750, 12, 34));
        assert_eq!(moved.mtime(), fs::metadata(fixture.layer_dir("linked:1", 0).join("etc/real")).unwrap().mtime());
        let mut value = [0; 4];
        let count = rustix::fs::getxattr(top.join("moved"), "user.k", &mut value[..]).unwrap();
        assert_eq!(&value[..count], b"v");
        assert_eq!(fs::read_to_string(top.join("moved")).unwrap(), "below");
        assert_eq!(fs::read_to_string(top.join("so")).unwrap(), "newer", "the nearest layer's, through a symlink");
        assert_eq!(fs::read_link(top.join("soft")).unwrap(), Path::new("real"));
        assert!(fs::symlink_metadata(top.join("pipe2")).unwrap().file_type().is_fifo());
    }
}

#[test]
fn hard_links_lead_to_layers_that_were_there_already() {
    if !root() {
        return;
    }
    let fixture = Fixture::overlay();
    let image = linked();
    fixture.load(&docker_archive(&[TestImage::new(image.layers[..2].to_vec(), &["base:1"])])).unwrap();
    fixture.load(&docker_archive(&[image])).unwrap();
    assert_eq!(fs::read_to_string(fixture.layer_dir("linked:1", 2).join("moved")).unwrap(), "below");
}

#[test]
fn hard_links_to_what_lower_layers_hide_are_refused() {
    if !root() {
        return;
    }
    for target in ["etc/gone", "etc/dir", "nowhere", "etc/real/x"] {
        let fixture = Fixture::overlay();
        let mut layers = linked().layers;
        layers[2] = TestLayer::new(&Tar::new().hard_link("x", target).finish(), Packing::Plain);
        let error = fixture.load(&docker_archive(&[TestImage::new(layers, &["bad:1"])])).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("not a file of this layer or one below"), "{target}: {cause}");
        assert_eq!(fixture.sink.layers(), Vec::<String>::new());
    }
}
