//! Who uses which volume on this host. A driver is asked to mount a volume before its first user and told when the last
//! has left, however many containers there are and whichever process dies: the users are files, one each, and what the
//! driver answered lies beside them.

use super::{borrowing, mounting};
use crate::Engine;
use crate::container::mounts::MountRecord;
use crate::error::{Error, Result};
use gantry_host::api::types::Mount;
use gantry_host::api::volume::VolumeMount;
use gantry_model::class::Class;
use gantry_store::atomic::{self, Durability};
use gantry_store::lock;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// Says where the file system is mounted, when that is not beside this file.
const PLACE: &str = "place";

/// What a driver answered, kept while there are users.
#[derive(Serialize, Deserialize)]
struct Opened {
    driver: String,
    path: String,
    /// Its file system is in a file, which is to shrink again.
    #[serde(default)]
    in_file: bool,
}

impl Engine {
    fn usage_dir(&self, name: &str) -> PathBuf {
        self.layout.state().join("volumes").join(name)
    }

    /// The directory that holds a volume's data, mounting it when it is a file system of its own and noting the
    /// container as one of its users.
    pub(crate) fn open_volume(&self, container: &str, mount: &MountRecord) -> Result<String> {
        self.use_volume(container, &mount.driver, &mount.name)
    }

    pub(super) fn use_volume(&self, user: &str, driver: &str, name: &str) -> Result<String> {
        self.use_with(user, name, |base| {
            let (path, in_file) = self.ask_driver(driver, name, base)?;
            Ok(Opened { driver: driver.to_owned(), path, in_file })
        })
    }

    /// Mounts what is a file system of its own, but no volume of a driver, once for all containers that use it.
    pub(crate) fn mount_volume(&self, container: &str, name: &str, plan: &Mount) -> Result<String> {
        self.use_with(container, name, |base| {
            let path = mount_file_system(name, plan, &base.join("data"))?;
            Ok(Opened { driver: String::new(), path, in_file: false })
        })
    }

    /// Mounts the file system in which a container's writable layer lies, in the place where its driver looks for it.
    pub(crate) fn use_disk(&self, user: &str, name: &str, plan: &Mount) -> Result<String> {
        self.use_with(user, name, |base| {
            let place = Path::new(&plan.target);
            fs::write(base.join(PLACE), &plan.target).map_err(Error::io(format!("note the place of {name}")))?;
            let path = mount_file_system(name, plan, place)?;
            Ok(Opened { driver: String::new(), path, in_file: plan.options.iter().any(mounting::is_loop) })
        })
    }

    /// Notes a user; the first one opens.
    fn use_with(&self, user: &str, name: &str, open: impl FnOnce(&Path) -> Result<Opened>) -> Result<String> {
        let base = self.usage_dir(name);
        let refs = base.join("refs");
        let _lock = lock_usage(&base)?;
        let note = base.join("opened.json");
        let others = borrowing::has_users(&refs);
        fs::write(refs.join(user), b"").map_err(Error::io(format!("note user of volume {name}")))?;
        if let Some(opened) = atomic::read_json_optional::<Opened>(&note)?.filter(|_| others) {
            return Ok(opened.path);
        }
        let noted = |opened: Opened| Ok(atomic::write_json(&note, &opened, Durability::Rename).map(|()| opened.path)?);
        let opened = open(&base).and_then(noted);
        if opened.is_err() {
            let _ = fs::remove_file(refs.join(user));
        }
        opened
    }

    /// Where the data is now, and whether that is a file system in a file.
    fn ask_driver(&self, driver: &str, name: &str, base: &Path) -> Result<(String, bool)> {
        match self.plugins.volume(driver)?.mount(name, &self.driver_dirs("volume", driver))? {
            VolumeMount::Directory(path) => Ok((path, false)),
            VolumeMount::FileSystem(plan) => {
                let path = mount_file_system(name, &plan, &base.join("data"))?;
                Ok((path, plan.options.iter().any(mounting::is_loop)))
            }
            other => {
                let message = format!("volume {name}: this engine knows no such way to reach it: {other:?}");
                Err(Error::request(Class::Unsupported, message))
            }
        }
    }

    /// Where a volume is that somebody uses.
    pub(super) fn opened_at(&self, name: &str) -> Option<String> {
        let note = self.usage_dir(name).join("opened.json");
        Some(atomic::read_json_optional::<Opened>(&note).ok()??.path)
    }

    /// True for an opened volume that is a file system of its own, and for images.
    pub(crate) fn is_mounted_for_use(&self, mount: &MountRecord) -> bool {
        matches!(mount.r#type.as_str(), "volume" | "image")
            && Path::new(&mount.source).starts_with(self.layout.state().join("volumes"))
    }

    /// Ends a container's use of its volumes; the last user's end unmounts.
    pub(crate) fn close_volumes(&self, container: &str) -> Result<()> {
        self.tell_unmounted(container);
        let Ok(entries) = fs::read_dir(self.layout.state().join("volumes")) else { return Ok(()) };
        for base in entries.flatten().map(|e| e.path()) {
            if base.join("refs").join(container).exists() {
                self.end_use(container, &base)?;
            }
        }
        Ok(())
    }

    /// A volume is gone: nothing tells any more of who used it.
    pub(super) fn forget_usage(&self, name: &str) -> Result<()> {
        let base = self.usage_dir(name);
        if !base.exists() {
            return Ok(());
        }
        let _lock = lock_usage(&base)?;
        if borrowing::has_users(&base.join("refs")) {
            return Ok(());
        }
        unmount(&base)?;
        forget(&base)
    }

    pub(super) fn end_use_of(&self, user: &str, name: &str) -> Result<()> {
        self.end_use(user, &self.usage_dir(name))
    }

    fn end_use(&self, user: &str, base: &Path) -> Result<()> {
        let _lock = lock_usage(base)?;
        let _ = fs::remove_file(base.join("refs").join(user));
        if borrowing::has_users(&base.join("refs")) {
            return Ok(());
        }
        let note = base.join("opened.json");
        let opened = atomic::read_json_optional::<Opened>(&note)?;
        if opened.as_ref().is_some_and(|opened| opened.in_file) && !borrowing::is_passing(user) {
            give_back(&place_of(base));
        }
        unmount(base)?;
        let Some(opened) = opened else { return Ok(()) };
        if opened.driver.is_empty() {
            fs::remove_file(&note).map_err(Error::io("forget a mounted image or layer"))?;
            return forget(base);
        }
        let name = base.file_name().unwrap_or_default().to_string_lossy();
        let driver = self.plugins.volume(&opened.driver);
        let _ = fs::remove_file(&note);
        let left = match driver {
            Ok(driver) => driver.unmount(&name, &self.driver_dirs("volume", &opened.driver)),
            Err(error) => {
                // A container is not kept by a plugin that was taken away.
                tracing::warn!("the driver of volume {name} is not told that nobody uses it any more: {error}");
                return Ok(());
            }
        };
        match left {
            Err(error) if error.class() != gantry_host::Class::NOT_FOUND => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// The lock on who uses a volume, made with its directory, which the last user's end may have taken away.
fn lock_usage(base: &Path) -> Result<lock::Lock> {
    loop {
        atomic::make_dir(&base.join("refs"))?;
        if let Some(lock) = lock::exclusive_if_kept(&base.join("lock"))? {
            return Ok(lock);
        }
    }
}

/// Makes holes of what was deleted in a file system in a file. The kernel does most of that by itself some time after a
/// deletion, and what it frees counts as free when that is on the disk.
fn give_back(mounted: &Path) {
    let trim = |dir: fs::File| {
        let _ = nix::unistd::syncfs(&dir);
        gantry_sys::loop_device::trim(dir.as_fd())
    };
    if let Ok(Err(errno)) = fs::File::open(mounted).map(trim) {
        tracing::debug!("{}: free blocks are not given back: {errno}", mounted.display());
    }
}

/// Where its file system is mounted: beside its users, unless somebody wanted another place.
fn place_of(base: &Path) -> PathBuf {
    fs::read_to_string(base.join(PLACE)).map_or_else(|_| base.join("data"), PathBuf::from)
}

fn unmount(base: &Path) -> Result<()> {
    let target = place_of(base);
    if !target.is_dir() || !is_mount_point(&target) {
        return Ok(());
    }
    let unmounted = nix::mount::umount2(&target, nix::mount::MntFlags::MNT_DETACH);
    unmounted.map_err(|e| Error::io(format!("unmount volume {}", base.display()))(e.into()))
}

/// Takes the directory away under its lock, never anything in what was mounted there.
fn forget(base: &Path) -> Result<()> {
    for dir in [place_of(base), base.join("data"), base.join("refs")] {
        allow_missing(fs::remove_dir(dir), base)?;
    }
    for name in ["opened.json", PLACE, "lock"] {
        allow_missing(fs::remove_file(base.join(name)), base)?;
    }
    allow_missing(fs::remove_dir(base), base)
}

/// Who comes next makes the directory anew at any moment: then it stays.
fn allow_missing(outcome: io::Result<()>, base: &Path) -> Result<()> {
    match outcome {
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {
            Err(Error::io(format!("remove {}", base.display()))(error))
        }
        _ => Ok(()),
    }
}

/// Mounts it where only this host's engine looks, unless an earlier user left it there.
fn mount_file_system(name: &str, plan: &Mount, target: &Path) -> Result<String> {
    atomic::make_dir(target)?;
    if !is_mount_point(target) {
        let failed = |source| {
            Error::io(format!("mount local volume {name}: failed to mount local volume: mount {}", plan.source))(source)
        };
        mounting::mount_private(&as_root_mount(plan), target).map_err(failed)?;
    }
    Ok(target.to_string_lossy().into_owned())
}

/// True when `path` lies on another file system than its parent, or is a bind within one.
fn is_mount_point(path: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let path = path.to_string_lossy().replace(' ', "\\040");
    mounts.lines().any(|line| line.split(' ').nth(4) == Some(path.as_str()))
}

fn as_root_mount(plan: &Mount) -> gantry_runtime::RootMount {
    let Mount { fstype, source, flags, mut options, .. } = plan.clone();
    for (key, value) in &mut options {
        // The kernel wants numbers where people write names.
        if key == "addr" {
            *value = value.take().map(|host| address(&host).map_or(host, |address| address.to_string()));
        }
    }
    gantry_runtime::RootMount { fstype, source, target: String::new(), flags, options }
}

fn address(host: &str) -> Option<IpAddr> {
    if let Ok(address) = host.parse() {
        return Some(address);
    }
    (host, 0).to_socket_addrs().ok()?.map(|found| found.ip()).next()
}
