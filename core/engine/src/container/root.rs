//! A container's root from outside. That of a running container is reached through its init; that of a stopped one is
//! mounted in a namespace of one thread, so the host sees nothing of it, while the container is kept from starting.

use super::{ContainerFile, truth};
use crate::Engine;
use crate::error::{Error, Result};
use crate::userns;
use crate::volume::borrowing::Borrowed;
use crate::volume::mounting::mount_at;
use gantry_model::idmap::IdMaps;
use gantry_model::record::Record;
use gantry_runtime::RootMount;
use gantry_store::{containers, proc};
use gantry_sys::{mount as sys, path};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::{Mode, mkdirat};
use std::ffi::{CStr, CString};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What of a container is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// Its own files, nothing that is mounted over them.
    Bare,
    /// As the container sees it, volumes included.
    Whole,
}

/// A volume or bind of a stopped container.
struct Attached {
    source: PathBuf,
    target: CString,
    writable: bool,
}

impl Engine {
    /// Runs `act` with the root directory of a container, and with its maps where owners are as the host has them.
    pub(crate) fn in_root<T: Send>(
        &self,
        id: &str,
        view: View,
        act: impl FnOnce(BorrowedFd<'_>, Option<&IdMaps>) -> Result<T> + Send,
    ) -> Result<T> {
        let record = truth::corrected(containers::read(&self.layout, id)?);
        if record.state.status.is_live() {
            let root = live_root(&record, view).map_err(Error::io(format!("reach the root of container {id}")))?;
            let maps = userns::maps(&self.container_file(id)?.host)?;
            return act(root.as_fd(), maps.as_ref());
        }
        let busy = self.begin(id, "look into")?;
        if truth::corrected(busy.record.clone()).state.status.is_live() {
            drop(busy);
            return self.in_root(id, view, act);
        }
        let file = self.container_file(id)?;
        let _disk = self.borrow_disk_of(&file)?;
        let _watched = self.watch_for_a_look(&file.storage_driver, &file.layers)?;
        let plan = self.with_storage(&file.storage_driver, |store| self.root_plan(store, id, &file.layers))?;
        let maps = userns::on_disk(&file.host)?;
        let mut borrowed = Vec::new();
        let attached = if view == View::Whole { self.attached(&file, &mut borrowed)? } else { Vec::new() };
        let scratch = self.layout.container_state(id).join("root");
        fs::create_dir_all(&scratch).map_err(Error::io("make a directory for the root"))?;
        let looked = std::thread::scope(|scope| {
            let work = || {
                let mounted = mount_root(&plan, &attached, &scratch);
                act(mounted.map_err(Error::io(format!("mount the root of container {id}")))?.as_fd(), maps.as_ref())
            };
            scope
                .spawn(work)
                .join()
                .unwrap_or_else(|_| Err(Error::io("look into it")(io::Error::other("a thread panicked"))))
        });
        // The directory of a container that does not run is not there otherwise.
        let _ = fs::remove_dir(&scratch);
        let _ = fs::remove_dir(self.layout.container_state(id));
        looked
    }

    /// Where the data of its volumes and binds is; volumes stay there for as long as they are borrowed.
    fn attached<'e>(&'e self, file: &ContainerFile, borrowed: &mut Vec<Borrowed<'e>>) -> Result<Vec<Attached>> {
        let mut found = Vec::new();
        for record in self.mounts(&file.id)? {
            let source = match record.r#type.as_str() {
                "bind" => PathBuf::from(&record.source),
                "volume" => {
                    let volume = self.borrow_volume(&record.name)?;
                    let path = volume.path().to_owned();
                    borrowed.push(volume);
                    path
                }
                _ => continue,
            };
            let target = CString::new(record.destination).map_err(|_| Error::invalid("a mount's place has a NUL"))?;
            found.push(Attached { source: inside(&source, &record.subpath)?, target, writable: record.rw });
        }
        Ok(found)
    }
}

/// A part of a volume; links in it do not lead out.
fn inside(source: &Path, subpath: &str) -> Result<PathBuf> {
    if subpath.is_empty() {
        return Ok(source.to_owned());
    }
    let act = || format!("find {subpath} in {}", source.display());
    let found = || -> io::Result<PathBuf> {
        let subpath = CString::new(subpath)?;
        let fd = path::open_in_root(File::open(source)?.as_fd(), &subpath, nix::libc::O_PATH)?;
        fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))
    };
    found().map_err(Error::io(act()))
}

fn open_path(path: &Path) -> io::Result<OwnedFd> {
    let flags = nix::libc::O_PATH | nix::libc::O_DIRECTORY;
    OpenOptions::new().read(true).custom_flags(flags).open(path).map(OwnedFd::from)
}

/// The root of a running container. Its init must be the same before and after: a number may be given again.
fn live_root(record: &Record, view: View) -> io::Result<OwnedFd> {
    let init = record.state.init;
    let root = match view {
        View::Whole => open_path(Path::new(&format!("/proc/{}/root", init.pid)))?,
        View::Bare => bare_root(init.pid)?,
    };
    if proc::is_alive(init) { Ok(root) } else { Err(io::Error::other("it ended meanwhile")) }
}

/// A detached copy of the mount that is its root, without what is mounted below: only in its own namespace can it be
/// copied, so a thread goes there.
fn bare_root(pid: i32) -> io::Result<OwnedFd> {
    let namespace = File::open(format!("/proc/{pid}/ns/mnt"))?;
    let root = open_path(Path::new(&format!("/proc/{pid}/root")))?;
    let copy = move || -> io::Result<OwnedFd> {
        unshare(CloneFlags::CLONE_FS)?;
        setns(&namespace, CloneFlags::CLONE_NEWNS)?;
        Ok(sys::clone_tree(root.as_fd(), false)?)
    };
    std::thread::scope(|scope| scope.spawn(copy).join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked"))))
}

/// Makes the directories of a path that are missing, one after the other, never outside the root.
fn make_place(root: &OwnedFd, place: &CStr) -> io::Result<OwnedFd> {
    let flags = nix::libc::O_PATH | nix::libc::O_DIRECTORY;
    let names = place.to_bytes().split(|byte| *byte == b'/').filter(|name| !name.is_empty());
    let mut parent = root.try_clone()?;
    let mut walked = Vec::new();
    for name in names {
        walked.push(b'/');
        walked.extend_from_slice(name);
        let (name, whole) = (CString::new(name)?, CString::new(walked.clone())?);
        match mkdirat(&parent, name.as_c_str(), Mode::from_bits_truncate(0o755)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        parent = path::open_in_root(root.as_fd(), &whole, flags)?;
    }
    Ok(parent)
}

/// Runs on a thread of its own: the mounts go with its namespace.
fn mount_root(plan: &[RootMount], attached: &[Attached], scratch: &Path) -> io::Result<OwnedFd> {
    unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS)?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    for step in plan {
        mount_at(step, &scratch.join(&step.target))?;
    }
    let root = open_path(scratch)?;
    for volume in attached {
        attach(volume, &root)?;
    }
    Ok(root)
}

/// A place that does not exist yet is made, as the start would make it; one that cannot be has nothing to show.
fn attach(volume: &Attached, root: &OwnedFd) -> io::Result<()> {
    let target = match path::open_in_root(root.as_fd(), &volume.target, nix::libc::O_PATH) {
        Err(Errno::ENOENT) if volume.source.is_dir() => make_place(root, &volume.target)?,
        Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(()),
        found => found?,
    };
    let source = OpenOptions::new().read(true).custom_flags(nix::libc::O_PATH).open(&volume.source)?;
    let tree = sys::clone_tree(source.as_fd(), true)?;
    if !volume.writable {
        let attributes = sys::MountAttr { set: sys::MOUNT_ATTR_RDONLY, ..sys::MountAttr::default() };
        sys::mount_setattr(tree.as_fd(), c"", sys::AT_EMPTY_PATH | sys::AT_RECURSIVE, &attributes)?;
    }
    Ok(sys::attach(tree.as_fd(), target.as_fd())?)
}
