//! Making, changing and ending processes by raw system call.

use crate::{Result, check, check_unit};
use nix::errno::Errno;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
pub const CLOSE_RANGE_CLOEXEC: u32 = 4;

/// Every namespace flag, as `clone3(2)` and `setns(2)` take them.
pub mod namespace {
    pub const TIME: u64 = 0x80;
    pub const MOUNT: u64 = 0x2_0000;
    pub const CGROUP: u64 = 0x200_0000;
    pub const UTS: u64 = 0x400_0000;
    pub const IPC: u64 = 0x800_0000;
    pub const USER: u64 = 0x1000_0000;
    pub const PID: u64 = 0x2000_0000;
    pub const NET: u64 = 0x4000_0000;
}

#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Which side of the fork we are on.
#[derive(Debug)]
pub enum Forked {
    Child,
    Parent { pid: i32, pidfd: OwnedFd },
}

/// `fork(2)` with new namespaces (`namespace::*`) and, on cgroup v2, straight into `cgroup`.
///
/// The child has a copy of the caller's memory and only the calling thread: in a process with
/// other threads it must use nothing but system calls and memory prepared before (their locks,
/// the allocator's among them, may be held for ever).
pub fn clone3(namespaces: u64, cgroup: Option<BorrowedFd<'_>>) -> Result<Forked> {
    clone_with(namespaces, libc::SIGCHLD, cgroup)
}

/// [`clone3`] of a child of this process's parent, which hears of its end as of ours.
pub fn clone_sibling(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> Result<Forked> {
    clone_with(flags | libc::CLONE_PARENT as u64, 0, cgroup)
}

fn clone_with(flags: u64, exit_signal: i32, cgroup: Option<BorrowedFd<'_>>) -> Result<Forked> {
    let mut pidfd: RawFd = -1;
    let mut args = CloneArgs {
        flags: flags | libc::CLONE_PIDFD as u64,
        pidfd: &raw mut pidfd as u64,
        exit_signal: exit_signal as u64,
        ..CloneArgs::default()
    };
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: no CLONE_VM and no stack: the child continues on its own copy of this stack, as after
    // fork; `args` states its size and `pidfd` is writable.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<CloneArgs>()) })?;
    if pid == 0 {
        return Ok(Forked::Child);
    }
    // SAFETY: CLONE_PIDFD made the kernel store a new descriptor there, which nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Forked::Parent { pid: pid as i32, pidfd })
}

/// The stack of a child that shares our memory; to be made before it is needed.
#[derive(Debug)]
pub struct Stack(Vec<u128>);

impl Stack {
    /// Enough for system calls and what prepares them.
    pub fn new() -> Stack {
        Stack(vec![0; 64 * 1024 / size_of::<u128>()])
    }
}

impl Default for Stack {
    fn default() -> Stack {
        Stack::new()
    }
}

/// `vfork(2)` of a child of this process's parent: it does `act` in our memory, on a stack of its own, while we stand still
/// until it has become another program or ended. It must make system calls only. By the plain old call, which every filter
/// allows.
pub fn vfork_sibling(stack: &mut Stack, act: &mut dyn FnMut()) -> Result<OwnedFd> {
    let top = stack.0.as_mut_ptr_range().end.cast::<c_void>();
    let mut pidfd: RawFd = -1;
    let mut act = act;
    let argument = (&raw mut act).cast::<c_void>();
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PARENT | libc::CLONE_PIDFD;
    // SAFETY: the stack and the act outlive the child's use of them, since CLONE_VFORK keeps us here until it execs or ends.
    let pid = unsafe { libc::clone(vforked, top, flags, argument, &raw mut pidfd) };
    check(libc::c_long::from(pid))?;
    // SAFETY: CLONE_PIDFD stored a new descriptor there, which nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(pidfd) })
}

extern "C" fn vforked(argument: *mut c_void) -> c_int {
    // SAFETY: `vfork_sibling` passes a pointer to its own reference, and waits until we are done with it.
    let act = unsafe { &mut *argument.cast::<&mut dyn FnMut()>() };
    act();
    exit(127)
}

/// `fork(2)` by the plain old call, which every filter allows; 0 in the child. What [`clone3`] says of threads holds.
pub fn fork() -> Result<i32> {
    let nothing = 0usize;
    // SAFETY: no CLONE_VM and no stack: the child continues on its own copy of this stack.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD as usize, nothing, nothing, nothing, nothing) };
    check(pid).map(|pid| pid as i32)
}

/// Where this process' arguments lie, which is what `ps` shows of it.
#[derive(Debug)]
pub struct Title {
    start: usize,
    length: usize,
}

impl Title {
    /// Looks it up; fields 48 and 49 of /proc/self/stat. `None` when the kernel does not tell.
    pub fn own() -> Option<Title> {
        let stat = std::fs::read("/proc/self/stat").ok()?;
        let after = stat.iter().rposition(|&byte| byte == b')')? + 2;
        let mut fields = std::str::from_utf8(stat.get(after..)?).ok()?.trim_end().split(' ').skip(45);
        let start: usize = fields.next()?.parse().ok()?;
        let end: usize = fields.next()?.parse().ok()?;
        (start != 0).then(|| Title { start, length: end.saturating_sub(start) })
    }

    /// Writes another title over the arguments. For a fork that never looks at them again.
    pub fn set(&self, title: &[u8]) {
        let place = std::ptr::with_exposed_provenance_mut::<u8>(self.start);
        // SAFETY: the kernel put our arguments there, on a stack that stays writable; nobody reads them any more.
        unsafe { place.write_bytes(0, self.length) };
        let length = title.len().min(self.length.saturating_sub(1));
        // SAFETY: as above, and no more than fits.
        unsafe { place.copy_from_nonoverlapping(title.as_ptr(), length) };
    }
}

/// A null-terminated array of C strings, as `execve` takes it. It borrows what it points to.
#[derive(Debug)]
pub struct StringArray<'a> {
    pointers: Vec<*const c_char>,
    strings: std::marker::PhantomData<&'a CStr>,
}

impl<'a> StringArray<'a> {
    /// Prepares the array; this allocates, so it is done before `clone`.
    pub fn new(strings: impl IntoIterator<Item = &'a CStr>) -> StringArray<'a> {
        let mut pointers: Vec<_> = strings.into_iter().map(CStr::as_ptr).collect();
        pointers.push(std::ptr::null());
        StringArray { pointers, strings: std::marker::PhantomData }
    }

    /// Replaces an entry; used to fill a slot that was prepared empty.
    pub fn set(&mut self, index: usize, string: &'a CStr) {
        if index + 1 < self.pointers.len() {
            self.pointers[index] = string.as_ptr();
        }
    }

    /// Ends the array before `index`.
    pub fn truncate(&mut self, index: usize) {
        if index < self.pointers.len() {
            self.pointers[index] = std::ptr::null();
        }
    }

    pub fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }
}

/// `execve(2)`: returns only to say why it failed.
pub fn execve(path: &CStr, argv: &StringArray<'_>, envp: &StringArray<'_>) -> Errno {
    // SAFETY: the path is a C string; both arrays are null-terminated and hold live C strings.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    Errno::last()
}

/// `execveat(fd, "", ..., AT_EMPTY_PATH)`: runs the very file behind `fd`.
pub fn execveat_fd(fd: BorrowedFd<'_>, argv: &StringArray<'_>, envp: &StringArray<'_>) -> Errno {
    // SAFETY: the empty path is a C string; both arrays are null-terminated and hold live C strings.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            fd.as_raw_fd(),
            c"".as_ptr(),
            argv.as_ptr(),
            envp.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    Errno::last()
}

/// Closes (or with [`CLOSE_RANGE_CLOEXEC`] marks) every descriptor from `first` to `last`.
pub fn close_range(first: u32, last: u32, flags: u32) -> Result<()> {
    // SAFETY: three integers; the caller says that it no longer uses those descriptors.
    check_unit(unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) })
}

/// Marks every descriptor from `first` up as close-on-exec.
pub fn cloexec_from(first: u32) -> Result<()> {
    close_range(first, u32::MAX, CLOSE_RANGE_CLOEXEC)
}

/// Puts a duplicate of `fd` at number `to`, which stays open over exec; what was there is closed.
///
/// Meant for 0, 1 and 2 of a child that has just been made: nobody else's descriptor may be there.
pub fn duplicate_onto(fd: BorrowedFd<'_>, to: RawFd) -> Result<()> {
    // SAFETY: two integers; the caller says that `to` is its own to replace.
    check_unit(unsafe { libc::dup2(fd.as_raw_fd(), to) as libc::c_long })
}

/// A close-on-exec duplicate of `fd`, numbered `least` or higher.
pub fn duplicate_from(fd: BorrowedFd<'_>, least: RawFd) -> Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC takes an int.
    let raw = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, least) };
    crate::check_fd(raw as libc::c_long)
}

/// Lets the descriptors from `first` to `last` survive an exec; one that is not open is an error.
pub fn keep_open(first: u32, last: u32) -> Result<()> {
    for number in first..=last {
        // SAFETY: F_SETFD takes a number and touches no memory; a number that is not open gives EBADF.
        check_unit(unsafe { libc::fcntl(number as RawFd, libc::F_SETFD, 0) as libc::c_long })?;
    }
    Ok(())
}

/// Takes one connection of a listening socket; it is close-on-exec.
pub fn accept(listening: BorrowedFd<'_>) -> Result<OwnedFd> {
    let nobody = std::ptr::null_mut::<libc::sockaddr>();
    let no_length = std::ptr::null_mut::<libc::socklen_t>();
    // SAFETY: null asks for no address.
    let made = unsafe { libc::accept4(listening.as_raw_fd(), nobody, no_length, libc::SOCK_CLOEXEC) };
    crate::check_fd(libc::c_long::from(made))
}

/// A duplicate of a descriptor of which only the number is known, such as one that systemd passed.
pub fn duplicate_number(number: RawFd) -> Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC takes two ints; a number that is not open is refused.
    let raw = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) };
    crate::check_fd(raw as libc::c_long)
}

/// Leaves at once: no destructors, no `atexit`.
pub fn exit(code: i32) -> ! {
    // SAFETY: _exit has no precondition.
    unsafe { libc::_exit(code) }
}

/// Makes `fd` the controlling terminal of this session leader.
pub fn set_controlling_terminal(fd: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: TIOCSCTTY takes an int.
    check_unit(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCSCTTY, 0) as libc::c_long })
}

/// Puts this process in a session keyring of its own, away from the caller's keys.
pub fn new_session_keyring() -> Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
    let anonymous = std::ptr::null::<c_char>();
    // SAFETY: a null name asks for an anonymous keyring.
    check_unit(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, anonymous) })
}

/// `prctl(2)` for the requests that take integers only, which `cred` makes safe doors for.
pub(crate) fn prctl(option: i32, a: u64, b: u64, c: u64) -> Result<i32> {
    // SAFETY: this crate passes integer requests only, so no memory is touched.
    let value = check(unsafe { libc::prctl(option, a, b, c, 0u64) as libc::c_long })?;
    Ok(value as i32)
}
