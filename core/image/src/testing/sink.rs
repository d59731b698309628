//! A storage driver for tests: one directory per layer, in either manner.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::apply::{LayerTarget, Whiteouts};
use crate::error::BoxError;
use crate::layers::LayerSink;

/// Layers grow as `<dir>/<id>.new` and become `<dir>/<id>`; a real driver's directory, too, is gone once it is committed.
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

    fn growing(&self, layer: &str) -> PathBuf {
        self.dir.join(format!("{layer}.new"))
    }

    /// The ids of all layers, whole or not.
    pub fn layers(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        entries.map(|name| name.trim_end_matches(".new").to_owned()).collect()
    }

    pub fn remove(&self, layer: &str) -> Result<(), BoxError> {
        for path in [self.growing(layer), self.path(layer)] {
            match fs::remove_dir_all(path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                removed => removed?,
            }
        }
        Ok(())
    }
}

impl LayerSink for DirSink {
    fn depends_on_parent(&self) -> bool {
        self.whiteouts == Whiteouts::Apply
    }

    fn begin(&self, layer: &str, parent: Option<&str>) -> Result<LayerTarget, BoxError> {
        let path = self.growing(layer);
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
        match self.exists(layer) {
            true => Ok(()),
            false => Ok(fs::rename(self.growing(layer), self.path(layer))?),
        }
    }

    fn abort(&self, layer: &str) {
        if !self.forgetful {
            self.remove(layer).unwrap();
        }
    }

    fn exists(&self, layer: &str) -> bool {
        self.path(layer).is_dir()
    }

    fn dir(&self, layer: &str) -> Option<PathBuf> {
        self.exists(layer).then(|| self.path(layer))
    }

    fn list(&self) -> Vec<String> {
        self.layers()
    }
}
