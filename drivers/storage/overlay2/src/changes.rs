//! What a container changed, read from its writable layer alone; the image is looked up only for what that names.
//!
//! The writable layer is walked by descriptor, because the container may be running; the image's layers never change.

use gantry_driver_shared::tree::{
    MAX_DEPTH, Node, TreeError, is_dir, is_whiteout, join, node_differs, open_dir, open_root, sorted_names, xattr,
};
use gantry_plugin_api::storage::Change;
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{FileStat, fstatat, lstat};
use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// The changes of an upper directory over lower ones, nearest first; sorted by path.
pub fn changes(upper: &Path, lowers: Vec<PathBuf>, user_xattr: bool) -> Result<Vec<Change>, TreeError> {
    let mut walk = Walk { found: Vec::new(), names: AttributeNames::of(user_xattr), upper };
    walk.directory(open_root(upper)?.as_fd(), Path::new("/"), &lowers, false, 0)?;
    walk.found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(walk.found)
}

struct AttributeNames {
    opaque: &'static CStr,
    whiteout: &'static CStr,
}

impl AttributeNames {
    fn of(user: bool) -> Self {
        if user {
            AttributeNames { opaque: c"user.overlay.opaque", whiteout: c"user.overlay.whiteout" }
        } else {
            AttributeNames { opaque: c"trusted.overlay.opaque", whiteout: c"trusted.overlay.whiteout" }
        }
    }
}

/// How a directory treats what lies below it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opacity {
    /// It is merged with the directory below.
    Merged,
    /// It hides the directory below: `opaque=y`.
    Opaque,
    /// It is merged and may hold whiteouts that are empty files: `opaque=x`, since Linux 6.7.
    MarkedWhiteouts,
}

/// What the image shows under one name.
#[derive(Default)]
struct Below {
    found: Option<(PathBuf, FileStat)>,
    /// The directories that are merged there, nearest first.
    dirs: Vec<PathBuf>,
}

struct Walk<'a> {
    found: Vec<Change>,
    names: AttributeNames,
    upper: &'a Path,
}

impl Walk<'_> {
    /// Lists the changes in one directory. `hides`: nothing of the image shows through.
    fn directory(
        &mut self,
        dir: BorrowedFd,
        path: &Path,
        lowers: &[PathBuf],
        hides: bool,
        depth: usize,
    ) -> Result<(), TreeError> {
        if depth > MAX_DEPTH {
            return Err(self.failed("compare", path, Errno::ELOOP));
        }
        let opacity = self.opacity(&xattr::Target::Fd(dir)).map_err(|e| self.failed("read attributes of", path, e))?;
        let hides = hides || opacity == Opacity::Opaque;
        let names = sorted_names(dir).map_err(|e| self.failed("read", path, e))?;
        for name in &names {
            self.entry(dir, &join(path, name), name, lowers, (opacity, hides), depth)?;
        }
        if hides { self.hidden(path, lowers, &names) } else { Ok(()) }
    }

    fn entry(
        &mut self,
        dir: BorrowedFd,
        path: &Path,
        name: &CStr,
        lowers: &[PathBuf],
        (opacity, hides): (Opacity, bool),
        depth: usize,
    ) -> Result<(), TreeError> {
        let stat = match fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::ENOENT) => return Ok(()),
            Err(error) => return Err(self.failed("look at", path, error)),
        };
        let below = self.below(lowers, name)?;
        let node = Node { stat, target: xattr::Target::entry(dir, name) };
        if self.is_deletion(&node, opacity) {
            if below.found.is_some() {
                self.add('D', path);
            }
            return Ok(());
        }
        if !is_dir(&stat) {
            return self.compare(&node, &below, path, false);
        }
        let mark = self.found.len();
        match open_dir(dir, name) {
            Ok(child) => self.directory(child.as_fd(), path, &below.dirs, hides, depth + 1)?,
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(()),
            Err(error) => return Err(self.failed("open", path, error)),
        }
        let inner = self.found.len() > mark;
        self.compare(&node, &below, path, inner)
    }

    /// Adds what is to be said about an entry itself. A directory counts as changed when something in it did.
    fn compare(&mut self, node: &Node, below: &Below, path: &Path, inner: bool) -> Result<(), TreeError> {
        let Some((lower, stat)) = &below.found else {
            self.add('A', path);
            return Ok(());
        };
        let old = Node { stat: *stat, target: xattr::Target::path(lower) };
        if inner || node_differs(node, &old).map_err(|e| self.failed("compare", path, e))? {
            self.add('C', path);
        }
        Ok(())
    }

    /// In a directory that hides the image's, everything that was there and is not any more was deleted.
    fn hidden(&mut self, path: &Path, lowers: &[PathBuf], names: &[CString]) -> Result<(), TreeError> {
        let mut gone = BTreeSet::new();
        for lower in lowers {
            let dir = open_root(lower)?;
            gone.extend(sorted_names(&dir).map_err(|e| TreeError::new("read", lower, e))?);
        }
        for name in gone.iter().filter(|n| names.binary_search(n).is_err()) {
            if self.below(lowers, name)?.found.is_some() {
                self.add('D', &join(path, name));
            }
        }
        Ok(())
    }

    /// Looks a name up in the image, as the kernel would.
    fn below(&self, lowers: &[PathBuf], name: &CStr) -> Result<Below, TreeError> {
        let mut below = Below::default();
        for lower in lowers {
            let path = join(lower, name);
            let stat = match lstat(&path) {
                Ok(stat) => stat,
                Err(Errno::ENOENT | Errno::ENOTDIR) => continue,
                Err(error) => return Err(TreeError::new("look at", path, error)),
            };
            let node = Node { stat, target: xattr::Target::path(&path) };
            if self.is_deletion(&node, Opacity::MarkedWhiteouts) {
                break;
            }
            if below.found.is_none() {
                below.found = Some((path.clone(), stat));
            }
            if !is_dir(&stat) {
                break;
            }
            let opacity = self.opacity(&node.target).map_err(|e| TreeError::new("read attributes of", &path, e))?;
            below.dirs.push(path);
            if opacity == Opacity::Opaque {
                break;
            }
        }
        Ok(below)
    }

    /// A character device 0:0, or an empty file so marked in a directory that says it has such.
    fn is_deletion(&self, node: &Node, opacity: Opacity) -> bool {
        let empty_file = node.stat.st_mode & libc::S_IFMT == libc::S_IFREG && node.stat.st_size == 0;
        let marked = opacity == Opacity::MarkedWhiteouts && empty_file;
        is_whiteout(&node.stat) || marked && matches!(xattr::get(&node.target, self.names.whiteout), Ok(Some(_)))
    }

    fn opacity(&self, target: &xattr::Target) -> Result<Opacity, Errno> {
        Ok(match xattr::get(target, self.names.opaque)?.as_deref() {
            Some(b"y") => Opacity::Opaque,
            Some(b"x") => Opacity::MarkedWhiteouts,
            _ => Opacity::Merged,
        })
    }

    fn add(&mut self, kind: char, path: &Path) {
        self.found.push(Change::new(kind, path));
    }

    fn failed(&self, act: &'static str, path: &Path, error: Errno) -> TreeError {
        TreeError::new(act, self.upper.join(path.strip_prefix("/").unwrap_or(path)), error)
    }
}
