//! A limit where the host's file system keeps no project quotas: the volume's data is a file system of that size in a
//! file, which the engine mounts through a loop device. The file has holes where nothing was written, and gets them
//! back where something was deleted (`discard`).
//!
//! ext4, because it can be as small as 1 MB and every distribution has it. Making one is the work of a program: there
//! is no system call for it.

use crate::error::Error;
use gantry_driver_shared::tree::{CopyMode, TreeError, copy_tree};
use gantry_plugin_api::types::Mount;
use nix::unistd::{AccessFlags, access};
use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The directory beside a volume's data directory, and the file in it.
const FOLDER: &str = "_disk";
const FILE: &str = "ext4";
/// The file system needs room for itself.
const LEAST: u64 = 1 << 20;
/// Where distributions keep what only root uses.
const PATHS: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/// The file of a volume that has one.
pub fn find(volume: &Path) -> Option<PathBuf> {
    let path = volume.join(FOLDER).join(FILE);
    path.is_file().then_some(path)
}

/// Makes the file with an empty file system of so many bytes; it is on the disk when this returns.
pub fn make(volume: &Path, bytes: u64) -> Result<(), Error> {
    let maker = program("mkfs.ext4").ok_or(Error::Quota("and mkfs.ext4 is not installed"))?;
    if access("/dev/loop-control", AccessFlags::R_OK | AccessFlags::W_OK).is_err() {
        return Err(Error::Quota("and loop devices cannot be used"));
    }
    if bytes < LEAST {
        return Err(Error::TooSmall);
    }
    let path = folder(volume)?.join(FILE);
    let failed = |act| {
        let path = path.clone();
        move |e: std::io::Error| Error::from(TreeError::new(act, path, e))
    };
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed("create"))?;
    file.set_len(bytes).map_err(failed("set the size of"))?;
    let wishes = ["-q", "-F", "-m", "0", "-i", "16384", "-O", "^resize_inode", "-E", "lazy_journal_init=1"];
    run(Command::new(maker).args(wishes).arg(&path))?;
    // What fills an empty volume, or refuses to, looks whether it is empty.
    if let Some(editor) = program("debugfs") {
        run(Command::new(editor).args(["-w", "-R", "rmdir lost+found"]).arg(&path))?;
    }
    file.sync_all().map_err(failed("sync"))
}

/// Gives a new volume a copy of another one's file, which must not be mounted from the beginning to the end of it.
pub fn copy(from: &Path, to: &Path) -> Result<u64, Error> {
    let before = state(from)?;
    let report = copy_tree(&from.join(FOLDER), &folder(to)?, CopyMode::Copy)?;
    match before == state(from)? {
        true => Ok(report.copied_bytes),
        false => Err(Error::Mounted),
    }
}

/// How it is mounted.
pub fn mount(path: &Path) -> Mount {
    let options = ["loop", "discard"].map(|word| (word.to_owned(), None)).to_vec();
    Mount { fstype: "ext4".into(), source: path.display().to_string(), options, ..Mount::default() }
}

fn folder(volume: &Path) -> Result<PathBuf, Error> {
    let folder = volume.join(FOLDER);
    let made = DirBuilder::new().mode(0o700).create(&folder);
    made.map_err(|e| TreeError::new("create", &folder, e))?;
    Ok(folder)
}

/// When the file was last changed; mounting changes it.
fn state(volume: &Path) -> Result<(i64, i64), Error> {
    let path = volume.join(FOLDER).join(FILE);
    if is_attached(&path) {
        return Err(Error::Mounted);
    }
    let meta = path.metadata().map_err(|e| TreeError::new("look at", &path, e))?;
    Ok((meta.mtime(), meta.mtime_nsec()))
}

/// True when a loop device shows the file.
fn is_attached(path: &Path) -> bool {
    let devices = std::fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let mut shown = devices.filter_map(|entry| std::fs::read_to_string(entry.path().join("loop/backing_file")).ok());
    shown.any(|shown| Path::new(shown.trim_end()) == path)
}

fn program(name: &str) -> Option<PathBuf> {
    PATHS.iter().map(|dir| Path::new(dir).join(name)).find(|path| path.is_file())
}

fn run(command: &mut Command) -> Result<(), Error> {
    let name = command.get_program().to_string_lossy().into_owned();
    let ended = command.env_clear().env("PATH", PATHS.join(":")).stdin(Stdio::null()).output();
    let failed = |source| Error::Program { name: name.clone(), source };
    let output = ended.map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(failed(std::io::Error::other(if text.is_empty() { output.status.to_string() } else { text })))
}
