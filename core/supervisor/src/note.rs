//! The supervisor's own log: `<state>/containers/<id>/supervisor.log`, a line per change of state, bounded. Keeper and
//! pump have no terminal; what a user must know goes into the container's record instead.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Stdio;

const LONGEST: u64 = 64 * 1024;

/// Appends a line, unless the log is full or cannot be written: there is nobody to tell.
pub fn note(state_dir: &Path, text: &str) {
    if let Some(mut file) = open(state_dir) {
        let _ = file.write_all(format!("{} {}: {text}\n", crate::clock::realtime_ns(), std::process::id()).as_bytes());
    }
}

/// The log as the standard error of a program that has no other.
pub fn stderr(state_dir: &Path) -> Stdio {
    open(state_dir).map_or_else(Stdio::null, Stdio::from)
}

fn open(state_dir: &Path) -> Option<File> {
    let path = state_dir.join("supervisor.log");
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path).ok()?;
    file.metadata().is_ok_and(|meta| meta.len() < LONGEST).then_some(file)
}
