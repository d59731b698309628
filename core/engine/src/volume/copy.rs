//! Copy-up: an empty volume mounted over a directory of the image starts with that directory's content, its own owner
//! and mode included. The image is looked at through a mount of its layers in a mount namespace of one thread, so the
//! host sees nothing of it.

use super::tree;
use crate::Engine;
use crate::container::ContainerFile;
use crate::container::mounts::MountRecord;
use crate::error::{Error, Result};
use gantry_runtime::RootMount;
use std::ffi::CString;
use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Fills the volume if it is empty and the image has a directory in its place.
pub(crate) fn copy_up(engine: &Engine, file: &ContainerFile, mount: &MountRecord) -> Result<()> {
    let volume = match engine.borrow_volume(&mount.name) {
        Ok(volume) => volume,
        Err(refused @ Error::Host(_)) => return Err(refused),
        // A device that is not there fails the start, which may come when it is.
        Err(error) => {
            tracing::debug!("volume {} is not filled: {error}", mount.name);
            return Ok(());
        }
    };
    let target = volume.path().to_owned();
    // A copy that was cut short is no content: it is taken away and made again.
    let note = engine.volume_copying(&mount.name);
    if note.exists() {
        super::tree::empty(&target).map_err(Error::io(format!("empty volume {}", mount.name)))?;
    }
    let empty = fs::read_dir(&target).map_err(Error::io(format!("list volume {}", mount.name)))?.next().is_none();
    if !empty || file.layers.is_empty() {
        return Ok(());
    }
    let _watched = engine.watch_for_a_look(&file.storage_driver, &file.layers)?;
    let plan = engine.with_storage(&file.storage_driver, |store| {
        Ok(crate::storage::root_mounts(store.mount_plan(&file.id, &file.layers, true)?))
    })?;
    let scratch = engine.layout.container_state(&file.id).join("image");
    fs::create_dir_all(&scratch).map_err(Error::io("make a directory for the image"))?;
    let destination = PathBuf::from(&mount.destination);
    fs::write(&note, b"").map_err(Error::io(format!("note the copy into volume {}", mount.name)))?;
    let copied = std::thread::scope(|scope| {
        let work = || mount_and_copy(&plan, &scratch, &destination, &target);
        scope.spawn(work).join().unwrap_or_else(|_| Err(std::io::Error::other("the copying thread panicked")))
    });
    let _ = fs::remove_dir(&scratch);
    if copied.is_ok() {
        let _ = fs::remove_file(&note);
    }
    copied.map_err(Error::io(format!("copy the image's {} into volume {}", mount.destination, mount.name)))
}

/// Runs on a thread of its own: its mount namespace goes with it.
fn mount_and_copy(plan: &[RootMount], scratch: &Path, inside: &Path, target: &Path) -> std::io::Result<()> {
    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, unshare};
    unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS)?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    for step in plan {
        super::mounting::mount_at(step, &scratch.join(&step.target))?;
    }
    let Some(source) = resolve_inside(scratch, inside)? else { return Ok(()) };
    tree::copy_into(&source, target)
}

/// The directory the container would see at `inside`, symbolic links resolved within the image; `None` when there is
/// none.
fn resolve_inside(root: &Path, inside: &Path) -> std::io::Result<Option<PathBuf>> {
    let root = fs::File::open(root)?;
    let inside = CString::new(inside.as_os_str().as_bytes())?;
    match gantry_sys::path::open_in_root(root.as_fd(), &inside, nix::libc::O_PATH) {
        Ok(fd) => {
            let path = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
            Ok(path.is_dir().then_some(path))
        }
        Err(nix::errno::Errno::ENOENT | nix::errno::Errno::ENOTDIR) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}
