//! Processes held by descriptor: no pid can be reused under us.

use crate::{Result, check_fd, check_unit};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// `_IOWR(0xFF, 11, struct pidfd_info)`, with the 64 bytes that carry the exit code.
const PIDFD_GET_INFO: u64 = 0xC040_FF0B;
const PIDFD_INFO_EXIT: u64 = 1 << 3;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    Signal { number: i32, core: bool },
}

impl Exit {
    /// The number a shell reports: the code, or 128 plus the signal.
    pub fn shell_code(self) -> i32 {
        match self {
            Exit::Code(code) => code,
            Exit::Signal { number, .. } => 128 + number,
        }
    }

    /// Decodes the status word of `wait(2)`.
    pub fn from_wait_status(status: i32) -> Exit {
        let signal = status & 0x7f;
        if signal == 0 {
            return Exit::Code((status >> 8) & 0xff);
        }
        Exit::Signal { number: signal, core: status & 0x80 != 0 }
    }
}

/// Opens a descriptor of the process `pid`.
pub fn pidfd_open(pid: i32) -> Result<OwnedFd> {
    // SAFETY: two integers, no memory is passed.
    check_fd(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
}

/// Sends `signal`; signal 0 asks whether the process is still there.
pub fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<()> {
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo is allowed; the kernel then fills it like kill(2).
    check_unit(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, none, 0) })
}

/// A copy of the descriptor `fd` of the process behind `pidfd`.
pub fn pidfd_getfd(pidfd: BorrowedFd<'_>, fd: i32) -> Result<OwnedFd> {
    // SAFETY: three integers, no memory is passed.
    check_fd(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), fd, 0) })
}

/// Joins the namespaces in `flags` (`CLONE_NEW*`) of the process behind `fd`, or the one namespace `fd` is.
pub fn setns(fd: BorrowedFd<'_>, flags: i32) -> Result<()> {
    // SAFETY: two integers, no memory is passed.
    check_unit(unsafe { libc::syscall(libc::SYS_setns, fd.as_raw_fd(), flags) })
}

/// Waits for the child behind `pidfd`. With `WNOHANG` in `options` the answer may be `None`;
/// `WNOWAIT` leaves it to be waited for again. `WEXITED` is always added.
pub fn wait(pidfd: BorrowedFd<'_>, options: i32) -> Result<Option<Exit>> {
    wait_id(libc::P_PIDFD, pidfd.as_raw_fd() as libc::id_t, options)
}

/// [`wait`] by process number.
pub fn wait_pid(pid: i32, options: i32) -> Result<Option<Exit>> {
    wait_id(libc::P_PID, pid as libc::id_t, options)
}

fn wait_id(kind: libc::idtype_t, id: libc::id_t, options: i32) -> Result<Option<Exit>> {
    // SAFETY: siginfo_t is plain data; all zeroes is a valid value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: `info` is live and writable for the call.
    check_unit(unsafe { libc::waitid(kind, id, &raw mut info, options | libc::WEXITED) as libc::c_long })?;
    Ok(decode(&info))
}

fn decode(info: &libc::siginfo_t) -> Option<Exit> {
    // SAFETY: waitid fills the child fields, or leaves the zeroes we put there.
    let pid = unsafe { info.si_pid() };
    if pid == 0 {
        return None;
    }
    // SAFETY: as above.
    let status = unsafe { info.si_status() };
    Some(match info.si_code {
        libc::CLD_EXITED => Exit::Code(status),
        code => Exit::Signal { number: status, core: code == libc::CLD_DUMPED },
    })
}

#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup_id: u64,
    numbers: [u32; 11],
    exit_code: i32,
}

/// The exit of a process that is not our child and has been reaped: Linux 6.15, else `None`.
///
/// The descriptor must have been opened before the process was reaped.
pub fn exit_info(pidfd: BorrowedFd<'_>) -> Result<Option<Exit>> {
    let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
    // SAFETY: the request number states the size of `info`, which is live and writable.
    check_unit(unsafe {
        libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO as libc::Ioctl, &raw mut info) as libc::c_long
    })?;
    let known = info.mask & PIDFD_INFO_EXIT != 0;
    Ok(known.then(|| Exit::from_wait_status(info.exit_code)))
}

const _: () = assert!(size_of::<PidfdInfo>() == 64);
