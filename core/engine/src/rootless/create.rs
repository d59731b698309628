//! Making the namespaces of an ordinary user, and the process that holds them.
//!
//! More than his own id a user gets from `newuidmap` and `newgidmap`, the setuid helpers that read `/etc/subuid` and
//! `/etc/subgid`: only they may. Without them the namespace has one user and one group.

use crate::error::{Error, Result};
use crate::find_program;
use gantry_model::class::Class;
use gantry_model::idmap;
use gantry_model::record::ProcessRef;
use gantry_store::proc;
use gantry_sys::process::{self, Forked, StringArray, namespace};
use gantry_sys::{Errno, cred, pidfd};
use nix::mount::{MsFlags, mount};
use nix::unistd::{getegid, geteuid};
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

/// Who the user is in `/etc/subuid`, and his ids.
struct Ids {
    own: u32,
    ranges: Vec<(u32, u32)>,
}

/// The pause process in new namespaces.
pub(super) fn create(state: &Path) -> Result<ProcessRef> {
    let keeper = find_program("gantry-keeper")?;
    let pipe = || io::pipe().map_err(Error::io("make a pipe"));
    let ((hold, mut go), (mut told, tell)) = (pipe()?, pipe()?);
    let program = CString::new(keeper.as_os_str().as_bytes()).map_err(|_| Error::invalid("a path with a NUL"))?;
    let state = CString::new(state.as_os_str().as_bytes()).map_err(|_| Error::invalid("a path with a NUL"))?;
    match process::clone3(namespace::USER | namespace::MOUNT, None).map_err(refused)? {
        Forked::Child => {
            drop((go, told));
            let error = become_pause(hold, &program, &state);
            let _ = (&tell).write_all(error.to_string().as_bytes());
            process::exit(1)
        }
        Forked::Parent { pid, pidfd } => {
            drop((hold, tell));
            let made = map(pid).and_then(|()| {
                go.write_all(b"!").map_err(Error::io("let the pause process go on"))?;
                let mut failure = String::new();
                told.read_to_string(&mut failure).map_err(Error::io("hear of the pause process"))?;
                let failed = || Error::io("start the pause process")(io::Error::other(failure.clone()));
                if failure.is_empty() { Ok(proc::reference(pid)) } else { Err(failed()) }
            });
            if made.is_err() {
                let _ = pidfd::pidfd_send_signal(pidfd.as_fd(), nix::libc::SIGKILL);
                let _ = pidfd::wait(pidfd.as_fd(), 0);
            }
            made
        }
    }
}

fn refused(errno: Errno) -> Error {
    let hint = match errno {
        Errno::ENOSPC | Errno::EUSERS => "user.max_user_namespaces may be too small",
        _ => {
            "kernel.unprivileged_userns_clone must be 1 and kernel.apparmor_restrict_unprivileged_userns 0, where there are \
             such settings; or be root"
        }
    };
    let message = format!("an ordinary user cannot make a user namespace here: {}", errno.desc());
    Error::request(Class::NotPermitted, message).with_hint(hint)
}

/// The child's life until it is the pause program.
fn become_pause(mut hold: PipeReader, program: &CString, state: &CString) -> io::Error {
    let mut prepare = || -> io::Result<()> {
        let mut byte = [0];
        hold.read_exact(&mut byte)?;
        let _ = cred::set_groups(&[]);
        cred::set_gids(0)?;
        cred::set_uids(0)?;
        nix::unistd::setsid()?;
        // The host's mounts come here, ours do not go there.
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_SLAVE, None::<&str>)?;
        let null = File::options().read(true).write(true).open("/dev/null")?;
        for number in 0..3 {
            process::duplicate_onto(null.as_fd(), number)?;
        }
        std::env::set_current_dir("/")?;
        Ok(process::cloexec_from(3)?)
    };
    if let Err(error) = prepare() {
        return error;
    }
    let argv = StringArray::new([c"gantry-keeper", c"pause", state]);
    process::execve(program, &argv, &StringArray::new([])).into()
}

/// Gives the namespace of a process its maps: all ids of the user's, or the one he is.
fn map(pid: i32) -> Result<()> {
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    let name = name_of(user).unwrap_or_default();
    let ids = |file: &str, own| {
        let text = fs::read_to_string(file).unwrap_or_default();
        Ids { own, ranges: idmap::subordinate(&text, &name, Some(user)) }
    };
    let (users, groups) = (ids("/etc/subuid", user), ids("/etc/subgid", group));
    if !users.ranges.is_empty() && !groups.ranges.is_empty() {
        let helped = help("newuidmap", pid, &users).and_then(|()| help("newgidmap", pid, &groups));
        match helped {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tracing::warn!("newuidmap is not installed (package uidmap): containers have one user alone");
            }
            other => return other.map_err(Error::io("map your subordinate ids")),
        }
    }
    let write = |file: &str, text: &str| {
        let path = format!("/proc/{pid}/{file}");
        fs::write(&path, text).map_err(Error::io(format!("write {path}")))
    };
    write("uid_map", &format!("0 {user} 1\n"))?;
    write("setgroups", "deny")?;
    write("gid_map", &format!("0 {group} 1\n"))
}

fn name_of(user: u32) -> Option<String> {
    let text = fs::read_to_string("/etc/passwd").ok()?;
    let entry = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let mut entry = entry.filter(|fields| fields.len() > 2 && fields[2].parse() == Ok(user));
    entry.next().map(|fields| fields[0].to_owned())
}

fn help(program: &str, pid: i32, ids: &Ids) -> io::Result<()> {
    let mut command = Command::new(program);
    command.args([pid.to_string(), "0".into(), ids.own.to_string(), "1".into()]);
    let mut inside = 1u32;
    for (outside, count) in &ids.ranges {
        command.args([inside.to_string(), outside.to_string(), count.to_string()]);
        inside = inside.saturating_add(*count);
    }
    let done = command.output()?;
    if done.status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&done.stderr).trim().to_owned()))
}
