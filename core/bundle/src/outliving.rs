//! The root file system of a container that has no mount namespace of its own: `create` binds it over itself in a namespace
//! that outlives the container, so `delete` has to take it away again, with all that was mounted in it.

use crate::config::Config;
use crate::error::{Result, file};
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use oci_spec::runtime::LinuxNamespaceType;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const OWN: &str = "/proc/self/ns/mnt";

/// Where the root file system was bound.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Outliving {
    /// The file that stands for the namespace, and its inode: another namespace may come to have the name.
    namespace: PathBuf,
    inode: u64,
    /// The mount that the root file system was on before. Noted before anything is bound, so that a `create` that was killed
    /// can be cleaned up after, too.
    below: u64,
}

impl Outliving {
    /// `None` for a container whose mounts end with it.
    pub fn of(config: &Config) -> Result<Option<Outliving>> {
        let Some(namespace) = namespace(config) else { return Ok(None) };
        let opened = File::open(&namespace).map_err(file("open the mount namespace", &namespace))?;
        let inode = opened.metadata().map_err(file("read", &namespace))?.ino();
        let below = mount_at(&opened, &config.rootfs).map_err(file("find the root file system", &config.rootfs))?;
        Ok(Some(Outliving { namespace, inode, below }))
    }

    /// A namespace that is gone took its mounts along.
    pub fn unmount(&self, rootfs: &Path) -> Result<()> {
        let Ok(namespace) = File::open(&self.namespace) else { return Ok(()) };
        if !namespace.metadata().is_ok_and(|found| found.ino() == self.inode) {
            return Ok(());
        }
        match mount_at(&namespace, rootfs) {
            Ok(number) if number != self.below => {}
            _ => return Ok(()),
        }
        let flags = MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW;
        let unmounted = inside(&namespace, || Ok(umount2(rootfs, flags)?));
        unmounted.map_err(file("unmount the root file system", rootfs))
    }
}

/// The namespace's file, unless it is to be a new one.
fn namespace(config: &Config) -> Option<PathBuf> {
    let linux = config.spec.linux().as_ref();
    let mut listed = linux.and_then(|linux| linux.namespaces().as_ref()).into_iter().flatten();
    let Some(found) = listed.find(|namespace| namespace.typ() == LinuxNamespaceType::Mount) else {
        return Some(OWN.into());
    };
    found.path().clone().filter(|path| !path.as_os_str().is_empty())
}

/// The number of the mount that `path` is on in the namespace.
fn mount_at(namespace: &File, path: &Path) -> io::Result<u64> {
    let place = inside(namespace, || OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path))?;
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", place.as_raw_fd()))?;
    let number = info.lines().find_map(|line| line.strip_prefix("mnt_id:")).and_then(|text| text.trim().parse().ok());
    number.ok_or_else(|| io::Error::from(Errno::ENOENT))
}

/// Does something in a mount namespace, on a thread that ends with it.
fn inside<T: Send>(namespace: &File, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let own = fs::metadata(OWN)?.ino() == namespace.metadata()?.ino();
    let there = move || {
        if !own {
            unshare(CloneFlags::CLONE_FS)?;
            setns(namespace, CloneFlags::CLONE_NEWNS)?;
        }
        work()
    };
    std::thread::scope(|scope| scope.spawn(there).join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked"))))
}
