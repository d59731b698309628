//! Extended attributes of anything: of open files by descriptor, of links, devices and sockets by path.
//!
//! A path is never followed at its last component. Entries of an open directory are named by way of `/proc/self/fd`,
//! because the `*xattrat` calls exist only since Linux 6.13.

use nix::errno::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Whose attributes.
pub enum Target<'a> {
    /// An open file or directory.
    Fd(BorrowedFd<'a>),
    /// A path whose last component is not followed.
    Path(CString),
}

impl<'a> Target<'a> {
    /// An entry of an open directory that cannot be opened itself.
    pub fn entry(dir: BorrowedFd<'a>, name: &CStr) -> Self {
        let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
        path.extend_from_slice(name.to_bytes());
        // A directory entry's name holds no NUL.
        Target::Path(CString::new(path).unwrap_or_default())
    }

    /// A path.
    pub fn path(path: &Path) -> Self {
        Target::Path(CString::new(path.as_os_str().as_bytes()).unwrap_or_default())
    }
}

/// The names of all attributes.
pub fn list(target: &Target) -> Result<Vec<CString>, Errno> {
    let raw = match grow(|buffer| list_into(target, buffer)) {
        Err(Errno::EOPNOTSUPP) => return Ok(Vec::new()),
        other => other?,
    };
    Ok(raw.split(|b| *b == 0).filter(|n| !n.is_empty()).filter_map(|n| CString::new(n).ok()).collect())
}

/// One attribute, `None` when it is absent or the file system has none.
pub fn get(target: &Target, name: &CStr) -> Result<Option<Vec<u8>>, Errno> {
    match grow(|buffer| get_into(target, name, buffer)) {
        Ok(value) => Ok(Some(value)),
        Err(Errno::ENODATA | Errno::EOPNOTSUPP) => Ok(None),
        Err(other) => Err(other),
    }
}

/// Sets one attribute.
pub fn set(target: &Target, name: &CStr, value: &[u8]) -> Result<(), Errno> {
    let (data, size) = (value.as_ptr().cast(), value.len());
    let done = match target {
        // SAFETY: name is NUL-terminated and data points to size readable bytes.
        Target::Fd(fd) => unsafe { libc::fsetxattr(fd.as_raw_fd(), name.as_ptr(), data, size, 0) },
        // SAFETY: both strings are NUL-terminated and data points to size readable bytes.
        Target::Path(path) => unsafe { libc::lsetxattr(path.as_ptr(), name.as_ptr(), data, size, 0) },
    };
    Errno::result(done).map(drop)
}

/// Gives `to` all attributes of `from`. A security label that the host's policy does not let us set is left out.
pub fn copy(from: &Target, to: &Target) -> Result<(), Errno> {
    for name in list(from)? {
        let Some(value) = get(from, &name)? else { continue };
        match set(to, &name, &value) {
            Err(_) if name.as_c_str() == c"security.selinux" => {}
            other => other?,
        }
    }
    Ok(())
}

fn list_into(target: &Target, buffer: &mut [u8]) -> isize {
    let (data, size) = (buffer.as_mut_ptr().cast(), buffer.len());
    match target {
        // SAFETY: data points to size writable bytes.
        Target::Fd(fd) => unsafe { libc::flistxattr(fd.as_raw_fd(), data, size) },
        // SAFETY: path is NUL-terminated and data points to size writable bytes.
        Target::Path(path) => unsafe { libc::llistxattr(path.as_ptr(), data, size) },
    }
}

fn get_into(target: &Target, name: &CStr, buffer: &mut [u8]) -> isize {
    let (data, size) = (buffer.as_mut_ptr().cast(), buffer.len());
    match target {
        // SAFETY: name is NUL-terminated and data points to size writable bytes.
        Target::Fd(fd) => unsafe { libc::fgetxattr(fd.as_raw_fd(), name.as_ptr(), data, size) },
        // SAFETY: both strings are NUL-terminated and data points to size writable bytes.
        Target::Path(path) => unsafe { libc::lgetxattr(path.as_ptr(), name.as_ptr(), data, size) },
    }
}

/// Calls with a small buffer first and with the kernel's maximum of 64 KiB when that is too small.
fn grow(mut call: impl FnMut(&mut [u8]) -> isize) -> Result<Vec<u8>, Errno> {
    let mut small = [0; 256];
    match Errno::result(call(&mut small)) {
        Ok(length) => Ok(small[..length as usize].to_vec()),
        Err(Errno::ERANGE) => {
            let mut large = vec![0; 65536];
            let length = Errno::result(call(&mut large))?;
            large.truncate(length as usize);
            Ok(large)
        }
        Err(other) => Err(other),
    }
}
