//! Running our own program where a container can see it, but never reach the file.
//!
//! A process that enters a container can be found there as /proc/PID/exe; opened for writing, that
//! link has been used to overwrite the engine on the host (CVE-2019-5736). So such a process is
//! executed from a detached read-only mount of the binary, or from a sealed copy in memory.

use crate::mount::{self, MountAttr};
use crate::process::{self, StringArray};
use crate::{Result, check, memfd, pidfd, signal};
use nix::errno::Errno;
use std::ffi::{CStr, CString, c_int, c_void};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

fn c_path(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)
}

/// A handle to execute `exe` by that no one can write through.
///
/// First choice is a detached clone of the mount, made read-only (0.02 ms); without the privilege
/// or the kernel for it, a sealed copy in memory.
pub fn readonly_exe_clone(exe: &Path) -> Result<OwnedFd> {
    detached_clone(&c_path(exe)?).or_else(|_| sealed_copy(exe))
}

/// [`readonly_exe_clone`] of the running program.
pub fn sealed_self_exe() -> Result<OwnedFd> {
    readonly_exe_clone(Path::new("/proc/self/exe"))
}

fn detached_clone(exe: &CStr) -> Result<OwnedFd> {
    // SAFETY: AT_FDCWD is a valid directory argument for the length of the call.
    let here = unsafe { BorrowedFd::borrow_raw(libc::AT_FDCWD) };
    let clone = mount::open_tree(here, exe, mount::OPEN_TREE_CLONE)?;
    let read_only = MountAttr { set: mount::MOUNT_ATTR_RDONLY, ..MountAttr::default() };
    mount::set_attributes(&clone, false, &read_only)?;
    Ok(clone)
}

/// A copy of `exe` in memory that can no longer be changed by anyone.
pub fn sealed_copy(exe: &Path) -> Result<OwnedFd> {
    let copy = || -> io::Result<OwnedFd> {
        let mut source = File::open(exe)?;
        let mut target = File::from(memfd::memfd_create_exec(c"gantry")?);
        io::copy(&mut source, &mut target)?;
        memfd::seal(target.as_fd(), memfd::SEAL_ALL)?;
        Ok(target.into())
    };
    copy().map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
}

/// A process started by [`spawn_protected`].
#[derive(Debug)]
pub struct Spawned {
    pub pid: i32,
    pub pidfd: OwnedFd,
}

/// Starts `exe` from a protected handle with `args` (the first is argv[0]) and the caller's
/// environment.
///
/// `fds` maps descriptors of ours to numbers of the child's; 0, 1 and 2 stay as they are unless
/// mapped, everything else is closed. Safe in a process with threads: the child shares memory with
/// the suspended caller, as in `posix_spawn`, and makes system calls only. The child starts with
/// no signal blocked and a session of its own when `new_session` is set.
pub fn spawn_protected(
    exe: &Path,
    args: &[&CStr],
    fds: &[(BorrowedFd<'_>, RawFd)],
    new_session: bool,
) -> Result<Spawned> {
    let environment = environment();
    let mut moves: Vec<Move> = fds.iter().map(|(from, to)| Move::new(from.as_raw_fd(), *to)).collect();
    let handle = readonly_exe_clone(exe)?;
    let mut order = Order {
        exe: handle.as_raw_fd(),
        argv: StringArray::new(args.iter().copied()),
        envp: StringArray::new(environment.iter().map(CString::as_c_str)),
        moves: &mut moves,
        new_session,
        failure: 0,
    };
    let spawned = vfork(&mut order)?;
    if order.failure == 0 {
        return Ok(spawned);
    }
    // The child is gone already: vfork returned because it ended.
    let _ = pidfd::wait(spawned.pidfd.as_fd(), 0);
    Err(Errno::from_raw(order.failure))
}

fn environment() -> Vec<CString> {
    std::env::vars_os()
        .filter_map(|(key, value)| CString::new([key.as_bytes(), b"=", value.as_bytes()].concat()).ok())
        .collect()
}

/// One descriptor on its way: from our number over a free high one to the child's.
struct Move {
    from: RawFd,
    to: RawFd,
    parked: RawFd,
}

impl Move {
    fn new(from: RawFd, to: RawFd) -> Move {
        Move { from, to, parked: -1 }
    }
}

/// All the child needs, prepared before it exists.
struct Order<'a> {
    exe: RawFd,
    argv: StringArray<'a>,
    envp: StringArray<'a>,
    moves: &'a mut [Move],
    new_session: bool,
    failure: i32,
}

const STACK_SIZE: usize = 64 * 1024;

/// `clone(CLONE_VM | CLONE_VFORK)` on a stack of its own: cheap, and returns after exec or exit.
fn vfork(order: &mut Order<'_>) -> Result<Spawned> {
    let mut stack = vec![0u128; STACK_SIZE / size_of::<u128>()];
    let top = stack.as_mut_ptr_range().end.cast::<c_void>();
    let mut pidfd: RawFd = -1;
    let argument = std::ptr::from_mut(order).cast::<c_void>();
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
    let mask = signal::block_all()?;
    // SAFETY: the stack and the order outlive the child's use of them, since CLONE_VFORK keeps us
    // here until it execs or ends; signals are blocked, so no handler runs on shared memory.
    let raw = unsafe { libc::clone(child_entry, top, flags, argument, &raw mut pidfd) };
    let pid = check(libc::c_long::from(raw));
    signal::restore(mask)?;
    let pid = pid? as i32;
    // SAFETY: CLONE_PIDFD stored a new descriptor there, which nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Spawned { pid, pidfd })
}

extern "C" fn child_entry(argument: *mut c_void) -> c_int {
    // SAFETY: `vfork` passes its exclusive `&mut Order` and waits until we are done with it.
    let order = unsafe { &mut *argument.cast::<Order<'_>>() };
    order.failure = become_program(order) as i32;
    process::exit(127)
}

fn become_program(order: &mut Order<'_>) -> Errno {
    if let Err(errno) = prepare(order) {
        return errno;
    }
    // SAFETY: the descriptor is open in the parent, which waits.
    let exe = unsafe { BorrowedFd::borrow_raw(order.exe) };
    process::execveat_fd(exe, &order.argv, &order.envp)
}

fn prepare(order: &mut Order<'_>) -> Result<()> {
    signal::reset_dispositions();
    if order.new_session {
        nix::unistd::setsid()?;
    }
    process::cloexec_from(3)?;
    let above = order.moves.iter().map(|m| m.to).max().unwrap_or(2) + 1;
    for one in order.moves.iter_mut() {
        one.parked = duplicate_above(one.from, above)?;
    }
    order.exe = duplicate_above(order.exe, above)?;
    for one in order.moves.iter() {
        place(one.parked, one.to)?;
    }
    signal::unblock_all()
}

fn duplicate_above(fd: RawFd, least: RawFd) -> Result<RawFd> {
    // SAFETY: F_DUPFD_CLOEXEC takes an int.
    let raw = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, least) };
    check(libc::c_long::from(raw)).map(|fd| fd as RawFd)
}

/// Puts `fd` at number `to`, without close-on-exec.
fn place(fd: RawFd, to: RawFd) -> Result<()> {
    // SAFETY: two integers; whatever was open at `to` in the child is meant to go.
    let raw = unsafe { libc::dup2(fd, to) };
    check(libc::c_long::from(raw)).map(drop)
}
