//! What this host can do: the file system below the store, and the overlay options its kernel knows.
//!
//! All of it is a handful of cheap calls, so that it can be asked anew by each command; nothing is mounted.

use crate::error::Error;
use gantry_driver_shared::layers::Layers;
use gantry_driver_shared::tree::{TreeError, entries};
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{fstatat, stat};
use nix::sys::statfs::fstatfs;
use std::fs::File;

/// The directory tree by which a loaded overlay module shows its options.
const PARAMETERS: &str = "/sys/module/overlay/parameters";

/// The inode of the first user namespace in every kernel since 3.8.
const FIRST_USER_NAMESPACE: u64 = 0xEFFF_FFFD;

/// The file system below the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backing {
    /// Its name as Docker shows it.
    pub filesystem: &'static str,
}

/// File systems: magic number, name, and whether overlay can have its writable layer there.
const FILESYSTEMS: &[(i64, &str, bool)] = &[
    (0xEF53, "extfs", true),
    (0x5846_5342, "xfs", true),
    (0x9123_683E, "btrfs", true),
    (0x0102_1994, "tmpfs", true),
    (0xF2F5_2010, "f2fs", true),
    (0xCA45_1A4E, "bcachefs", true),
    (0x2FC1_2FC1, "zfs", true),
    (0x6573_5546, "fuse", true),
    (0x794C_7630, "overlayfs", false),
    (0x6969, "nfs", false),
    (0xFF53_4D42, "cifs", false),
    (0xFE53_4D42, "smb2", false),
    (0x0102_1997, "9p", false),
    (0x4D44, "vfat", false),
    (0x2011_BAB0, "exfat", false),
    (0xF15F, "ecryptfs", false),
    (0x6175_6673, "aufs", false),
];

/// Looks at the file system below the store and refuses one that cannot work.
pub fn backing(layers: &Layers) -> Result<Backing, Error> {
    let path = layers.root();
    let failed = |act, e| Error::Tree(TreeError::new(act, path, e));
    let magic = fstatfs(layers.dir()).map_err(|e| failed("look at the file system of", e))?.filesystem_type().0;
    let known = FILESYSTEMS.iter().find(|(number, ..)| *number == magic as i64);
    let (_, filesystem, good) = known.copied().unwrap_or((0, "<unknown>", true));
    if !good {
        return Err(Error::Backing { path: path.to_owned(), filesystem });
    }
    let listed = entries(layers.dir()).map_err(|e| failed("read", e))?;
    if listed.iter().any(|e| e.kind.is_none()) {
        return Err(Error::DType { path: path.to_owned(), filesystem });
    }
    Ok(Backing { filesystem })
}

/// What the kernel's overlay knows, and who we are to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kernel {
    /// `index=`, since 4.13.
    pub index: bool,
    /// `redirect_dir=`, since 4.10.
    pub redirect_dir: bool,
    /// `metacopy=`, since 4.19.
    pub metacopy: bool,
    /// `xino=auto`, since 4.18.
    pub xino: bool,
    /// `volatile`, since 5.10.
    pub volatile: bool,
    /// We are in a user namespace: attributes are `user.overlay.*`.
    pub user_xattr: bool,
}

impl Kernel {
    /// Asks the kernel.
    pub fn probe() -> Result<Self, Error> {
        let version = version();
        let user_xattr = stat("/proc/self/ns/user").is_ok_and(|s| s.st_ino != FIRST_USER_NAMESPACE);
        let volatile = version >= (5, 10);
        let Ok(parameters) = File::open(PARAMETERS) else {
            known_to_kernel()?;
            let all = version >= (4, 19);
            return Ok(Kernel { index: all, redirect_dir: all, metacopy: all, xino: all, volatile, user_xattr });
        };
        let has = |name: &str| fstatat(&parameters, name, AtFlags::empty()).is_ok();
        Ok(Kernel {
            index: has("index"),
            redirect_dir: has("redirect_dir"),
            metacopy: has("metacopy"),
            xino: has("xino_auto"),
            volatile,
            user_xattr,
        })
    }
}

/// Without the module's directory (not loaded, or no sysfs) the kernel is asked to load it. Not being allowed to ask is
/// no answer: then the mount will tell.
fn known_to_kernel() -> Result<(), Error> {
    // SAFETY: the name is NUL-terminated; the call has no other argument but flags.
    let fd = unsafe { libc::syscall(libc::SYS_fsopen, c"overlay".as_ptr(), 1) };
    match Errno::result(fd) {
        Ok(fd) => {
            // SAFETY: the kernel just gave us this descriptor, and nobody else knows it.
            drop(unsafe { <std::os::fd::OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(fd as i32) });
            Ok(())
        }
        Err(Errno::ENODEV) => Err(Error::Kernel),
        Err(_) => Ok(()),
    }
}

fn version() -> (u32, u32) {
    let release = nix::sys::utsname::uname().map(|u| u.release().to_string_lossy().into_owned()).unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_has_a_version() {
        assert!(version() > (3, 0));
    }

    #[test]
    fn a_plain_directory_is_fine() {
        let dir = tempfile::tempdir().unwrap();
        let layers = Layers::open(dir.path(), &[]).unwrap();
        match backing(&layers) {
            Ok(backing) => assert!(!backing.filesystem.is_empty()),
            Err(error) => eprintln!("skipped: {error}"),
        }
        Kernel::probe().unwrap();
    }
}
