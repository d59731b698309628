//! Comparing a layer's directory with what was recorded when it was unpacked.
//!
//! The directory is walked once; what a path of the archive led to through a symbolic link is looked up afterwards.
//! Contents are read by two threads, because on a cold disk reading is all it takes.

use std::collections::{BTreeMap, HashSet};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat};

use crate::apply::lossy;
use crate::error::{Error, Result};
use crate::files::open_scoped;
use crate::sums::{Content, Expected, Sort, Sum, sparse_digest, user_xattrs};

/// The most faults that are told of one layer.
const TOLD: usize = 8;
/// Beyond this second not every file system keeps a time.
const LAST_COMMON_SECOND: i64 = i32::MAX as i64;
/// Threads that read contents.
const READERS: usize = 2;

/// What was found wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The first few, in words.
    pub told: Vec<String>,
    /// How many.
    pub count: usize,
}

impl Faults {
    fn add(&mut self, path: &[u8], what: &str) {
        self.count += 1;
        if self.told.len() < TOLD {
            self.told.push(format!("/{}: {what}", lossy(path)));
        }
    }
}

/// Compares a directory with what it must hold; contents only if wanted.
pub(crate) fn verify(dir: &Path, expected: &Expected, contents: bool) -> Result<Faults> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(dir, flags, Mode::empty()).map_err(Error::errno("open the layer", dir))?;
    let mut found = Found::default();
    walk(&root, b"", &mut found).map_err(Error::errno("read the layer", dir))?;
    let root_stat = rustix::fs::fstat(&root).map_err(Error::errno("look at", dir))?;
    found.stats.insert(Vec::new(), root_stat);
    let mut check = Check { root: &root, expected, found: &found, faults: Faults::default(), files: Vec::new() };
    check.entries();
    check.hidden();
    check.strangers();
    let Check { files, mut faults, .. } = check;
    if contents {
        read_contents(&root, &files, &mut faults);
    }
    Ok(faults)
}

/// What is in the directory.
#[derive(Default)]
struct Found {
    stats: BTreeMap<Vec<u8>, Stat>,
}

fn walk(dir: &OwnedFd, path: &[u8], found: &mut Found) -> rustix::io::Result<()> {
    let mut below = Vec::new();
    for entry in rustix::fs::Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let child = if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() };
        if kind(&stat) == FileType::Directory {
            below.push((name.to_vec(), child.clone()));
        }
        found.stats.insert(child, stat);
    }
    for (name, child) in below {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        walk(&rustix::fs::openat(dir, name, flags, Mode::empty())?, &child, found)?;
    }
    Ok(())
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

struct Check<'a> {
    root: &'a OwnedFd,
    expected: &'a Expected,
    found: &'a Found,
    faults: Faults,
    /// Files whose content is to be read.
    files: Vec<(&'a [u8], &'a Sum)>,
}

impl<'a> Check<'a> {
    fn entries(&mut self) {
        for (path, sum) in &self.expected.entries {
            match self.stat(path) {
                None => self.faults.add(path, "is missing"),
                Some(stat) => self.entry(path, sum, &stat),
            }
        }
        for (path, target) in &self.expected.links {
            let inode = |path: &[u8]| self.stat(path).map(|stat| (stat.st_dev, stat.st_ino));
            // A target that the archive replaced later is another file.
            let same_file = self.expected.entries.get(path) == self.expected.entries.get(target);
            if same_file && inode(path) != inode(target) && inode(target).is_some() {
                self.faults.add(path, "is no hard link any more");
            }
        }
    }

    fn entry(&mut self, path: &'a [u8], sum: &'a Sum, stat: &Stat) {
        if let Some(what) = difference(sum, stat) {
            return self.faults.add(path, what);
        }
        if matches!(sum.sort, Sort::File | Sort::Sparse | Sort::Symlink) && !self.expected.links.contains_key(path) {
            self.files.push((path, sum));
        }
    }

    /// As it lies there; or where the kernel finds it, when its directory is reached through a link.
    fn stat(&self, path: &[u8]) -> Option<Stat> {
        if let Some(stat) = self.found.stats.get(path) {
            return Some(*stat);
        }
        let file = open(self.root, path, OFlags::PATH).ok()?;
        rustix::fs::fstat(&file).ok()
    }

    fn hidden(&mut self) {
        let expected = self.expected;
        for path in expected.hidden.iter().filter(|path| !expected.entries.contains_key(*path)) {
            // A directory of the layer is opaque instead; it need not have an entry of its own.
            let hides = |stat: Stat| {
                kind(&stat) == FileType::Directory || kind(&stat) == FileType::CharacterDevice && stat.st_rdev == 0
            };
            if !self.stat(path).is_some_and(hides) {
                self.faults.add(path, "does not hide what is below any more");
            }
        }
        for path in &expected.opaque {
            if !self.is_opaque(path) {
                self.faults.add(path, "is not opaque any more");
            }
        }
    }

    fn is_opaque(&self, path: &[u8]) -> bool {
        let name = if path.is_empty() { &b"."[..] } else { path };
        let Ok(dir) = open(self.root, name, OFlags::RDONLY | OFlags::DIRECTORY) else { return false };
        let mut value = [0; 8];
        ["trusted.overlay.opaque", "user.overlay.opaque"]
            .into_iter()
            .any(|name| rustix::fs::fgetxattr(&dir, name, &mut value).is_ok_and(|count| value[..count] == *b"y"))
    }

    /// What nobody unpacked: neither an entry nor a directory on the way to one.
    fn strangers(&mut self) {
        let expected = self.expected;
        let mut known: HashSet<&[u8]> = HashSet::new();
        let paths = expected.entries.keys().chain(&expected.hidden).chain(&expected.opaque);
        for mut path in paths.map(Vec::as_slice) {
            while known.insert(path) {
                path = path.iter().rposition(|byte| *byte == b'/').map_or(&[], |at| &path[..at]);
            }
        }
        let elsewhere = self.inodes_elsewhere();
        for (path, stat) in &self.found.stats {
            let reached = elsewhere.contains(&stat.st_ino);
            if !known.contains(&path[..]) && !reached && kind(stat) != FileType::Directory {
                self.faults.add(path, "does not belong to the layer");
            }
        }
    }

    /// Files that entries reach through symbolic links.
    fn inodes_elsewhere(&self) -> HashSet<u64> {
        let paths = self.expected.entries.keys().chain(&self.expected.hidden);
        let moved = paths.filter(|path| !self.found.stats.contains_key(*path));
        moved.filter_map(|path| self.stat(path)).map(|stat| stat.st_ino).collect()
    }
}

fn open(root: &OwnedFd, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    open_scoped(root, path, flags | OFlags::NOFOLLOW, ResolveFlags::IN_ROOT)
}

/// In what an entry differs, contents apart.
fn difference(sum: &Sum, stat: &Stat) -> Option<&'static str> {
    let wanted = match sum.sort {
        Sort::Directory => FileType::Directory,
        Sort::File | Sort::Sparse => FileType::RegularFile,
        Sort::Symlink => FileType::Symlink,
        Sort::Fifo => FileType::Fifo,
        Sort::CharDevice => FileType::CharacterDevice,
        Sort::BlockDevice => FileType::BlockDevice,
    };
    let file = wanted == FileType::RegularFile;
    let device = rustix::fs::makedev(sum.device.0, sum.device.1);
    if kind(stat) != wanted {
        Some("is of another kind")
    } else if (stat.st_uid, stat.st_gid) != (sum.uid, sum.gid) {
        Some("has another owner")
    } else if wanted != FileType::Symlink && stat.st_mode & 0o7777 != sum.mode {
        Some("has another mode")
    } else if file && stat.st_size as u64 != sum.size {
        Some("has another size")
    } else if matches!(sum.sort, Sort::CharDevice | Sort::BlockDevice) && stat.st_rdev != device {
        Some("is another device")
    } else if file && !same_time(sum.mtime, stat) {
        Some("has another time")
    } else {
        None
    }
}

/// Some file systems keep seconds only.
fn same_time((seconds, nanos): (i64, u32), stat: &Stat) -> bool {
    let kept = stat.st_mtime_nsec as u32;
    !(0..LAST_COMMON_SECOND).contains(&seconds) || stat.st_mtime == seconds && (kept == nanos || kept == 0)
}

fn read_contents(root: &OwnedFd, files: &[(&[u8], &Sum)], faults: &mut Faults) {
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    let read = || {
        let mut buffer = vec![0; 256 << 10];
        while let Some((path, sum)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Some(what) = content_fault(root, path, sum, &mut buffer) {
                wrong.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((*path, what));
            }
        }
    };
    std::thread::scope(|scope| {
        (1..READERS).for_each(|_| drop(scope.spawn(read)));
        read();
    });
    let mut wrong = wrong.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    wrong.sort_unstable();
    wrong.iter().for_each(|(path, what)| faults.add(path, what));
}

fn content_fault(root: &OwnedFd, path: &[u8], sum: &Sum, buffer: &mut [u8]) -> Option<&'static str> {
    if sum.sort == Sort::Symlink {
        let target = open(root, path, OFlags::PATH).and_then(|link| rustix::fs::readlinkat(link, c"", Vec::new()));
        let same = target.is_ok_and(|target| Content::of(target.as_bytes()) == sum.digest);
        return (!same).then_some("leads elsewhere");
    }
    match digest(root, path, sum.sort, buffer) {
        Err(_) => Some("cannot be read"),
        Ok((content, _)) if content != sum.digest => Some("has another content"),
        Ok((_, xattrs)) if xattrs != sum.xattrs => Some("has other extended attributes"),
        Ok(_) => None,
    }
}

fn digest(root: &OwnedFd, path: &[u8], sort: Sort, buffer: &mut [u8]) -> rustix::io::Result<(u128, u128)> {
    let file = open(root, path, OFlags::RDONLY | OFlags::NONBLOCK)?;
    let xattrs = xattr_digest(&file)?;
    if sort == Sort::Sparse {
        return Ok((sparse_digest(&file)?, xattrs));
    }
    let mut content = Content::new();
    loop {
        match rustix::io::read(&file, &mut *buffer)? {
            0 => return Ok((content.finish(), xattrs)),
            count => content.update(&buffer[..count]),
        }
    }
}

/// The most that the kernel gives of a list of attributes, or of one (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const MOST: usize = 64 << 10;

fn xattr_digest(file: &OwnedFd) -> rustix::io::Result<u128> {
    let mut names = vec![0_u8; MOST];
    let count = match rustix::fs::flistxattr(file, &mut names) {
        Ok(0) | Err(rustix::io::Errno::NOTSUP) => return Ok(0),
        listed => listed?,
    };
    let mut pairs = Vec::new();
    for name in names[..count].split(|byte| *byte == 0).filter(|name| name.starts_with(b"user.")) {
        let mut value = vec![0_u8; MOST];
        let have = rustix::fs::fgetxattr(file, name, &mut value)?;
        value.truncate(have);
        pairs.push((name.to_vec(), value));
    }
    Ok(user_xattrs(pairs.iter().map(|(name, value)| (&name[..], &value[..]))))
}
