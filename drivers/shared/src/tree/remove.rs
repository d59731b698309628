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

/// How much may be deleted while a caller waits.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Names to delete.
    pub entries: u64,
    /// Bytes on disk to free; `u64::MAX` does not look.
    pub bytes: u64,
}

impl Budget {
    /// No limit.
    pub const UNLIMITED: Budget = Budget { entries: u64::MAX, bytes: u64::MAX };
    /// What takes a few tenths of a millisecond.
    pub const QUICK: Budget = Budget { entries: 64, bytes: 8 << 20 };
}

/// Deletes one entry of a trash folder. `false`: the budget ran out and something is left.
/// What cannot be deleted does not stop the rest; the first failure is reported.
pub fn remove(trash: BorrowedFd, trash_path: &Path, name: &CStr, budget: Budget) -> Result<bool, TreeError> {
    let mut work =
        Removal { trash, budget, failed: None, left: false, exhausted: false, root: nix::unistd::geteuid().is_root() };
    work.entry(trash, trash_path, name, None, 0);
    match work.failed {
        Some(error) => Err(error),
        None => Ok(!work.left && !work.exhausted),
    }
}

/// Deletes everything in a trash folder.
pub fn empty(trash: BorrowedFd, trash_path: &Path) -> Result<(), TreeError> {
    loop {
        let names = entries(trash).map_err(|e| TreeError::new("read", trash_path, e))?;
        let mut failed = None;
        let mut left = false;
        for entry in &names {
            match remove(trash, trash_path, &entry.name, Budget::UNLIMITED) {
                Ok(done) => left |= !done,
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        match failed {
            Some(error) => return Err(error),
            None if left => {}
            None => return Ok(()),
        }
    }
}

struct Removal<'a> {
    trash: BorrowedFd<'a>,
    budget: Budget,
    failed: Option<TreeError>,
    /// Something was moved up or appeared meanwhile.
    left: bool,
    /// The budget ran out.
    exhausted: bool,
    /// Modes do not matter to us.
    root: bool,
}

impl Removal<'_> {
    fn entry(&mut self, dir: BorrowedFd, path: &Path, name: &CStr, kind: Option<Type>, depth: usize) {
        let here = join(path, name);
        let done = match kind {
            Some(Type::Directory) => self.directory(dir, &here, name, depth),
            Some(_) => self.file(dir, name),
            None => match fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(stat) if super::is_dir(&stat) => self.directory(dir, &here, name, depth),
                Ok(_) => self.file(dir, name),
                Err(error) => Err(error),
            },
        };
        match done {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(error) => self.failed = self.failed.take().or(Some(TreeError::new("delete", here, error))),
        }
    }

    fn file(&mut self, dir: BorrowedFd, name: &CStr) -> Result<(), Errno> {
        let bytes = match self.budget.bytes {
            u64::MAX => 0,
            _ => fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)?.st_blocks as u64 * 512,
        };
        self.spend(bytes);
        if self.exhausted { Ok(()) } else { unlinkat(dir, name, UnlinkatFlags::NoRemoveDir) }
    }

    fn directory(&mut self, parent: BorrowedFd, here: &Path, name: &CStr, depth: usize) -> Result<(), Errno> {
        if depth >= FLATTEN_BELOW {
            return self.flatten(parent, name);
        }
        let dir = self.open_any(parent, name)?;
        for entry in entries(&dir)? {
            self.entry(dir.as_fd(), here, &entry.name, entry.kind, depth + 1);
            if self.exhausted {
                return Ok(());
            }
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

    fn spend(&mut self, bytes: u64) {
        self.exhausted |= self.budget.entries == 0 || self.budget.bytes < bytes;
        self.budget.entries = self.budget.entries.saturating_sub(1);
        self.budget.bytes = self.budget.bytes.saturating_sub(bytes);
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

    #[test]
    fn stops_at_the_budget_and_goes_on_later() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("t")).unwrap();
        (0..100).for_each(|i| std::fs::write(dir.path().join(format!("t/f{i}")), "x").unwrap());
        let fd = open_root(dir.path()).unwrap();
        assert!(!remove(fd.as_fd(), dir.path(), c"t", Budget::QUICK).unwrap());
        assert_eq!(std::fs::read_dir(dir.path().join("t")).unwrap().count(), 36);
        assert!(remove(fd.as_fd(), dir.path(), c"t", Budget::QUICK).unwrap());
        assert!(remove(fd.as_fd(), dir.path(), c"t", Budget::QUICK).unwrap(), "gone is done");
    }

    #[test]
    fn leaves_a_big_file_to_a_later_time() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("t")).unwrap();
        std::fs::write(dir.path().join("t/big"), vec![1; 1 << 16]).unwrap();
        let fd = open_root(dir.path()).unwrap();
        let budget = Budget { entries: 10, bytes: 4096 };
        assert!(!remove(fd.as_fd(), dir.path(), c"t", budget).unwrap());
        assert!(dir.path().join("t/big").exists());
    }
}
