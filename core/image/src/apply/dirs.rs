//! Finding directories inside a layer: every look-up ends inside its root, and the last ones are remembered.
//!
//! The kernel resolves (`openat2` with `RESOLVE_IN_ROOT`), so a symlink of the layer leads where it would lead
//! inside a container, never to the host. An open directory stays right until something is removed.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::Whiteouts;
use super::error::{ApplyError, lossy};
use super::path::{join, split};
use crate::files::open_scoped;

const REMEMBERED: usize = 128;

/// Where an entry goes: an open directory and a name in it.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) dir: Rc<OwnedFd>,
    pub(super) name: Vec<u8>,
    /// The cleaned path, for messages and sets.
    pub(super) path: Vec<u8>,
}

/// The directories of one layer.
pub(super) struct Dirs {
    root: Rc<OwnedFd>,
    whiteouts: Whiteouts,
    open: HashMap<Vec<u8>, Rc<OwnedFd>>,
    /// Real depth of the root on the host, and how much deeper a directory may lie.
    root_depth: usize,
    depth: usize,
}

impl Dirs {
    pub(super) fn new(root: OwnedFd, whiteouts: Whiteouts, depth: usize) -> Self {
        let root_depth = real_depth(&root).unwrap_or(0);
        Self { root: Rc::new(root), whiteouts, open: HashMap::new(), root_depth, depth }
    }

    pub(super) fn root(&self) -> Rc<OwnedFd> {
        Rc::clone(&self.root)
    }

    /// The place of a path, its parents created where they are missing.
    pub(super) fn place(&mut self, path: &[u8]) -> Result<Place, ApplyError> {
        let (dir, name) = split(path);
        Ok(Place { dir: self.create(dir)?, name: name.to_vec(), path: path.to_vec() })
    }

    /// The place of something that must exist; `None` if its directory does not.
    pub(super) fn find(&mut self, path: &[u8]) -> Result<Option<Place>, ApplyError> {
        let (dir, name) = split(path);
        let found = self.look_up(dir)?;
        Ok(found.map(|dir| Place { dir, name: name.to_vec(), path: path.to_vec() }))
    }

    /// An open directory, if there is one at that path.
    pub(super) fn look_up(&mut self, path: &[u8]) -> Result<Option<Rc<OwnedFd>>, ApplyError> {
        if path.is_empty() {
            return Ok(Some(self.root()));
        }
        if let Some(dir) = self.open.get(path) {
            return Ok(Some(Rc::clone(dir)));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        match open_scoped(&self.root, path, flags, ResolveFlags::IN_ROOT) {
            Ok(dir) => self.remember(path, dir).map(Some),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(ApplyError::io("open the directory", path)(error)),
        }
    }

    /// An open directory, created with its parents (0755, root) where missing.
    pub(super) fn create(&mut self, path: &[u8]) -> Result<Rc<OwnedFd>, ApplyError> {
        let mut missing = Vec::new();
        let mut rest = path;
        let mut dir = loop {
            if let Some(dir) = self.look_up(rest)? {
                break dir;
            }
            missing.push(rest);
            rest = split(rest).0;
        };
        for path in missing.into_iter().rev() {
            dir = self.create_one(dir, path)?;
        }
        Ok(dir)
    }

    fn create_one(&mut self, dir: Rc<OwnedFd>, path: &[u8]) -> Result<Rc<OwnedFd>, ApplyError> {
        let place = Place { dir, name: split(path).1.to_vec(), path: path.to_vec() };
        let replaces_whiteout = self.clear_whiteout(&place)?;
        place.make_dir()?;
        let made = place.open_dir()?;
        let done = |result: Result<(), Errno>| result.map_err(ApplyError::io("create the directory", path));
        done(rustix::fs::fchmod(&made, Mode::from_raw_mode(0o755)))?;
        if replaces_whiteout {
            self.set_opaque(&made, path)?;
        }
        self.remember(path, made)
    }

    /// Removes the mark that hides a lower layer's entry of this name; true if there was one.
    pub(super) fn clear_whiteout(&self, place: &Place) -> Result<bool, ApplyError> {
        let marks = !matches!(self.whiteouts, Whiteouts::Apply | Whiteouts::Plain);
        let hidden = marks && place.stat()?.is_some_and(|stat| is_whiteout(&stat));
        if hidden {
            place.unlink()?;
        }
        Ok(hidden)
    }

    /// Hides everything that lower layers have in this directory.
    pub(super) fn set_opaque(&self, dir: &OwnedFd, path: &[u8]) -> Result<(), ApplyError> {
        let name = match self.whiteouts {
            Whiteouts::OverlayTrusted => "trusted.overlay.opaque",
            Whiteouts::OverlayUser => "user.overlay.opaque",
            Whiteouts::Apply | Whiteouts::Plain => return Ok(()),
        };
        let set = rustix::fs::fsetxattr(dir, name, b"y", rustix::fs::XattrFlags::empty());
        set.map_err(ApplyError::io("make opaque", path))
    }

    /// Forgets open directories, because something was removed that a path may lead through.
    pub(super) fn forget(&mut self) {
        self.open.clear();
    }

    fn remember(&mut self, path: &[u8], dir: OwnedFd) -> Result<Rc<OwnedFd>, ApplyError> {
        let depth = real_depth(&dir).unwrap_or(usize::MAX).saturating_sub(self.root_depth);
        if depth > self.depth {
            let limit = self.depth as u64;
            return Err(ApplyError::Path { what: "the depth of a directory", path: lossy(path), limit });
        }
        if self.open.len() >= REMEMBERED {
            self.open.clear();
        }
        let dir = Rc::new(dir);
        self.open.insert(path.to_vec(), Rc::clone(&dir));
        Ok(dir)
    }
}

impl Place {
    pub(super) fn stat(&self) -> Result<Option<Stat>, ApplyError> {
        match rustix::fs::statat(&*self.dir, &self.name[..], AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(ApplyError::io("look at", &self.path)(error)),
        }
    }

    pub(super) fn unlink(&self) -> Result<(), ApplyError> {
        let removed = rustix::fs::unlinkat(&*self.dir, &self.name[..], AtFlags::empty());
        removed.map_err(ApplyError::io("replace", &self.path))
    }

    pub(super) fn make_dir(&self) -> Result<(), ApplyError> {
        let made = rustix::fs::mkdirat(&*self.dir, &self.name[..], Mode::RWXU);
        made.map_err(ApplyError::io("create the directory", &self.path))
    }

    pub(super) fn open_dir(&self) -> Result<OwnedFd, ApplyError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&*self.dir, &self.name[..], flags, Mode::empty());
        opened.map_err(ApplyError::io("open the directory", &self.path))
    }

    /// A path to this place through an open descriptor, for calls that have no `at` form.
    pub(super) fn proc_path(&self) -> Vec<u8> {
        let mut path = format!("/proc/self/fd/{}/", self.dir.as_raw_fd()).into_bytes();
        path.extend_from_slice(&self.name);
        path
    }

    /// Removes whatever is here, with all it holds.
    pub(super) fn remove(&self) -> Result<(), ApplyError> {
        let Some(stat) = self.stat()? else { return Ok(()) };
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return self.unlink();
        }
        for child in self.children()? {
            child.remove()?;
        }
        let removed = rustix::fs::unlinkat(&*self.dir, &self.name[..], AtFlags::REMOVEDIR);
        removed.map_err(ApplyError::io("remove", &self.path))
    }

    /// The entries of the directory at this place.
    pub(super) fn children(&self) -> Result<Vec<Place>, ApplyError> {
        list(&Rc::new(self.open_dir()?), &self.path)
    }
}

/// The entries of an open directory.
pub(super) fn list(dir: &Rc<OwnedFd>, path: &[u8]) -> Result<Vec<Place>, ApplyError> {
    let entries = rustix::fs::Dir::read_from(&**dir).map_err(ApplyError::io("list", path))?;
    let mut places = Vec::new();
    for entry in entries {
        let entry = entry.map_err(ApplyError::io("list", path))?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            places.push(Place { dir: Rc::clone(dir), name: name.to_vec(), path: join(path, name) });
        }
    }
    Ok(places)
}

/// Overlayfs hides a name with a character device 0:0.
pub(super) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// How deep a directory lies; unknown when its path is too long for the kernel to say.
fn real_depth(dir: &OwnedFd) -> Option<usize> {
    let link = format!("/proc/self/fd/{}", dir.as_raw_fd());
    let path = rustix::fs::readlink(link, Vec::new()).ok()?;
    Some(path.as_bytes().iter().filter(|byte| **byte == b'/').count())
}
