//! A storage driver for tests: one directory per layer, in either manner.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::apply::{LayerTarget, Whiteouts};
use crate::error::BoxError;
use crate::layers::LayerSink;

/// Layers as `<dir>/<id>`; committed ones have `<dir>/<id>.done` beside them.
#[derive(Debug)]
pub struct DirSink {
    pub dir: PathBuf,
    pub whiteouts: Whiteouts,
    /// Forget to clean up, as a killed process does.
    pub forgetful: bool,
}

impl DirSink {
    pub fn new(dir: &Path, whiteouts: Whiteouts) -> Self {
        fs::create_dir_all(dir).unwrap();
        Self { dir: dir.to_owned(), whiteouts, forgetful: false }
    }

    pub fn path(&self, layer: &str) -> PathBuf {
        self.dir.join(layer)
    }

    fn done(&self, layer: &str) -> PathBuf {
        self.dir.join(format!("{layer}.done"))
    }

    /// The ids of all layers, whole or not.
    pub fn layers(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        entries.filter(|name| !name.ends_with(".done")).collect()
    }

    pub fn remove(&self, layer: &str) -> Result<(), BoxError> {
        let _ = fs::remove_file(self.done(layer));
        match fs::remove_dir_all(self.path(layer)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => Ok(removed?),
        }
    }
}

impl LayerSink for DirSink {
    fn depends_on_parent(&self) -> bool {
        self.whiteouts == Whiteouts::Apply
    }

    fn begin(&self, layer: &str, parent: Option<&str>) -> Result<LayerTarget, BoxError> {
        let path = self.path(layer);
        match parent.filter(|_| self.depends_on_parent()) {
            None => fs::create_dir(&path)?,
            Some(parent) => {
                assert!(self.exists(parent), "the parent is committed first");
                let copied = Command::new("cp").arg("-a").arg(self.path(parent)).arg(&path).status()?;
                assert!(copied.success());
            }
        }
        Ok(LayerTarget { path, whiteouts: self.whiteouts })
    }

    fn commit(&self, layer: &str) -> Result<(), BoxError> {
        Ok(fs::write(self.done(layer), b"")?)
    }

    fn abort(&self, layer: &str) {
        if !self.forgetful {
            self.remove(layer).unwrap();
        }
    }

    fn exists(&self, layer: &str) -> bool {
        self.done(layer).exists() && self.path(layer).is_dir()
    }
}
