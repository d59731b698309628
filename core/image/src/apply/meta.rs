//! Owner, mode, extended attributes and times of an entry, in the order in which none undoes another:
//! changing the owner drops set-id bits and capabilities, so it comes first; times come last.

use std::os::fd::OwnedFd;

use gantry_model::idmap::IdMaps;
use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::dirs::Place;
use super::error::{ApplyError, lossy};
use crate::tar::{Entry, Kind};

/// The last second that nanoseconds in 64 bits reach; times beyond are nobody's real times.
const LAST_SECOND: i64 = i64::MAX / 1_000_000_000;

/// What extended attributes could not be set, to be told as a warning.
pub(super) type Skipped = Option<String>;

/// The access and modification times, those outside the representable range set to the epoch.
pub(super) fn times(entry: &Entry) -> Timestamps {
    let mtime = timespec(entry.mtime);
    Timestamps { last_access: entry.atime.map_or(mtime, timespec), last_modification: mtime }
}

fn timespec((seconds, nanos): (i64, u32)) -> Timespec {
    match seconds {
        0..=LAST_SECOND => Timespec { tv_sec: seconds, tv_nsec: nanos.into() },
        _ => Timespec { tv_sec: 0, tv_nsec: 0 },
    }
}

/// Everything but times, through a descriptor: files and directories.
pub(super) fn set_open(file: &OwnedFd, entry: &Entry, path: &[u8]) -> Result<(), ApplyError> {
    let (uid, gid) = owner(entry, path)?;
    rustix::fs::fchown(file, Some(uid), Some(gid)).map_err(ApplyError::io("change the owner of", path))?;
    let mode = Mode::from_raw_mode(entry.mode);
    rustix::fs::fchmod(file, mode).map_err(ApplyError::io("change the mode of", path))?;
    for (name, value) in wanted_xattrs(entry) {
        let set = rustix::fs::fsetxattr(file, name, value, XattrFlags::empty());
        set.map_err(ApplyError::io("set an extended attribute of", path))?;
    }
    Ok(())
}

/// Everything, of a file that was just made: what it has already is left alone.
pub(crate) fn set_fresh(file: &OwnedFd, entry: &Entry, path: &[u8]) -> Result<(), ApplyError> {
    let stat = rustix::fs::fstat(file).map_err(ApplyError::io("look at", path))?;
    let (uid, gid) = owner(entry, path)?;
    let own = (stat.st_uid, stat.st_gid) == (uid.as_raw(), gid.as_raw());
    if !own || stat.st_mode & 0o7777 != entry.mode & 0o7777 || !entry.xattrs.is_empty() {
        set_open(file, entry, path)?;
    }
    rustix::fs::futimens(file, &times(entry)).map_err(ApplyError::io("set the times of", path))
}

/// Removes attributes that a directory has from a lower layer and this entry does not bring.
pub(super) fn clear_xattrs(dir: &OwnedFd, path: &[u8]) -> Result<(), ApplyError> {
    let mut names = vec![0; 64 << 10];
    let count = match rustix::fs::flistxattr(dir, &mut names) {
        Ok(count) => count,
        Err(Errno::NOTSUP) => 0,
        Err(error) => return Err(ApplyError::io("list the extended attributes of", path)(error)),
    };
    for name in names[..count].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        if name != b"security.selinux" {
            let removed = rustix::fs::fremovexattr(dir, name);
            removed.map_err(ApplyError::io("remove an extended attribute of", path))?;
        }
    }
    Ok(())
}

/// Everything including times, by name: symlinks, devices, fifos.
pub(super) fn set_named(place: &Place, entry: &Entry) -> Result<Skipped, ApplyError> {
    let (path, name) = (&place.path, &place.name[..]);
    let (uid, gid) = owner(entry, path)?;
    let owned = rustix::fs::chownat(&*place.dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW);
    owned.map_err(ApplyError::io("change the owner of", path))?;
    if entry.kind != Kind::Symlink {
        let mode = Mode::from_raw_mode(entry.mode);
        let changed = rustix::fs::chmodat(&*place.dir, name, mode, AtFlags::empty());
        changed.map_err(ApplyError::io("change the mode of", path))?;
    }
    let skipped = set_named_xattrs(place, entry)?;
    let timed = rustix::fs::utimensat(&*place.dir, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW);
    timed.map_err(ApplyError::io("set the times of", path))?;
    Ok(skipped)
}

fn set_named_xattrs(place: &Place, entry: &Entry) -> Result<Skipped, ApplyError> {
    let mut skipped = None;
    for (name, value) in wanted_xattrs(entry) {
        match rustix::fs::lsetxattr(place.proc_path(), name, value, XattrFlags::empty()) {
            Ok(()) => {}
            Err(Errno::PERM | Errno::NOTSUP) if name.starts_with(b"user.") => {
                skipped = Some(format!("{}: {} is not possible here", lossy(&place.path), lossy(name)));
            }
            Err(error) => return Err(ApplyError::io("set an extended attribute of", &place.path)(error)),
        }
    }
    Ok(skipped)
}

/// Overlayfs' own attributes are instructions to the kernel, so a layer may not bring them.
fn wanted_xattrs(entry: &Entry) -> impl Iterator<Item = (&[u8], &[u8])> {
    let ours = |name: &[u8]| name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.");
    let all = entry.xattrs.iter().map(|(name, value)| (&name[..], &value[..]));
    all.filter(move |(name, _)| !ours(name))
}

/// The entry as the host has it. A user whom the container's maps leave out owns nothing there.
pub(super) fn map_owner(entry: &mut Entry, maps: &IdMaps) -> Result<(), ApplyError> {
    let (uid, gid) = owner(entry, &entry.path)?;
    let (user, group) = maps.to_host(uid.as_raw(), gid.as_raw());
    let missing = |id: u64| ApplyError::Owner { path: lossy(&entry.path), id };
    let (user, group) = (user.ok_or_else(|| missing(entry.uid))?, group.ok_or_else(|| missing(entry.gid))?);
    (entry.uid, entry.gid) = (user.into(), group.into());
    Ok(())
}

fn owner(entry: &Entry, path: &[u8]) -> Result<(Uid, Gid), ApplyError> {
    let known = |id: u64| match u32::try_from(id) {
        Ok(id) if id != u32::MAX => Ok(id),
        _ => Err(ApplyError::Owner { path: lossy(path), id }),
    };
    let (uid, gid) = (known(entry.uid)?, known(entry.gid)?);
    // Where there is but one user, everything is his.
    let (uid, gid) = if gantry_sys::userns::is_alone() { (0, 0) } else { (uid, gid) };
    Ok((Uid::from_raw(uid), Gid::from_raw(gid)))
}
