//! The process that enters a container must not be a way back to this program's file (CVE-2019-5736): it executes itself
//! once more from a copy that nobody can write to.

use crate::error::{Error, Result, call};
use gantry_sys::process::{self, StringArray};
use gantry_sys::{memfd, protect};
use nix::errno::Errno;
use nix::sys::statvfs::{FsFlags, fstatvfs};
use std::ffi::{CString, OsString};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Set in the second execution, so that there is no third.
const MARK: &str = "GANTRY_RUNTIME_PROTECTED";

/// Returns in a process whose program file is out of reach; comes back at once when it is so already.
pub fn enter_protected() -> Result<()> {
    if is_protected() {
        return Ok(());
    }
    if std::env::var_os(MARK).is_some() {
        return Err(Error::Call { act: "run from a protected copy of this program", errno: Errno::EPERM });
    }
    let copy = protect::sealed_self_exe().map_err(call("make a protected copy of this program"))?;
    let args = c_strings(std::env::args_os());
    let variables = std::env::vars_os().map(|(name, value)| [name, "=".into(), value].into_iter().collect());
    let env = c_strings(variables.chain([OsString::from(format!("{MARK}=1"))]));
    let args = StringArray::new(args.iter().map(CString::as_c_str));
    let env = StringArray::new(env.iter().map(CString::as_c_str));
    let errno = process::execveat_fd(copy.as_fd(), &args, &env);
    Err(Error::Call { act: "execute a protected copy of this program", errno })
}

/// On a read-only mount (of our making, or the host's own), or sealed in memory.
fn is_protected() -> bool {
    let Ok(exe) = File::open("/proc/self/exe") else { return false };
    let read_only = fstatvfs(&exe).is_ok_and(|found| found.flags().contains(FsFlags::ST_RDONLY));
    read_only || memfd::is_sealed(exe.as_fd())
}

fn c_strings(texts: impl Iterator<Item = OsString>) -> Vec<CString> {
    texts
        .filter_map(|text| CString::new(text.as_os_str().as_bytes().to_vec()).ok().or_else(|| drop_nul(text)))
        .collect()
}

/// The kernel handed these over, so no NUL is in them.
fn drop_nul(text: OsString) -> Option<CString> {
    CString::new(text.into_vec().into_iter().filter(|byte| *byte != 0).collect::<Vec<u8>>()).ok()
}
