//! The directory of all volumes, and the steps that keep it whole: a volume is made in `.staging` and renamed into
//! place, removed by a rename into `.trash`. What a killed process left in either is swept by the next removal.

use crate::disk;
use crate::error::Error;
use crate::options::Choice;
use gantry_driver_shared::quota::{self, QuotaError};
use gantry_driver_shared::tree::{self, TreeError, entries, open_dir, open_root};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, RenameFlags, renameat2};
use nix::sys::stat::{Mode, mkdirat};
use std::ffi::{CStr, CString};
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

const OPTIONS_FILE: &str = "opts.json";
const STAGING: &str = ".staging";
const TRASH: &str = ".trash";

/// The open directory of all volumes.
pub struct Shelf {
    root: PathBuf,
    dir: OwnedFd,
}

/// A volume that is being made; the lock tells others that its maker lives.
pub struct Draft {
    /// Its directory.
    pub path: PathBuf,
    name: String,
    _lock: Flock<OwnedFd>,
}

impl Shelf {
    /// Opens the directory, making it when it is missing.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let dir = match open_root(root) {
            Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => {
                std::fs::create_dir_all(root).map_err(|e| TreeError::new("create", root, e))?;
                open_root(root)?
            }
            other => other?,
        };
        Ok(Shelf { root: root.to_owned(), dir })
    }

    /// The directory of a volume's data.
    pub fn data(&self, name: &str) -> PathBuf {
        self.root.join(name).join("_data")
    }

    /// The file that holds the data of a volume, if one does.
    pub fn disk(&self, name: &str) -> Option<PathBuf> {
        disk::find(&self.root.join(name))
    }

    /// Everything of a volume.
    pub fn folder_of(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The options of a volume; `None` when there is no such volume.
    pub fn find(&self, name: &str) -> Result<Option<Choice>, Error> {
        let path = self.root.join(name).join(OPTIONS_FILE);
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map(Some).map_err(|source| {
                let name = name.to_owned();
                Error::Damaged { name, path, source }
            }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(self.data(name).is_dir().then(Choice::default)),
            Err(e) => Err(TreeError::new("read", path, e).into()),
        }
    }

    /// When a volume was made, in nanoseconds since 1970; 0 when the file system does not tell.
    pub fn created_ns(&self, name: &str) -> u64 {
        let time = std::fs::metadata(self.root.join(name)).and_then(|m| m.created().or_else(|_| m.modified()));
        time.ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok()).map_or(0, |d| d.as_nanos() as u64)
    }

    /// The names of all volumes, sorted.
    pub fn names(&self) -> Result<Vec<String>, Error> {
        let all = entries(&self.dir).map_err(|e| self.failed("read", "", e))?;
        let mut names: Vec<String> = all.iter().filter_map(|e| e.name.to_str().ok().map(str::to_owned)).collect();
        names.retain(|n| !n.starts_with('.'));
        names.sort_unstable();
        Ok(names)
    }

    /// Starts a volume: its directory, its data directory, its options, its limit.
    pub fn draft(&self, choice: &Choice) -> Result<Draft, Error> {
        let draft = self.draft_unlimited(choice)?;
        match choice.size().map_or(Ok(()), |size| limit(&draft.path, size)) {
            Ok(()) => Ok(draft),
            Err(error) => {
                self.abandon(draft);
                Err(error)
            }
        }
    }

    /// The same without its limit.
    pub fn draft_unlimited(&self, choice: &Choice) -> Result<Draft, Error> {
        self.folder(STAGING)?;
        let draft = loop {
            if let Some(draft) = self.try_draft()? {
                break draft;
            }
        };
        let data = draft.path.join("_data");
        std::fs::create_dir(&data).map_err(|e| TreeError::new("create", &data, e))?;
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&data, mode).map_err(|e| TreeError::new("set the mode of", &data, e))?;
        if !choice.is_empty() {
            write_options(&draft.path.join(OPTIONS_FILE), choice)?;
        }
        Ok(draft)
    }

    /// Between making and locking a directory a sweep may take it for a leftover: then `None`.
    fn try_draft(&self) -> Result<Option<Draft>, Error> {
        let name = format!("{STAGING}/{}", unique());
        let path = self.root.join(&name);
        match std::fs::DirBuilder::new().mode(0o701).create(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => return Ok(None),
            other => other.map_err(|e| TreeError::new("create", &path, e))?,
        }
        Ok(self.lock(&name)?.map(|lock| Draft { path, name, _lock: lock }))
    }

    /// Makes a started volume appear; `false` when the name has been taken meanwhile.
    pub fn publish(&self, draft: Draft, name: &str) -> Result<bool, Error> {
        match renameat2(&self.dir, draft.name.as_str(), &self.dir, name, RenameFlags::RENAME_NOREPLACE) {
            Ok(()) => Ok(true),
            Err(Errno::EEXIST) => {
                self.abandon(draft);
                Ok(false)
            }
            Err(error) => Err(self.failed("create", name, error)),
        }
    }

    /// Deletes a started volume. What cannot be deleted now is swept later.
    pub fn abandon(&self, draft: Draft) {
        let _ = self.to_trash(&draft.name).and_then(|_| self.empty_trash());
    }

    /// Removes a volume; `false` when there is none.
    pub fn remove(&self, name: &str) -> Result<bool, Error> {
        quota::release(&self.data(name));
        let found = self.to_trash(name)?;
        self.sweep()?;
        Ok(found)
    }

    /// Gives a volume another name.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), Error> {
        match renameat2(&self.dir, from, &self.dir, to, RenameFlags::RENAME_NOREPLACE) {
            Ok(()) => Ok(()),
            Err(Errno::EEXIST) => Err(Error::Exists(to.to_owned())),
            Err(Errno::ENOENT) => Err(Error::Missing(from.to_owned())),
            Err(error) => Err(self.failed("rename", from, error)),
        }
    }

    /// Deletes what dead processes have left, and the trash.
    fn sweep(&self) -> Result<(), Error> {
        if let Ok(staging) = open_dir(&self.dir, &c_string(STAGING)) {
            for entry in entries(&staging).map_err(|e| self.failed("read", STAGING, e))? {
                let name = format!("{STAGING}/{}", entry.name.to_string_lossy());
                if self.lock(&name)?.is_some() {
                    self.to_trash(&name)?;
                }
            }
        }
        self.empty_trash()
    }

    fn empty_trash(&self) -> Result<(), Error> {
        match open_dir(&self.dir, &c_string(TRASH)) {
            Ok(trash) => Ok(tree::empty(trash.as_fd(), &self.root.join(TRASH))?),
            Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(self.failed("open", TRASH, error)),
        }
    }

    fn to_trash(&self, name: &str) -> Result<bool, Error> {
        self.folder(TRASH)?;
        loop {
            let target = format!("{TRASH}/{}", unique());
            match renameat2(&self.dir, name, &self.dir, target.as_str(), RenameFlags::RENAME_NOREPLACE) {
                Ok(()) => return Ok(true),
                Err(Errno::ENOENT) => return Ok(false),
                Err(Errno::EEXIST) => {}
                Err(error) => return Err(self.failed("remove", name, error)),
            }
        }
    }

    /// Locks a half-made volume; `None` when its maker lives or it is gone.
    fn lock(&self, name: &str) -> Result<Option<Flock<OwnedFd>>, Error> {
        let dir = match open_dir(&self.dir, &c_string(name)) {
            Ok(dir) => dir,
            Err(Errno::ENOENT) => return Ok(None),
            Err(error) => return Err(self.failed("open", name, error)),
        };
        let Ok(lock) = Flock::lock(dir, FlockArg::LockExclusiveNonblock) else { return Ok(None) };
        let inode = |stat: Result<nix::sys::stat::FileStat, Errno>| stat.map(|s| s.st_ino);
        let held = inode(nix::sys::stat::fstat(&*lock));
        let named = inode(nix::sys::stat::fstatat(&self.dir, name, nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW));
        Ok((held == named).then_some(lock))
    }

    fn folder(&self, name: &str) -> Result<(), Error> {
        match mkdirat(&self.dir, name, Mode::S_IRWXU) {
            Ok(()) | Err(Errno::EEXIST) => Ok(()),
            Err(error) => Err(self.failed("create", name, error)),
        }
    }

    fn failed(&self, act: &'static str, name: &str, error: Errno) -> Error {
        TreeError::new(act, self.root.join(name), error).into()
    }
}

/// By a project quota, else by a file system of that size.
fn limit(volume: &Path, size: u64) -> Result<(), Error> {
    match quota::limit(&[&volume.join("_data")], size) {
        Err(QuotaError::Unsupported) => disk::make(volume, size),
        limited => Ok(limited?),
    }
}

/// Readable by its owner only: mount options may hold passwords. On disk before the volume appears.
fn write_options(path: &Path, choice: &Choice) -> Result<(), Error> {
    let failed = |e: std::io::Error| Error::from(TreeError::new("write", path, e));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    let text = serde_json::to_vec(choice).map_err(|e| failed(e.into()))?;
    file.write_all(&text).map_err(failed)?;
    file.sync_all().map_err(failed)
}

fn unique() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{}.{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Names here are checked or our own: they hold no NUL.
fn c_string(text: &str) -> CString {
    CString::new(text).unwrap_or_else(|_| CStr::to_owned(c""))
}
