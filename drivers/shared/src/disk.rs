//! A limit where the host's file system keeps no project quotas: a file system of that size in a file, which the engine
//! mounts through a loop device. The file has holes where nothing was written, and gets them back where something was
//! deleted (`discard`).
//!
//! ext4, because it can be as small as 1 MB and every distribution has it. Making one is the work of a program: there
//! is no system call for it.

use crate::tree::TreeError;
use gantry_plugin_api::types::Mount;
use nix::unistd::{AccessFlags, access};
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The file system needs room for itself.
const LEAST: u64 = 1 << 20;
/// Where distributions keep what only root uses.
const PATHS: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/// Why there is no such file.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// A step on the file system.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// What it takes is not here.
    #[error("{0}")]
    Unsupported(&'static str),
    /// A limit below what a file system needs.
    #[error("less than 1 MB")]
    TooSmall,
    /// The file system could not be made.
    #[error("cannot make a file system with {name}")]
    Program {
        /// The program.
        name: String,
        /// What it said.
        #[source]
        source: std::io::Error,
    },
}

/// Makes the file with a file system of so many bytes, empty, or with a copy of what is in a directory; it is on the disk
/// when this returns.
pub fn make(path: &Path, bytes: u64, content: Option<&Path>) -> Result<(), DiskError> {
    let maker = is_possible()?;
    if bytes < LEAST {
        return Err(DiskError::TooSmall);
    }
    let failed = |act| move |e: std::io::Error| DiskError::from(TreeError::new(act, path, e));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed("create"))?;
    file.set_len(bytes).map_err(failed("set the size of"))?;
    let mut command = Command::new(maker);
    command.args(["-q", "-F", "-m", "0", "-i", "16384", "-O", "^resize_inode", "-E", "lazy_journal_init=1"]);
    if let Some(content) = content {
        command.arg("-d").arg(content);
    }
    run(command.arg(path))?;
    // What fills an empty volume, or refuses to, looks whether it is empty.
    if let Some(editor) = program("debugfs") {
        run(Command::new(editor).args(["-w", "-R", "rmdir lost+found"]).arg(path))?;
    }
    file.sync_all().map_err(failed("sync"))
}

/// Whether there can be such files here; answers the program that makes them.
pub fn is_possible() -> Result<PathBuf, DiskError> {
    let maker = program("mkfs.ext4").ok_or(DiskError::Unsupported("mkfs.ext4 is not installed"))?;
    match access("/dev/loop-control", AccessFlags::R_OK | AccessFlags::W_OK) {
        Ok(()) => Ok(maker),
        Err(_) => Err(DiskError::Unsupported("loop devices cannot be used")),
    }
}

/// How it is mounted; the target is left to who wants one.
pub fn mount(path: &Path) -> Mount {
    let options = ["loop", "discard"].map(|word| (word.to_owned(), None)).to_vec();
    Mount { fstype: "ext4".into(), source: path.display().to_string(), options, ..Mount::default() }
}

fn program(name: &str) -> Option<PathBuf> {
    PATHS.iter().map(|dir| Path::new(dir).join(name)).find(|path| path.is_file())
}

fn run(command: &mut Command) -> Result<(), DiskError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let ended = command.env_clear().env("PATH", PATHS.join(":")).stdin(Stdio::null()).output();
    let failed = |source| DiskError::Program { name: name.clone(), source };
    let output = ended.map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(failed(std::io::Error::other(if text.is_empty() { output.status.to_string() } else { text })))
}
