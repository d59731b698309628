//! Where journald listens, and where its files lie.

use std::fs;
use std::path::{Path, PathBuf};

/// One journald's sockets and directories.
#[derive(Clone, Debug)]
pub struct Places {
    root: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Places { root: PathBuf::from("/") }
    }
}

impl Places {
    /// Those below another root, such as that of another mount namespace.
    pub fn below(root: &Path) -> Places {
        Places { root: root.to_path_buf() }
    }

    /// Takes messages of the native protocol.
    pub fn socket(&self) -> PathBuf {
        self.root.join("run/systemd/journal/socket")
    }

    /// Takes requests.
    pub fn control(&self) -> PathBuf {
        self.root.join("run/systemd/journal/io.systemd.journal")
    }

    /// The files of this host's journals, those that survive a boot and those that do not.
    pub fn files(&self) -> Vec<PathBuf> {
        let bases = ["var/log/journal", "run/log/journal"].map(|base| self.root.join(base));
        let directories = bases.iter().flat_map(|base| entries(base)).filter(|path| is_machine(path));
        directories.flat_map(|directory| entries(&directory)).filter(|path| is_journal(path)).collect()
    }
}

/// What is in a directory; nothing when it cannot be read.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let Ok(found) = fs::read_dir(directory) else { return Vec::new() };
    found.flatten().map(|entry| entry.path()).collect()
}

/// Directories are named after machine ids; journals of other hosts and of namespaces have other names.
fn is_machine(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.len() == 32 && name.iter().all(u8::is_ascii_hexdigit)
}

/// `.journal~` is one that was not closed.
fn is_journal(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "journal" || extension == "journal~")
}
