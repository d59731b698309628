//! Throwing directories away without waiting for the file system: a rename now, the deletion later and in bulk by a
//! process nobody waits for. (A file system mounted with `discard` may take milliseconds for each directory it frees.)

use crate::Engine;
use crate::error::{Error, Result};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Directories in the trash at which a collector is started.
const FULL: u64 = 200;

impl Engine {
    /// Throws a directory away; one that is not there is no error.
    pub(crate) fn throw_away(&self, dir: &Path) -> Result<()> {
        let trash = self.trash_of(dir);
        let name = dir.file_name().unwrap_or_default();
        let target = trash.join(name);
        match fs::rename(dir, &target) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !dir.exists() => Ok(()),
            Err(_) => {
                let renamed = gantry_store::atomic::make_dir(&trash).is_ok() && fs::rename(dir, &target).is_ok();
                if renamed { Ok(()) } else { remove(dir) }
            }
        }
    }

    fn trash_of(&self, dir: &Path) -> PathBuf {
        let base = if dir.starts_with(self.layout.state()) { self.layout.state() } else { self.layout.root() };
        base.join("trash")
    }

    /// Starts a collector when the trash is full; called after an act, never waited for.
    pub(crate) fn empty_trash_if_full(&self) {
        let full = |dir: PathBuf| fs::metadata(dir.join("trash")).is_ok_and(|m| m.nlink() > FULL);
        if full(self.layout.root().to_owned()) || full(self.layout.state().to_owned()) {
            let _ = self.spawn_detached("collect");
        }
    }

    /// Deletes what was thrown away, here and by the storage driver.
    pub fn internal_collect(&self) -> Result<()> {
        let lock = gantry_store::lock::try_exclusive(&self.layout.root().join("trash.lock"))?;
        if lock.is_none() {
            return Ok(());
        }
        for base in [self.layout.root(), self.layout.state()] {
            for entry in fs::read_dir(base.join("trash")).into_iter().flatten().flatten() {
                remove(&entry.path())?;
            }
        }
        Ok(self.storage()?.store.collect()?)
    }

    /// Executes an internal command of ours that outlives this process.
    pub(crate) fn spawn_detached(&self, act: &str) -> Result<()> {
        use std::os::unix::process::CommandExt;
        let mut words = self.own_command()?.into_iter();
        let program = words.next().unwrap_or_default();
        let mut command = Command::new(program);
        command.args(words).args(["internal", act]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        command.spawn().map(drop).map_err(Error::io("start the collector"))
    }
}

fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(format!("remove {}", dir.display()))(e)),
        _ => Ok(()),
    }
}
