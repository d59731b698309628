//! Limits of directory trees by project quotas: ext4 with `project,quota` mounted with `prjquota`, xfs with `pquota`.
//!
//! Everything made below a directory with a project belongs to the project. The project's number is the directory's
//! inode number, moved out of the range that people choose from; a number that somebody uses already is passed over.

use nix::errno::Errno;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

/// Quotas of projects, as quotactl(2) numbers them.
const PROJECTS: i32 = 2;
/// What is made below gets the project too (FS_XFLAG_PROJINHERIT).
const INHERIT: u32 = 0x200;
/// Numbers from here on are ours.
const FIRST: u32 = 0x8000_0000;
/// How many numbers are tried.
const TRIES: u32 = 1000;
/// The unit of limits.
const BLOCK: u64 = 1024;

/// Why a limit cannot be set.
#[derive(Debug, thiserror::Error)]
pub enum QuotaError {
    /// The file system or its mount keeps no project quotas, or the kernel cannot be asked.
    #[error("the file system keeps no project quotas")]
    Unsupported,
    /// A step failed.
    #[error("cannot set a project quota")]
    Io(#[source] std::io::Error),
}

impl From<Errno> for QuotaError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::ENOSYS | Errno::EOPNOTSUPP | Errno::ENOTTY | Errno::ESRCH | Errno::EINVAL => QuotaError::Unsupported,
            other => QuotaError::Io(other.into()),
        }
    }
}

/// `struct fsxattr` of linux/fs.h.
#[repr(C)]
#[derive(Clone, Copy, Default)]
#[allow(missing_docs, reason = "the kernel's names")]
pub struct Attributes {
    pub xflags: u32,
    pub extsize: u32,
    pub nextents: u32,
    pub projid: u32,
    pub cowextsize: u32,
    pub pad: [u8; 8],
}

nix::ioctl_read!(get_attributes, b'X', 31, Attributes);
nix::ioctl_write_ptr!(set_attributes, b'X', 32, Attributes);

/// Whether the file system of a directory keeps project quotas.
pub fn is_supported(dir: impl AsFd) -> bool {
    usage(&dir, FIRST).is_ok()
}

/// Limits what is made below some empty directories, together, to so many bytes.
pub fn limit(dirs: &[&Path], bytes: u64) -> Result<(), QuotaError> {
    let open = |dir: &&Path| File::open(dir).map_err(QuotaError::Io);
    let dirs = dirs.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let Some(first) = dirs.first() else { return Ok(()) };
    let project = free_project(first)?;
    set_limit(first, project, bytes)?;
    for dir in &dirs {
        let mut attributes = read_attributes(dir)?;
        (attributes.projid, attributes.xflags) = (project, attributes.xflags | INHERIT);
        // SAFETY: the descriptor is open, and the call reads one structure, which the reference keeps alive.
        unsafe { set_attributes(dir.as_raw_fd(), &attributes) }?;
    }
    Ok(())
}

/// Gives a directory's limit up before the directory goes; one that has none, or is not there, is left alone.
pub fn release(dir: &Path) {
    let Ok(dir) = File::open(dir) else { return };
    if let Ok(attributes) = read_attributes(&dir)
        && attributes.projid >= FIRST
    {
        let _ = set_limit(&dir, attributes.projid, 0);
    }
}

fn free_project(dir: &File) -> Result<u32, QuotaError> {
    let inode = nix::sys::stat::fstat(dir)?.st_ino;
    let start = (inode ^ (inode >> 31)) as u32;
    for step in 0..TRIES {
        let project = FIRST | start.wrapping_add(step);
        // The last numbers mean nobody.
        if project < u32::MAX - 1 && is_unused(&usage(dir, project)?) {
            return Ok(project);
        }
    }
    Err(QuotaError::Io(std::io::Error::other("no project number is free")))
}

fn is_unused(quota: &libc::dqblk) -> bool {
    let limits = [quota.dqb_bhardlimit, quota.dqb_bsoftlimit, quota.dqb_ihardlimit, quota.dqb_isoftlimit];
    quota.dqb_curspace == 0 && quota.dqb_curinodes == 0 && limits == [0; 4]
}

fn read_attributes(dir: &File) -> Result<Attributes, Errno> {
    let mut attributes = Attributes::default();
    // SAFETY: the descriptor is open, and the call fills one structure, which the reference keeps alive.
    unsafe { get_attributes(dir.as_raw_fd(), &mut attributes) }?;
    Ok(attributes)
}

fn no_quota() -> libc::dqblk {
    // SAFETY: a structure of numbers, for which zeros are values.
    unsafe { std::mem::zeroed() }
}

fn usage(dir: &impl AsFd, project: u32) -> Result<libc::dqblk, Errno> {
    let mut quota = no_quota();
    match quotactl(dir, libc::Q_GETQUOTA, project, &mut quota) {
        // xfs knows nothing of a project without files and limits.
        Ok(()) | Err(Errno::ENOENT) => Ok(quota),
        Err(error) => Err(error),
    }
}

fn set_limit(dir: &impl AsFd, project: u32, bytes: u64) -> Result<(), Errno> {
    let mut quota = no_quota();
    quota.dqb_bhardlimit = bytes.div_ceil(BLOCK);
    quota.dqb_bsoftlimit = quota.dqb_bhardlimit;
    quota.dqb_valid = libc::QIF_BLIMITS;
    quotactl(dir, libc::Q_SETQUOTA, project, &mut quota)
}

/// By descriptor, since Linux 5.14: no device has to be found.
fn quotactl(dir: &impl AsFd, act: i32, project: u32, quota: &mut libc::dqblk) -> Result<(), Errno> {
    let command = libc::QCMD(act, PROJECTS);
    let (fd, quota) = (dir.as_fd().as_raw_fd(), std::ptr::from_mut(quota));
    // SAFETY: the descriptor is open, and the structure is alive, of the size that both acts read or write.
    let done = unsafe { libc::syscall(libc::SYS_quotactl_fd, fd, command, project, quota) };
    Errno::result(done).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_are_no_quotas_it_is_said() {
        let dir = tempfile::Builder::new().tempdir_in("/dev/shm").unwrap();
        assert!(!is_supported(File::open(dir.path()).unwrap()));
        assert!(matches!(limit(&[dir.path()], 1 << 20), Err(QuotaError::Unsupported)));
        release(dir.path());
        release(Path::new("/nonexistent"));
    }
}
