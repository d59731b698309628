//! A volume used for one act by this process, as one of its users: so a driver is asked to mount it once, whoever uses
//! it, and told when the last one has left.

use super::no_such_volume;
use crate::Engine;
use crate::error::Result;
use gantry_host::api::types::Mount;
use gantry_model::record::ProcessRef;
use gantry_store::proc;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// How users are called that are no containers.
const PASSING: &str = "process-";

/// A volume that this process uses; dropped, it is given back.
pub(crate) struct Borrowed<'e> {
    engine: &'e Engine,
    user: String,
    name: String,
    path: PathBuf,
}

impl Borrowed<'_> {
    /// The directory with the volume's data.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.engine.end_use_of(&self.user, &self.name) {
            tracing::warn!("volume {} is not given back in full: {error}", self.name);
        }
    }
}

impl Engine {
    /// Makes a volume's data reachable for as long as the answer lives.
    pub(crate) fn borrow_volume(&self, name: &str) -> Result<Borrowed<'_>> {
        let record = self.volume_record_of(name)?.ok_or_else(|| no_such_volume(name))?;
        self.borrow_of(&record.driver, name)
    }

    /// Makes a writable layer that is a file system of its own reachable for as long as the answer lives.
    pub(crate) fn borrow_disk(&self, name: String, plan: &Mount) -> Result<Borrowed<'_>> {
        let user = passing_user();
        let path = self.use_disk(&user, &name, plan)?.into();
        Ok(Borrowed { engine: self, user, name, path })
    }

    /// The same of a volume that may have no record yet.
    pub(super) fn borrow_of(&self, driver: &str, name: &str) -> Result<Borrowed<'_>> {
        let user = passing_user();
        let path = self.use_volume(&user, driver, name)?.into();
        Ok(Borrowed { engine: self, user, name: name.to_owned(), path })
    }
}

/// A name for this act alone: a server does several things at a time.
fn passing_user() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let (own, number) = (proc::own(), NEXT.fetch_add(1, Ordering::Relaxed));
    format!("{PASSING}{}-{}-{number}", own.pid, own.start)
}

/// The process that a passing user's name tells; `None` for a container.
fn process_of(user: &str) -> Option<ProcessRef> {
    let mut numbers = user.strip_prefix(PASSING)?.split('-');
    Some(ProcessRef { pid: numbers.next()?.parse().ok()?, start: numbers.next()?.parse().ok()? })
}

/// True for a passing user whose process is about its act.
pub(crate) fn is_passing(user: &str) -> bool {
    process_of(user).is_some_and(proc::is_alive)
}

/// Whether a volume has users; those that were killed in passing are forgotten.
pub(super) fn has_users(refs: &Path) -> bool {
    let mut used = false;
    for entry in fs::read_dir(refs).into_iter().flatten().flatten() {
        match process_of(&entry.file_name().to_string_lossy()).is_some_and(|process| !proc::is_alive(process)) {
            true => drop(fs::remove_file(entry.path())),
            false => used = true,
        }
    }
    used
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_killed_are_forgotten() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(!has_users(dir.path()));
        fs::write(dir.path().join(format!("{PASSING}1-1-0")), b"").expect("written");
        assert!(!has_users(dir.path()), "the process with that number is another one");
        assert_eq!(fs::read_dir(dir.path()).expect("there").count(), 0);
        let own = passing_user();
        assert!(is_passing(&own) && !is_passing("0123abc"));
        fs::write(dir.path().join(own), b"").expect("written");
        assert!(has_users(dir.path()));
    }
}
