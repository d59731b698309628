//! Who waits for which file, so that a fetcher's successor can answer: the kernel knows those who were told of to the dead
//! one by the numbers of its descriptors, and by nothing else. One fetcher at a time has the journal.

use crate::error::{Error, Result};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

const SLOT: usize = 8;
/// How often is looked whether a predecessor is gone.
const TICK: Duration = Duration::from_millis(5);
/// No descriptor of a fetcher had a larger number.
pub(super) const MOST: i32 = 65_536;

/// A layer of those that were given, and a file of it.
pub(super) type Wanted = (u32, u32);

/// See the module.
pub(super) struct Journal {
    file: File,
    /// There was one before.
    pub(super) is_inherited: bool,
}

impl Journal {
    /// Waits until a predecessor is gone; `None` if meanwhile nobody is needed any more.
    pub(super) fn open(path: &Path, is_needed: impl Fn() -> bool) -> Result<Option<Journal>> {
        let opened = || -> io::Result<(File, bool)> {
            DirBuilder::new().recursive(true).mode(0o700).create(path.parent().unwrap_or(path))?;
            let is_inherited = path.exists();
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
            Ok((file, is_inherited))
        };
        let failed = || Error::io("note who waits for the image's files");
        let (file, is_inherited) = opened().map_err(failed())?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Journal { file, is_inherited })),
                Err(TryLockError::WouldBlock) if is_needed() => std::thread::sleep(TICK),
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(failed()(error)),
            }
        }
    }

    pub(super) fn note(&self, number: i32, wanted: Wanted) -> io::Result<()> {
        let mut slot = [0; SLOT];
        slot[..4].copy_from_slice(&(wanted.0 + 1).to_le_bytes());
        slot[4..].copy_from_slice(&wanted.1.to_le_bytes());
        self.file.write_all_at(&slot, place(number))
    }

    pub(super) fn clear(&self, number: i32) {
        let _ = self.file.write_all_at(&[0; SLOT], place(number));
    }

    /// Those who wait.
    pub(super) fn waiting(&self) -> io::Result<Vec<(i32, Wanted)>> {
        let mut bytes = vec![0; usize::try_from(self.file.metadata()?.len()).unwrap_or_default()];
        self.file.read_exact_at(&mut bytes, 0)?;
        let word = |bytes: &[u8]| bytes.try_into().map_or(0, u32::from_le_bytes);
        let slots = bytes.chunks_exact(SLOT).map(|slot| (word(&slot[..4]), word(&slot[4..])));
        let taken = (0..MOST).zip(slots).filter(|(_, (layer, _))| *layer > 0);
        Ok(taken.map(|(number, (layer, file))| (number, (layer - 1, file))).collect())
    }
}

fn place(number: i32) -> u64 {
    u64::try_from(number).unwrap_or_default() * SLOT as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_successor_learns_who_waits() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("lazy/waiting");
        let open = |is_needed: bool| Journal::open(&path, || is_needed).expect("opened");
        let first = open(true).expect("nobody has it");
        assert!(!first.is_inherited);
        first
            .note(9, (0, 7))
            .and_then(|()| first.note(12, (3, 0)))
            .and_then(|()| first.note(10, (1, 1)))
            .expect("noted");
        first.clear(10);
        assert!(open(false).is_none(), "one at a time");
        drop(first);
        let second = open(true).expect("nobody has it");
        assert!(second.is_inherited);
        assert_eq!(second.waiting().expect("read"), [(9, (0, 7)), (12, (3, 0))]);
    }
}
