//! An image without a registry: Debian's static busybox, its applets as links, a user and a page to serve.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const PASSWD: &str =
    "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\nweb:x:1000:1000::/home:/bin/sh\n";
const GROUP: &str = "root:x:0:\nnogroup:x:65534:\nweb:x:1000:\nextra:x:2000:web\n";

/// The tar file, made once per test program.
pub fn busybox_tar() -> &'static Path {
    static TAR: OnceLock<PathBuf> = OnceLock::new();
    TAR.get_or_init(|| {
        let path = crate::target_dir().join("blackbox-busybox.tar");
        // Other test programs may be reading the one that is there.
        let ours = path.with_extension(std::process::id().to_string());
        std::fs::write(&ours, busybox_layer()).expect("the target directory is writable");
        std::fs::rename(&ours, &path).expect("the target directory is writable");
        path
    })
}

/// Whether Debian's busybox-static is installed; says so when not.
pub fn have_busybox() -> bool {
    let there = busybox().is_some();
    if !there {
        eprintln!("skipped: needs busybox-static");
    }
    there
}

fn busybox() -> Option<&'static str> {
    ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).is_file())
}

fn busybox_layer() -> Vec<u8> {
    let program = busybox().expect("busybox-static is installed");
    let mut layer = Layer::default();
    for dir in ["bin", "etc", "home", "proc", "root", "sys", "dev", "usr", "var", "www"] {
        layer.dir(dir, 0o755);
    }
    layer.dir("tmp", 0o1777);
    layer.file("bin/busybox", 0o755, &std::fs::read(program).expect("busybox is readable"));
    let applets = Command::new(program).arg("--list").output().expect("busybox runs").stdout;
    let applets = String::from_utf8_lossy(&applets).into_owned();
    applets.lines().filter(|name| *name != "busybox").for_each(|name| layer.link(&format!("bin/{name}"), "busybox"));
    layer.file("etc/passwd", 0o644, PASSWD.as_bytes());
    layer.file("etc/group", 0o644, GROUP.as_bytes());
    layer.file("www/index.html", 0o644, b"Hello from a container\n");
    layer.finish()
}

/// A tar archive in the making, for honest and for hostile layers.
#[derive(Default)]
pub struct Layer {
    tar: Option<tar::Builder<Vec<u8>>>,
}

impl Layer {
    pub fn dir(&mut self, path: &str, mode: u32) {
        self.entry(path, tar::EntryType::Directory, mode, "", &[]);
    }

    pub fn file(&mut self, path: &str, mode: u32, data: &[u8]) {
        self.entry(path, tar::EntryType::Regular, mode, "", data);
    }

    pub fn link(&mut self, path: &str, target: &str) {
        self.entry(path, tar::EntryType::Symlink, 0o777, target, &[]);
    }

    pub fn hard_link(&mut self, path: &str, target: &str) {
        self.entry(path, tar::EntryType::Link, 0o644, target, &[]);
    }

    /// An entry whose names nobody checks.
    pub fn entry(&mut self, path: &str, kind: tar::EntryType, mode: u32, target: &str, data: &[u8]) {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(data.len() as u64);
        header.set_mtime(1_700_000_000);
        put(&mut header.as_old_mut().name, path);
        put(&mut header.as_old_mut().linkname, target);
        header.set_cksum();
        let tar = self.tar.get_or_insert_with(|| tar::Builder::new(Vec::new()));
        tar.append(&header, data).expect("memory takes everything");
    }

    pub fn finish(self) -> Vec<u8> {
        let tar = self.tar.unwrap_or_else(|| tar::Builder::new(Vec::new()));
        tar.into_inner().expect("memory takes everything")
    }
}

fn put(mut field: &mut [u8], text: &str) {
    field.write_all(text.as_bytes()).expect("names of at most 100 bytes");
}
