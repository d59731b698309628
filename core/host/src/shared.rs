//! Counters in files that several processes map: they add atomically, none waits for another, and what a killed process
//! has counted stays counted. The files lie in directories that only the engine's user may enter.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::AtomicU64;

/// The first `count` numbers of a file, which is made when it is not there. They stay mapped for the life of the process.
pub fn counters(path: &Path, count: usize) -> io::Result<&'static [AtomicU64]> {
    if let Some(dir) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    let file = options.open(path)?;
    let size = count * size_of::<AtomicU64>();
    if file.metadata()?.len() < size as u64 {
        reserve(&file, size)?;
    }
    map(&file, count, size, libc::PROT_READ | libc::PROT_WRITE)
}

/// The numbers of a file that is there already, for looking.
pub fn existing(path: &Path, count: usize) -> io::Result<&'static [AtomicU64]> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path)?;
    let size = count * size_of::<AtomicU64>();
    if file.metadata()?.len() < size as u64 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    map(&file, count, size, libc::PROT_READ)
}

/// Room on the file system, and not only in the file's length: a page that cannot be had would kill whoever counts.
fn reserve(file: &File, size: usize) -> io::Result<()> {
    // SAFETY: the descriptor is open; fallocate takes integers.
    match unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, size as libc::off_t) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn map(file: &File, count: usize, size: usize, protection: i32) -> io::Result<&'static [AtomicU64]> {
    if size == 0 {
        return Ok(&[]);
    }
    let (any, fd) = (std::ptr::null_mut(), file.as_raw_fd());
    // SAFETY: a new mapping anywhere, of a file that is at least `size` bytes long.
    let address = unsafe { libc::mmap(any, size, protection, libc::MAP_SHARED, fd, 0) };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping holds `count` numbers, is aligned to a page, is never unmapped, and everybody who has it
    // changes it atomically only.
    Ok(unsafe { std::slice::from_raw_parts(address.cast::<AtomicU64>(), count) })
}
