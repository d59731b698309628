//! Watching a thread's system calls (seccomp's user notification): of those that are watched each waits until whoever
//! listens lets it pass or answers it with an error of his own.

use crate::seccomp::Instruction;
use crate::{Result, check, check_fd, check_unit};
use std::os::fd::{AsRawFd, OwnedFd};

const SECCOMP_SET_MODE_FILTER: u32 = 1;
const NEW_LISTENER: u64 = 8;
const ALLOW: u32 = 0x7fff_0000;
const ASK: u32 = 0x7fc0_0000;
const PASS: u32 = 1;
/// `_IOWR('!', 0, struct seccomp_notif)`
const RECEIVE: u64 = 0xc050_2100;
/// `_IOWR('!', 1, struct seccomp_notif_resp)`
const ANSWER: u64 = 0xc018_2101;

/// `struct seccomp_notif`, with its `struct seccomp_data` at the end.
#[repr(C)]
#[derive(Default)]
struct Notification {
    id: u64,
    pid: u32,
    flags: u32,
    number: i32,
    architecture: u32,
    instruction: u64,
    arguments: [u64; 6],
}

/// `struct seccomp_notif_resp`
#[repr(C)]
struct Response {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

/// A system call that waits.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    id: u64,
    /// Which one, as in [`WATCHABLE`].
    pub number: i64,
}

/// Where watched calls are heard of.
#[derive(Debug)]
pub struct Listener(OwnedFd);

/// From now on these calls of the calling thread, and of threads it starts, wait for the listener. For good: the thread
/// that listens must have been started before. Needs no-new-privs or `CAP_SYS_ADMIN`.
pub fn watch(calls: &[(&str, i64)]) -> Result<Listener> {
    let word = |code, jt, jf, k| Instruction { code, jt, jf, k };
    let mut program = vec![word(0x20, 0, 0, 0)];
    for (_, number) in calls {
        program.extend([word(0x15, 0, 1, *number as u32), word(0x06, 0, 0, ASK)]);
    }
    program.push(word(0x06, 0, 0, ALLOW));
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr().cast() };
    // SAFETY: `Instruction` has the layout of sock_filter; the kernel reads `len` of them.
    let raw = unsafe { libc::syscall(libc::SYS_seccomp, SECCOMP_SET_MODE_FILTER, NEW_LISTENER, &raw const program) };
    check_fd(raw).map(Listener)
}

impl Listener {
    /// Waits for the next call.
    pub fn next(&self) -> Result<Waiting> {
        let mut told = Notification::default();
        // SAFETY: the kernel writes a struct seccomp_notif, which this is, and wants it zeroed.
        let raw = unsafe { libc::ioctl(self.0.as_raw_fd(), RECEIVE as _, &raw mut told) };
        check(libc::c_long::from(raw))?;
        Ok(Waiting { id: told.id, number: i64::from(told.number) })
    }

    /// Lets it be done.
    pub fn pass(&self, call: Waiting) -> Result<()> {
        self.answer(&Response { id: call.id, value: 0, error: 0, flags: PASS })
    }

    /// Lets it fail without being done.
    pub fn refuse(&self, call: Waiting, errno: i32) -> Result<()> {
        self.answer(&Response { id: call.id, value: 0, error: -errno, flags: 0 })
    }

    fn answer(&self, response: &Response) -> Result<()> {
        // SAFETY: the kernel reads a struct seccomp_notif_resp, which this is.
        check_unit(libc::c_long::from(unsafe { libc::ioctl(self.0.as_raw_fd(), ANSWER as _, response) }))
    }
}

/// The calls by which something is made, changed, sent or entered.
pub const WATCHABLE: &[(&str, i64)] = &[
    ("openat", libc::SYS_openat),
    ("openat2", libc::SYS_openat2),
    ("write", libc::SYS_write),
    ("writev", libc::SYS_writev),
    ("pwrite64", libc::SYS_pwrite64),
    ("pwritev", libc::SYS_pwritev),
    ("pwritev2", libc::SYS_pwritev2),
    ("ftruncate", libc::SYS_ftruncate),
    ("fallocate", libc::SYS_fallocate),
    ("fsync", libc::SYS_fsync),
    ("fdatasync", libc::SYS_fdatasync),
    ("syncfs", libc::SYS_syncfs),
    ("sync_file_range", libc::SYS_sync_file_range),
    ("renameat", libc::SYS_renameat),
    ("renameat2", libc::SYS_renameat2),
    ("linkat", libc::SYS_linkat),
    ("symlinkat", libc::SYS_symlinkat),
    ("unlinkat", libc::SYS_unlinkat),
    ("mkdirat", libc::SYS_mkdirat),
    ("mknodat", libc::SYS_mknodat),
    ("fchmod", libc::SYS_fchmod),
    ("fchmodat", libc::SYS_fchmodat),
    ("fchown", libc::SYS_fchown),
    ("fchownat", libc::SYS_fchownat),
    ("setxattr", libc::SYS_setxattr),
    ("lsetxattr", libc::SYS_lsetxattr),
    ("fsetxattr", libc::SYS_fsetxattr),
    ("removexattr", libc::SYS_removexattr),
    ("lremovexattr", libc::SYS_lremovexattr),
    ("fremovexattr", libc::SYS_fremovexattr),
    ("utimensat", libc::SYS_utimensat),
    ("copy_file_range", libc::SYS_copy_file_range),
    ("sendfile", libc::SYS_sendfile),
    ("mount", libc::SYS_mount),
    ("umount2", libc::SYS_umount2),
    ("fsopen", libc::SYS_fsopen),
    ("fsconfig", libc::SYS_fsconfig),
    ("fsmount", libc::SYS_fsmount),
    ("move_mount", libc::SYS_move_mount),
    ("open_tree", libc::SYS_open_tree),
    ("flock", libc::SYS_flock),
    ("setns", libc::SYS_setns),
    ("unshare", libc::SYS_unshare),
    ("socket", libc::SYS_socket),
    ("bind", libc::SYS_bind),
    ("listen", libc::SYS_listen),
    ("connect", libc::SYS_connect),
    ("sendto", libc::SYS_sendto),
    ("sendmsg", libc::SYS_sendmsg),
    ("sendmmsg", libc::SYS_sendmmsg),
    ("quotactl", libc::SYS_quotactl),
    #[cfg(target_arch = "x86_64")]
    ("open", libc::SYS_open),
    #[cfg(target_arch = "x86_64")]
    ("creat", libc::SYS_creat),
    #[cfg(target_arch = "x86_64")]
    ("rename", libc::SYS_rename),
    #[cfg(target_arch = "x86_64")]
    ("link", libc::SYS_link),
    #[cfg(target_arch = "x86_64")]
    ("symlink", libc::SYS_symlink),
    #[cfg(target_arch = "x86_64")]
    ("unlink", libc::SYS_unlink),
    #[cfg(target_arch = "x86_64")]
    ("mkdir", libc::SYS_mkdir),
    #[cfg(target_arch = "x86_64")]
    ("rmdir", libc::SYS_rmdir),
    #[cfg(target_arch = "x86_64")]
    ("mknod", libc::SYS_mknod),
    #[cfg(target_arch = "x86_64")]
    ("chmod", libc::SYS_chmod),
    #[cfg(target_arch = "x86_64")]
    ("chown", libc::SYS_chown),
    #[cfg(target_arch = "x86_64")]
    ("lchown", libc::SYS_lchown),
    #[cfg(target_arch = "x86_64")]
    ("utimes", libc::SYS_utimes),
];

/// The name of a watchable call.
pub fn name_of(number: i64) -> &'static str {
    WATCHABLE.iter().find(|(_, known)| *known == number).map_or("a system call", |(name, _)| name)
}

/// Ends this process at once, as somebody else's SIGKILL would.
pub fn die() {
    // SAFETY: getpid has no preconditions.
    let me = unsafe { libc::getpid() };
    // SAFETY: both arguments are integers.
    unsafe { libc::kill(me, libc::SIGKILL) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_watched_call_fails_when_the_listener_says_so() {
        let (to, from) = mpsc::channel::<Listener>();
        let listener = std::thread::spawn(move || {
            let listener = from.recv().expect("a listener");
            let mut heard = vec![];
            for refused in [false, true] {
                let call = listener.next().expect("a call");
                heard.push(name_of(call.number));
                let answered = if refused { listener.refuse(call, libc::EIO) } else { listener.pass(call) };
                answered.expect("it waits");
            }
            heard
        });
        let watched = std::thread::spawn(move || {
            crate::cred::set_no_new_privs().expect("allowed");
            let listener = watch(&[("mkdirat", libc::SYS_mkdirat)]).expect("allowed");
            to.send(listener).expect("it listens");
            [c"/proc/self", c"/proc/self"].map(|path| {
                // SAFETY: the path ends with NUL.
                unsafe { libc::syscall(libc::SYS_mkdirat, libc::AT_FDCWD, path.as_ptr(), 0o700) };
                std::io::Error::last_os_error().raw_os_error()
            })
        });
        assert_eq!(watched.join().expect("done"), [Some(libc::EEXIST), Some(libc::EIO)]);
        assert_eq!(listener.join().expect("done"), ["mkdirat", "mkdirat"]);
    }
}
