//! Reading and writing the small files of a cgroup.

use crate::error::Error;
use gantry_sys::Errno;
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::Path;

pub(crate) fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

pub(crate) fn fault(act: &'static str, path: &Path, error: &io::Error) -> Error {
    Error::Cgroup { act, path: path.into(), errno: errno(error) }
}

pub(crate) fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|error| fault("read", path, &error))
}

pub(crate) fn write(path: &Path, value: &str) -> Result<(), Error> {
    fs::write(path, value).map_err(|error| fault("write", path, &error))
}

/// The longest file that is read in one go; those of a cgroup are shorter.
const ONE_GO: usize = 8192;

/// A small file's text: one open, one read, since many are read again and again. The kernel shows such a file whole.
pub(crate) fn text(path: &Path) -> io::Result<String> {
    let mut buffer = [0; ONE_GO];
    let mut file = fs::File::open(path)?;
    let count = file.read(&mut buffer)?;
    let mut text = String::from_utf8_lossy(&buffer[..count]).into_owned();
    if count == ONE_GO {
        file.read_to_string(&mut text)?;
    }
    Ok(text)
}

/// The only number in a file; "max" and a file that is not there are `None`.
pub(crate) fn number(path: &Path) -> Option<u64> {
    text(path).ok()?.trim().parse().ok()
}

/// The number after `key` in a file of `key value` lines.
pub(crate) fn keyed(path: &Path, key: &str) -> Option<u64> {
    let text = text(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))?;
    line.trim().parse().ok()
}

/// The processes of a cgroup and of those below it.
pub(crate) fn procs_below(directory: &Path, found: &mut Vec<i32>) -> Result<(), Error> {
    match fs::read_to_string(directory.join("cgroup.procs")) {
        Ok(text) => found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok())),
        Err(error) if is_gone(&error) => return Ok(()),
        // A threaded cgroup of version 2 lists its processes at the threaded root.
        Err(error) if errno(&error) == Errno::EOPNOTSUPP => {}
        Err(error) => return Err(fault("read", directory, &error)),
    }
    for child in children(directory) {
        procs_below(&child, found)?;
    }
    Ok(())
}

pub(crate) fn children(directory: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.map(|entry| entry.path()).collect()
}

pub(crate) fn is_gone(error: &io::Error) -> bool {
    matches!(errno(error), Errno::ENOENT | Errno::ENODEV)
}

/// The longest pause between two tries to remove a cgroup, and how many there are: some three seconds. A process leaves
/// its cgroup only after its namespaces, whose end may have to wait for its turn on a busy machine.
const LONGEST_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);
const TRIES: usize = 68;

/// Removes a cgroup and those below it. The kernel answers EBUSY while processes are still on their
/// way out, so it is tried again for a moment.
pub(crate) fn remove_tree(directory: &Path) -> Result<(), Error> {
    remove_patiently(directory)?;
    super::scope::remove_above(directory);
    Ok(())
}

fn remove_patiently(directory: &Path) -> Result<(), Error> {
    let mut pause = std::time::Duration::from_micros(200);
    for _ in 0..TRIES {
        match remove_once(directory) {
            Ok(()) => return Ok(()),
            Err(error) if is_gone(&error) => return Ok(()),
            Err(error) if errno(&error) != Errno::EBUSY => {
                return Err(fault("remove", directory, &error));
            }
            Err(_) => std::thread::sleep(pause),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    remove_once(directory).or_else(|error| match is_gone(&error) {
        true => Ok(()),
        false => Err(fault("remove", directory, &error)),
    })
}

/// A leaf, the usual case, costs one call.
fn remove_once(directory: &Path) -> io::Result<()> {
    match fs::remove_dir(directory) {
        Err(error) if errno(&error) == Errno::EBUSY => {
            for child in children(directory) {
                remove_once(&child)?;
            }
            fs::remove_dir(directory)
        }
        other => other,
    }
}

/// SIGKILL to everything in the directory, for kernels without `cgroup.kill`. It is read again until
/// it shows no new process: one that has a SIGKILL pending can no longer fork.
pub(crate) fn kill_below(directory: &Path) -> Result<(), Error> {
    let mut signalled = BTreeSet::new();
    loop {
        let mut found = Vec::new();
        procs_below(directory, &mut found)?;
        found.retain(|pid| signalled.insert(*pid));
        if found.is_empty() {
            return Ok(());
        }
        for pid in found {
            let target = nix::unistd::Pid::from_raw(pid);
            let _ = nix::sys::signal::kill(target, nix::sys::signal::Signal::SIGKILL);
        }
    }
}
