//! The directory of a storage driver that keeps one directory per layer, and the steps that keep it whole.
//!
//! ```text
//! layers/<id>            the files of a committed layer of an image, complete by definition
//! containers/<id>        the files of a writable layer
//! staging/<letter><id>.<pid>.<n>   half-made ones; their maker holds a lock on the directory
//! trash/…                removed ones, emptied when nobody waits
//! ```
//! Nothing is deleted while somebody waits. On ext4 without a journal each freed directory costs a round trip to the
//! device when it is mounted with `discard` (0.2 to 5 ms), and for half a minute after many deletions each new inode
//! costs a search past the deleted ones (`recently_deleted`, up to 3 ms): collect rarely, and much at once.
//!
//! A layer appears and disappears by one rename, so a process killed at any moment leaves either the old state, the new
//! one, or a name under `staging` or `trash` that [`Layers::collect`] deletes. A staging directory is alive as long as
//! its lock is held: the kernel releases it with the process.

use crate::tree::{self, TreeError, TreeUsage, entries, open_dir, open_root};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, Flock, FlockArg, RenameFlags, renameat, renameat2};
use nix::sys::stat::{Mode, fstat, fstatat, mkdirat};
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// A failure of the store of layers.
#[derive(Debug, thiserror::Error)]
pub enum LayersError {
    /// A step on the file system.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// Not 64 hex digits.
    #[error("invalid layer id \"{0}\": expected 64 hex digits")]
    Id(String),
    /// No such layer, committed or begun.
    #[error("no such layer: {0}")]
    Missing(String),
    /// Another process is making it.
    #[error("layer {0} is being made by another process")]
    Busy(String),
}

/// The two sorts of layers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Sort {
    /// Committed layers of images.
    Image,
    /// Writable layers of containers.
    Container,
}

impl Sort {
    const BOTH: [Sort; 2] = [Sort::Container, Sort::Image];

    fn folder(self) -> &'static str {
        match self {
            Sort::Image => "layers",
            Sort::Container => "containers",
        }
    }

    fn letter(self) -> char {
        match self {
            Sort::Image => 'i',
            Sort::Container => 'c',
        }
    }

    fn of_letter(letter: char) -> Option<Sort> {
        Sort::BOTH.into_iter().find(|s| s.letter() == letter)
    }
}

/// The open store.
pub struct Layers {
    root: PathBuf,
    dir: OwnedFd,
    opened: SystemTime,
    begun: Mutex<HashMap<(Sort, String), Staging>>,
}

/// A half-made layer of this process.
struct Staging {
    name: CString,
    _lock: Flock<OwnedFd>,
}

impl Layers {
    /// Opens the store, making its folders and those of the driver when the last of them is missing.
    pub fn open(root: &Path, more: &[&str]) -> Result<Self, LayersError> {
        let dir = match open_root(root) {
            Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => {
                std::fs::create_dir_all(root).map_err(|e| TreeError::new("create", root, e))?;
                open_root(root)?
            }
            other => other?,
        };
        if fstatat(&dir, c"trash", AtFlags::AT_SYMLINK_NOFOLLOW).is_err() {
            make_folders(root, &dir, more)?;
        }
        let begun = Mutex::new(HashMap::new());
        Ok(Layers { root: root.to_owned(), dir, opened: SystemTime::now(), begun })
    }

    /// The store's root directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The store's root, opened.
    pub fn dir(&self) -> &OwnedFd {
        &self.dir
    }

    /// Where a layer lies once it is there.
    pub fn path(&self, sort: Sort, id: &str) -> PathBuf {
        self.root.join(relative(sort, id))
    }

    /// True when the layer is there.
    pub fn has(&self, sort: Sort, id: &str) -> Result<bool, LayersError> {
        check_id(id)?;
        let path = relative(sort, id);
        match fstatat(&self.dir, path.as_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(error) => Err(self.failed("look at", &path, error)),
        }
    }

    /// The sort of a layer that is there.
    pub fn sort_of(&self, id: &str) -> Result<Sort, LayersError> {
        for sort in Sort::BOTH {
            if self.has(sort, id)? {
                return Ok(sort);
            }
        }
        Err(LayersError::Missing(id.to_owned()))
    }

    /// Makes the empty, locked directory in which a layer grows. Leftovers of dead makers are thrown away.
    pub fn begin(&self, sort: Sort, id: &str) -> Result<PathBuf, LayersError> {
        check_id(id)?;
        self.discard(sort, id)?;
        loop {
            let name = tree::unique(&format!("{}{id}", sort.letter()));
            let path = inside("staging", &name);
            match mkdirat(&self.dir, path.as_c_str(), Mode::S_IRWXU) {
                Ok(()) => {}
                Err(Errno::EEXIST) => continue,
                Err(error) => return Err(self.failed("create", &text(&path), error)),
            }
            // Until the lock is held, a collector may take the directory for a leftover: then the next name is tried.
            if let Some(lock) = self.lock(&name)? {
                self.begun().insert((sort, id.to_owned()), Staging { name, _lock: lock });
                return Ok(self.root.join(text(&path)));
            }
        }
    }

    /// Makes a begun layer appear. One that is there already wins over the begun one, whose maker lost a race.
    pub fn commit(&self, sort: Sort, id: &str) -> Result<(), LayersError> {
        check_id(id)?;
        let own = self.begun().remove(&(sort, id.to_owned()));
        let staging = match own {
            Some(staging) => staging,
            None if self.has(sort, id)? => return Ok(()),
            None => self.adopt(sort, id)?,
        };
        let (from, to) = (inside("staging", &staging.name), relative(sort, id));
        match renameat2(&self.dir, from.as_c_str(), &self.dir, to.as_str(), RenameFlags::RENAME_NOREPLACE) {
            Ok(()) => {}
            Err(Errno::EEXIST) => self.throw_away(&text(&from))?,
            Err(error) => return Err(self.failed("commit layer", &to, error)),
        }
        if sort == Sort::Image { self.sync(sort.folder()) } else { Ok(()) }
    }

    /// Throws away this process' half-made layer, and those of dead makers.
    pub fn discard(&self, sort: Sort, id: &str) -> Result<(), LayersError> {
        drop(self.begun().remove(&(sort, id.to_owned())));
        for name in self.staging_of(sort, id)? {
            if self.lock(&name)?.is_some() {
                self.throw_away(&text(&inside("staging", &name)))?;
            }
        }
        Ok(())
    }

    /// Removes a layer of either sort, complete or half-made, into the trash.
    pub fn remove(&self, id: &str) -> Result<(), LayersError> {
        check_id(id)?;
        for sort in Sort::BOTH {
            self.throw_away(&relative(sort, id))?;
            self.discard(sort, id)?;
        }
        Ok(())
    }

    /// All layers, half-made ones included, with true for those of containers.
    pub fn list(&self) -> Result<Vec<(String, bool)>, LayersError> {
        let mut all = Vec::new();
        for sort in Sort::BOTH {
            let names = self.names(sort.folder())?;
            all.extend(names.iter().map(|n| (text(n), sort == Sort::Container)));
        }
        for name in self.names("staging")? {
            all.extend(parse_staging(&text(&name)).map(|(sort, id)| (id, sort == Sort::Container)));
        }
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }

    /// Empties the trash and throws away what dead makers left.
    pub fn collect(&self) -> Result<(), LayersError> {
        for name in self.names("staging")? {
            if self.is_old(&name) && self.lock(&name)?.is_some() {
                self.throw_away(&text(&inside("staging", &name)))?;
            }
        }
        let path = self.root.join("trash");
        let trash = open_root(&path)?;
        Ok(tree::empty(trash.as_fd(), &path)?)
    }

    /// Sizes of a layer.
    pub fn usage(&self, id: &str) -> Result<TreeUsage, LayersError> {
        Ok(tree::usage(&self.path(self.sort_of(id)?, id))?)
    }

    /// Sizes of what was removed, or never completed, and is not deleted yet.
    pub fn trash(&self) -> Result<TreeUsage, LayersError> {
        let (trash, staging) = (tree::usage(&self.root.join("trash"))?, tree::usage(&self.root.join("staging"))?);
        Ok(TreeUsage { bytes: trash.bytes + staging.bytes, inodes: trash.inodes + staging.inodes })
    }

    /// Makes changes of names in a folder durable.
    pub fn sync(&self, folder: &str) -> Result<(), LayersError> {
        let dir = open_dir(&self.dir, &c_string(folder.into())).map_err(|e| self.failed("open", folder, e))?;
        nix::unistd::fsync(&dir).map_err(|e| self.failed("sync", folder, e))
    }

    /// Names in a folder of the store.
    pub fn names(&self, folder: &str) -> Result<Vec<CString>, LayersError> {
        let dir = open_dir(&self.dir, &c_string(folder.into())).map_err(|e| self.failed("open", folder, e))?;
        let all = entries(&dir).map_err(|e| self.failed("read", folder, e))?;
        Ok(all.into_iter().map(|e| e.name).collect())
    }

    /// A staging directory that its maker has left, taken over to be committed.
    fn adopt(&self, sort: Sort, id: &str) -> Result<Staging, LayersError> {
        let mut found = LayersError::Missing(id.to_owned());
        for name in self.staging_of(sort, id)? {
            match self.lock(&name)? {
                Some(lock) => return Ok(Staging { name, _lock: lock }),
                None => found = LayersError::Busy(id.to_owned()),
            }
        }
        Err(found)
    }

    fn staging_of(&self, sort: Sort, id: &str) -> Result<Vec<CString>, LayersError> {
        let stem = format!("{}{id}.", sort.letter());
        let mut names = self.names("staging")?;
        names.retain(|n| n.to_bytes().starts_with(stem.as_bytes()));
        Ok(names)
    }

    /// Locks a staging directory; `None` when it is in use or gone.
    fn lock(&self, name: &CStr) -> Result<Option<Flock<OwnedFd>>, LayersError> {
        let path = inside("staging", name);
        let dir = match open_dir(&self.dir, &path) {
            Ok(dir) => dir,
            Err(Errno::ENOENT) => return Ok(None),
            Err(error) => return Err(self.failed("open", &text(&path), error)),
        };
        let Ok(lock) = Flock::lock(dir, FlockArg::LockExclusiveNonblock) else { return Ok(None) };
        let held = fstat(&*lock).map(|s| s.st_ino);
        let named = fstatat(&self.dir, path.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW).map(|s| s.st_ino);
        Ok((held == named).then_some(lock))
    }

    fn is_old(&self, name: &CStr) -> bool {
        let path = inside("staging", name);
        let stat = fstatat(&self.dir, path.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
        let opened = self.opened.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() as i64);
        stat.is_ok_and(|s| s.st_mtime < opened)
    }

    /// Moves something of the store out of sight, by one rename; it may be missing.
    pub fn throw_away(&self, path: &str) -> Result<(), LayersError> {
        loop {
            let target = inside("trash", &tree::unique("t"));
            match renameat(&self.dir, path, &self.dir, target.as_c_str()) {
                Ok(()) | Err(Errno::ENOENT) => return Ok(()),
                Err(Errno::EEXIST | Errno::ENOTEMPTY) => {}
                Err(error) => return Err(self.failed("remove", path, error)),
            }
        }
    }

    fn begun(&self) -> MutexGuard<'_, HashMap<(Sort, String), Staging>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, act: &'static str, path: &str, error: Errno) -> LayersError {
        TreeError::new(act, self.root.join(path), error).into()
    }
}

/// Refuses what is not 64 hex digits, so that an id can be a file name.
pub fn check_id(id: &str) -> Result<(), LayersError> {
    let good = id.len() == 64 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if good { Ok(()) } else { Err(LayersError::Id(id.to_owned())) }
}

/// `trash` is made last: it tells that the others are there.
fn make_folders(root: &Path, dir: &OwnedFd, more: &[&str]) -> Result<(), TreeError> {
    let own = [Sort::Image.folder(), Sort::Container.folder(), "staging"];
    for name in own.iter().chain(more).chain(&["trash"]) {
        match mkdirat(dir, *name, Mode::S_IRWXU) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(error) => return Err(TreeError::new("create", root.join(name), error)),
        }
    }
    Ok(())
}

fn relative(sort: Sort, id: &str) -> String {
    format!("{}/{id}", sort.folder())
}

fn inside(folder: &str, name: &CStr) -> CString {
    c_string(format!("{folder}/{}", name.to_string_lossy()))
}

/// Folder names are ours and ids are checked: there is no NUL.
fn c_string(text: String) -> CString {
    CString::new(text).unwrap_or_default()
}

fn text(name: &CStr) -> String {
    name.to_string_lossy().into_owned()
}

fn parse_staging(name: &str) -> Option<(Sort, String)> {
    let sort = Sort::of_letter(name.chars().next()?)?;
    let id = name.get(1..65)?;
    check_id(id).ok().map(|()| (sort, id.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn id(n: u8) -> String {
        format!("{n:064x}")
    }

    fn store() -> (tempfile::TempDir, Layers) {
        let dir = tempfile::tempdir().unwrap();
        let layers = Layers::open(&dir.path().join("root"), &["more"]).unwrap();
        (dir, layers)
    }

    #[test]
    fn a_layer_appears_with_its_commit() {
        let (dir, layers) = store();
        let path = layers.begin(Sort::Image, &id(1)).unwrap();
        fs::write(path.join("file"), "x").unwrap();
        assert!(!layers.has(Sort::Image, &id(1)).unwrap());
        assert_eq!(layers.list().unwrap(), [(id(1), false)]);
        layers.commit(Sort::Image, &id(1)).unwrap();
        layers.commit(Sort::Image, &id(1)).unwrap();
        assert!(layers.path(Sort::Image, &id(1)).join("file").exists());
        assert!(Layers::open(&dir.path().join("root"), &[]).unwrap().has(Sort::Image, &id(1)).unwrap());
    }

    #[test]
    fn beginning_again_starts_empty() {
        let (_dir, layers) = store();
        let first = layers.begin(Sort::Image, &id(1)).unwrap();
        fs::write(first.join("file"), "x").unwrap();
        let second = layers.begin(Sort::Image, &id(1)).unwrap();
        assert!(!first.exists());
        assert_eq!(fs::read_dir(second).unwrap().count(), 0);
    }

    #[test]
    fn a_living_maker_is_left_alone() {
        let (dir, layers) = store();
        let path = layers.begin(Sort::Image, &id(1)).unwrap();
        let other = Layers::open(&dir.path().join("root"), &[]).unwrap();
        assert!(matches!(other.commit(Sort::Image, &id(1)), Err(LayersError::Busy(_))));
        let rival = other.begin(Sort::Image, &id(1)).unwrap();
        assert!(path.exists() && rival != path);
        other.collect().unwrap();
        assert!(path.exists());
        other.commit(Sort::Image, &id(1)).unwrap();
        layers.commit(Sort::Image, &id(1)).unwrap();
        assert!(layers.names("staging").unwrap().is_empty());
    }

    #[test]
    fn leftovers_of_the_dead_are_collected() {
        let (dir, layers) = store();
        let path = layers.begin(Sort::Image, &id(1)).unwrap();
        fs::write(path.join("file"), "x").unwrap();
        drop(layers);
        let past = nix::sys::time::TimeSpec::new(1, 0);
        let flag = nix::sys::stat::UtimensatFlags::FollowSymlink;
        nix::sys::stat::utimensat(nix::fcntl::AT_FDCWD, &path, &past, &past, flag).unwrap();
        let layers = Layers::open(&dir.path().join("root"), &[]).unwrap();
        assert_eq!(layers.list().unwrap(), [(id(1), false)]);
        layers.collect().unwrap();
        assert!(layers.list().unwrap().is_empty());
        assert!(layers.names("trash").unwrap().is_empty());
    }

    #[test]
    fn an_abandoned_layer_can_be_committed_by_the_next() {
        let (dir, layers) = store();
        layers.begin(Sort::Image, &id(1)).unwrap();
        drop(layers);
        let layers = Layers::open(&dir.path().join("root"), &[]).unwrap();
        layers.commit(Sort::Image, &id(1)).unwrap();
        assert!(layers.has(Sort::Image, &id(1)).unwrap());
    }

    #[test]
    fn removal_is_a_rename_until_collection() {
        let (_dir, layers) = store();
        let path = layers.begin(Sort::Container, &id(2)).unwrap();
        fs::write(path.join("f"), "x").unwrap();
        layers.commit(Sort::Container, &id(2)).unwrap();
        layers.remove(&id(2)).unwrap();
        layers.remove(&id(2)).unwrap();
        assert!(layers.list().unwrap().is_empty());
        assert_eq!(layers.names("trash").unwrap().len(), 1);
        layers.collect().unwrap();
        assert!(layers.names("trash").unwrap().is_empty());
    }

    #[test]
    fn ids_are_checked() {
        let (_dir, layers) = store();
        for bad in ["", "..", "abc", &"g".repeat(64), &format!("../{}", "a".repeat(61)), &"A".repeat(64)] {
            assert!(matches!(layers.begin(Sort::Image, bad), Err(LayersError::Id(_))), "{bad}");
            assert!(layers.remove(bad).is_err());
        }
    }
}
