//! The layers below the one that is unpacked: where a hard link leads whose file is not in its own layer.
//!
//! Layers lie apart, in overlayfs' form. A path is resolved here as the kernel would show it: the nearest layer wins,
//! marks hide what lies below them, symlinks are followed inside the image alone.

use std::collections::VecDeque;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, SeekFrom, Stat};
use rustix::io::Errno;

use super::Whiteouts;
use super::dirs::{Place, is_whiteout};
use super::error::{ApplyError, lossy};
use crate::tar::{Entry, Kind};

/// Symlinks followed in one look-up, as many as the kernel follows.
const LINKS: usize = 40;
/// Directories opened for the links of one layer.
const LOOK_UPS: u64 = 2_000_000;

type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// Whoever knows where the layers below are.
pub(crate) trait Lower {
    /// Their directories, nearest first; waits until all are unpacked.
    fn directories(&self) -> Result<Vec<PathBuf>, ApplyError>;
}

/// The layers below, open.
pub(super) struct Layers {
    roots: Vec<OwnedFd>,
    opaque: &'static str,
    left: u64,
}

/// A file of a layer below.
pub(super) struct Found {
    dir: OwnedFd,
    name: Vec<u8>,
    pub(super) stat: Stat,
}

impl Layers {
    pub(super) fn open(directories: &[PathBuf], whiteouts: Whiteouts) -> Result<Self, ApplyError> {
        let roots = directories.iter().map(|path| super::open_root(path)).collect::<Result<_, _>>()?;
        let opaque = match whiteouts {
            Whiteouts::OverlayUser => "user.overlay.opaque",
            _ => "trusted.overlay.opaque",
        };
        Ok(Self { roots, opaque, left: LOOK_UPS })
    }

    /// What the layers show at a cleaned path, the last name not followed.
    pub(super) fn find(&mut self, path: &[u8]) -> Result<Option<Found>, ApplyError> {
        let mut rest: VecDeque<Vec<u8>> = names(path).collect();
        let mut at: Vec<Vec<u8>> = Vec::new();
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            if name == b".." {
                at.pop();
                continue;
            }
            let Some(found) = self.look_up(&at, &name)? else { return Ok(None) };
            match FileType::from_raw_mode(found.stat.st_mode) {
                _ if rest.is_empty() => return Ok(Some(found)),
                FileType::Directory => at.push(name),
                FileType::Symlink if links < LINKS => {
                    links += 1;
                    let target = found.target()?;
                    if target.starts_with(b"/") {
                        at.clear();
                    }
                    names(&target).rev().for_each(|name| rest.push_front(name));
                }
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    /// One name in a directory that all layers make together.
    fn look_up(&mut self, at: &[Vec<u8>], name: &[u8]) -> Result<Option<Found>, ApplyError> {
        for index in 0..self.roots.len() {
            let cost = at.len() as u64 + 1;
            self.left = self.left.checked_sub(cost).ok_or(ApplyError::Limit {
                what: "the number of look-ups for hard links to lower layers",
                limit: LOOK_UPS,
            })?;
            match self.look_into(&self.roots[index], at, name)? {
                Look::Found(found) => return Ok(Some(found)),
                Look::Hidden => return Ok(None),
                Look::Nothing => {}
            }
        }
        Ok(None)
    }

    fn look_into(&self, root: &OwnedFd, at: &[Vec<u8>], name: &[u8]) -> Result<Look, ApplyError> {
        let mut dir = root.try_clone().map_err(ApplyError::io("look at", name))?;
        let mut hides = false;
        for step in at {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            dir = match rustix::fs::openat(&dir, &step[..], flags, Mode::empty()) {
                Ok(dir) => dir,
                Err(Errno::NOENT) => return Ok(if hides { Look::Hidden } else { Look::Nothing }),
                Err(Errno::NOTDIR | Errno::LOOP) => return Ok(Look::Hidden),
                Err(error) => return Err(ApplyError::io("open the directory", step)(error)),
            };
            hides |= matches!(rustix::fs::fgetxattr(&dir, self.opaque, &mut [0u8; 1][..]), Ok(1));
        }
        match rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if is_whiteout(&stat) => Ok(Look::Hidden),
            Ok(stat) => Ok(Look::Found(Found { dir, name: name.to_vec(), stat })),
            Err(Errno::NOENT) => Ok(if hides { Look::Hidden } else { Look::Nothing }),
            Err(error) => Err(ApplyError::io("look at", name)(error)),
        }
    }
}

/// What one layer says of a name.
enum Look {
    Found(Found),
    Nothing,
    /// And nothing below matters.
    Hidden,
}

fn names(path: &[u8]) -> impl DoubleEndedIterator<Item = Vec<u8>> {
    let names = path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
    names.map(<[u8]>::to_vec).collect::<Vec<_>>().into_iter()
}

impl Found {
    /// Which file it is, whatever its name.
    pub(super) fn identity(&self) -> (u64, u64) {
        (self.stat.st_dev, self.stat.st_ino)
    }

    fn target(&self) -> Result<Vec<u8>, ApplyError> {
        let target = rustix::fs::readlinkat(&self.dir, &self.name[..], Vec::new());
        target.map(std::ffi::CString::into_bytes).map_err(ApplyError::io("read the symlink", &self.name))
    }

    /// The file as an archive would bring it to `place`; `None` for what no archive brings.
    pub(super) fn entry(&self, place: &Place) -> Result<Option<Entry>, ApplyError> {
        let kind = match FileType::from_raw_mode(self.stat.st_mode) {
            FileType::RegularFile => Kind::Regular,
            FileType::Symlink => Kind::Symlink,
            FileType::Fifo => Kind::Fifo,
            FileType::CharacterDevice => Kind::CharDevice,
            FileType::BlockDevice => Kind::BlockDevice,
            _ => return Ok(None),
        };
        let stat = &self.stat;
        Ok(Some(Entry {
            kind,
            path: place.path.clone(),
            link: if kind == Kind::Symlink { self.target()? } else { Vec::new() },
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid.into(),
            gid: stat.st_gid.into(),
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mtime: (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(0)),
            atime: Some((stat.st_atime, u32::try_from(stat.st_atime_nsec).unwrap_or(0))),
            major: rustix::fs::major(stat.st_rdev),
            minor: rustix::fs::minor(stat.st_rdev),
            xattrs: self.xattrs()?,
            chunks: None,
        }))
    }

    fn xattrs(&self) -> Result<Xattrs, ApplyError> {
        let mut path = format!("/proc/self/fd/{}/", self.dir.as_raw_fd()).into_bytes();
        path.extend_from_slice(&self.name);
        let mut buffer = vec![0; 64 << 10];
        let count = match rustix::fs::llistxattr(&path[..], &mut buffer) {
            Err(Errno::NOTSUP) => 0,
            listed => listed.map_err(ApplyError::io("list the extended attributes of", &self.name))?,
        };
        let keys: Vec<Vec<u8>> =
            buffer[..count].split(|byte| *byte == 0).filter(|key| !key.is_empty()).map(<[u8]>::to_vec).collect();
        let mut pairs = Vec::new();
        for key in keys {
            let got = rustix::fs::lgetxattr(&path[..], &key[..], &mut buffer);
            let count = got.map_err(ApplyError::io("read an extended attribute of", &self.name))?;
            pairs.push((key, buffer[..count].to_vec()));
        }
        Ok(pairs)
    }

    /// Copies the bytes of a regular file; holes stay holes.
    pub(super) fn copy_to(&self, file: &OwnedFd, path: &[u8]) -> Result<(), ApplyError> {
        let failed = |error: Errno| ApplyError::Io {
            act: "copy a lower layer's file to",
            path: lossy(path),
            source: error.into(),
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let source = rustix::fs::openat(&self.dir, &self.name[..], flags, Mode::empty()).map_err(failed)?;
        let mut at = 0;
        loop {
            at = match rustix::fs::seek(&source, SeekFrom::Data(at)) {
                Ok(data) => data,
                Err(Errno::NXIO) => break,
                Err(error) => return Err(failed(error)),
            };
            let end = rustix::fs::seek(&source, SeekFrom::Hole(at)).map_err(failed)?;
            copy_range(&source, file, at, end).map_err(failed)?;
            at = end;
        }
        rustix::fs::ftruncate(file, u64::try_from(self.stat.st_size).unwrap_or(0)).map_err(failed)
    }
}

fn copy_range(source: &OwnedFd, target: &OwnedFd, mut at: u64, end: u64) -> Result<(), Errno> {
    let mut buffer = vec![0; usize::try_from((end - at).min(256 << 10)).unwrap_or(256 << 10)];
    while at < end {
        let most = buffer.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
        let count = rustix::io::pread(source, &mut buffer[..most], at)?;
        if count == 0 {
            return Ok(());
        }
        let mut written = 0;
        while written < count {
            written += rustix::io::pwrite(target, &buffer[written..count], at + written as u64)?;
        }
        at += count as u64;
    }
    Ok(())
}
