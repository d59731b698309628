//! Builds the example plugins once, outside the workspace as a stranger would, and lays them into plugin directories.
#![allow(dead_code, clippy::unwrap_used)]

use gantry_host::{Kind, Plugins, Search};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;
use tempfile::TempDir;

fn build(example: &str, library: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("examples");
    let manifest =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/examples").join(example).join("Cargo.toml");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--manifest-path"]).arg(manifest).arg("--target-dir").arg(&target);
    assert!(command.status().unwrap().success(), "cannot build the example {example}");
    target.join("debug").join(library)
}

pub fn misbehaving() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| build("misbehaving", "libgantry_misbehaving.so"))
}

pub fn hello() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| build("hello-log", "libgantry_log_hello.so"))
}

/// A plugin directory of its own.
pub struct Shelf {
    pub temp: TempDir,
}

impl Shelf {
    pub fn new() -> Self {
        let temp = TempDir::new().unwrap();
        for kind in Kind::all() {
            fs::create_dir_all(temp.path().join("plugins").join(kind.name())).unwrap();
        }
        Shelf { temp }
    }

    /// With the misbehaving plugin as a driver of every kind.
    pub fn misbehaving() -> Self {
        let shelf = Shelf::new();
        let first = shelf.put(Kind::Log, "misbehaving", misbehaving());
        for kind in [Kind::Storage, Kind::Network, Kind::Volume] {
            fs::hard_link(&first, shelf.path(kind, "misbehaving")).unwrap();
        }
        shelf
    }

    pub fn dir(&self) -> PathBuf {
        self.temp.path().join("plugins")
    }

    pub fn path(&self, kind: Kind, name: &str) -> PathBuf {
        self.dir().join(kind.name()).join(format!("{name}.so"))
    }

    pub fn put(&self, kind: Kind, name: &str, from: &Path) -> PathBuf {
        let path = self.path(kind, name);
        fs::copy(from, &path).unwrap();
        path
    }

    pub fn put_bytes(&self, kind: Kind, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(kind, name);
        fs::write(&path, bytes).unwrap();
        path
    }

    pub fn search(&self) -> Search {
        Search { flag_dirs: vec![self.dir()], deadline: Duration::from_secs(20), ..Search::default() }
    }

    pub fn plugins(&self) -> Plugins {
        Plugins::new(self.search())
    }
}

/// Replaces every occurrence.
pub fn patched(file: &Path, from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = fs::read(file).unwrap();
    let mut found = 0;
    let mut at = 0;
    while at + from.len() <= bytes.len() {
        if bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
            found += 1;
        }
        at += 1;
    }
    assert!(found > 0, "the bytes to replace are not in the file");
    bytes
}
