//! The wrappers against the running kernel. What needs root says so and skips.

#![allow(clippy::unwrap_used)]

use gantry_sys::pidfd::{self, Exit};
use gantry_sys::process::{self, Forked};
use gantry_sys::{Errno, memfd, path, pipe, protect};
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

fn temp(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("gantry-sys-{name}-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    dir
}

fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}

#[test]
fn open_in_root_keeps_symlinks_inside() {
    let dir = temp("inroot");
    fs::create_dir_all(dir.join("etc")).unwrap();
    fs::write(dir.join("etc/passwd"), "inside").unwrap();
    symlink("/etc/passwd", dir.join("absolute")).unwrap();
    symlink("../../../../../etc/passwd", dir.join("climbing")).unwrap();
    let root: OwnedFd = File::open(&dir).unwrap().into();
    for name in [c"absolute", c"climbing", c"/../etc/passwd"] {
        let fd = path::open_in_root(root.as_fd(), name, libc::O_RDONLY).unwrap();
        let mut text = String::new();
        File::from(fd).read_to_string(&mut text).unwrap();
        assert_eq!(text, "inside");
    }
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_clone_is_waited_for_and_its_exit_known() {
    let pidfd = match process::clone3(0, None).unwrap() {
        Forked::Child => process::exit(7),
        Forked::Parent { pidfd, .. } => pidfd,
    };
    assert_eq!(pidfd::wait(pidfd.as_fd(), libc::WNOWAIT), Ok(Some(Exit::Code(7))));
    assert_eq!(pidfd::wait(pidfd.as_fd(), 0), Ok(Some(Exit::Code(7))));
    match pidfd::exit_info(pidfd.as_fd()) {
        Ok(info) => assert_eq!(info, Some(Exit::Code(7))),
        Err(errno) => eprintln!("skipped: no exit info in this kernel: {errno}"),
    }
    assert_eq!(pidfd::pidfd_send_signal(pidfd.as_fd(), 0), Err(Errno::ESRCH));
}

#[test]
fn a_signal_is_told_from_a_code() {
    let pidfd = match process::clone3(0, None).unwrap() {
        Forked::Child => loop {
            nix::unistd::pause();
        },
        Forked::Parent { pidfd, .. } => pidfd,
    };
    assert_eq!(pidfd::wait(pidfd.as_fd(), libc::WNOHANG), Ok(None));
    pidfd::pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL).unwrap();
    let exit = pidfd::wait(pidfd.as_fd(), 0).unwrap().unwrap();
    assert_eq!(exit.shell_code(), 137);
    assert_eq!(Exit::from_wait_status(0x8b), Exit::Signal { number: 11, core: true });
}

#[test]
fn tee_leaves_the_bytes_and_splice_takes_them() {
    let (read, write) = nix::unistd::pipe().unwrap();
    let (read2, write2) = nix::unistd::pipe().unwrap();
    assert_eq!(pipe::vmsplice(write.as_fd(), b"hello", 0), Ok(5));
    assert_eq!(pipe::tee(read.as_fd(), write2.as_fd(), 100, 0), Ok(5));
    assert_eq!(pipe::fionread(read.as_fd()), Ok(5));
    assert_eq!(pipe::splice(read.as_fd(), write2.as_fd(), 100, 0), Ok(5));
    assert_eq!(pipe::fionread(read.as_fd()), Ok(0));
    assert_eq!(pipe::fionread(read2.as_fd()), Ok(10));
}

#[test]
fn a_sealed_file_cannot_be_written() {
    let fd = memfd::memfd_create(c"test").unwrap();
    let mut file = File::from(fd);
    file.write_all(b"x").unwrap();
    memfd::seal(file.as_fd(), memfd::SEAL_ALL).unwrap();
    assert!(file.write_all(b"y").is_err());
}

/// Runs a shell from a protected handle and returns what it wrote to descriptor 5.
fn shell(exe: &Path, script: &str) -> (String, Exit) {
    let (read, write) = nix::unistd::pipe().unwrap();
    let script = CString::new(script).unwrap();
    let args = [c"sh", c"-c", script.as_c_str()];
    // A child that another test forks meanwhile may have the copy open for writing, until it executes something.
    let mut busy = 0;
    let spawned = loop {
        match protect::spawn_protected(exe, &args, &[(write.as_fd(), 5)], true) {
            Err(nix::errno::Errno::ETXTBSY) if busy < 500 => busy += 1,
            spawned => break spawned.unwrap(),
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    };
    drop(write);
    let mut text = String::new();
    File::from(read).read_to_string(&mut text).unwrap();
    (text, pidfd::wait(spawned.pidfd.as_fd(), 0).unwrap().unwrap())
}

#[test]
fn a_protected_process_cannot_have_its_file_opened_for_writing() {
    if !is_root() {
        return;
    }
    let dir = temp("protect");
    let exe = dir.join("busybox");
    if fs::copy("/bin/busybox", &exe).is_err() {
        return eprintln!("skipped: needs /bin/busybox");
    }
    let script = "(: >>/proc/$$/exe) 2>/dev/null && echo written >&5; ls /proc/self/fd | wc -l >&5; exit 3";
    let (text, exit) = shell(&exe, script);
    // 0, 1, 2, 5 and the directory itself.
    assert_eq!((text.trim(), exit), ("5", Exit::Code(3)));
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn a_failed_exec_is_an_error_and_no_zombie() {
    let result = protect::spawn_protected(Path::new("/nosuch"), &[c"x"], &[], false);
    assert_eq!(result.err(), Some(Errno::ENOENT));
    let dir = temp("notexec");
    let exe = dir.join("text");
    fs::write(&exe, "not a program").unwrap();
    let result = protect::spawn_protected(&exe, &[c"x"], &[], false);
    assert!(matches!(result.err(), Some(Errno::EACCES | Errno::ENOEXEC)));
    fs::remove_dir_all(dir).unwrap();
}
