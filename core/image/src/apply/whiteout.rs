//! Whiteouts: entries that hide or delete what lower layers have, and never what this layer brings.
//!
//! On overlay storage they become marks for the kernel. Where the tree already holds the lower layers, they
//! delete, and a set of the paths this layer has touched says what must survive, whatever the order.

use std::collections::HashSet;

use rustix::fs::{FileType, Mode};

use super::Whiteouts;
use super::dirs::{self, Dirs, Place};
use super::error::{ApplyError, lossy};
use super::path::{join, split};

const PREFIX: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
const RESERVED: &[u8] = b".wh..wh.";

/// What an entry's name means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// An ordinary entry.
    Entry,
    /// Hide this path of the lower layers.
    Hide(Vec<u8>),
    /// Hide all that the lower layers have in this directory.
    Opaque(Vec<u8>),
    /// Left over from aufs.
    Ignored,
}

/// Reads the meaning out of a cleaned path.
pub(super) fn meaning(path: &[u8]) -> Result<Meaning, ApplyError> {
    let (dir, name) = split(path);
    if name == OPAQUE {
        return Ok(Meaning::Opaque(dir.to_vec()));
    }
    if path.split(|byte| *byte == b'/').any(|part| part.starts_with(RESERVED)) {
        return Ok(Meaning::Ignored);
    }
    if dir.split(|byte| *byte == b'/').any(|part| part.starts_with(PREFIX)) {
        return Err(ApplyError::Whiteout(lossy(path)));
    }
    match name.strip_prefix(PREFIX) {
        None => Ok(Meaning::Entry),
        Some(b"" | b"." | b"..") => Err(ApplyError::Whiteout(lossy(path))),
        Some(target) => Ok(Meaning::Hide(join(dir, target))),
    }
}

/// Carries out whiteouts and remembers what they must spare.
pub(super) struct Hider {
    whiteouts: Whiteouts,
    /// Paths of this layer with all their parents; kept only where whiteouts delete.
    touched: HashSet<Vec<u8>>,
}

impl Hider {
    pub(super) fn new(whiteouts: Whiteouts) -> Self {
        Self { whiteouts, touched: HashSet::new() }
    }

    /// Notes that this layer brings `path`.
    pub(super) fn touch(&mut self, mut path: &[u8]) {
        if self.whiteouts != Whiteouts::Apply {
            return;
        }
        while !path.is_empty() && self.touched.insert(path.to_vec()) {
            path = split(path).0;
        }
    }

    /// Hides one path of the lower layers.
    pub(super) fn hide(&self, dirs: &mut Dirs, path: &[u8]) -> Result<(), ApplyError> {
        if self.whiteouts != Whiteouts::Apply {
            return mark(dirs, path);
        }
        let Some(place) = dirs.find(path)? else { return Ok(()) };
        dirs.forget();
        self.prune(&place)
    }

    /// Hides everything that lower layers have in a directory.
    pub(super) fn make_opaque(&self, dirs: &mut Dirs, path: &[u8]) -> Result<(), ApplyError> {
        if self.whiteouts != Whiteouts::Apply {
            let dir = dirs.create(path)?;
            return dirs.set_opaque(&dir, path);
        }
        let Some(dir) = dirs.look_up(path)? else { return Ok(()) };
        dirs.forget();
        dirs::list(&dir, path)?.iter().try_for_each(|child| self.prune(child))
    }

    /// Removes what this layer did not bring.
    fn prune(&self, place: &Place) -> Result<(), ApplyError> {
        if !self.touched.contains(&place.path) {
            return place.remove();
        }
        let kind = place.stat()?.map(|stat| FileType::from_raw_mode(stat.st_mode));
        match kind {
            Some(FileType::Directory) => place.children()?.iter().try_for_each(|child| self.prune(child)),
            _ => Ok(()),
        }
    }
}

/// Puts overlayfs' mark where the name is free; a directory of this layer becomes opaque instead.
fn mark(dirs: &mut Dirs, path: &[u8]) -> Result<(), ApplyError> {
    let place = dirs.place(path)?;
    match place.stat()?.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
        Some(FileType::Directory) => dirs.set_opaque(&place.open_dir()?, path),
        Some(_) => Ok(()),
        None => {
            let made = rustix::fs::mknodat(&*place.dir, &place.name[..], FileType::CharacterDevice, Mode::empty(), 0);
            made.map_err(ApplyError::io("write the whiteout of", path))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meanings() {
        let cases: [(&str, Option<Meaning>); 10] = [
            ("a/b", Some(Meaning::Entry)),
            ("a/.wh.b", Some(Meaning::Hide(b"a/b".to_vec()))),
            ("a/.wh..wh..opq", Some(Meaning::Opaque(b"a".to_vec()))),
            (".wh..wh..opq", Some(Meaning::Opaque(b"".to_vec()))),
            (".wh..wh.plnk/x", Some(Meaning::Ignored)),
            ("a/.wh..wh.aufs", Some(Meaning::Ignored)),
            ("a/.wh.", None),
            (".wh..", None),
            ("a/.wh...", None),
            (".wh.a/b", None),
        ];
        for (path, wanted) in cases {
            assert_eq!(meaning(path.as_bytes()).ok(), wanted, "{path}");
        }
    }
}
