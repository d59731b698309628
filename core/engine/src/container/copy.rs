//! `cp`: files out of a container and into one, whether it runs or not, its volumes included.
//!
//! Both sides speak tar, so that owners, modes, times, links and holes go along. Paths in the container are resolved by
//! the kernel inside its root, directory by directory from descriptors: what the container swaps meanwhile leads nowhere
//! else.

use super::root::View;
use crate::Engine;
use crate::error::{Error, Result};
use crate::request::CopyRequest;
use gantry_image::tree::{TreeOptions, TreeWriter};
use gantry_model::class::Class;
use gantry_model::idmap::IdMaps;
use gantry_sys::path::open_in_root;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, readlinkat};
use nix::sys::stat::{FileStat, SFlag, fstatat};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Links that may follow one another.
const HOPS: usize = 40;

/// A file by its directory and name, and what it is.
pub(super) struct Located {
    dir: OwnedFd,
    pub(super) name: Vec<u8>,
    /// `None`: there is nothing of that name.
    stat: Option<FileStat>,
}

/// Where a copy goes.
struct Target {
    dir: OwnedFd,
    /// The name it gets.
    name: Vec<u8>,
}

/// What a path of a container is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathStat {
    /// Its last part.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// As `stat(2)` has it, kind included.
    pub mode: u32,
    /// Nanoseconds since 1970.
    pub modified_ns: i64,
    /// Where a link leads; empty for all else.
    pub link_target: String,
}

impl Engine {
    /// What a path of a container is; a link is not followed.
    pub fn path_stat(&self, reference: &str, path: &str) -> Result<PathStat> {
        let id = self.resolve(reference)?;
        self.in_root(&id, View::Whole, move |root, _| {
            let found = source_in(root, path, false, reference)?;
            let Some(stat) = found.stat else { return Err(no_file(path, reference)) };
            let link = match is_link(&stat) {
                true => readlinkat(&found.dir, found.name.as_slice())
                    .map_err(|error| Error::io(format!("read the link {path}"))(error.into()))?,
                false => Default::default(),
            };
            let name = if found.source_is_content() { base_name(path) } else { found.name };
            let name = if name == b"." { "/".into() } else { String::from_utf8_lossy(&name).into_owned() };
            Ok(PathStat {
                name,
                size: u64::try_from(stat.st_size).unwrap_or(0),
                mode: stat.st_mode,
                modified_ns: stat.st_mtime.saturating_mul(1_000_000_000).saturating_add(stat.st_mtime_nsec),
                link_target: link.to_string_lossy().into_owned(),
            })
        })
    }

    /// Copies a file or directory of a container to the host; answers the bytes of the archive in between.
    pub fn copy_out(&self, reference: &str, source: &str, target: &str, request: &CopyRequest) -> Result<u64> {
        let id = self.resolve(reference)?;
        let owner = owner(request, (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw()));
        let target = local(target).map_err(Error::io(format!("look at {target}")))?;
        self.in_root(&id, View::Whole, move |root, owners| {
            let source = source_in(root, source, request.follow, reference)?;
            stream(
                |output| write(&source, &target, options(owner, owners), output),
                |input, target| extract(input, &target.dir, None),
                &target,
            )
        })
    }

    /// Writes a file or directory of a container as a tar archive.
    pub fn copy_to_stream(
        &self,
        reference: &str,
        source: &str,
        request: &CopyRequest,
        output: impl Write + Send,
    ) -> Result<()> {
        let id = self.resolve(reference)?;
        self.tell_of(&id, "archive-path", &[]);
        self.in_root(&id, View::Whole, move |root, owners| {
            let located = source_in(root, source, request.follow, reference)?;
            let name = if located.source_is_content() { b".".to_vec() } else { base_name(source) };
            let mut tree = TreeWriter::new(io::BufWriter::new(output), options(None, owners));
            let written = tree.tree(located.dir.as_fd(), &located.name, &name).and_then(|()| tree.finish());
            let (mut buffer, skipped) = written.map_err(Error::io(format!("copy {source}")))?;
            skipped.iter().for_each(|what| tracing::warn!("{what}"));
            buffer.flush().map_err(Error::io("write the archive"))
        })
    }

    /// Copies a file or directory of the host into a container; answers the bytes of the archive in between.
    pub fn copy_in(&self, source: &str, reference: &str, target: &str, request: &CopyRequest) -> Result<u64> {
        let id = self.resolve(reference)?;
        let found = host_source(source, request.follow)?;
        let owner = owner(request, (0, 0));
        self.in_root(&id, View::Whole, move |root, owners| {
            let target = target_in(root, target, &found, reference)?;
            stream(
                |output| write(&found, &target, options(owner, None), output),
                |input, target| extract(input, &target.dir, owners),
                &target,
            )
        })
    }

    /// Unpacks a tar archive, plain or compressed, into a directory of a container.
    pub fn copy_from_stream(&self, input: impl Read + Send, reference: &str, target: &str) -> Result<()> {
        let id = self.resolve(reference)?;
        self.tell_of(&id, "extract-to-dir", &[]);
        self.in_root(&id, View::Whole, move |root, owners| {
            let path = CString::new(target).map_err(|_| Error::invalid("a path with a NUL"))?;
            let dir = match open_in_root(root, &path, nix::libc::O_PATH | nix::libc::O_DIRECTORY) {
                Ok(dir) => dir,
                Err(Errno::ENOENT) => return Err(no_file(target, reference)),
                Err(Errno::ENOTDIR) => {
                    return Err(Error::invalid(format!("destination \"{reference}:{target}\" must be a directory")));
                }
                Err(error) => return Err(Error::io(format!("open {target}"))(error.into())),
            };
            extract(input, &dir, owners)
        })
    }
}

/// A file or directory of the host that is to be copied.
pub(super) fn host_source(source: &str, follow: bool) -> Result<Located> {
    let host = File::open("/").map_err(Error::io("open /"))?;
    let absolute = std::path::absolute(source).map_err(Error::io(format!("look at {source}")))?;
    let mut text = absolute.to_string_lossy().into_owned();
    let content = source.ends_with("/.") || source == ".";
    text.push_str(if content {
        "/."
    } else if source.ends_with('/') {
        "/"
    } else {
        ""
    });
    let found = locate(host.as_fd(), &text, follow).map_err(Error::io(format!("look at {source}")))?;
    if found.stat.is_none() {
        return Err(Error::request(Class::NotFound, format!("lstat {source}: no such file or directory")));
    }
    Ok(found)
}

/// Who owns the copies: whoever owned the files, or one user for all.
pub(super) fn owner(request: &CopyRequest, other: (u32, u32)) -> Option<(u32, u32)> {
    (!request.archive).then_some(other)
}

fn no_file(path: &str, container: &str) -> Error {
    Error::request(Class::NotFound, format!("Could not find the file {path} in container {container}"))
}

impl Located {
    pub(super) fn is_dir(&self) -> bool {
        self.stat.is_some_and(|stat| is_dir(&stat))
    }

    /// `DIR/.`: what is in the directory is meant, not the directory.
    fn source_is_content(&self) -> bool {
        self.name == b"."
    }
}

fn is_dir(stat: &FileStat) -> bool {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFDIR
}

fn is_link(stat: &FileStat) -> bool {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFLNK
}

/// The last part of a path; `.` for the root.
fn base_name(path: &str) -> Vec<u8> {
    Path::new(path).file_name().map_or_else(|| b".".to_vec(), |name| name.as_bytes().to_vec())
}

fn source_in(root: BorrowedFd<'_>, path: &str, follow: bool, container: &str) -> Result<Located> {
    match locate(root, path, follow) {
        Ok(Located { stat: Some(stat), .. }) if path.ends_with('/') && !is_dir(&stat) => {
            Err(Error::invalid(format!("{path} in container {container} is not a directory")))
        }
        Ok(located) if located.stat.is_some() => Ok(located),
        Ok(_) => Err(no_file(path, container)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(no_file(path, container)),
        Err(error) => Err(Error::io(format!("look at {path} in container {container}"))(error)),
    }
}

/// Finds a file below a root. A path that ends with a slash or `/.` means the directory that a link leads to; a last
/// name that is a link is followed if that is wished.
fn locate(root: BorrowedFd<'_>, path: &str, follow: bool) -> io::Result<Located> {
    let mut path = PathBuf::from("/").join(path);
    let text = path.as_os_str().as_bytes();
    if text.ends_with(b"/.") || path.file_name().is_none() {
        return content(root, &path);
    }
    let through = follow || text.ends_with(b"/");
    for _ in 0..HOPS {
        let Some(name) = path.file_name().map(|name| name.as_bytes().to_vec()) else { return content(root, &path) };
        let parent = path.parent().unwrap_or(Path::new("/")).to_owned();
        let dir = open_dir(root, &parent)?;
        let stat = match fstatat(&dir, name.as_slice(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Some(stat),
            Err(Errno::ENOENT) => None,
            Err(error) => return Err(error.into()),
        };
        match stat.filter(|stat| through && is_link(stat)) {
            Some(_) => path = parent.join(readlinkat(&dir, name.as_slice())?),
            None => return Ok(Located { dir, name, stat }),
        }
    }
    Err(Errno::ELOOP.into())
}

fn content(root: BorrowedFd<'_>, path: &Path) -> io::Result<Located> {
    let dir = open_dir(root, path)?;
    let stat = fstatat(&dir, ".", AtFlags::empty())?;
    Ok(Located { dir, name: b".".to_vec(), stat: Some(stat) })
}

fn open_dir(root: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    Ok(open_in_root(root, &path, nix::libc::O_PATH | nix::libc::O_DIRECTORY)?)
}

/// Where on the host a copy goes, before it is known what is copied.
pub(super) struct Local {
    pub(super) dir: OwnedFd,
    /// The name it gets; `None`: its own, in a directory that is there.
    name: Option<Vec<u8>>,
    /// A file of that name is there.
    is_file: bool,
    /// The name was written as that of a directory.
    must_be_dir: bool,
    shown: String,
}

pub(super) fn local(target: &str) -> io::Result<Local> {
    let path = Path::new(target);
    let shown = target.to_owned();
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_dir() => {
            Ok(Local { dir: File::open(path)?.into(), name: None, is_file: false, must_be_dir: false, shown })
        }
        found => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?.as_bytes().to_vec();
            let dir = File::open(parent)?.into();
            Ok(Local { dir, name: Some(name), is_file: found.is_ok(), must_be_dir: target.ends_with('/'), shown })
        }
    }
}

/// A place for a copy.
pub(super) trait Place {
    /// The name under which it is written; refuses what cannot be.
    fn name_for(&self, source: &Located) -> Result<Vec<u8>>;
}

impl Local {
    /// The name that a file or a directory gets; `None`: its own.
    pub(super) fn name_of(&self, is_dir: bool) -> Result<Option<Vec<u8>>> {
        match &self.name {
            Some(_) if self.is_file && is_dir => Err(Error::invalid("cannot copy directory")),
            Some(_) if self.must_be_dir && !is_dir => {
                Err(Error::invalid(format!("destination directory \"{}\" does not exist", self.shown)))
            }
            name => Ok(name.clone()),
        }
    }
}

impl Place for Local {
    fn name_for(&self, source: &Located) -> Result<Vec<u8>> {
        Ok(self.name_of(source.is_dir())?.unwrap_or_else(|| source.name.clone()))
    }
}

impl Place for Target {
    fn name_for(&self, _: &Located) -> Result<Vec<u8>> {
        Ok(self.name.clone())
    }
}

/// Where in a container a copy goes.
fn target_in(root: BorrowedFd<'_>, path: &str, source: &Located, container: &str) -> Result<Target> {
    let fault = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => no_file(path, container),
        _ => Error::io(format!("look at {path} in container {container}"))(error),
    };
    let found = locate(root, path, true).map_err(fault)?;
    match &found.stat {
        Some(stat) if is_dir(stat) => {
            let path = [b"./", found.name.as_slice()].concat();
            let inner = CString::new(path).map_err(|_| Error::invalid("a path with a NUL"))?;
            let opened = open_in_root(found.dir.as_fd(), &inner, nix::libc::O_PATH | nix::libc::O_DIRECTORY);
            let dir = opened.map_err(|error| fault(error.into()))?;
            Ok(Target { dir, name: source.name.clone() })
        }
        Some(_) if source.is_dir() => Err(Error::invalid("cannot copy directory")),
        None if path.ends_with('/') && !source.is_dir() => Err(no_file(path, container)),
        _ => Ok(Target { dir: found.dir, name: found.name }),
    }
}

pub(super) fn options(owner: Option<(u32, u32)>, owners: Option<&IdMaps>) -> TreeOptions {
    TreeOptions { owner, owners: owners.cloned(), ..TreeOptions::default() }
}

pub(super) fn write(source: &Located, target: &dyn Place, options: TreeOptions, output: impl Write) -> Result<()> {
    let name = target.name_for(source)?;
    let mut tree = TreeWriter::new(io::BufWriter::with_capacity(256 << 10, output), options);
    let written = tree.tree(source.dir.as_fd(), &source.name, &name).and_then(|()| tree.finish());
    let (mut buffer, skipped) =
        written.map_err(Error::io(format!("read {}", String::from_utf8_lossy(&source.name))))?;
    skipped.iter().for_each(|what| tracing::warn!("{what}"));
    buffer.flush().map_err(Error::io("write the archive"))
}

pub(super) fn extract(input: impl Read + Send, dir: &OwnedFd, owners: Option<&IdMaps>) -> Result<()> {
    let path = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()));
    let limits = gantry_image::Limits::default();
    let warnings = match owners {
        None => gantry_image::extract(input, &path, &limits, None)?,
        Some(maps) => as_root_of(maps, || Ok(gantry_image::extract(input, &path, &limits, owners)?))?,
    };
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    Ok(())
}

/// A mount that maps owners takes no file of a user that it does not know: a thread makes them as the container's root.
fn as_root_of<T: Send>(maps: &IdMaps, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let (user, group) = maps.to_host(0, 0);
    let work = || {
        let become_root = gantry_sys::cred::make_files_as(user.unwrap_or(0), group.unwrap_or(0));
        become_root.map_err(|errno| Error::io("make files as the container's root")(errno.into()))?;
        act()
    };
    std::thread::scope(|scope| scope.spawn(work).join().unwrap_or_else(|_| Err(Error::invalid("a thread panicked"))))
}

/// Writes on a thread of its own while this one unpacks; answers how many bytes went through.
pub(super) fn stream<P: Sync>(
    write: impl FnOnce(Counted) -> Result<()> + Send,
    unpack: impl FnOnce(io::PipeReader, &P) -> Result<()>,
    place: &P,
) -> Result<u64> {
    let (reader, writer) = io::pipe().map_err(Error::io("make a pipe"))?;
    let count = Arc::new(AtomicU64::new(0));
    let counted = Counted { writer, count: Arc::clone(&count) };
    std::thread::scope(|scope| {
        let written = scope.spawn(move || write(counted));
        let unpacked = unpack(reader, place);
        let written = written.join().unwrap_or_else(|_| Err(Error::invalid("a thread panicked")));
        match (written, unpacked) {
            // A broken pipe only says that the other side gave up, and that says why.
            (Err(Error::Io { source, .. }), Err(why)) if source.kind() == io::ErrorKind::BrokenPipe => Err(why),
            (Err(error), _) | (Ok(()), Err(error)) => Err(error),
            (Ok(()), Ok(())) => Ok(count.load(Ordering::Relaxed)),
        }
    })
}

pub(super) struct Counted {
    writer: io::PipeWriter,
    count: Arc<AtomicU64>,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.writer.write(bytes)?;
        self.count.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}
