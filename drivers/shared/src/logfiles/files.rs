//! The names of a container's log files, and which of them exist.
//!
//! Index 0 is the current file, 1 the one rotated last, and so on; from 1 on a file may be compressed.

use super::error::{Context, LogFileError, Result};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The files of one container.
#[derive(Clone, Debug)]
pub struct Files {
    dir: PathBuf,
    name: String,
    mark: &'static str,
}

impl Files {
    /// The files in a directory: what the current one is called, and where the generation is noted.
    pub fn new(dir: &Path, name: impl Into<String>, mark: &'static str) -> Self {
        Files { dir: dir.to_path_buf(), name: name.into(), mark }
    }

    /// The file being written.
    pub fn current(&self) -> PathBuf {
        self.dir.join(&self.name)
    }

    /// The plain file at an index.
    pub fn plain(&self, index: u32) -> PathBuf {
        if index == 0 { self.current() } else { self.dir.join(format!("{}.{index}", self.name)) }
    }

    /// The compressed file at an index.
    pub fn compressed(&self, index: u32) -> PathBuf {
        self.dir.join(format!("{}.{index}.gz", self.name))
    }

    /// The compressed file while it is being made.
    pub fn unfinished(&self) -> PathBuf {
        self.dir.join(format!("{}.1.gz.tmp", self.name))
    }

    /// A file that is being given up.
    pub fn taken(&self, compressed: bool) -> PathBuf {
        self.dir.join(format!("{}.taken{}", self.name, if compressed { ".gz" } else { "" }))
    }

    /// Where the generation is noted.
    pub fn mark(&self) -> PathBuf {
        self.dir.join(self.mark)
    }

    /// Opens the current file for appending, making it when it is not there.
    pub fn open_current(&self) -> Result<File> {
        let path = self.current();
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o640);
        options.open(&path).context(LogFileError::open, &path)
    }

    /// Indices at which there is a file, ascending, without repetition.
    pub fn indices(&self) -> Result<Vec<u32>> {
        let mut found = Vec::new();
        let Some(entries) = if_exists(fs::read_dir(&self.dir)).context(LogFileError::read, &self.dir)? else {
            return Ok(found);
        };
        for entry in entries {
            let name = entry.context(LogFileError::read, &self.dir)?.file_name();
            found.extend(name.to_str().and_then(|name| self.index_of(name)));
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    fn index_of(&self, name: &str) -> Option<u32> {
        let suffix = name.strip_prefix(&self.name)?;
        if suffix.is_empty() {
            return Some(0);
        }
        let number = suffix.strip_prefix('.')?;
        number.strip_suffix(".gz").unwrap_or(number).parse().ok().filter(|index| *index > 0)
    }
}

/// The result of an operation for which the file may be absent: `None` then.
pub fn if_exists<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes a file that may be absent.
pub fn remove(path: &Path) -> io::Result<()> {
    if_exists(fs::remove_file(path)).map(drop)
}
