//! Whole directory trees: copy, delete, measure, compare. What the storage drivers and the local volume driver share.
//!
//! All of it walks by descriptor and never follows a symbolic link, so that a container that swaps directories while it
//! is looked at cannot lead the walk outside. Trees deeper than [`MAX_DEPTH`] are refused, except by deletion.

mod compare;
mod copy;
mod remove;
mod usage;
pub mod xattr;

pub use compare::{Node, is_dir, is_whiteout, node_differs};
pub use copy::{CopyMode, CopyReport, copy_tree, shares_blocks};
pub use remove::empty;
pub(crate) use remove::unique;
pub use usage::{TreeUsage, usage};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The deepest nesting that copy, usage and comparison follow: each level holds a descriptor.
pub const MAX_DEPTH: usize = 256;

/// A failed step on one path of a tree.
#[derive(Debug, thiserror::Error)]
#[error("cannot {act} {}", path.display())]
pub struct TreeError {
    /// What was tried.
    pub act: &'static str,
    /// On which path.
    pub path: PathBuf,
    /// Why it failed.
    #[source]
    pub source: std::io::Error,
}

impl TreeError {
    /// An error of an act on a path.
    pub fn new(act: &'static str, path: impl Into<PathBuf>, source: impl Into<std::io::Error>) -> Self {
        TreeError { act, path: path.into(), source: source.into() }
    }
}

/// Opens a directory below another without following a link.
pub fn open_dir(parent: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    nix::fcntl::openat(parent, name, DIRECTORY, Mode::empty())
}

/// Opens a directory by path; only its last component must not be a link.
pub fn open_root(path: &Path) -> Result<OwnedFd, TreeError> {
    nix::fcntl::open(path, DIRECTORY, Mode::empty()).map_err(|e| TreeError::new("open", path, e))
}

const DIRECTORY: OFlag =
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC).union(OFlag::O_NONBLOCK);

/// A name of a directory, with its type where the file system tells it.
pub struct Entry {
    /// The name.
    pub name: CString,
    /// Its type; `None` when the file system does not say.
    pub kind: Option<nix::dir::Type>,
}

/// All names of a directory but `.` and `..`, in the order of the file system.
pub fn entries(dir: impl AsFd) -> Result<Vec<Entry>, Errno> {
    let mut listing = Dir::openat(dir, c".", DIRECTORY, Mode::empty())?;
    let mut all = Vec::new();
    for entry in listing.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            all.push(Entry { name: name.to_owned(), kind: entry.file_type() });
        }
    }
    Ok(all)
}

/// All names of a directory, sorted by their bytes.
pub fn sorted_names(dir: impl AsFd) -> Result<Vec<CString>, Errno> {
    let mut names: Vec<CString> = entries(dir)?.into_iter().map(|e| e.name).collect();
    names.sort_unstable();
    Ok(names)
}

/// A path with a name of a directory appended.
pub fn join(path: &Path, name: &CStr) -> PathBuf {
    path.join(OsStr::from_bytes(name.to_bytes()))
}
