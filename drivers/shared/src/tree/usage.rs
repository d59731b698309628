//! How much a tree holds.

use super::{MAX_DEPTH, TreeError, entries, is_dir, join, open_dir, open_root};
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{FileStat, fstatat};
use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// Sizes of a tree, without its root directory.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct TreeUsage {
    /// Apparent bytes of everything but directories, hard links once.
    pub bytes: u64,
    /// Number of inodes.
    pub inodes: u64,
}

/// Measures a tree. What vanishes meanwhile is not counted.
pub fn usage(root: &Path) -> Result<TreeUsage, TreeError> {
    let mut count = Count { total: TreeUsage::default(), linked: HashSet::new() };
    count.directory(open_root(root)?.as_fd(), root, 0)?;
    Ok(count.total)
}

struct Count {
    total: TreeUsage,
    linked: HashSet<(u64, u64)>,
}

impl Count {
    fn directory(&mut self, dir: BorrowedFd, path: &Path, depth: usize) -> Result<(), TreeError> {
        for entry in entries(dir).map_err(|e| TreeError::new("read", path, e))? {
            match fstatat(dir, entry.name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(stat) if is_dir(&stat) => self.below(dir, path, &entry.name, depth + 1)?,
                Ok(stat) => self.file(&stat),
                Err(Errno::ENOENT) => {}
                Err(error) => return Err(TreeError::new("look at", join(path, &entry.name), error)),
            }
        }
        Ok(())
    }

    fn below(&mut self, dir: BorrowedFd, path: &Path, name: &std::ffi::CStr, depth: usize) -> Result<(), TreeError> {
        self.total.inodes += 1;
        if depth > MAX_DEPTH {
            return Err(TreeError::new("measure", join(path, name), Errno::ELOOP));
        }
        match open_dir(dir, name) {
            Ok(child) => self.directory(child.as_fd(), &join(path, name), depth),
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(()),
            Err(error) => Err(TreeError::new("open", join(path, name), error)),
        }
    }

    fn file(&mut self, stat: &FileStat) {
        if stat.st_nlink > 1 && !self.linked.insert((stat.st_dev, stat.st_ino)) {
            return;
        }
        self.total.inodes += 1;
        self.total.bytes += stat.st_size as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_hard_links_once() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("d")).unwrap();
        std::fs::write(dir.path().join("d/a"), "12345").unwrap();
        std::fs::hard_link(dir.path().join("d/a"), dir.path().join("b")).unwrap();
        std::os::unix::fs::symlink("abc", dir.path().join("l")).unwrap();
        assert_eq!(usage(dir.path()).unwrap(), TreeUsage { bytes: 8, inodes: 3 });
    }
}
