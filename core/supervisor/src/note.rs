//! The supervisor's own log: `<state>/containers/<id>/supervisor.log`, a line per change of state, bounded. Keeper and
//! pump have no terminal; what a user must know goes into the container's record instead.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

const LONGEST: u64 = 64 * 1024;

/// Appends a line, unless the log is full or cannot be written: there is nobody to tell.
pub fn note(state_dir: &Path, text: &str) {
    let path = state_dir.join("supervisor.log");
    let Ok(mut file) = OpenOptions::new().append(true).create(true).mode(0o600).open(path) else { return };
    if file.metadata().is_ok_and(|meta| meta.len() < LONGEST) {
        let _ = file.write_all(format!("{} {}: {text}\n", crate::clock::realtime_ns(), std::process::id()).as_bytes());
    }
}
