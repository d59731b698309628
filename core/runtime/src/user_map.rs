//! User namespaces: their maps as text, and one that only serves to map the owners of a mount.

use crate::error::Error;
use crate::launch::{failed, kill_and_reap, pipe};
use gantry_sys::Errno;
use gantry_sys::pidfd::setns;
use gantry_sys::process::{self, Forked, namespace};
use oci_spec::runtime::LinuxIdMapping;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Lines of `inside outside count` for users and for groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UserMap {
    pub users: String,
    pub groups: String,
}

impl UserMap {
    /// Both lists must say something.
    pub(crate) fn of(
        users: Option<&Vec<LinuxIdMapping>>,
        groups: Option<&Vec<LinuxIdMapping>>,
    ) -> Result<Option<UserMap>, Error> {
        let text = |list: Option<&Vec<LinuxIdMapping>>| -> String { list.into_iter().flatten().map(line).collect() };
        match (text(users), text(groups)) {
            (users, groups) if users.is_empty() && groups.is_empty() => Ok(None),
            (users, groups) if users.is_empty() || groups.is_empty() => {
                Err(Error::invalid("id mappings", "users and groups must both be mapped"))
            }
            (users, groups) => Ok(Some(UserMap { users, groups })),
        }
    }

    /// The user and the group outside that are root inside, or else whoever comes first.
    pub(crate) fn root(&self) -> (u32, u32) {
        let outside = |map: &str| {
            let mut lines = map.lines().filter_map(|line| {
                let mut words = line.split(' ').map(str::parse::<u32>);
                Some((words.next()?.ok()?, words.next()?.ok()?))
            });
            let first = lines.clone().next();
            lines.find(|(inside, _)| *inside == 0).or(first).map_or(0, |(_, outside)| outside)
        };
        (outside(&self.users), outside(&self.groups))
    }

    /// Gives the namespace of a fresh process its maps.
    pub(crate) fn write(&self, pid: i32) -> Result<(), Error> {
        write(pid, "uid_map", &self.users)?;
        match write(pid, "gid_map", &self.groups) {
            // Without the privilege over groups the kernel wants setgroups to be given up first.
            Err(_) if !nix::unistd::geteuid().is_root() => {
                write(pid, "setgroups", "deny")?;
                write(pid, "gid_map", &self.groups)
            }
            other => other,
        }
    }

    /// The maps of the namespace that a file stands for, as this process sees them.
    pub(crate) fn of_namespace(path: &Path) -> Result<UserMap, Error> {
        let opened = File::open(path).map_err(|source| Error::File { act: "open", path: path.into(), source })?;
        let (told, tell) = pipe("make a pipe")?;
        let Forked::Parent { pid, pidfd } = process::clone3(0, None).map_err(failed("clone"))? else {
            if setns(opened.as_fd(), namespace::USER as i32).is_ok() && nix::unistd::write(&tell, b"!").is_ok() {
                wait_for_death()
            }
            process::exit(1)
        };
        drop(tell);
        let joined = nix::unistd::read(&told, &mut [0]).map_err(failed("hear of a namespace"));
        let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).map(|text| in_single_spaces(&text));
        let maps = read("uid_map").and_then(|users| Ok(UserMap { users, groups: read("gid_map")? }));
        kill_and_reap(pidfd.as_fd());
        match joined? {
            0 => Err(failed("join the user namespace")(Errno::EPERM)),
            _ => maps.map_err(|source| Error::File { act: "read the maps of", path: path.into(), source }),
        }
    }

    /// A namespace with these maps and nobody in it.
    pub(crate) fn namespace(&self) -> Result<OwnedFd, Error> {
        let made = process::clone3(namespace::USER, None).map_err(failed("make a user namespace"))?;
        let Forked::Parent { pid, pidfd } = made else { wait_for_death() };
        let path = format!("/proc/{pid}/ns/user");
        let opened = self
            .write(pid)
            .and_then(|()| File::open(&path).map_err(|source| Error::File { act: "open", path: path.into(), source }));
        kill_and_reap(pidfd.as_fd());
        opened.map(OwnedFd::from)
    }
}

/// The parent kills it as soon as it has what it wants; should the parent die, so does this.
fn wait_for_death() -> ! {
    let _ = gantry_sys::cred::set_parent_death_signal(libc::SIGKILL);
    std::thread::sleep(std::time::Duration::from_secs(10));
    process::exit(0)
}

/// As [`line`] writes them; the kernel pads its columns.
fn in_single_spaces(map: &str) -> String {
    map.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect()
}

fn line(mapping: &LinuxIdMapping) -> String {
    format!("{} {} {}\n", mapping.container_id(), mapping.host_id(), mapping.size())
}

fn write(pid: i32, file: &str, text: &str) -> Result<(), Error> {
    let path = PathBuf::from(format!("/proc/{pid}/{file}"));
    let written: io::Result<()> = fs::write(&path, text);
    written.map_err(|source| Error::File { act: "write", path, source })
}
