//! Remembers drivers that hung or crashed, across processes: three times within a minute, and the driver is not loaded
//! again for a minute. One small file, a line per incident, rewritten under its own lock.

use gantry_plugin_api::manifest::Kind;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

const STRIKES: usize = 3;
const WINDOW_MS: u128 = 60_000;
const MAX_SIZE: u64 = 64 * 1024;

/// The file of incidents.
pub struct Quarantine {
    path: Option<PathBuf>,
}

struct Strike<'a> {
    driver: &'a str,
    at_ms: u128,
    reason: &'a str,
}

impl Quarantine {
    /// Of a file, or none at all.
    pub fn new(path: Option<PathBuf>) -> Self {
        Quarantine { path }
    }

    /// Where it is kept.
    pub fn path(&self) -> PathBuf {
        self.path.clone().unwrap_or_default()
    }

    /// Why a driver is not to be loaded now.
    pub fn reason(&self, kind: Kind, name: &str) -> Option<String> {
        let text = read(self.path.as_deref()?)?;
        let (driver, now) = (format!("{kind}/{name}"), now_ms());
        let recent: Vec<_> = strikes(&text).filter(|s| s.driver == driver && s.is_recent(now)).collect();
        let last = recent.last().filter(|_| recent.len() >= STRIKES)?;
        let left = (WINDOW_MS - now.saturating_sub(last.at_ms).min(WINDOW_MS)) / 1000;
        Some(format!("{} times within a minute, last: {} ({left} s left)", recent.len(), last.reason))
    }

    /// Notes an incident. Failing to is told, not returned: the caller has an error already.
    pub fn strike(&self, kind: Kind, name: &str, reason: &str) {
        let Some(path) = &self.path else { return };
        if let Err(e) = add(path, &format!("{kind}/{name}"), reason) {
            tracing::warn!(path = %path.display(), "cannot note a misbehaving driver: {e}");
        }
    }
}

impl Strike<'_> {
    fn is_recent(&self, now: u128) -> bool {
        now.saturating_sub(self.at_ms) < WINDOW_MS
    }
}

fn strikes(text: &str) -> impl Iterator<Item = Strike<'_>> {
    text.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ' ');
        Some(Strike { driver: parts.next()?, at_ms: parts.next()?.parse().ok()?, reason: parts.next()? })
    })
}

fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(MAX_SIZE).read_to_string(&mut text).ok()?;
    Some(text)
}

fn add(path: &Path, driver: &str, reason: &str) -> std::io::Result<()> {
    if let Some(dir) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    let mut file = options.open(path)?;
    lock(&file)?;
    let mut old = String::new();
    (&file).take(MAX_SIZE).read_to_string(&mut old)?;
    let now = now_ms();
    let mut text = String::new();
    for s in strikes(&old).filter(|s| s.is_recent(now)) {
        text += &format!("{} {} {}\n", s.driver, s.at_ms, s.reason);
    }
    text += &format!("{driver} {now} {}\n", reason.replace('\n', " "));
    file.rewind()?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)
}

fn lock(file: &File) -> std::io::Result<()> {
    // SAFETY: the descriptor is open; the lock ends with it.
    match unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

fn now_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_strikes_within_a_minute() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("sub/quarantine");
        let quarantine = Quarantine::new(Some(path.clone()));
        for _ in 0..2 {
            quarantine.strike(Kind::Log, "x", "write hung");
        }
        quarantine.strike(Kind::Log, "y", "other");
        assert_eq!(quarantine.reason(Kind::Log, "x"), None);
        quarantine.strike(Kind::Log, "x", "write\nhung");
        let reason = quarantine.reason(Kind::Log, "x").expect("quarantined");
        assert!(reason.starts_with("3 times within a minute, last: write hung"), "{reason}");
        assert_eq!(quarantine.reason(Kind::Volume, "x"), None);
    }

    #[test]
    fn old_strikes_and_garbage_do_not_count() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("quarantine");
        let old = now_ms() - WINDOW_MS - 1;
        std::fs::write(&path, format!("log/x {old} a\nlog/x {old} a\ngarbage\nlog/x {old} a\n")).expect("write");
        let quarantine = Quarantine::new(Some(path.clone()));
        assert_eq!(quarantine.reason(Kind::Log, "x"), None);
        quarantine.strike(Kind::Log, "x", "again");
        assert_eq!(std::fs::read_to_string(&path).expect("read").lines().count(), 1);
    }
}
