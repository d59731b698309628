//! Small records that change often, overwritten in place.
//!
//! Replacing a record by rename makes and frees an inode each time, which some file systems answer with milliseconds.
//! A record here is one block-sized write of a file that keeps its inode: it carries a checksum, so a reader that meets
//! a write, or what a power cut left of one, knows it and looks again; it never needs new space, so a full disk cannot
//! spoil it; and it is its own lock file.

use crate::lock::Lock;
use crate::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const LEAST: usize = 1024;
/// More than most records have.
const USUAL: usize = 2048;
const PREFIX: &[u8] = b"{\"check\":\"";
const DIGITS: usize = 16;
/// Looks at a record that is being written before it is called damaged.
const LOOKS: u32 = 50;

/// Makes a record; it must not exist.
pub fn create<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let bytes = encode(path, value, LEAST)?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let file = file.map_err(Error::io("create", path))?;
    file.write_all_at(&bytes, 0).map_err(Error::io("write", path))
}

/// Reads a record without a lock.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    look(path, || whole(&File::open(path)?))
}

fn look<T: DeserializeOwned>(path: &Path, bytes: impl Fn() -> std::io::Result<Vec<u8>>) -> Result<T> {
    for _ in 0..LOOKS {
        let bytes = bytes().map_err(Error::io("read", path))?;
        if let Some(body) = checked(&bytes) {
            return parse(path, body);
        }
        std::thread::sleep(std::time::Duration::from_micros(100));
    }
    Err(Error::Torn { path: path.to_owned() })
}

/// See [`Kept::mark`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark([u8; DIGITS]);

/// A record that is looked at or written again and again: its file stays open.
#[derive(Debug)]
pub struct Kept {
    path: PathBuf,
    file: File,
    /// The longest it has been.
    length: usize,
}

impl Kept {
    /// Opens a record that exists.
    pub fn open(path: &Path) -> Result<Kept> {
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(Error::io("open", path))?;
        let length = file.metadata().map_err(Error::io("read", path))?.len();
        Ok(Kept { path: path.to_owned(), file, length: usize::try_from(length).unwrap_or(LEAST) })
    }

    /// Reads it without a lock.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T> {
        look(&self.path, || whole(&self.file))
    }

    /// What tells one content from another, without reading the rest; `None`: it has none.
    pub fn mark(&self) -> Option<Mark> {
        let mut begin = [0; PREFIX.len() + DIGITS];
        let count = self.file.read_at(&mut begin, 0).ok()?;
        let digits = begin.get(..count)?.strip_prefix(PREFIX)?;
        digits.try_into().ok().map(Mark)
    }

    /// Writes it; for the one who alone writes this record, so that no lock is needed.
    pub fn write<T: Serialize>(&mut self, value: &T) -> Result<()> {
        let bytes = encode(&self.path, value, self.length.max(LEAST))?;
        self.length = bytes.len();
        self.file.write_all_at(&bytes, 0).map_err(Error::io("write", &self.path))
    }
}

/// Changes a record under its lock and returns the new value. When `change` errs nothing is written.
pub fn update<T: Serialize + DeserializeOwned, E: From<Error>>(
    path: &Path,
    change: impl FnOnce(&mut T) -> std::result::Result<(), E>,
) -> std::result::Result<T, E> {
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(Error::io("open", path))?;
    let lock = Lock::on(file, path)?;
    let file = lock.file();
    let bytes = content(file).map_err(Error::io("read", path))?;
    let body = checked(&bytes).ok_or_else(|| Error::Torn { path: path.to_owned() })?;
    let mut value = parse(path, body)?;
    change(&mut value)?;
    let new = encode(path, &value, bytes.len())?;
    file.write_all_at(&new, 0).map_err(Error::io("write", path))?;
    Ok(value)
}

/// All bytes of a file, with one read when there are as few as usual: a list of containers reads hundreds of records.
fn whole(file: &File) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; USUAL];
    let count = file.read_at(&mut bytes, 0)?;
    if count == USUAL {
        return content(file);
    }
    bytes.truncate(count);
    Ok(bytes)
}

fn content(file: &File) -> std::io::Result<Vec<u8>> {
    let length = usize::try_from(file.metadata()?.len()).map_err(std::io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// The JSON with the checksum as its first key, padded to at least `least` bytes so that no write shortens the file.
fn encode<T: Serialize>(path: &Path, value: &T, least: usize) -> Result<Vec<u8>> {
    let json = serde_json::to_vec(value).map_err(|source| Error::Decode { path: path.to_owned(), source })?;
    let body = json.strip_prefix(b"{").unwrap_or(&json);
    let mut bytes = Vec::with_capacity(LEAST);
    bytes.extend_from_slice(PREFIX);
    bytes.extend_from_slice(format!("{:016x}\",", checksum(body)).as_bytes());
    bytes.extend_from_slice(body);
    let length = (bytes.len() + 1).next_multiple_of(LEAST / 2).max(least);
    bytes.resize(length - 1, b' ');
    bytes.push(b'\n');
    Ok(bytes)
}

/// The JSON when the checksum fits, or when there is none (a record written by hand).
fn checked(bytes: &[u8]) -> Option<&[u8]> {
    let Some(rest) = bytes.strip_prefix(PREFIX) else { return (!bytes.is_empty()).then_some(bytes) };
    let digits = std::str::from_utf8(rest.get(..DIGITS)?).ok()?;
    let body = rest.get(DIGITS + 2..)?.trim_ascii_end();
    (u64::from_str_radix(digits, 16).ok()? == checksum(body)).then_some(bytes)
}

fn parse<T: DeserializeOwned>(path: &Path, json: &[u8]) -> Result<T> {
    serde_json::from_slice(json).map_err(|source| Error::Decode { path: path.to_owned(), source })
}

/// FNV-1a, 64 bits: it guards against tearing, not against malice.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
    struct Note {
        text: String,
    }

    #[test]
    fn survives_growth_and_shrinking_and_tells_damage() {
        let path = std::env::temp_dir().join(format!("gantry-inplace-{}", std::process::id()));
        create(&path, &Note { text: "a".into() }).expect("create");
        for length in [5, 3000, 1] {
            let text = "x".repeat(length);
            update::<Note, Error>(&path, |n| {
                n.text.clone_from(&text);
                Ok(())
            })
            .expect("update");
            assert_eq!(read::<Note>(&path).expect("read").text, text);
        }
        let mut kept = Kept::open(&path).expect("open");
        for length in [1, 9000, 5] {
            let text = "y".repeat(length);
            let before = kept.mark();
            kept.write(&Note { text: text.clone() }).expect("write");
            assert!(kept.mark().is_some() && kept.mark() != before);
            assert_eq!((kept.read().ok(), read(&path).ok()), (Some(Note { text: text.clone() }), Some(Note { text })));
        }
        let mut bytes = std::fs::read(&path).expect("bytes");
        bytes[40] ^= 1;
        std::fs::write(&path, &bytes).expect("damage");
        assert!(matches!(read::<Note>(&path), Err(Error::Torn { .. })));
        std::fs::remove_file(&path).expect("remove");
    }
}
