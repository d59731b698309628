//! Installing a seccomp filter.

use crate::{Result, check};

const SECCOMP_SET_MODE_FILTER: u32 = 1;
pub const FLAG_LOG: u64 = 2;
pub const FLAG_SPEC_ALLOW: u64 = 4;

/// One instruction of classic BPF, laid out as `struct sock_filter`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    pub code: u16,
    pub jt: u8,
    pub jf: u8,
    pub k: u32,
}

/// Installs `program` for the calling thread, for good. Needs no-new-privs or `CAP_SYS_ADMIN`.
pub fn install(program: &[Instruction], flags: u64) -> Result<()> {
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut().cast() };
    // SAFETY: `Instruction` has the layout of sock_filter; the kernel reads `len` of them.
    check(unsafe { libc::syscall(libc::SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &raw const program) }).map(drop)
}
