//! What a container changed: its tree against the tree of its image, entry by entry.
//!
//! The container may be running: its tree is walked by descriptor, and what vanishes meanwhile is passed over.

use gantry_driver_shared::tree::{
    MAX_DEPTH, Node, TreeError, is_dir, join, node_differs, open_dir, open_root, sorted_names, xattr,
};
use gantry_plugin_api::storage::Change;
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::fstatat;
use std::collections::BTreeSet;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// The changes of a tree against the one it was copied from, or against nothing; sorted by path.
pub fn changes(tree: &Path, image: Option<&Path>) -> Result<Vec<Change>, TreeError> {
    let mut walk = Walk { found: Vec::new(), tree };
    let (new, old) = (open_root(tree)?, image.map(open_root).transpose()?);
    walk.directory(&new, old.as_ref(), Path::new("/"), 0)?;
    walk.found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(walk.found)
}

struct Walk<'a> {
    found: Vec<Change>,
    tree: &'a Path,
}

impl Walk<'_> {
    fn directory(&mut self, new: &OwnedFd, old: Option<&OwnedFd>, path: &Path, depth: usize) -> Result<(), TreeError> {
        if depth > MAX_DEPTH {
            return Err(self.failed("compare", path, Errno::ELOOP));
        }
        let mut names: BTreeSet<CString> = self.names(new, path)?.into_iter().collect();
        if let Some(old) = old {
            names.extend(self.names(old, path)?);
        }
        for name in &names {
            let here = join(path, name);
            let now = self.look(new, name, &here)?;
            let before = old.map(|o| self.look(o, name, &here)).transpose()?.flatten();
            match (now, before) {
                (None, None) => {}
                (None, Some(_)) => self.add('D', &here),
                (Some(now), before) => {
                    self.present(Entry { dir: new, name, path: &here, node: now }, old, before, depth)?
                }
            }
        }
        Ok(())
    }

    fn present(
        &mut self,
        now: Entry,
        old: Option<&OwnedFd>,
        before: Option<Node>,
        depth: usize,
    ) -> Result<(), TreeError> {
        if before.as_ref().is_some_and(|b| same_inode(b, &now.node)) {
            return Ok(());
        }
        let mark = self.found.len();
        if is_dir(&now.node.stat) {
            let old = old.filter(|_| before.as_ref().is_some_and(|b| is_dir(&b.stat)));
            self.below(&now, old, depth + 1)?;
        }
        let inner = self.found.len() > mark;
        match before {
            None => self.add('A', now.path),
            Some(before) if inner || self.differs(&now, &before)? => self.add('C', now.path),
            Some(_) => {}
        }
        Ok(())
    }

    fn below(&mut self, now: &Entry, old: Option<&OwnedFd>, depth: usize) -> Result<(), TreeError> {
        let failed = |e| self.failed("open", now.path, e);
        let new = match open_dir(now.dir, now.name) {
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(()),
            other => other.map_err(failed)?,
        };
        let old = old.map(|o| open_dir(o, now.name)).transpose().map_err(failed)?;
        self.directory(&new, old.as_ref(), now.path, depth)
    }

    fn look<'d>(&self, dir: &'d OwnedFd, name: &CStr, path: &Path) -> Result<Option<Node<'d>>, TreeError> {
        match fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Node { stat, target: xattr::Target::entry(dir.as_fd(), name) })),
            Err(Errno::ENOENT) => Ok(None),
            Err(error) => Err(self.failed("look at", path, error)),
        }
    }

    fn differs(&self, now: &Entry, before: &Node) -> Result<bool, TreeError> {
        node_differs(&now.node, before).map_err(|e| self.failed("compare", now.path, e))
    }

    fn names(&self, dir: &OwnedFd, path: &Path) -> Result<Vec<CString>, TreeError> {
        sorted_names(dir).map_err(|e| self.failed("read", path, e))
    }

    fn add(&mut self, kind: char, path: &Path) {
        self.found.push(Change::new(kind, path));
    }

    fn failed(&self, act: &'static str, path: &Path, error: Errno) -> TreeError {
        TreeError::new(act, self.tree.join(path.strip_prefix("/").unwrap_or(path)), error)
    }
}

/// An entry of the container's tree.
struct Entry<'a> {
    dir: &'a OwnedFd,
    name: &'a CStr,
    path: &'a Path,
    node: Node<'a>,
}

fn same_inode(a: &Node, b: &Node) -> bool {
    (a.stat.st_dev, a.stat.st_ino) == (b.stat.st_dev, b.stat.st_ino)
}
