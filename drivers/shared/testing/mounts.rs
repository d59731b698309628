//! For tests: a private mount namespace, and a plan's mount executed in it. Included by path, not part of any library.
#![allow(dead_code)]

use gantry_plugin_api::types::Mount;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::ffi::CString;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

/// Runs a test in a thread with mounts of its own, which vanish with the thread. Says so and skips when not root.
pub fn private(test: impl FnOnce() + Send + 'static) {
    if !nix::unistd::geteuid().is_root() {
        return eprintln!("skipped: needs root for mounts");
    }
    let run = move || {
        unshare(CloneFlags::CLONE_NEWNS).expect("unshare mounts");
        let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).expect("make mounts private");
        test();
    };
    if let Err(panic) = std::thread::spawn(run).join() {
        std::panic::resume_unwind(panic);
    }
}

/// Unmounts. A test beside this one that starts a program holds our descriptors until the program is executed.
pub fn unmount(root: &Path) {
    for _ in 0..500 {
        match nix::mount::umount(root) {
            Err(Errno::EBUSY) => std::thread::sleep(std::time::Duration::from_millis(10)),
            done => return done.expect("unmount"),
        }
    }
    panic!("{} stays busy", root.display());
}

/// Performs a mount of a plan.
pub fn execute(plan: &Mount, target: &Path) -> Result<(), String> {
    if plan.fstype == "bind" {
        return bind(plan, target).map_err(|e| e.to_string());
    }
    let context = fsopen(&plan.fstype)?;
    fsconfig(&context, SET_STRING, "source", Some(&plan.source))?;
    for (key, value) in &plan.options {
        let command = if value.is_some() { SET_STRING } else { SET_FLAG };
        fsconfig(&context, command, key, value.as_deref())?;
    }
    if plan.flags & libc::MS_RDONLY != 0 {
        fsconfig(&context, SET_FLAG, "ro", None)?;
    }
    fsconfig(&context, CREATE, "", None)?;
    let mounted = fsmount(&context)?;
    move_mount(&mounted, target)
}

fn bind(plan: &Mount, target: &Path) -> Result<(), Errno> {
    mount(Some(plan.source.as_str()), target, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    if plan.flags & libc::MS_RDONLY == 0 {
        return Ok(());
    }
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(None::<&str>, target, None::<&str>, flags, None::<&str>)
}

const SET_FLAG: u32 = 0;
const SET_STRING: u32 = 1;
const CREATE: u32 = 6;

fn fsopen(fstype: &str) -> Result<OwnedFd, String> {
    let name = CString::new(fstype).unwrap();
    // SAFETY: the name is NUL-terminated.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_fsopen, name.as_ptr(), 1) }).map_err(|e| e.to_string())?;
    // SAFETY: the kernel just gave us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

fn fsconfig(context: &OwnedFd, command: u32, key: &str, value: Option<&str>) -> Result<(), String> {
    let (name, text) = (CString::new(key).unwrap(), value.map(|v| CString::new(v).unwrap()));
    let name = if command == CREATE { std::ptr::null() } else { name.as_ptr() };
    let text = text.as_ref().map_or(std::ptr::null(), |t| t.as_ptr());
    // SAFETY: both strings are NUL-terminated or null and live until the call returns.
    let done = unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), command, name, text, 0) };
    Errno::result(done).map(drop).map_err(|e| format!("{key}={value:?}: {e}: {}", complaint(context)))
}

fn complaint(context: &OwnedFd) -> String {
    let mut buffer = [0; 4096];
    let length = nix::unistd::read(context, &mut buffer).unwrap_or(0);
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

fn fsmount(context: &OwnedFd) -> Result<OwnedFd, String> {
    // SAFETY: no memory is passed.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), 1, 0) });
    let fd = fd.map_err(|e| format!("fsmount: {e}: {}", complaint(context)))?;
    // SAFETY: the kernel just gave us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

fn move_mount(mounted: &OwnedFd, target: &Path) -> Result<(), String> {
    let path = CString::new(target.as_os_str().as_encoded_bytes()).unwrap();
    let (fd, empty) = (mounted.as_raw_fd(), c"".as_ptr());
    // SAFETY: both strings are NUL-terminated.
    let done = unsafe { libc::syscall(libc::SYS_move_mount, fd, empty, libc::AT_FDCWD, path.as_ptr(), 4) };
    Errno::result(done).map(drop).map_err(|e| format!("move_mount: {e}"))
}
