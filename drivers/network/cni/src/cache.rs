//! Notes of what was added, one file an endpoint, from before the first plugin runs until the last has taken it back. They
//! die with the boot, as what they tell of does.

use crate::chain::Connection;
use crate::error::{Error, Result};
use crate::ways::Way;
use gantry_plugin_api::types::Dirs;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What was added for an endpoint.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Note {
    pub connection: Connection,
    /// The default routes that the plugins set.
    pub ways: Vec<Way>,
    /// The container's namespace, by its number.
    pub netns: u64,
}

/// The notes of one network.
pub struct Cache {
    dir: PathBuf,
}

impl Cache {
    /// Of a network.
    pub fn new(dirs: &Dirs, network_id: &str) -> Cache {
        Cache { dir: dirs.state.join("connections").join(network_id) }
    }

    fn path(&self, endpoint: &str) -> PathBuf {
        self.dir.join(format!("{endpoint}.json"))
    }

    /// The note of an endpoint.
    pub fn get(&self, endpoint: &str) -> Result<Option<Note>> {
        let path = self.path(endpoint);
        match fs::read(&path) {
            Ok(bytes) => parse(&bytes).map(Some).map_err(failed("read", &path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path)(error)),
        }
    }

    /// Writes it.
    pub fn put(&self, endpoint: &str, note: &Note) -> Result<()> {
        let path = self.path(endpoint);
        let draft = path.with_extension(format!("{}.new", std::process::id()));
        let write = || {
            fs::create_dir_all(&self.dir)?;
            fs::write(&draft, serde_json::to_vec(note)?)?;
            fs::rename(&draft, &path)
        };
        write().map_err(failed("write", &path))
    }

    /// Forgets it.
    pub fn remove(&self, endpoint: &str) -> Result<()> {
        let path = self.path(endpoint);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &path)(error)),
            _ => Ok(()),
        }
    }

    /// All endpoints of the network.
    pub fn endpoints(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        entries.filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".json")?.to_owned())).collect()
    }

    /// The network is gone.
    pub fn clear(&self) {
        let _ = fs::remove_dir(&self.dir);
    }
}

/// A note as it was written.
pub fn parse(bytes: &[u8]) -> io::Result<Note> {
    Ok(serde_json::from_slice(bytes)?)
}

fn failed(act: &'static str, path: &Path) -> impl Fn(io::Error) -> Error {
    move |source| Error::Cache { act, path: path.to_owned(), source }
}
