//! Entering the namespaces: those of the pause process, or of a keeper that outlived it, or new ones.

use super::{ENTERING, PAUSE, USERS, create, state_file};
use crate::error::{Error, Result};
use gantry_model::record::ProcessRef;
use gantry_store::{Layout, containers, proc};
use gantry_sys::pidfd::setns;
use gantry_sys::process::namespace;
use gantry_sys::{cred, userns};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

pub(super) fn enter(layout: &Layout) -> Result<()> {
    let entering = open(&state_file(layout, ENTERING))?;
    entering.lock().map_err(Error::io("wait to enter the user namespace"))?;
    let holder = match find(layout) {
        Some(holder) => holder,
        None => {
            let made = create::create(layout.state())?;
            let note = format!("{} {} {}", made.pid, made.start, proc::boot());
            fs::write(state_file(layout, PAUSE), note).map_err(Error::io("note the pause process"))?;
            made
        }
    };
    join(holder.pid).map_err(Error::io("enter the user namespace of your containers"))?;
    let users = open(&state_file(layout, USERS))?;
    users.lock_shared().map_err(Error::io("hold the user namespace"))?;
    // For as long as this process lives; the lock tells the pause process that it is still needed.
    std::mem::forget(users);
    Ok(())
}

fn open(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map_err(Error::io(format!("open {}", path.display())))
}

/// A living process in the namespaces.
fn find(layout: &Layout) -> Option<ProcessRef> {
    pause(layout).or_else(|| {
        let records = containers::list(layout).unwrap_or_default();
        let supervisors = records.iter().filter(|r| r.state.boot == proc::boot());
        let mut alive = supervisors.flat_map(|r| [r.state.keeper, r.state.pump]).filter(|p| proc::is_alive(*p));
        alive.find(|process| is_of_ours(*process))
    })
}

fn pause(layout: &Layout) -> Option<ProcessRef> {
    let note = fs::read_to_string(state_file(layout, PAUSE)).ok()?;
    let mut words = note.split(' ');
    let process = ProcessRef { pid: words.next()?.parse().ok()?, start: words.next()?.parse().ok()? };
    (words.next()? == proc::boot() && proc::is_alive(process) && is_of_ours(process)).then_some(process)
}

/// In another user namespace than this process, and one that it may look at.
fn is_of_ours(process: ProcessRef) -> bool {
    let namespace = |who: &str| fs::read_link(format!("/proc/{who}/ns/user")).ok();
    let theirs = namespace(&process.pid.to_string());
    theirs.is_some() && theirs != namespace("self")
}

/// All that is kept of where the process was is its working directory.
fn join(pid: i32) -> io::Result<()> {
    let open = |kind: &str| File::open(format!("/proc/{pid}/ns/{kind}"));
    let (users, mounts) = (open("user")?, open("mnt")?);
    let here = std::env::current_dir();
    setns(users.as_fd(), namespace::USER as i32)?;
    setns(mounts.as_fd(), namespace::MOUNT as i32)?;
    cred::set_gids(0)?;
    cred::set_uids(0)?;
    debug_assert!(userns::ordinary_user().is_none());
    match here {
        Ok(here) if std::env::set_current_dir(&here).is_ok() => Ok(()),
        _ => std::env::set_current_dir("/"),
    }
}
