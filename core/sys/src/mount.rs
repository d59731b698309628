//! The descriptor-based mount calls (Linux 5.2, `mount_setattr` 5.12).
//!
//! A mount is built detached, then attached with [`move_mount`]; neither step
//! resolves a path that somebody else may have changed in between.

use crate::{Result, check_fd, check_unit};
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

pub const MOUNT_ATTR_RDONLY: u64 = 0x1;
pub const MOUNT_ATTR_NOSUID: u64 = 0x2;
pub const MOUNT_ATTR_NODEV: u64 = 0x4;
pub const MOUNT_ATTR_NOEXEC: u64 = 0x8;
/// Mask of the access-time modes; relatime is 0.
pub const MOUNT_ATTR_ATIME: u64 = 0x70;
pub const MOUNT_ATTR_NOATIME: u64 = 0x10;
pub const MOUNT_ATTR_STRICTATIME: u64 = 0x20;
pub const MOUNT_ATTR_NODIRATIME: u64 = 0x80;
pub const MOUNT_ATTR_IDMAP: u64 = 0x10_0000;
pub const MOUNT_ATTR_NOSYMFOLLOW: u64 = 0x20_0000;

pub const OPEN_TREE_CLONE: u32 = 1;
pub const OPEN_TREE_CLOEXEC: u32 = libc::O_CLOEXEC as u32;
pub const AT_RECURSIVE: u32 = 0x8000;
pub const AT_EMPTY_PATH: u32 = libc::AT_EMPTY_PATH as u32;
pub const AT_SYMLINK_NOFOLLOW: u32 = libc::AT_SYMLINK_NOFOLLOW as u32;

pub const MOVE_MOUNT_F_EMPTY_PATH: u32 = 0x4;
pub const MOVE_MOUNT_T_EMPTY_PATH: u32 = 0x40;

const FSOPEN_CLOEXEC: u32 = 1;
const FSMOUNT_CLOEXEC: u32 = 1;
const FSCONFIG_SET_FLAG: u32 = 0;
const FSCONFIG_SET_STRING: u32 = 1;
const FSCONFIG_SET_FD: u32 = 5;
const FSCONFIG_CMD_CREATE: u32 = 6;

/// The argument of `mount_setattr(2)`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MountAttr {
    pub set: u64,
    pub clear: u64,
    /// One of `MS_PRIVATE`, `MS_SLAVE`, `MS_SHARED`, `MS_UNBINDABLE`, or 0.
    pub propagation: u64,
    pub userns_fd: u64,
}

/// Opens a configuration context for the file system type `fstype`.
pub fn fsopen(fstype: &CStr) -> Result<OwnedFd> {
    // SAFETY: `fstype` is NUL-terminated and outlives the call.
    check_fd(unsafe { libc::syscall(libc::SYS_fsopen, fstype.as_ptr(), FSOPEN_CLOEXEC) })
}

fn fsconfig(
    fs: BorrowedFd<'_>,
    command: u32,
    key: *const libc::c_char,
    value: *const libc::c_char,
    aux: i32,
) -> Result<()> {
    // SAFETY: the callers below pass null or pointers to C strings that outlive the call.
    check_unit(unsafe { libc::syscall(libc::SYS_fsconfig, fs.as_raw_fd(), command, key, value, aux) })
}

/// Sets an option without a value, such as `ro`.
pub fn fsconfig_flag(fs: BorrowedFd<'_>, key: &CStr) -> Result<()> {
    fsconfig(fs, FSCONFIG_SET_FLAG, key.as_ptr(), ptr::null(), 0)
}

/// Sets `key` to `value`; the kernel takes at most 255 bytes of value.
pub fn fsconfig_string(fs: BorrowedFd<'_>, key: &CStr, value: &CStr) -> Result<()> {
    fsconfig(fs, FSCONFIG_SET_STRING, key.as_ptr(), value.as_ptr(), 0)
}

/// Sets `key` to a descriptor.
pub fn fsconfig_fd(fs: BorrowedFd<'_>, key: &CStr, value: BorrowedFd<'_>) -> Result<()> {
    fsconfig(fs, FSCONFIG_SET_FD, key.as_ptr(), ptr::null(), value.as_raw_fd())
}

/// Makes the superblock from what was configured.
pub fn fsconfig_create(fs: BorrowedFd<'_>) -> Result<()> {
    fsconfig(fs, FSCONFIG_CMD_CREATE, ptr::null(), ptr::null(), 0)
}

/// Makes a detached mount with `attributes` (`MOUNT_ATTR_*`) of a created context.
pub fn fsmount(fs: BorrowedFd<'_>, attributes: u64) -> Result<OwnedFd> {
    // SAFETY: three integers, no memory is passed.
    check_fd(unsafe { libc::syscall(libc::SYS_fsmount, fs.as_raw_fd(), FSMOUNT_CLOEXEC, attributes as u32) })
}

/// `open_tree(2)`; `OPEN_TREE_CLOEXEC` is always added.
pub fn open_tree(dir: BorrowedFd<'_>, path: &CStr, flags: u32) -> Result<OwnedFd> {
    let flags = flags | OPEN_TREE_CLOEXEC;
    // SAFETY: `path` is NUL-terminated and outlives the call.
    check_fd(unsafe { libc::syscall(libc::SYS_open_tree, dir.as_raw_fd(), path.as_ptr(), flags) })
}

/// A detached copy of the mount at `fd` itself.
pub fn clone_tree(fd: BorrowedFd<'_>, recursive: bool) -> Result<OwnedFd> {
    let recursive = if recursive { AT_RECURSIVE } else { 0 };
    open_tree(fd, c"", OPEN_TREE_CLONE | AT_EMPTY_PATH | recursive)
}

/// `move_mount(2)` in its general form.
pub fn move_mount(
    from: BorrowedFd<'_>,
    from_path: &CStr,
    to: BorrowedFd<'_>,
    to_path: &CStr,
    flags: u32,
) -> Result<()> {
    // SAFETY: both paths are NUL-terminated and outlive the call.
    check_unit(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            from.as_raw_fd(),
            from_path.as_ptr(),
            to.as_raw_fd(),
            to_path.as_ptr(),
            flags,
        )
    })
}

/// Attaches the detached mount `from` exactly at the opened `target`.
pub fn attach(from: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<()> {
    let flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(from, c"", target, c"", flags)
}

/// `mount_setattr(2)`; `flags` may hold `AT_EMPTY_PATH` and `AT_RECURSIVE`.
pub fn mount_setattr(dir: BorrowedFd<'_>, path: &CStr, flags: u32, attr: &MountAttr) -> Result<()> {
    // SAFETY: `path` is NUL-terminated, `attr` is a live struct of the size we state.
    check_unit(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            dir.as_raw_fd(),
            path.as_ptr(),
            flags,
            ptr::from_ref(attr),
            size_of::<MountAttr>(),
        )
    })
}

/// `mount_setattr` on the mount that `fd` itself is the root of.
pub fn set_attributes(fd: impl AsFd, recursive: bool, attr: &MountAttr) -> Result<()> {
    let recursive = if recursive { AT_RECURSIVE } else { 0 };
    mount_setattr(fd.as_fd(), c"", AT_EMPTY_PATH | recursive, attr)
}
