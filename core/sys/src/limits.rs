//! Names and limits of this process that `nix` gives no plain door to.

use crate::{Result, check_unit};

/// The host name of this UTS namespace.
pub fn set_hostname(name: &str) -> Result<()> {
    // SAFETY: pointer and length describe the live string.
    check_unit(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) as libc::c_long })
}

/// The NIS domain name of this UTS namespace.
pub fn set_domainname(name: &str) -> Result<()> {
    // SAFETY: pointer and length describe the live string.
    check_unit(unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) as libc::c_long })
}

/// Sets the soft and hard limit of `resource` (`RLIMIT_*`).
pub fn set_rlimit(resource: u32, soft: u64, hard: u64) -> Result<()> {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: `limit` is live; the kernel checks the resource number.
    check_unit(unsafe { libc::setrlimit(resource as _, &raw const limit) as libc::c_long })
}

/// The soft and hard limit of `resource` (`RLIMIT_*`).
pub fn rlimit(resource: u32) -> Result<(u64, u64)> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is live and writable; the kernel checks the resource number.
    check_unit(unsafe { libc::getrlimit(resource as _, &raw mut limit) as libc::c_long })?;
    Ok((limit.rlim_cur, limit.rlim_max))
}
