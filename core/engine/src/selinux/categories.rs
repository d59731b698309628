//! Pairs of categories that one container has for itself: a symbolic link by the level in `<root>/categories`, whose target is
//! the container. Making it decides. A link whose container is gone is nobody's, and may be taken.

use crate::error::{Error, Result};
use gantry_store::atomic;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

/// How many categories policies have.
const COUNT: u16 = 1024;
/// More than half a million pairs there are; so many tries in vain mean that something else is wrong.
const TRIES: usize = 4096;

/// Takes a pair that nobody has. `lives` tells whether a container is there, or is being made.
pub(super) fn take(dir: &Path, id: &str, lives: impl Fn(&str) -> bool) -> Result<String> {
    atomic::make_dir(dir)?;
    for _ in 0..TRIES {
        let Some(level) = pair(crate::random_bytes()?) else { continue };
        if claim(dir, &level, id, &lives).map_err(Error::io(format!("take categories for container {id}")))? {
            return Ok(level);
        }
    }
    Err(Error::invalid("no pair of SELinux's categories is free"))
}

/// Notes a level that was asked for; others may have it, too.
pub(super) fn note(dir: &Path, level: &str, id: &str) -> Result<()> {
    if level.contains('/') {
        return Err(Error::invalid(format!("invalid SELinux level {level:?}")));
    }
    atomic::make_dir(dir)?;
    match symlink(id, dir.join(level)) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(Error::io(format!("note the categories of container {id}"))(error))
        }
        _ => Ok(()),
    }
}

/// Gives back what is the container's own.
pub(super) fn release(dir: &Path, level: &str, id: &str) {
    let link = dir.join(level);
    if !level.is_empty() && fs::read_link(&link).is_ok_and(|holder| holder == Path::new(id)) {
        let _ = fs::remove_file(link);
    }
}

/// The level of two different categories, the smaller first; `None` when they are the same.
fn pair([a, b, c, d]: [u8; 4]) -> Option<String> {
    let (one, other) = (u16::from_ne_bytes([a, b]) % COUNT, u16::from_ne_bytes([c, d]) % COUNT);
    (one != other).then(|| format!("s0:c{},c{}", one.min(other), one.max(other)))
}

fn claim(dir: &Path, level: &str, id: &str, lives: impl Fn(&str) -> bool) -> io::Result<bool> {
    let link = dir.join(level);
    match symlink(id, &link) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => return other.map(|()| true),
    }
    let holder = fs::read_link(&link).unwrap_or_default();
    if !holder.to_str().is_some_and(lives) {
        // It is free for the next try, ours or another's.
        let _ = fs::remove_file(&link);
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn pairs_are_in_order_and_of_two() {
        let of = |one: u16, other: u16| {
            let ([a, b], [c, d]) = (one.to_ne_bytes(), other.to_ne_bytes());
            pair([a, b, c, d])
        };
        assert_eq!(of(7, 3).as_deref(), Some("s0:c3,c7"));
        assert_eq!(of(1024 + 5, 1023).as_deref(), Some("s0:c5,c1023"));
        assert_eq!(of(9, 9 + COUNT), None);
    }

    #[test]
    fn no_two_containers_have_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("categories");
        let taken: BTreeSet<String> =
            (0..300).map(|number| take(&dir, &number.to_string(), |_| true).unwrap()).collect();
        assert_eq!(taken.len(), 300);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 300);
    }

    #[test]
    fn what_is_taken_is_refused_until_its_holder_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let level = "s0:c1,c2";
        note(dir.path(), level, "one").unwrap();
        assert!(!claim(dir.path(), level, "two", |_| true).unwrap());
        assert_eq!(fs::read_link(dir.path().join(level)).unwrap(), Path::new("one"));
        assert!(!claim(dir.path(), level, "two", |_| false).unwrap());
        assert!(claim(dir.path(), level, "two", |_| true).unwrap());
        release(dir.path(), level, "one");
        assert!(!claim(dir.path(), level, "three", |_| true).unwrap());
        release(dir.path(), level, "two");
        assert!(claim(dir.path(), level, "three", |_| true).unwrap());
    }

    #[test]
    fn a_level_that_was_asked_for_may_be_shared() {
        let dir = tempfile::tempdir().unwrap();
        note(dir.path(), "s0:c1,c2", "one").unwrap();
        note(dir.path(), "s0:c1,c2", "two").unwrap();
        assert_eq!(fs::read_link(dir.path().join("s0:c1,c2")).unwrap(), Path::new("one"));
        assert!(note(dir.path(), "../x", "one").is_err());
    }
}
