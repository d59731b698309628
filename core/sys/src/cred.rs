//! Ids, capabilities and the privilege bits of `prctl(2)`, for the calling thread alone.

use crate::process::prctl;
use crate::{Result, check_unit};

const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

#[repr(C)]
struct CapHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Three capability sets, one bit per capability.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapSets {
    pub effective: u64,
    pub permitted: u64,
    pub inheritable: u64,
}

/// The sets of this thread.
pub fn capget() -> Result<CapSets> {
    let header = CapHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    let mut data = [CapData::default(); 2];
    // SAFETY: version 3 fills exactly two elements of `data`.
    check_unit(unsafe { libc::syscall(libc::SYS_capget, &raw const header, data.as_mut_ptr()) })?;
    let join = |pick: fn(&CapData) -> u32| u64::from(pick(&data[0])) | u64::from(pick(&data[1])) << 32;
    Ok(CapSets {
        effective: join(|d| d.effective),
        permitted: join(|d| d.permitted),
        inheritable: join(|d| d.inheritable),
    })
}

/// Sets the sets of this thread.
pub fn capset(sets: &CapSets) -> Result<()> {
    let header = CapHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    let half = |shift: u32| CapData {
        effective: (sets.effective >> shift) as u32,
        permitted: (sets.permitted >> shift) as u32,
        inheritable: (sets.inheritable >> shift) as u32,
    };
    let data = [half(0), half(32)];
    // SAFETY: version 3 reads exactly two elements of `data`.
    check_unit(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) })
}

/// What this thread makes belongs to a user and a group from now on; its rights over files, which go with such a change,
/// it takes back.
pub fn make_files_as(user: u32, group: u32) -> Result<()> {
    nix::unistd::setfsgid(nix::unistd::Gid::from_raw(group));
    nix::unistd::setfsuid(nix::unistd::Uid::from_raw(user));
    let sets = capget()?;
    capset(&CapSets { effective: sets.permitted, ..sets })
}

/// Takes `capability` out of the bounding set; `EINVAL` if the kernel does not know it.
pub fn drop_bounding(capability: u32) -> Result<()> {
    prctl(libc::PR_CAPBSET_DROP, u64::from(capability), 0, 0).map(drop)
}

/// Whether `capability` is in the bounding set; `EINVAL` if the kernel does not know it.
pub fn in_bounding(capability: u32) -> Result<bool> {
    prctl(libc::PR_CAPBSET_READ, u64::from(capability), 0, 0).map(|value| value == 1)
}

/// Adds `capability` to the ambient set.
pub fn raise_ambient(capability: u32) -> Result<()> {
    let raise = libc::PR_CAP_AMBIENT_RAISE as u64;
    prctl(libc::PR_CAP_AMBIENT, raise, u64::from(capability), 0).map(drop)
}

/// Empties the ambient set.
pub fn clear_ambient() -> Result<()> {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as u64, 0, 0).map(drop)
}

/// Whether permitted capabilities survive the next change of the user id.
pub fn set_keep_caps(keep: bool) -> Result<()> {
    prctl(libc::PR_SET_KEEPCAPS, u64::from(keep), 0, 0).map(drop)
}

/// From here on no exec can gain privileges.
pub fn set_no_new_privs() -> Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0).map(drop)
}

/// Whether others of the same user may trace this process and read its /proc entries.
pub fn set_dumpable(dumpable: bool) -> Result<()> {
    prctl(libc::PR_SET_DUMPABLE, u64::from(dumpable), 0, 0).map(drop)
}

/// Orphaned descendants become our children.
pub fn set_child_subreaper(on: bool) -> Result<()> {
    prctl(libc::PR_SET_CHILD_SUBREAPER, u64::from(on), 0, 0).map(drop)
}

/// The signal this process gets when its parent thread ends; 0 for none.
pub fn set_parent_death_signal(signal: i32) -> Result<()> {
    prctl(libc::PR_SET_PDEATHSIG, signal as u64, 0, 0).map(drop)
}

/// All three user ids. Raw on purpose: libc's wrapper would try to signal other threads.
pub fn set_uids(uid: u32) -> Result<()> {
    // SAFETY: three integers, no memory is passed.
    check_unit(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) })
}

/// All three group ids.
pub fn set_gids(gid: u32) -> Result<()> {
    // SAFETY: three integers, no memory is passed.
    check_unit(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })
}

/// The supplementary groups.
pub fn set_groups(groups: &[u32]) -> Result<()> {
    // SAFETY: pointer and count describe the live slice.
    check_unit(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) })
}
