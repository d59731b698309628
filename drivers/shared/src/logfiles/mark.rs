//! The mark: which generation of the file is current, and how many records had been stored when it began.
//!
//! With it a resumed sink can tell how many records are stored beyond its token even when the files that held them are
//! already deleted. It is written before a rotation touches any file and once more when the new file is there, and only
//! then are records written to that file; so an interrupted rotation is recognised and finished. No mark: generation 0.

use super::error::{Context, LogFileError, Result};
use super::files::{Files, if_exists};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

/// `GJF1` in ASCII, and whether a rotation is under way.
const SETTLED: u64 = 0x474a_4631;
const ROTATING: u64 = SETTLED | 1 << 32;
const SIZE: usize = 32;

/// What the mark says.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Mark {
    /// Counts the files there ever were.
    pub generation: u64,
    /// Records stored before this generation, as counted by the sink that began it.
    pub before: u64,
    /// The generation's file may not be there yet; it holds no record.
    pub rotating: bool,
}

impl Mark {
    /// Reads the mark; one that is absent or damaged (a host crash) counts as the first.
    pub fn load(files: &Files) -> Result<Mark> {
        let path = files.mark();
        let bytes = if_exists(fs::read(&path)).context(LogFileError::mark, &path)?;
        Ok(bytes.and_then(|bytes| Mark::decode(&bytes)).unwrap_or_default())
    }

    /// Writes the mark. One small write: a SIGKILL cannot tear it, and the checksum finds what else may.
    pub fn store(&self, files: &Files) -> Result<()> {
        let path = files.mark();
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o640).open(&path);
        file.and_then(|mut file| file.write_all(&self.encode())).context(LogFileError::mark, &path)
    }

    fn encode(&self) -> [u8; SIZE] {
        let head = if self.rotating { ROTATING } else { SETTLED };
        let mut bytes = [0; SIZE];
        for (place, word) in [head, self.generation, self.before, self.check(head)].into_iter().enumerate() {
            bytes[place * 8..][..8].copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Mark> {
        let bytes: &[u8; SIZE] = bytes.try_into().ok()?;
        let (words, _) = bytes.as_chunks::<8>();
        let word = |place: usize| u64::from_le_bytes(words[place]);
        let mark = Mark { generation: word(1), before: word(2), rotating: word(0) == ROTATING };
        let known = word(0) == ROTATING || word(0) == SETTLED;
        (known && word(3) == mark.check(word(0))).then_some(mark)
    }

    fn check(&self, head: u64) -> u64 {
        [head, self.generation, self.before]
            .into_iter()
            .fold(0, |sum: u64, word| (sum.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_noticed() {
        let mark = Mark { generation: 3, before: 77, rotating: true };
        let bytes = mark.encode();
        assert_eq!(Mark::decode(&bytes), Some(mark));
        assert_eq!(Mark::decode(&bytes[..31]), None);
        for place in 0..SIZE {
            let mut damaged = bytes;
            damaged[place] ^= 4;
            assert_eq!(Mark::decode(&damaged), None, "byte {place}");
        }
    }
}
