//! Deletion of trees that nobody uses any more, however deep, by several processes at once if need be.

use super::{TreeError, entries, join, open_dir};
use nix::dir::Type;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, renameat};
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Nesting beyond this is flattened by moving the directory up into the trash folder.
const FLATTEN_BELOW: usize = 64;

/// Deletes everything in a trash folder. What cannot be deleted does not stop the rest; the first failure is reported.
pub fn empty(trash: BorrowedFd, path: &Path) -> Result<(), TreeError> {
    loop {
        let mut work = Removal { trash, failed: None, left: false, root: nix::unistd::geteuid().is_root() };
        for entry in entries(trash).map_err(|e| TreeError::new("read", path, e))? {
            work.entry(trash, path, &entry.name, entry.kind, 0);
        }
        match work.failed {
            Some(error) => return Err(error),
            None if work.left => {}
            None => return Ok(()),
        }
    }
}

struct Removal<'a> {
    trash: BorrowedFd<'a>,
    failed: Option<TreeError>,
    /// Something was moved up or appeared meanwhile.
    left: bool,
    /// Modes do not matter to us.
    root: bool,
}

impl Removal<'_> {
    fn entry(&mut self, dir: BorrowedFd, path: &Path, name: &CStr, kind: Option<Type>, depth: usize) {
        let here = join(path, name);
        let done = match kind {
            Some(Type::Directory) => self.directory(dir, &here, name, depth),
            Some(_) => unlinkat(dir, name, UnlinkatFlags::NoRemoveDir),
            None => match fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(stat) if super::is_dir(&stat) => self.directory(dir, &here, name, depth),
                Ok(_) => unlinkat(dir, name, UnlinkatFlags::NoRemoveDir),
                Err(error) => Err(error),
            },
        };
        match done {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(error) => self.failed = self.failed.take().or(Some(TreeError::new("delete", here, error))),
        }
    }

    fn directory(&mut self, parent: BorrowedFd, here: &Path, name: &CStr, depth: usize) -> Result<(), Errno> {
        if depth >= FLATTEN_BELOW {
            return self.flatten(parent, name);
        }
        let dir = self.open_any(parent, name)?;
        for entry in entries(&dir)? {
            self.entry(dir.as_fd(), here, &entry.name, entry.kind, depth + 1);
        }
        match unlinkat(parent, name, UnlinkatFlags::RemoveDir) {
            // Something inside could not be deleted, which is reported already, or another process adds to it.
            Err(Errno::ENOTEMPTY) => {
                self.left = true;
                Ok(())
            }
            other => other,
        }
    }

    fn flatten(&mut self, parent: BorrowedFd, name: &CStr) -> Result<(), Errno> {
        self.left = true;
        loop {
            match renameat(parent, name, self.trash, unique("deep").as_c_str()) {
                Err(Errno::EEXIST | Errno::ENOTEMPTY) => {}
                other => return other,
            }
        }
    }

    /// Opens a directory. Without root, one that its owner may not read or write (overlay's work directory has mode 0)
    /// is opened to us first.
    fn open_any(&self, parent: BorrowedFd, name: &CStr) -> Result<OwnedFd, Errno> {
        if !self.root {
            fchmodat(parent, name, Mode::S_IRWXU, FchmodatFlags::FollowSymlink)?;
        }
        open_dir(parent, name)
    }
}

/// A name that no other caller of this process gets, and no other live process of this host.
pub(crate) fn unique(stem: &str) -> CString {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = format!("{stem}.{}.{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    CString::new(name).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::open_root;

    #[test]
    fn deletes_deep_and_wide_trees() {
        let dir = tempfile::tempdir().unwrap();
        let mut deep = dir.path().join("top");
        for _ in 0..300 {
            deep.push("d");
        }
        std::fs::create_dir_all(&deep).unwrap();
        (0..100).for_each(|i| std::fs::write(dir.path().join(format!("top/f{i}")), "x").unwrap());
        std::os::unix::fs::symlink("/etc", dir.path().join("top/link")).unwrap();
        let fd = open_root(dir.path()).unwrap();
        empty(fd.as_fd(), dir.path()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(Path::new("/etc").exists());
    }
}
