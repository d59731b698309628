//! Applying a layer's tar stream to a directory.
//!
//! The directory may be hostile by what was already unpacked into it: every path is resolved by the kernel
//! inside the layer's root, the last name is never followed, and what exists is replaced, not written into.

mod dirs;
mod error;
mod listing;
mod lower;
mod meta;
mod path;
mod whiteout;
mod writer;

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, Timestamps};
use rustix::io::Errno;

use crate::files::open_scoped;
use crate::limits::Limits;
use crate::sums::{Content, Recorder, Sum, sparse_digest};
use crate::tar::{Entry, Input, Kind, TarReader};
use dirs::{Dirs, Place};
pub use error::ApplyError;
pub(crate) use error::lossy;
use gantry_model::idmap::IdMaps;
pub(crate) use listing::list;
pub(crate) use lower::Lower;
use lower::{Found, Layers};
pub(crate) use meta::set_fresh;
pub(crate) use path::clean;
use whiteout::{Hider, Meaning};
use writer::Pen;

/// The most warnings one layer may give.
const WARNINGS: usize = 20;

/// How a storage driver wants to see that lower layers' entries are hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whiteouts {
    /// Overlayfs marks with `trusted.overlay.*` attributes.
    OverlayTrusted,
    /// Overlayfs marks with `user.overlay.*` attributes, for rootless stores.
    OverlayUser,
    /// The tree already holds the lower layers: delete from it.
    Apply,
    /// Nothing is hidden: the directory is in use, every name is an ordinary one, and files do not replace directories.
    Plain,
}

/// Where a layer is unpacked.
#[derive(Clone, Debug)]
pub struct LayerTarget {
    /// The directory that becomes the layer's root.
    pub path: PathBuf,
    /// How to hide what lower layers have.
    pub whiteouts: Whiteouts,
}

/// What a layer turned out to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The sum of the files' apparent sizes.
    pub size: u64,
    /// The number of entries.
    pub entries: u64,
    /// What could not be carried over, in words.
    pub warnings: Vec<String>,
    /// What every entry is, for later comparisons (see [`crate::sums`]); empty for files that become no layer.
    pub sums: Vec<u8>,
}

/// Unpacks all entries of a stream, then reads it to its end. Hard links may lead to files of the layers below. With
/// `owners` the files belong to those whom these maps give for the owners that the archive names.
pub(crate) fn apply<R: Input>(
    tar: &mut TarReader<R>,
    target: &LayerTarget,
    limits: &Limits,
    lower: Option<&dyn Lower>,
    owners: Option<&IdMaps>,
) -> Result<Applied, ApplyError> {
    std::thread::scope(|scope| {
        let (pen, desk) = writer::pair(target.whiteouts != Whiteouts::Plain);
        let writing = scope.spawn(move || desk.run());
        let applied = Applier::new(target, *limits, lower, pen).and_then(|applier| applier.all(tar, owners));
        let written = writing.join().unwrap_or_else(|_| Err(ApplyError::Stream(io::Error::other("a thread panicked"))));
        written.and(applied)
    })
}

/// Makes what a table of contents names, its files as one hole each.
pub(crate) fn apply_outline<'e>(
    entries: impl Iterator<Item = &'e Entry>,
    target: &LayerTarget,
    limits: &Limits,
) -> Result<Applied, ApplyError> {
    std::thread::scope(|scope| {
        let (pen, desk) = writer::pair(true);
        let writing = scope.spawn(move || desk.run());
        let mut nothing = TarReader::new(io::Cursor::new([0; 0]), limits.header_bytes);
        let applied = Applier::new(target, *limits, None, pen).and_then(|mut applier| {
            for entry in entries {
                applier.apply(&mut nothing, entry)?;
            }
            applier.finish()
        });
        let written = writing.join().unwrap_or_else(|_| Err(ApplyError::Stream(io::Error::other("a thread panicked"))));
        written.and(applied)
    })
}

struct Applier<'l> {
    dirs: Dirs,
    lower: Option<&'l dyn Lower>,
    /// Opened for the first link that needs them.
    below: Option<Layers>,
    /// Files of lower layers that are in this one now: where, and as which inode.
    copied: HashMap<(u64, u64), (Vec<u8>, u64)>,
    hider: Hider,
    whiteouts: Whiteouts,
    limits: Limits,
    dir_times: HashMap<Vec<u8>, Timestamps>,
    applied: Applied,
    pen: Pen,
    sums: Recorder,
}

impl<'l> Applier<'l> {
    fn new(target: &LayerTarget, limits: Limits, lower: Option<&'l dyn Lower>, pen: Pen) -> Result<Self, ApplyError> {
        let root = open_root(&target.path)?;
        Ok(Self {
            dirs: Dirs::new(root, target.whiteouts, limits.depth),
            lower,
            below: None,
            copied: HashMap::new(),
            hider: Hider::new(target.whiteouts),
            whiteouts: target.whiteouts,
            limits,
            dir_times: HashMap::new(),
            applied: Applied::default(),
            pen,
            sums: Recorder::new(target.whiteouts != Whiteouts::Plain),
        })
    }

    fn all<R: Input>(mut self, tar: &mut TarReader<R>, owners: Option<&IdMaps>) -> Result<Applied, ApplyError> {
        while let Some(mut entry) = tar.next_entry()? {
            if let Some(maps) = owners {
                meta::map_owner(&mut entry, maps)?;
            }
            self.apply(tar, &entry)?;
        }
        tar.drain()?;
        self.finish()
    }

    fn apply<R: Input>(&mut self, tar: &mut TarReader<R>, entry: &Entry) -> Result<(), ApplyError> {
        self.applied.entries += 1;
        if self.applied.entries > self.limits.entries {
            return Err(ApplyError::Limit { what: "the number of entries", limit: self.limits.entries });
        }
        let path = path::clean(&entry.path, &self.limits)?;
        if self.whiteouts == Whiteouts::Plain {
            return self.place(tar, entry, &path);
        }
        match whiteout::meaning(&path)? {
            Meaning::Entry => self.place(tar, entry, &path),
            Meaning::Hide(target) => {
                self.sums.hidden(&target);
                self.hider.hide(&mut self.dirs, &target)
            }
            Meaning::Opaque(dir) => {
                self.sums.opaque(&dir);
                self.hider.make_opaque(&mut self.dirs, &dir)
            }
            Meaning::Ignored => Ok(()),
        }
    }

    fn place<R: Input>(&mut self, tar: &mut TarReader<R>, entry: &Entry, path: &[u8]) -> Result<(), ApplyError> {
        if path.is_empty() {
            return self.root(entry);
        }
        let place = self.dirs.place(path)?;
        self.hider.touch(path);
        match entry.kind {
            Kind::Regular => self.file(tar, entry, &place),
            Kind::Directory => self.directory(entry, &place),
            Kind::HardLink => self.hard_link(entry, &place),
            Kind::Symlink => self.symlink(entry, &place),
            Kind::Fifo => self.node(entry, &place, FileType::Fifo),
            Kind::CharDevice => self.device(entry, &place, FileType::CharacterDevice),
            Kind::BlockDevice => self.device(entry, &place, FileType::BlockDevice),
        }
    }

    fn root(&mut self, entry: &Entry) -> Result<(), ApplyError> {
        if entry.kind != Kind::Directory {
            return Err(ApplyError::Escape(lossy(&entry.path)));
        }
        self.dir_times.insert(Vec::new(), meta::times(entry));
        self.note(b"", entry, 0);
        meta::set_open(&self.dirs.root(), entry, b"/")
    }

    fn file<R: Input>(&mut self, tar: &mut TarReader<R>, entry: &Entry, place: &Place) -> Result<(), ApplyError> {
        if entry.chunks.is_none() {
            return self.plain_file(tar, entry, place);
        }
        self.new_file(entry, place, |file| {
            write_sparse(tar, file, entry, &place.path)?;
            sparse_digest(file).map_err(ApplyError::io("read back", &place.path))
        })
    }

    /// Makes a file and has it filled.
    fn plain_file<R: Input>(&mut self, tar: &mut TarReader<R>, entry: &Entry, place: &Place) -> Result<(), ApplyError> {
        let file = Arc::new(self.create(entry, place)?);
        let (pen, mut digest) = (&mut self.pen, Content::new());
        tar.read_data(|piece| {
            digest.update(piece);
            pen.write(&file, piece)
        })?;
        pen.end(&file, entry, &place.path)?;
        self.counted(entry, place, digest.finish());
        Ok(())
    }

    fn create(&mut self, entry: &Entry, place: &Place) -> Result<OwnedFd, ApplyError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(entry.mode & 0o777);
        self.make("create", place, || rustix::fs::openat(&*place.dir, &place.name[..], flags, mode))
    }

    fn counted(&mut self, entry: &Entry, place: &Place, digest: u128) {
        self.note(&place.path, entry, digest);
        self.applied.size = self.applied.size.saturating_add(entry.size);
    }

    /// Makes a file; `fill` writes it and answers the digest of its content.
    fn new_file(
        &mut self,
        entry: &Entry,
        place: &Place,
        fill: impl FnOnce(&OwnedFd) -> Result<u128, ApplyError>,
    ) -> Result<(), ApplyError> {
        let file = self.create(entry, place)?;
        let digest = fill(&file)?;
        meta::set_fresh(&file, entry, &place.path)?;
        self.counted(entry, place, digest);
        Ok(())
    }

    fn directory(&mut self, entry: &Entry, place: &Place) -> Result<(), ApplyError> {
        let replaces_whiteout = self.dirs.clear_whiteout(place)?;
        let existing = place.stat()?.map(|stat| FileType::from_raw_mode(stat.st_mode));
        if self.whiteouts == Whiteouts::Plain && existing.is_some_and(|kind| kind != FileType::Directory) {
            return Err(ApplyError::InTheWay { path: lossy(&place.path), new: "directory", old: "non-directory" });
        }
        if existing != Some(FileType::Directory) {
            self.make("create the directory", place, || rustix::fs::mkdirat(&*place.dir, &place.name[..], Mode::RWXU))?;
        }
        let dir = place.open_dir()?;
        if self.whiteouts == Whiteouts::Apply && existing == Some(FileType::Directory) {
            meta::clear_xattrs(&dir, &place.path)?;
        }
        meta::set_open(&dir, entry, &place.path)?;
        if replaces_whiteout {
            self.dirs.set_opaque(&dir, &place.path)?;
        }
        self.dir_times.insert(place.path.clone(), meta::times(entry));
        self.note(&place.path, entry, 0);
        Ok(())
    }

    fn symlink(&mut self, entry: &Entry, place: &Place) -> Result<(), ApplyError> {
        self.make("create the symlink", place, || {
            rustix::fs::symlinkat(&entry.link[..], &*place.dir, &place.name[..])
        })?;
        self.set_named(entry, place)?;
        self.note(&place.path, entry, Content::of(&entry.link));
        Ok(())
    }

    fn hard_link(&mut self, entry: &Entry, place: &Place) -> Result<(), ApplyError> {
        let wrong = || ApplyError::LinkTarget { path: lossy(&place.path), target: lossy(&entry.link) };
        let target_path = path::clean(&entry.link, &self.limits)?;
        if target_path == place.path || target_path.is_empty() {
            return Err(wrong());
        }
        if let Some((target, stat)) = self.own_file(&target_path)? {
            let is_dir = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            return if is_dir { Err(wrong()) } else { self.link(&target, place) };
        }
        let found = self.find_below(&target_path)?.ok_or_else(wrong)?;
        if let Some(target) = self.copy_of(&found)? {
            return self.link(&target, place);
        }
        let copy = found.entry(place)?.ok_or_else(wrong)?;
        self.copy(&found, &copy, place)?;
        let made = place.stat()?.ok_or_else(wrong)?;
        self.copied.insert(found.identity(), (place.path.clone(), made.st_ino));
        Ok(())
    }

    fn link(&mut self, target: &Place, place: &Place) -> Result<(), ApplyError> {
        self.make("create the hard link", place, || {
            rustix::fs::linkat(&*target.dir, &target.name[..], &*place.dir, &place.name[..], AtFlags::empty())
        })?;
        self.sums.link(&place.path, &target.path);
        Ok(())
    }

    /// What this layer has at a path; a mark that hides something is nothing.
    fn own_file(&mut self, path: &[u8]) -> Result<Option<(Place, Stat)>, ApplyError> {
        let Some(place) = self.dirs.find(path)? else { return Ok(None) };
        let stat = place.stat()?.filter(|stat| !dirs::is_whiteout(stat));
        Ok(stat.map(|stat| (place, stat)))
    }

    fn find_below(&mut self, path: &[u8]) -> Result<Option<Found>, ApplyError> {
        let Some(lower) = self.lower else { return Ok(None) };
        if self.below.is_none() {
            self.below = Some(Layers::open(&lower.directories()?, self.whiteouts)?);
        }
        self.below.as_mut().map_or(Ok(None), |below| below.find(path))
    }

    /// Where this layer has a file of a lower one already, unless something else took its place.
    fn copy_of(&mut self, found: &Found) -> Result<Option<Place>, ApplyError> {
        let Some((path, inode)) = self.copied.get(&found.identity()).cloned() else { return Ok(None) };
        let own = self.own_file(&path)?;
        Ok(own.filter(|(_, stat)| stat.st_ino == inode).map(|(place, _)| place))
    }

    /// The kernel cannot link across layers; a copy is what a container gets too that writes to the file.
    fn copy(&mut self, found: &Found, entry: &Entry, place: &Place) -> Result<(), ApplyError> {
        match entry.kind {
            Kind::Symlink => self.symlink(entry, place),
            Kind::Fifo => self.node(entry, place, FileType::Fifo),
            Kind::CharDevice => self.device(entry, place, FileType::CharacterDevice),
            Kind::BlockDevice => self.device(entry, place, FileType::BlockDevice),
            _ => {
                self.limit_size(entry.size)?;
                self.new_file(entry, place, |file| {
                    found.copy_to(file, &place.path)?;
                    sparse_digest(file).map_err(ApplyError::io("read back", &place.path))
                })
            }
        }
    }

    /// What is copied was not counted while the stream was read.
    fn limit_size(&self, more: u64) -> Result<(), ApplyError> {
        let limit = self.limits.layer_bytes;
        match self.applied.size.saturating_add(more) > limit {
            true => Err(ApplyError::Limit { what: "the size of a layer with its hard links", limit }),
            false => Ok(()),
        }
    }

    fn device(&mut self, entry: &Entry, place: &Place, kind: FileType) -> Result<(), ApplyError> {
        if kind == FileType::CharacterDevice && (entry.major, entry.minor) == (0, 0) {
            self.warn(format!("{}: a character device 0:0 cannot be in a layer", lossy(&place.path)));
            return Ok(());
        }
        match self.node(entry, place, kind) {
            Err(ApplyError::Io { source, .. })
                if source.raw_os_error() == Some(Errno::PERM.raw_os_error())
                    && (self.whiteouts == Whiteouts::OverlayUser || gantry_sys::userns::is_inner()) =>
            {
                self.warn(format!("{}: devices cannot be made without privileges", lossy(&place.path)));
                Ok(())
            }
            made => made,
        }
    }

    fn node(&mut self, entry: &Entry, place: &Place, kind: FileType) -> Result<(), ApplyError> {
        let act = if kind == FileType::Fifo { "create the fifo" } else { "make the device" };
        let device = rustix::fs::makedev(entry.major, entry.minor);
        self.make(act, place, || {
            rustix::fs::mknodat(&*place.dir, &place.name[..], kind, Mode::RUSR | Mode::WUSR, device)
        })?;
        self.set_named(entry, place)?;
        self.note(&place.path, entry, 0);
        Ok(())
    }

    fn note(&mut self, path: &[u8], entry: &Entry, digest: u128) {
        if self.sums.is_wanted() {
            self.sums.entry(path, &Sum::of(entry, &meta::times(entry), digest));
        }
    }

    fn set_named(&mut self, entry: &Entry, place: &Place) -> Result<(), ApplyError> {
        if let Some(skipped) = meta::set_named(place, entry)? {
            self.warn(skipped);
        }
        Ok(())
    }

    /// Makes something new, after removing what has the name.
    fn make<T>(
        &mut self,
        act: &'static str,
        place: &Place,
        create: impl Fn() -> Result<T, Errno>,
    ) -> Result<T, ApplyError> {
        match create() {
            Err(Errno::EXIST) => {
                self.dirs.forget();
                self.check_replaceable(place)?;
                place.remove()?;
                create().map_err(ApplyError::io(act, &place.path))
            }
            made => made.map_err(ApplyError::io(act, &place.path)),
        }
    }

    /// A layer replaces whatever is there; files that are copied replace files only.
    fn check_replaceable(&self, place: &Place) -> Result<(), ApplyError> {
        let is_dir = |stat: rustix::fs::Stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        match self.whiteouts == Whiteouts::Plain && place.stat()?.is_some_and(is_dir) {
            true => Err(ApplyError::InTheWay { path: lossy(&place.path), new: "non-directory", old: "directory" }),
            false => Ok(()),
        }
    }

    fn warn(&mut self, text: String) {
        if self.applied.warnings.len() < WARNINGS {
            self.applied.warnings.push(text);
        }
    }

    /// Directories get their times last, deepest first, because every entry made in them changed them.
    fn finish(mut self) -> Result<Applied, ApplyError> {
        let mut times: Vec<_> = self.dir_times.drain().collect();
        times.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
        let root = self.dirs.root();
        for (path, times) in times {
            set_dir_times(&root, &path, &times)?;
        }
        self.pen.finish()?;
        self.applied.sums = self.sums.finish().map_err(ApplyError::Stream)?;
        Ok(self.applied)
    }
}

fn open_root(path: &Path) -> Result<OwnedFd, ApplyError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::empty());
    opened.map_err(ApplyError::io("open the directory", path.as_os_str().as_encoded_bytes()))
}

/// A directory that was replaced by something else later in the stream keeps no times.
fn set_dir_times(root: &OwnedFd, path: &[u8], times: &Timestamps) -> Result<(), ApplyError> {
    let path = if path.is_empty() { b"." } else { path };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
    match open_scoped(root, path, flags, ResolveFlags::IN_ROOT) {
        Ok(dir) => rustix::fs::futimens(&dir, times).map_err(ApplyError::io("set the times of", path)),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(()),
        Err(error) => Err(ApplyError::io("open the directory", path)(error)),
    }
}

/// Writes the stored runs where they belong and leaves the holes.
fn write_sparse<R: Input>(
    tar: &mut TarReader<R>,
    file: &OwnedFd,
    entry: &Entry,
    path: &[u8],
) -> Result<(), ApplyError> {
    let mut chunks = entry.chunks.iter().flatten().copied().filter(|chunk| chunk.len > 0);
    let mut chunk = chunks.next();
    tar.read_data(|mut piece| {
        while !piece.is_empty() {
            let Some(now) = &mut chunk else { break };
            let count = piece.len().min(usize::try_from(now.len).unwrap_or(usize::MAX));
            let count = rustix::io::pwrite(file, &piece[..count], now.offset).map_err(ApplyError::io("write", path))?;
            (now.offset, now.len) = (now.offset + count as u64, now.len - count as u64);
            piece = &piece[count..];
            if now.len == 0 {
                chunk = chunks.next();
            }
        }
        Ok::<(), ApplyError>(())
    })?;
    rustix::fs::ftruncate(file, entry.size).map_err(ApplyError::io("extend", path))
}

#[cfg(test)]
mod tests;
