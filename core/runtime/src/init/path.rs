//! Opening and making mount targets inside the container's root.
//!
//! The image is hostile: any part of a path may be a symlink. Every open goes through
//! `openat2(RESOLVE_IN_ROOT)`, so the worst a link can do is to name another place inside.

use super::fault::{Act, During, Fault};
use gantry_sys::Errno;
use gantry_sys::path::open_in_root;
use nix::fcntl::{OFlag, readlinkat};
use nix::sys::stat::{Mode, SFlag, mkdirat, mknodat};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const PATH_MAX: usize = 4096;
/// How many dangling symlinks are followed to make what they point to.
const MAX_LINKS: u32 = 16;

/// What a mount target has to be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Directory,
    File,
}

type Result<T, E = Errno> = std::result::Result<T, E>;

/// A path built in place, always NUL-terminated.
pub(crate) struct PathBuffer {
    bytes: [u8; PATH_MAX],
    length: usize,
}

impl PathBuffer {
    pub(crate) fn new() -> PathBuffer {
        PathBuffer { bytes: [0; PATH_MAX], length: 0 }
    }

    /// Appends `part` after a slash.
    pub(crate) fn push(&mut self, part: &[u8]) -> Result<()> {
        let end = self.length + 1 + part.len();
        if end >= PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        self.bytes[self.length] = b'/';
        self.bytes[self.length + 1..end].copy_from_slice(part);
        self.bytes[end] = 0;
        self.length = end;
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"/")
    }
}

/// Opens `path` inside `root` as a mount target, making it (and its parents) if it is missing.
pub(crate) fn open_target(root: BorrowedFd<'_>, path: &CStr, kind: Target) -> Result<OwnedFd, Fault> {
    match open_in_root(root, path, libc::O_PATH) {
        Ok(fd) => return Ok(fd),
        Err(Errno::ENOENT) => {}
        Err(errno) => return Err(Fault::about(Act::Open, errno, path.to_bytes())),
    }
    make(root, path, kind).about(Act::CreateDirectory, path.to_bytes())?;
    open_in_root(root, path, libc::O_PATH).about(Act::Open, path.to_bytes())
}

/// Usually only the last component is missing, so its parent is tried before the whole walk.
fn make(root: BorrowedFd<'_>, path: &CStr, kind: Target) -> Result<()> {
    let (parent_path, name) = split(path.to_bytes());
    let mut above = PathBuffer::new();
    above.push(parent_path)?;
    let parent = match open_in_root(root, above.as_c_str(), libc::O_PATH | libc::O_DIRECTORY) {
        Err(Errno::ENOENT) => ensure_directory(root, parent_path, 0)?,
        other => other?,
    };
    let mode = Mode::from_bits_truncate(0o755);
    let made = with_name(name, |name| match kind {
        Target::Directory => mkdirat(&parent, name, mode),
        Target::File => mknodat(&parent, name, SFlag::S_IFREG, mode, 0),
    });
    match (made, kind) {
        // Something is there that does not resolve: a dangling symlink.
        (Err(Errno::EEXIST), Target::Directory) => ensure_directory(root, path.to_bytes(), 0).map(drop),
        (Err(Errno::EEXIST), Target::File) => Ok(()),
        (other, _) => other,
    }
}

/// The directory part and the last component of `path`.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let end = path.iter().rposition(|&byte| byte != b'/').map_or(0, |last| last + 1);
    let start = path[..end].iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    (&path[..start], &path[start..end])
}

/// Opens the directory `path` inside `root`, making what is missing of it.
pub(crate) fn ensure_directory(root: BorrowedFd<'_>, path: &[u8], links: u32) -> Result<OwnedFd> {
    let mut walked = PathBuffer::new();
    let mut here = open_in_root(root, c"/", libc::O_PATH | libc::O_DIRECTORY)?;
    for part in path.split(|&byte| byte == b'/').filter(|part| !part.is_empty()) {
        let parent = walked.len();
        walked.push(part)?;
        here = match open_in_root(root, walked.as_c_str(), libc::O_PATH | libc::O_DIRECTORY) {
            Err(Errno::ENOENT) => make_component(root, here.as_fd(), &walked, parent, part, links)?,
            other => other?,
        };
    }
    Ok(here)
}

/// Makes one missing component; a dangling symlink there is honoured by making its target.
fn make_component(
    root: BorrowedFd<'_>,
    parent: BorrowedFd<'_>,
    walked: &PathBuffer,
    parent_length: usize,
    name: &[u8],
    links: u32,
) -> Result<OwnedFd> {
    let mode = Mode::from_bits_truncate(0o755);
    match with_name(name, |name| mkdirat(parent, name, mode)) {
        Err(Errno::EEXIST) if links < MAX_LINKS => {
            follow_dangling(root, parent, walked, parent_length, name, links)?;
        }
        other => other?,
    }
    open_in_root(root, walked.as_c_str(), libc::O_PATH | libc::O_DIRECTORY)
}

fn follow_dangling(
    root: BorrowedFd<'_>,
    parent: BorrowedFd<'_>,
    walked: &PathBuffer,
    parent_length: usize,
    name: &[u8],
    links: u32,
) -> Result<()> {
    let link = with_name(name, |name| readlinkat(parent, name))?;
    let link = std::os::unix::ffi::OsStrExt::as_bytes(link.as_os_str());
    let mut target = PathBuffer::new();
    if !link.starts_with(b"/") {
        target.push(&walked.bytes[..parent_length])?;
    }
    target.push(link)?;
    ensure_directory(root, target.as_c_str().to_bytes(), links + 1).map(drop)
}

/// Runs `call` with `name` as a C string made in place.
pub(crate) fn with_name<T>(name: &[u8], call: impl FnOnce(&CStr) -> nix::Result<T>) -> Result<T> {
    let mut buffer = [0; 256];
    let room = buffer.get_mut(..name.len()).ok_or(Errno::ENAMETOOLONG)?;
    room.copy_from_slice(name);
    let name = CStr::from_bytes_until_nul(&buffer).map_err(|_| Errno::ENAMETOOLONG)?;
    call(name)
}

/// The current directory as a directory argument.
pub(crate) const fn here() -> BorrowedFd<'static> {
    nix::fcntl::AT_FDCWD
}

/// Opens a file inside `root` for reading, following links inside.
pub(crate) fn open_file(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd> {
    open_in_root(root, path, (OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits())
}
