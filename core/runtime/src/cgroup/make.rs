//! Carrying out a [`CgroupPlan`]: system calls only, so that the small keeper can do it.

use super::bpf;
use super::plan::{CgroupPlan, HierarchyPlan, Write};
use crate::error::Error;
use crate::plan_text::c_string;
use gantry_sys::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{Mode, mkdirat};
use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Descriptors of a cgroup that was made.
#[derive(Debug)]
pub(crate) struct Made {
    /// The directory of version 2, for `CLONE_INTO_CGROUP`.
    pub unified: Option<OwnedFd>,
    /// `tasks` of version 1, to be written by whoever joins.
    pub procs: Vec<OwnedFd>,
}

/// Makes the cgroup in every hierarchy, writes the limits, opens the doors.
pub(crate) fn create(plan: &CgroupPlan) -> Result<Made, Error> {
    let mut made = Made { unified: None, procs: Vec::new() };
    for hierarchy in &plan.hierarchies {
        let directory = make_levels(hierarchy)?;
        let leaf = leaf(hierarchy);
        for write in &hierarchy.writes {
            write_limit(directory.as_fd(), leaf, write)?;
        }
        if let Some(filter) = &hierarchy.devices {
            bpf::attach(directory.as_fd(), filter).map_err(at("attach the device filter to", leaf))?;
        }
        if hierarchy.unified {
            made.unified = Some(directory);
        } else {
            made.procs.push(open_procs(directory.as_fd(), leaf)?);
        }
    }
    Ok(made)
}

/// Opens the doors of a cgroup that exists; nothing is made. A hierarchy without it is left out.
pub(crate) fn open_existing(plan: &CgroupPlan) -> Result<Made, Error> {
    let mut made = Made { unified: None, procs: Vec::new() };
    for hierarchy in &plan.hierarchies {
        let leaf = leaf(hierarchy);
        let directory = match open_directory(leaf) {
            Err(Errno::ENOENT) => continue,
            other => other.map_err(at("open", leaf))?,
        };
        if hierarchy.unified {
            made.unified = Some(directory);
        } else {
            made.procs.push(open_procs(directory.as_fd(), leaf)?);
        }
    }
    Ok(made)
}

/// The directory of version 2 that a process is in.
pub(crate) fn open_of(plan: &CgroupPlan, pid: i32) -> Result<OwnedFd, Error> {
    let path = format!("/proc/{pid}/cgroup");
    let text = std::fs::read_to_string(&path);
    let text = text.map_err(|source| Error::File { act: "read", path: path.into(), source })?;
    let below = text.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let mount = plan.hierarchies.iter().find(|hierarchy| hierarchy.unified).and_then(|found| found.levels.first());
    let mount = mount.map_or(Path::new("/"), |mount| Path::new(OsStr::from_bytes(mount.to_bytes())));
    let directory = c_string("cgroup", mount.join(below).as_os_str().as_bytes())?;
    open_directory(&directory).map_err(at("open", &directory))
}

pub(crate) fn leaf(hierarchy: &HierarchyPlan) -> &CStr {
    hierarchy.levels.last().map_or(c"", |level| level.as_c_str())
}

fn at(act: &'static str, path: &CStr) -> impl FnOnce(Errno) -> Error + use<> {
    let path = Path::new(OsStr::from_bytes(path.to_bytes())).to_path_buf();
    move |errno| Error::Cgroup { act, path, errno }
}

/// The directory of a cgroup made before its plan was known.
pub(crate) fn open_leaf(path: &CStr) -> Option<OwnedFd> {
    open_directory(path).ok()
}

fn open_directory(path: &CStr) -> Result<OwnedFd, Errno> {
    open(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
}

/// `tasks` moves one thread, and a process that moves its only thread itself needs no lock of the kernel's; moving a
/// whole process by `cgroup.procs` takes one that waits for a grace period of RCU, some 10 ms (cgroup_attach_lock).
fn open_procs(directory: BorrowedFd<'_>, leaf: &CStr) -> Result<OwnedFd, Error> {
    openat(directory, c"tasks", OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty()).map_err(at("open tasks of", leaf))
}

/// The usual case is that only the last level is missing, so it is tried first.
fn make_levels(hierarchy: &HierarchyPlan) -> Result<OwnedFd, Error> {
    let leaf = leaf(hierarchy);
    match make_directory(leaf) {
        Err(Errno::ENOENT) => {
            for level in hierarchy.levels.iter().skip(1) {
                make_directory(level).map_err(at("make", level))?;
                if hierarchy.cpuset {
                    clone_children(level).map_err(at("set up the cpuset of", level))?;
                }
            }
        }
        other => other.map_err(at("make", leaf))?,
    }
    if !hierarchy.enable.is_empty() {
        hand_down(hierarchy)?;
    }
    let directory = open_directory(leaf).map_err(at("open", leaf))?;
    if hierarchy.cpuset {
        inherit_cpuset(hierarchy, directory.as_fd()).map_err(at("fill the cpuset of", leaf))?;
    }
    Ok(directory)
}

pub(crate) fn make_directory(path: &CStr) -> Result<(), Errno> {
    match mkdirat(crate::init::path::here(), path, Mode::from_bits_truncate(0o755)) {
        Err(Errno::EEXIST) => Ok(()),
        other => other,
    }
}

fn write_limit(directory: BorrowedFd<'_>, leaf: &CStr, write: &Write) -> Result<(), Error> {
    match put(directory, &write.file, &write.value) {
        Err(errno) if write.required => Err(at("write", leaf)(errno)).map_err(|error| with_file(error, &write.file)),
        _ => Ok(()),
    }
}

fn with_file(error: Error, file: &CStr) -> Error {
    match error {
        Error::Cgroup { act, path, errno } => {
            Error::Cgroup { act, path: path.join(OsStr::from_bytes(file.to_bytes())), errno }
        }
        other => other,
    }
}

fn put(directory: BorrowedFd<'_>, file: &CStr, value: &[u8]) -> Result<(), Errno> {
    let file = openat(directory, file, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    nix::unistd::write(file, value).map(drop)
}

fn get<'a>(directory: BorrowedFd<'_>, file: &CStr, buffer: &'a mut [u8]) -> Result<&'a [u8], Errno> {
    let file = openat(directory, file, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    let length = nix::unistd::read(file, buffer)?;
    Ok(buffer[..length].trim_ascii_end())
}

/// A new cpuset of version 1 is empty and takes no process, unless its parent clones it. So the
/// levels we make are told to, and what is still empty is filled, from the top: another start may
/// have made a level and not filled it yet.
fn inherit_cpuset(hierarchy: &HierarchyPlan, leaf: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut buffer = [0; 4096];
    if !get(leaf, c"cpuset.cpus", &mut buffer)?.is_empty() && !get(leaf, c"cpuset.mems", &mut buffer)?.is_empty() {
        return Ok(());
    }
    for pair in hierarchy.levels.windows(2) {
        fill_cpuset(&pair[0], &pair[1])?;
    }
    Ok(())
}

fn fill_cpuset(parent: &CStr, level: &CStr) -> Result<(), Errno> {
    let (parent, level) = (open_directory(parent)?, open_directory(level)?);
    for file in [c"cpuset.cpus", c"cpuset.mems"] {
        let mut buffer = [0; 4096];
        if get(level.as_fd(), file, &mut buffer)?.is_empty() {
            let value = get(parent.as_fd(), file, &mut buffer)?;
            put(level.as_fd(), file, value)?;
        }
    }
    Ok(())
}

/// Lets new cgroups below `level` start with its CPUs and memory nodes.
fn clone_children(level: &CStr) -> Result<(), Errno> {
    put(open_directory(level)?.as_fd(), c"cgroup.clone_children", b"1")
}

/// Version 2: a controller is usable in a level only if every level above enables it. One that
/// cannot be (a busy cgroup above) is left out; a limit that needs it will say so.
fn hand_down(hierarchy: &HierarchyPlan) -> Result<(), Error> {
    let above = &hierarchy.levels[..hierarchy.levels.len().saturating_sub(1)];
    let Some(parent) = above.last() else { return Ok(()) };
    let mut buffer = [0; 4096];
    let directory = open_directory(parent).map_err(at("open", parent))?;
    let enabled = get(directory.as_fd(), c"cgroup.subtree_control", &mut buffer).unwrap_or_default();
    let has = |name: &str| enabled.split(|byte| *byte == b' ').any(|word| word == name.as_bytes());
    let missing: Vec<_> = hierarchy.enable.iter().filter(|name| !has(name)).collect();
    for level in above {
        let Ok(directory) = open_directory(level) else { continue };
        for name in &missing {
            let _ = put(directory.as_fd(), c"cgroup.subtree_control", format!("+{name}").as_bytes());
        }
    }
    Ok(())
}
