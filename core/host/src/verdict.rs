//! Remembers which files passed the layout check, so that it is paid once per installed plugin and engine build and not
//! once per command. A verdict holds for one exact file: a user can set its time of modification back, but not its time
//! of change. A line that is missing, old or damaged means: check again.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

const NAME: &str = "plugin-verdicts";
const MAX_SIZE: u64 = 256 * 1024;

/// What tells one state of a file from any other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity(String);

impl Identity {
    /// Of an opened file.
    pub fn of(meta: &Metadata) -> Self {
        let (mtime, ctime) = ((meta.mtime(), meta.mtime_nsec()), (meta.ctime(), meta.ctime_nsec()));
        let (dev, ino, size) = (meta.dev(), meta.ino(), meta.size());
        Identity(format!("{dev}:{ino}:{size}:{}.{:09}:{}.{:09}", mtime.0, mtime.1, ctime.0, ctime.1))
    }
}

/// The verdicts of one cache directory.
pub struct Verdicts {
    dir: Option<PathBuf>,
    known: OnceLock<String>,
}

impl Verdicts {
    /// Reads nothing yet.
    pub fn new(dir: Option<PathBuf>) -> Self {
        Verdicts { dir, known: OnceLock::new() }
    }

    /// True when this file passed the check of `what` in this very engine build.
    pub fn passed(&self, file: &Identity, what: &str) -> bool {
        let (Some(dir), Some(host)) = (&self.dir, host_id()) else { return false };
        let known = self.known.get_or_init(|| read(&dir.join(NAME)).unwrap_or_default());
        let line = line(file, what, host);
        known.lines().any(|l| l == line.trim_end())
    }

    /// Something else that was once found out about this file.
    pub fn fact(&self, file: &Identity, what: &str) -> Option<String> {
        let (dir, host) = (self.dir.as_ref()?, host_id()?);
        let known = self.known.get_or_init(|| read(&dir.join(NAME)).unwrap_or_default());
        let start = format!("1 {} {what}=", file.0);
        let rests = known.lines().filter_map(|line| line.strip_prefix(&start)?.split_once(' '));
        rests.filter(|(_, built)| *built == host).map(|(value, _)| value.to_owned()).next()
    }

    /// Notes that it passed. Failing to is no error: the next process checks again.
    pub fn remember(&self, file: &Identity, what: &str) {
        let (Some(dir), Some(host)) = (&self.dir, host_id()) else { return };
        if let Err(e) = write(dir, &line(file, what, host)) {
            tracing::debug!(dir = %dir.display(), "cannot keep a plugin verdict: {e}");
        }
    }
}

fn line(file: &Identity, what: &str, host: &str) -> String {
    format!("1 {} {what} {host}\n", file.0)
}

/// Only a file that nobody else can have written is believed.
fn read(path: &Path) -> Option<String> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path).ok()?;
    let meta = file.metadata().ok()?;
    // SAFETY: geteuid has no preconditions.
    let me = unsafe { libc::geteuid() };
    if !meta.is_file() || meta.uid() != me || meta.mode() & 0o077 != 0 {
        return None;
    }
    let mut text = String::new();
    file.take(MAX_SIZE).read_to_string(&mut text).ok()?;
    Some(text)
}

fn write(dir: &Path, line: &str) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let path = dir.join(NAME);
    let old = read(&path).unwrap_or_default();
    let kept = if old.len() as u64 + line.len() as u64 > MAX_SIZE { "" } else { &old };
    let new = dir.join(format!(".{NAME}.{}.{:?}", std::process::id(), std::thread::current().id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    let done = file.write_all(format!("{kept}{line}").as_bytes()).and_then(|()| std::fs::rename(&new, &path));
    if done.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    done
}

/// The build of this engine: its build id, or the identity of its file when the linker gave it none.
fn host_id() -> Option<&'static str> {
    static ID: OnceLock<Option<String>> = OnceLock::new();
    ID.get_or_init(|| {
        let file = File::open("/proc/self/exe").ok()?;
        let meta = file.metadata().ok()?;
        let library = crate::elf::Library::open(&file, meta.len()).ok();
        let note = library.and_then(|l| l.note(b"GNU", 3).ok().flatten());
        Some(match note {
            Some(id) => id.iter().map(|b| format!("{b:02x}")).collect(),
            None => Identity::of(&meta).0,
        })
    })
    .as_deref()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_verdict_holds_for_one_state_of_one_file() {
        let dir = tempfile::tempdir().expect("dir");
        let plugin = dir.path().join("x.so");
        std::fs::write(&plugin, "1").expect("write");
        let identity = || Identity::of(&plugin.metadata().expect("meta"));
        let cache = dir.path().join("cache");
        let first = identity();
        let fresh = || Verdicts::new(Some(cache.clone()));
        assert!(!fresh().passed(&first, "log"));
        fresh().remember(&first, "log");
        assert!(fresh().passed(&first, "log"));
        assert!(!fresh().passed(&first, "volume"));
        std::fs::write(&plugin, "22").expect("write");
        assert!(!fresh().passed(&identity(), "log"));
        assert_eq!(cache.join(NAME).metadata().expect("meta").permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(cache.join(NAME), std::fs::Permissions::from_mode(0o644)).expect("chmod");
        assert!(!fresh().passed(&first, "log"), "a file others may read was not written by us");
    }
}
