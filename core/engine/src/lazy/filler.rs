//! Processes that write files of layers: they open what others wait for, so no fetcher may ask who they are for long. Each
//! holds the lock of a file named by its number; only who can write into the engine's state can make one.

use crate::error::{Error, Result};
use std::fs::{self, DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// This process, as long as it lives.
pub(super) struct Filler {
    path: PathBuf,
    _lock: File,
}

impl Filler {
    pub(super) fn register(dir: &Path) -> Result<Filler> {
        let path = place(dir, std::process::id().cast_signed());
        let registered = || -> std::io::Result<File> {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
            // A predecessor of the same number is gone.
            let file = File::create(&path)?;
            file.lock()?;
            Ok(file)
        };
        let lock = registered().map_err(Error::io("note who brings the image's files"))?;
        Ok(Filler { path, _lock: lock })
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether a process is one.
pub(super) fn is_filler(dir: &Path, pid: i32) -> bool {
    let Ok(file) = File::open(place(dir, pid)) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

fn place(dir: &Path, pid: i32) -> PathBuf {
    dir.join(format!("{pid}.filler"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_living_are_fillers() {
        let dir = tempfile::tempdir().expect("a directory");
        let own = std::process::id().cast_signed();
        let filler = Filler::register(&dir.path().join("lazy")).expect("registered");
        assert!(is_filler(&dir.path().join("lazy"), own));
        assert!(!is_filler(&dir.path().join("lazy"), own + 1));
        drop(filler);
        assert!(!is_filler(&dir.path().join("lazy"), own));
        fs::write(place(dir.path(), own), b"").expect("left by a dead one");
        assert!(!is_filler(dir.path(), own));
    }
}
