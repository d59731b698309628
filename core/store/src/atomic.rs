//! Whole-file replacement: a reader sees the old record or the new one, never a piece.

use crate::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// How much a record must survive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// Whole at any moment, but a power cut may bring the older one back.
    Rename,
    /// On the disk when the call returns.
    Sync,
}

/// Replaces `path` by `bytes`, mode 0600.
pub fn write(path: &Path, bytes: &[u8], durability: Durability) -> Result<()> {
    let temp = temp_name(path);
    let written = write_new(&temp, bytes, durability).and_then(|()| rename(&temp, path));
    if written.is_err() {
        let _ = fs::remove_file(&temp);
    }
    written?;
    if durability == Durability::Sync { sync_parent(path) } else { Ok(()) }
}

/// Replaces `path` by the JSON of `value`.
pub fn write_json<T: Serialize>(path: &Path, value: &T, durability: Durability) -> Result<()> {
    let bytes = serde_json::to_vec(value).map_err(|source| Error::Decode { path: path.to_owned(), source })?;
    write(path, &bytes, durability)
}

/// Writes the JSON of `value` to a new file, without the detour of a rename: for what nobody looks at before a later
/// record names it.
pub fn create_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let bytes = serde_json::to_vec(value).map_err(|source| Error::Decode { path: path.to_owned(), source })?;
    write_new(path, &bytes, Durability::Rename)
}

/// Reads the JSON at `path`.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    serde_json::from_slice(&bytes).map_err(|source| Error::Decode { path: path.to_owned(), source })
}

/// Like [`read_json`], with `None` when there is no such file.
pub fn read_json_optional<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match read_json(path) {
        Ok(value) => Ok(Some(value)),
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes the entry of `path` in its directory durable.
pub fn sync_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(Error::io("sync", parent))
}

/// Makes a directory and its parents, 0711 so that drivers' data may be reached by ids inside containers.
pub fn make_dir(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o711).create(path).map_err(Error::io("create directory", path))
}

fn temp_name(path: &Path) -> PathBuf {
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}-{count}.tmp", std::process::id()));
    PathBuf::from(name)
}

fn write_new(temp: &Path, bytes: &[u8], durability: Durability) -> Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(temp)
        .map_err(Error::io("create", temp))?;
    file.write_all(bytes).map_err(Error::io("write", temp))?;
    if durability == Durability::Sync {
        file.sync_data().map_err(Error::io("sync", temp))?;
    }
    Ok(())
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(Error::io("replace", to))
}
