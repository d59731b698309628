//! `tmpcopyup`: a new tmpfs begins with what the image has at its place.
//!
//! Only the OCI command line plans it. It has one thread, so its clone may allocate here. The image is not trusted: trees
//! are walked from descriptor to descriptor and no link is followed.

use crate::init::path::with_name;
use gantry_sys::path::{RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, open_in_root, openat2};
use gantry_sys::{Errno, Result};
use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, SFlag, fchmodat, fstatat, mkdirat, mknodat};
use nix::unistd::{Gid, Uid, fchownat, symlinkat};
use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Deeper than any sensible tree, and far from the end of the stack.
const DEEPEST: u32 = 64;

/// Copies the tree at `path` inside `root` into the directory `to`; nothing there is nothing to copy.
pub(crate) fn copy_up(root: BorrowedFd<'_>, path: &CStr, to: BorrowedFd<'_>) -> Result<()> {
    match open_in_root(root, path, libc::O_RDONLY | libc::O_DIRECTORY) {
        Ok(from) => copy_directory(from, to, 0),
        Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn copy_directory(from: OwnedFd, to: BorrowedFd<'_>, depth: u32) -> Result<()> {
    if depth == DEEPEST {
        return Err(Errno::ELOOP);
    }
    let mut entries = Dir::from_fd(from.try_clone().map_err(|_| Errno::EMFILE)?)?;
    for entry in entries.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            copy_entry(from.as_fd(), to, name, depth)?;
        }
    }
    Ok(())
}

fn copy_entry(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, depth: u32) -> Result<()> {
    let found = fstatat(from, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    let kind = SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT;
    let mode = Mode::from_bits_truncate(found.st_mode & 0o7777);
    match kind {
        SFlag::S_IFDIR => {
            mkdirat(to, name, mode)?;
            let below = openat(to, name, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
            copy_directory(open_plain(from, name, libc::O_DIRECTORY)?, below.as_fd(), depth + 1)?;
        }
        SFlag::S_IFREG => copy_file(from, to, name, mode)?,
        SFlag::S_IFLNK => {
            let target = readlinkat(from, name)?;
            symlinkat(target.as_os_str(), to, name)?;
        }
        _ => mknodat(to, name, kind, mode, found.st_rdev)?,
    }
    own(to, name, &found, kind == SFlag::S_IFLNK)
}

fn copy_file(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, mode: Mode) -> Result<()> {
    let mut source = File::from(open_plain(from, name, libc::O_NONBLOCK)?);
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
    let mut made = File::from(openat(to, name, flags, mode)?);
    let copied = std::io::copy(&mut source, &mut made);
    copied.map(drop).map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
}

fn open_plain(from: BorrowedFd<'_>, name: &CStr, flags: i32) -> Result<OwnedFd> {
    openat2(from, name, libc::O_RDONLY | flags, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)
}

/// The mode comes after the owner, whose change takes the set-id bits.
fn own(to: BorrowedFd<'_>, name: &CStr, found: &FileStat, link: bool) -> Result<()> {
    let (uid, gid) = (Uid::from_raw(found.st_uid), Gid::from_raw(found.st_gid));
    fchownat(to, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)?;
    if link {
        return Ok(());
    }
    let mode = Mode::from_bits_truncate(found.st_mode & 0o7777);
    with_name(name.to_bytes(), |name| fchmodat(to, name, mode, FchmodatFlags::FollowSymlink))
}
