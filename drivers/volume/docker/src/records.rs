//! What the driver keeps: for each volume how it was made, and until the next boot whether the plugin was asked to mount it.

use crate::error::{Error, Result};
use crate::options::Choice;
use gantry_plugin_api::types::Dirs;
use serde::{Deserialize, Serialize};
use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// A volume's record.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    #[serde(flatten)]
    pub choice: Choice,
    /// Who mounts, to the plugin: this host, always the same.
    pub user: String,
    /// What the plugin said of itself: `local` or `global`.
    pub scope: String,
    /// Nanoseconds since 1970.
    pub created_ns: u64,
}

impl Record {
    /// Of a volume made now.
    pub fn new(choice: Choice) -> Record {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let word = |n: u8| format!("{:016x}", RandomState::new().hash_one((n, since)));
        Record {
            choice,
            user: (0..4).map(word).collect(),
            scope: String::new(),
            created_ns: u64::try_from(since.as_nanos()).unwrap_or(0),
        }
    }
}

/// The driver's directories.
pub struct Records<'a>(pub &'a Dirs);

impl Records<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.0.root.join(format!("{name}.json"))
    }

    fn mounted_path(&self, name: &str) -> PathBuf {
        self.0.state.join(format!("{name}.mounted"))
    }

    /// The record of a volume that exists.
    pub fn get(&self, name: &str) -> Result<Record> {
        self.find(name)?.ok_or_else(|| Error::Missing(name.to_owned()))
    }

    /// The record of a volume.
    pub fn find(&self, name: &str) -> Result<Option<Record>> {
        if name.contains('/') {
            return Ok(None);
        }
        let failed = |source| Error::Record { act: "read", name: name.to_owned(), source };
        match optional(fs::read(self.path(name))).map_err(failed)? {
            Some(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| failed(error.into())),
            None => Ok(None),
        }
    }

    /// Writes a record; whoever reads meanwhile sees the old one or the new one.
    pub fn put(&self, name: &str, record: &Record) -> Result<()> {
        let text = serde_json::to_vec(record).map_err(io::Error::from);
        text.and_then(|text| replace(&self.path(name), &text)).map_err(|source| Error::Record {
            act: "write",
            name: name.to_owned(),
            source,
        })
    }

    /// Forgets a volume.
    pub fn remove(&self, name: &str) -> Result<()> {
        self.forget_mounted(name);
        let removed = optional(fs::remove_file(self.path(name)));
        removed.map(drop).map_err(|source| Error::Record { act: "remove", name: name.to_owned(), source })
    }

    /// All volumes, by name.
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0.root).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".json")?.to_owned()));
        let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        names
    }

    /// Where the plugin said that a volume is mounted, since the boot.
    pub fn mounted(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.mounted_path(name)).ok()
    }

    /// Notes that the plugin was asked to mount a volume; before it is asked, with no place.
    pub fn note_mounted(&self, name: &str, mountpoint: &str) -> Result<()> {
        replace(&self.mounted_path(name), mountpoint.as_bytes()).map_err(|source| Error::Record {
            act: "write",
            name: name.to_owned(),
            source,
        })
    }

    /// Notes that it was asked to unmount it.
    pub fn forget_mounted(&self, name: &str) {
        let _ = fs::remove_file(self.mounted_path(name));
    }
}

fn optional<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(dir)?;
    let draft = dir.join(format!(".{}.{}", path.file_name().unwrap_or_default().to_string_lossy(), std::process::id()));
    fs::write(&draft, bytes)?;
    fs::rename(&draft, path)
}
