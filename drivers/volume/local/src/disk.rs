//! A volume that is limited where the host's file system keeps no project quotas: its data is a file system in a file.

use crate::error::Error;
use gantry_driver_shared::disk;
use gantry_driver_shared::tree::{CopyMode, TreeError, copy_tree};
use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

pub use gantry_driver_shared::disk::mount;

/// The directory beside a volume's data directory, and the file in it.
const FOLDER: &str = "_disk";
const FILE: &str = "ext4";

/// The file of a volume that has one.
pub fn find(volume: &Path) -> Option<PathBuf> {
    let path = volume.join(FOLDER).join(FILE);
    path.is_file().then_some(path)
}

/// Makes the file with an empty file system of so many bytes; it is on the disk when this returns.
pub fn make(volume: &Path, bytes: u64) -> Result<(), Error> {
    Ok(disk::make(&folder(volume)?.join(FILE), bytes, None)?)
}

/// Gives a new volume a copy of another one's file, which must not be mounted from the beginning to the end of it.
pub fn copy(from: &Path, to: &Path) -> Result<u64, Error> {
    let before = state(from)?;
    let report = copy_tree(&from.join(FOLDER), &folder(to)?, CopyMode::Copy)?;
    match before == state(from)? {
        true => Ok(report.copied_bytes),
        false => Err(Error::Mounted),
    }
}

fn folder(volume: &Path) -> Result<PathBuf, Error> {
    let folder = volume.join(FOLDER);
    let made = DirBuilder::new().mode(0o700).create(&folder);
    made.map_err(|e| TreeError::new("create", &folder, e))?;
    Ok(folder)
}

/// When the file was last changed; mounting changes it.
fn state(volume: &Path) -> Result<(i64, i64), Error> {
    let path = volume.join(FOLDER).join(FILE);
    if is_attached(&path) {
        return Err(Error::Mounted);
    }
    let meta = path.metadata().map_err(|e| TreeError::new("look at", &path, e))?;
    Ok((meta.mtime(), meta.mtime_nsec()))
}

/// True when a loop device shows the file.
fn is_attached(path: &Path) -> bool {
    let devices = std::fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let mut shown = devices.filter_map(|entry| std::fs::read_to_string(entry.path().join("loop/backing_file")).ok());
    shown.any(|shown| Path::new(shown.trim_end()) == path)
}
