//! Bringing signals back to what a fresh program expects.

use crate::{Result, check_unit};
use std::ptr;

const LAST_SIGNAL: i32 = 64;

/// Every disposition back to its default; an ignored signal would stay ignored over `exec`.
pub fn reset_dispositions() {
    // SAFETY: sigaction is plain data; all zeroes means SIG_DFL, no flags, empty mask.
    let default: libc::sigaction = unsafe { std::mem::zeroed() };
    for signal in 1..=LAST_SIGNAL {
        // SAFETY: `default` is live; numbers that cannot be set (SIGKILL) fail harmlessly.
        unsafe { libc::sigaction(signal, &raw const default, ptr::null_mut()) };
    }
}

/// Blocks nothing.
pub fn unblock_all() -> Result<()> {
    let empty = 0u64;
    let none = ptr::null_mut::<u64>();
    // SAFETY: the kernel reads the 8 bytes of `empty`.
    check_unit(unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const empty, none, 8) })
}

/// Blocks everything and returns the former mask.
pub fn block_all() -> Result<u64> {
    let all = u64::MAX;
    let mut former = 0u64;
    // SAFETY: the kernel reads 8 bytes of `all` and writes 8 to `former`.
    check_unit(unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const all, &raw mut former, 8)
    })?;
    Ok(former)
}

/// Puts a mask of [`block_all`] back.
pub fn restore(mask: u64) -> Result<()> {
    let none = ptr::null_mut::<u64>();
    // SAFETY: the kernel reads the 8 bytes of `mask`.
    check_unit(unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const mask, none, 8) })
}

/// Waits for any signal; all of them are blocked ([`block_all`]).
pub fn wait_any() -> Result<i32> {
    let all = u64::MAX;
    let none = ptr::null_mut::<libc::siginfo_t>();
    let no_limit = ptr::null::<libc::timespec>();
    // SAFETY: the kernel reads 8 bytes of `all`; null asks for no details and for no time limit.
    let signal = unsafe { libc::syscall(libc::SYS_rt_sigtimedwait, &raw const all, none, no_limit, 8) };
    crate::check(signal).map(|signal| signal as i32)
}
