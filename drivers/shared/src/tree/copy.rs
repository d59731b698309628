//! The copy of a whole tree: owners, modes, times to the nanosecond, all extended attributes, hard links, holes, devices,
//! pipes and sockets. Data is shared by reflink where the file system can, else copied inside the kernel, else by hand.
//!
//! The caller's thread walks and makes directories, links and special files; files go in batches to one more thread, or
//! are copied by the walker itself when that is busy. A directory gets its metadata when the last piece of work below it
//! is done: that is when the last reference to its [`Pair`] is dropped.

use super::{MAX_DEPTH, TreeError, entries, is_dir, join, open_dir, open_root, xattr};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, copy_file_range, openat, readlinkat};
use nix::sys::stat::{
    FchmodatFlags, FileStat, Mode, SFlag, UtimensatFlags, fchmod, fchmodat, fstat, fstatat, futimens, mkdirat, mknodat,
    utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, LinkatFlags, Uid, Whence, fchown, fchownat, ftruncate, linkat, lseek, symlinkat};
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Files per piece of work, and pieces that may wait; together they bound the open descriptors.
const BATCH: usize = 32;
const WAITING: usize = 16;

/// How files become part of the copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CopyMode {
    /// Each file of its own.
    Copy,
    /// Hard links of the source's files: only where nobody ever writes into either of them.
    Link,
}

/// What was done.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct CopyReport {
    /// Files copied, reflinked or linked.
    pub files: u64,
    /// Bytes that went from one file to the other.
    pub copied_bytes: u64,
    /// Bytes that both trees share by reflink.
    pub shared_bytes: u64,
    /// Paths that could not be made without privileges (devices).
    pub skipped: Vec<PathBuf>,
}

/// Copies what is in `from`, with the root's own metadata, into the empty directory `to`.
pub fn copy_tree(from: &Path, to: &Path, mode: CopyMode) -> Result<CopyReport, TreeError> {
    let (source, target) = (open_root(from)?, open_root(to)?);
    let stat = fstat(&source).map_err(|e| TreeError::new("look at", from, e))?;
    let job = Job::new(from, mode, target.try_clone().map_err(|e| TreeError::new("open", to, e))?);
    let root = Arc::new(Pair { source, target, stat, path: PathBuf::new(), job: &job, _parent: None });
    let (sender, receiver) = sync_channel(WAITING);
    std::thread::scope(|scope| {
        let worker = std::thread::Builder::new().name("tree-copy".into()).spawn_scoped(scope, || work(&job, receiver));
        let mut walk = Walk { job: &job, sender: worker.is_ok().then_some(sender), links: HashMap::new() };
        walk.directory(root, 0);
    });
    job.finish()
}

const REFLINK: u8 = 0;
const IN_KERNEL: u8 = 1;
const BY_HAND: u8 = 2;

/// What all threads of one copy share.
struct Job {
    from: PathBuf,
    to: OwnedFd,
    mode: CopyMode,
    owner: (u32, u32),
    method: AtomicU8,
    no_atime: AtomicBool,
    files: AtomicU64,
    copied: AtomicU64,
    shared: AtomicU64,
    failed: AtomicBool,
    error: Mutex<Option<TreeError>>,
    skipped: Mutex<Vec<PathBuf>>,
}

impl Job {
    fn new(from: &Path, mode: CopyMode, to: OwnedFd) -> Self {
        Job {
            from: from.to_owned(),
            to,
            mode,
            owner: (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw()),
            method: AtomicU8::new(REFLINK),
            no_atime: AtomicBool::new(true),
            files: AtomicU64::new(0),
            copied: AtomicU64::new(0),
            shared: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            error: Mutex::new(None),
            skipped: Mutex::new(Vec::new()),
        }
    }

    /// Keeps the first failure and stops the rest.
    fn check(&self, act: &'static str, path: &Path, done: Result<(), Errno>) {
        if let Err(error) = done {
            let mut first = self.error.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| TreeError::new(act, self.from.join(path), error));
            self.failed.store(true, Relaxed);
        }
    }

    fn stopped(&self) -> bool {
        self.failed.load(Relaxed)
    }

    fn finish(self) -> Result<CopyReport, TreeError> {
        match self.error.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(CopyReport {
                files: self.files.into_inner(),
                copied_bytes: self.copied.into_inner(),
                shared_bytes: self.shared.into_inner(),
                skipped: self.skipped.into_inner().unwrap_or_else(PoisonError::into_inner),
            }),
        }
    }
}

/// A directory and its copy, held by everything that still has to be done in it.
struct Pair<'j> {
    source: OwnedFd,
    target: OwnedFd,
    stat: FileStat,
    path: PathBuf,
    job: &'j Job,
    /// Dropped after this directory is finished, so parents come last.
    _parent: Option<Arc<Pair<'j>>>,
}

impl Drop for Pair<'_> {
    fn drop(&mut self) {
        if !self.job.stopped() {
            let done = finish_open(self.job, &self.source, &self.target, &self.stat);
            self.job.check("set attributes of the copy of", &self.path, done);
        }
    }
}

struct Batch<'j> {
    dir: Arc<Pair<'j>>,
    files: Vec<(CString, FileStat)>,
}

impl Batch<'_> {
    fn copy(self) {
        for (name, stat) in &self.files {
            if self.dir.job.stopped() {
                return;
            }
            self.dir.job.check("copy", &join(&self.dir.path, name), copy_file(&self.dir, name, stat));
        }
    }
}

fn work<'j>(job: &'j Job, batches: Receiver<Batch<'j>>) {
    for batch in batches {
        if !job.stopped() {
            batch.copy();
        }
    }
}

struct Walk<'j> {
    job: &'j Job,
    /// `None` when no thread could be started.
    sender: Option<SyncSender<Batch<'j>>>,
    links: HashMap<(u64, u64), PathBuf>,
}

impl<'j> Walk<'j> {
    fn directory(&mut self, dir: Arc<Pair<'j>>, depth: usize) {
        let names = match entries(&dir.source) {
            Ok(names) => names,
            Err(error) => return self.job.check("read", &dir.path, Err(error)),
        };
        let mut files = Vec::new();
        for entry in names {
            if self.job.stopped() {
                return;
            }
            let done = self.entry(&dir, entry.name.clone(), &mut files, depth);
            self.job.check("copy", &join(&dir.path, &entry.name), done);
            if files.len() == BATCH {
                self.hand_over(Batch { dir: dir.clone(), files: std::mem::take(&mut files) });
            }
        }
        self.hand_over(Batch { dir, files });
    }

    fn hand_over(&self, batch: Batch<'j>) {
        match self.sender.as_ref().map(|s| s.try_send(batch)) {
            Some(Ok(())) => {}
            Some(Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch))) => batch.copy(),
            None => {}
        }
    }

    fn entry(
        &mut self,
        dir: &Arc<Pair<'j>>,
        name: CString,
        files: &mut Vec<(CString, FileStat)>,
        depth: usize,
    ) -> Result<(), Errno> {
        let stat = fstatat(&dir.source, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let regular = kind(&stat) == SFlag::S_IFREG;
        if is_dir(&stat) {
            return self.below(dir, &name, depth + 1);
        }
        if self.job.mode == CopyMode::Link && regular && link_source(dir, &name)? {
            return Ok(());
        }
        if stat.st_nlink > 1 {
            return self.linked(dir, &name, &stat);
        }
        if regular {
            files.push((name, stat));
            return Ok(());
        }
        copy_special(dir, &name, &stat)
    }

    fn below(&mut self, dir: &Arc<Pair<'j>>, name: &CStr, depth: usize) -> Result<(), Errno> {
        if depth > MAX_DEPTH {
            return Err(Errno::ELOOP);
        }
        let source = open_dir(&dir.source, name)?;
        let stat = fstat(&source)?;
        mkdirat(&dir.target, name, Mode::S_IRWXU)?;
        let target = open_dir(&dir.target, name)?;
        let path = join(&dir.path, name);
        self.directory(Arc::new(Pair { source, target, stat, path, job: self.job, _parent: Some(dir.clone()) }), depth);
        Ok(())
    }

    /// An inode of several names: the first name is a copy, the others are links of it.
    fn linked(&mut self, dir: &Arc<Pair<'j>>, name: &CStr, stat: &FileStat) -> Result<(), Errno> {
        let id = (stat.st_dev, stat.st_ino);
        if let Some(first) = self.links.get(&id) {
            match linkat(&self.job.to, first, &dir.target, name, LinkatFlags::empty()) {
                // Too many links, or a path beyond the limit: a copy of its own.
                Err(Errno::EMLINK | Errno::ENAMETOOLONG) => {}
                other => return other,
            }
        }
        if kind(stat) == SFlag::S_IFREG {
            copy_file(dir, name, stat)?
        } else {
            copy_special(dir, name, stat)?
        }
        self.links.insert(id, join(&dir.path, name));
        Ok(())
    }
}

/// Makes the copy a link of the source itself. `false` where the file system refuses.
fn link_source(dir: &Pair, name: &CStr) -> Result<bool, Errno> {
    match linkat(&dir.source, name, &dir.target, name, LinkatFlags::empty()) {
        Ok(()) => {
            dir.job.files.fetch_add(1, Relaxed);
            Ok(true)
        }
        Err(Errno::EMLINK | Errno::EPERM | Errno::EXDEV | Errno::EOPNOTSUPP) => Ok(false),
        Err(other) => Err(other),
    }
}

fn copy_file(dir: &Pair, name: &CStr, stat: &FileStat) -> Result<(), Errno> {
    let source = open_source(dir, name)?;
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let target = openat(&dir.target, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
    copy_data(dir.job, &source, &target, stat)?;
    dir.job.files.fetch_add(1, Relaxed);
    finish_open(dir.job, &source, &target, stat)
}

/// Opens a file without touching its access time where that is allowed.
fn open_source(dir: &Pair, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    if dir.job.no_atime.load(Relaxed) {
        match openat(&dir.source, name, flags | OFlag::O_NOATIME, Mode::empty()) {
            Err(Errno::EPERM) => dir.job.no_atime.store(false, Relaxed),
            other => return other,
        }
    }
    openat(&dir.source, name, flags, Mode::empty())
}

fn copy_data(job: &Job, source: &OwnedFd, target: &OwnedFd, stat: &FileStat) -> Result<(), Errno> {
    if stat.st_size == 0 {
        return Ok(());
    }
    if job.method.load(Relaxed) == REFLINK {
        if reflink(source, target)? {
            job.shared.fetch_add(stat.st_size as u64, Relaxed);
            return Ok(());
        }
        job.method.fetch_max(IN_KERNEL, Relaxed);
    }
    if stat.st_blocks * 512 >= stat.st_size {
        return copy_range(job, source, target, 0, stat.st_size);
    }
    copy_segments(job, source, target, stat.st_size)?;
    ftruncate(target, stat.st_size)
}

/// `false`: this file system, or this pair of them, shares nothing.
fn reflink(source: &OwnedFd, target: &OwnedFd) -> Result<bool, Errno> {
    // SAFETY: FICLONE takes a descriptor as its argument and touches no memory of ours.
    let done = unsafe { libc::ioctl(target.as_raw_fd(), libc::FICLONE, source.as_raw_fd()) };
    match Errno::result(done) {
        Ok(_) => Ok(true),
        Err(Errno::EOPNOTSUPP | Errno::EXDEV | Errno::EINVAL | Errno::ENOTTY | Errno::ENOSYS | Errno::EPERM) => {
            Ok(false)
        }
        Err(other) => Err(other),
    }
}

/// True when copies on the file system of a directory share blocks; tried with two nameless files where a file system is
/// known to have it at all.
pub fn shares_blocks(dir: &OwnedFd) -> bool {
    let candidate = nix::sys::statfs::fstatfs(dir).is_ok_and(|s| MAY_SHARE.contains(&s.filesystem_type().0));
    let nameless = || {
        let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
        openat(dir, c".", flags, Mode::S_IRUSR | Mode::S_IWUSR)
    };
    candidate && matches!((nameless(), nameless()), (Ok(a), Ok(b)) if reflink(&a, &b) == Ok(true))
}

/// XFS, btrfs, bcachefs, ZFS, OCFS2, NFS, SMB.
const MAY_SHARE: [libc::__fsword_t; 7] =
    [0x5846_5342, 0x9123_683E, 0xCA45_1A4E, 0x2FC1_2FC1, 0x7461_636F, 0x6969, 0xFE53_4D42];

/// Copies the parts of a sparse file that hold data.
fn copy_segments(job: &Job, source: &OwnedFd, target: &OwnedFd, size: i64) -> Result<(), Errno> {
    let mut position = 0;
    while position < size {
        let start = match lseek(source, position, Whence::SeekData) {
            Ok(start) => start,
            Err(Errno::ENXIO) => return Ok(()),
            Err(Errno::EINVAL | Errno::EOPNOTSUPP) => return copy_range(job, source, target, position, size),
            Err(other) => return Err(other),
        };
        let end = lseek(source, start, Whence::SeekHole)?.min(size);
        copy_range(job, source, target, start, end)?;
        position = end;
    }
    Ok(())
}

fn copy_range(job: &Job, source: &OwnedFd, target: &OwnedFd, start: i64, end: i64) -> Result<(), Errno> {
    let mut position = start;
    while position < end && job.method.load(Relaxed) == IN_KERNEL {
        let (mut from, mut to) = (position, position);
        let length = usize::try_from(end - position).unwrap_or(usize::MAX).min(1 << 30);
        match copy_file_range(source, Some(&mut from), target, Some(&mut to), length) {
            Ok(0) => return Ok(()),
            Ok(count) => position += count as i64,
            Err(Errno::EXDEV | Errno::ENOSYS | Errno::EOPNOTSUPP | Errno::EINVAL | Errno::EPERM) => {
                job.method.fetch_max(BY_HAND, Relaxed);
            }
            Err(Errno::EINTR) => {}
            Err(other) => return Err(other),
        }
    }
    job.copied.fetch_add((position - start) as u64, Relaxed);
    copy_by_hand(job, source, target, position, end)
}

fn copy_by_hand(job: &Job, source: &OwnedFd, target: &OwnedFd, start: i64, end: i64) -> Result<(), Errno> {
    let mut position = start;
    let mut buffer = vec![0; usize::try_from(end - start).unwrap_or(usize::MAX).min(256 << 10)];
    while position < end {
        let wanted = usize::try_from(end - position).unwrap_or(usize::MAX).min(buffer.len());
        let count = nix::sys::uio::pread(source, &mut buffer[..wanted], position)?;
        if count == 0 {
            break;
        }
        let mut written = 0;
        while written < count {
            written += nix::sys::uio::pwrite(target, &buffer[written..count], position + written as i64)?;
        }
        position += count as i64;
    }
    job.copied.fetch_add((position - start) as u64, Relaxed);
    Ok(())
}

fn copy_special(dir: &Pair, name: &CStr, stat: &FileStat) -> Result<(), Errno> {
    if kind(stat) == SFlag::S_IFLNK {
        let text = readlinkat(&dir.source, name)?;
        symlinkat(text.as_os_str(), &dir.target, name)?;
    } else if !make_node(dir, name, stat)? {
        return Ok(());
    }
    finish_closed(dir, name, stat)
}

/// Makes a device, pipe or socket; `false`: a device that we may not make.
fn make_node(dir: &Pair, name: &CStr, stat: &FileStat) -> Result<bool, Errno> {
    match mknodat(&dir.target, name, kind(stat), Mode::S_IRUSR | Mode::S_IWUSR, stat.st_rdev) {
        Err(Errno::EPERM) => {
            let mut skipped = dir.job.skipped.lock().unwrap_or_else(PoisonError::into_inner);
            skipped.push(join(&dir.path, name));
            Ok(false)
        }
        other => other.map(|()| true),
    }
}

/// Owner before mode before attributes: a change of owner clears set-user-id bits and capabilities.
fn finish_open(job: &Job, source: &OwnedFd, target: &OwnedFd, stat: &FileStat) -> Result<(), Errno> {
    if job.owner != (stat.st_uid, stat.st_gid) {
        fchown(target, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    }
    fchmod(target, permissions(stat))?;
    xattr::copy(&xattr::Target::Fd(source.as_fd()), &xattr::Target::Fd(target.as_fd()))?;
    futimens(target, &accessed(stat), &modified(stat))
}

/// The same for what cannot be opened.
fn finish_closed(dir: &Pair, name: &CStr, stat: &FileStat) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    fchownat(&dir.target, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)?;
    if kind(stat) != SFlag::S_IFLNK {
        fchmodat(&dir.target, name, permissions(stat), FchmodatFlags::FollowSymlink)?;
    }
    let (from, to) = (dir.source.as_fd(), dir.target.as_fd());
    xattr::copy(&xattr::Target::entry(from, name), &xattr::Target::entry(to, name))?;
    utimensat(&dir.target, name, &accessed(stat), &modified(stat), UtimensatFlags::NoFollowSymlink)
}

fn permissions(stat: &FileStat) -> Mode {
    Mode::from_bits_truncate(stat.st_mode & 0o7777)
}

fn accessed(stat: &FileStat) -> TimeSpec {
    TimeSpec::new(stat.st_atime, stat.st_atime_nsec)
}

fn modified(stat: &FileStat) -> TimeSpec {
    TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec)
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

#[cfg(test)]
#[path = "copy_tests.rs"]
mod tests;
