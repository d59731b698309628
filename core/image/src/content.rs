//! The content store: blobs named by their sha256, written once.
//!
//! A blob is written beside its place while it is hashed, synced, and renamed only when the digest is right,
//! so that what has a name is whole. Nothing here knows what a blob means.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use gantry_model::digest::Digest;
use gantry_sys::writeback;

use crate::error::{Error, Result};
use crate::files;
use crate::hash::{Hasher, sha256};
use crate::partial::WORTH;

/// A blob goes on to the disk in pieces of so many bytes while it is written.
const HURRY: u64 = 8 << 20;

/// Blobs under `<root>/content`.
#[derive(Clone, Debug)]
pub struct ContentStore {
    blobs: PathBuf,
    ingest: PathBuf,
    partials: PathBuf,
}

impl ContentStore {
    pub(crate) fn new(content: &Path) -> Self {
        Self { blobs: content.join("blobs/sha256"), ingest: content.join("ingest"), partials: content.join("partial") }
    }

    /// How many blobs there are, and their bytes.
    pub(crate) fn blob_space(&self) -> Result<(usize, u64)> {
        files::space(&self.blobs)
    }

    /// As [`Self::blob_space`], of blobs that came in part.
    pub(crate) fn partial_space(&self) -> Result<(usize, u64)> {
        files::space(&self.partials)
    }

    /// Makes the store's directories.
    pub(crate) fn prepare(&self) -> Result<()> {
        files::create_dir(&self.blobs)?;
        files::create_dir(&self.ingest)
    }

    /// Where unfinished downloads lie.
    pub(crate) fn partials(&self) -> &Path {
        &self.partials
    }

    /// Where a blob lies, whether or not it exists.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.blobs.join(digest.hex())
    }

    /// Whether the blob is there.
    pub fn exists(&self, digest: &Digest) -> bool {
        self.path(digest).exists()
    }

    /// How long a blob is.
    pub fn size(&self, digest: &Digest) -> Result<u64> {
        let meta = self.open(digest)?.metadata();
        meta.map(|meta| meta.len()).map_err(Error::io("look at", self.path(digest)))
    }

    /// Opens a blob for reading.
    pub fn open(&self, digest: &Digest) -> Result<File> {
        let path = self.path(digest);
        match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::MissingContent(*digest)),
            opened => opened.map_err(Error::io("open", path)),
        }
    }

    /// Reads a small blob whole and checks that it is what its name says.
    pub fn read(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>> {
        let bytes = files::read_limited(self.open(digest)?, &digest.to_string(), limit)?;
        let found = sha256(&bytes);
        match found == *digest {
            true => Ok(bytes),
            false => Err(Error::Mismatch { what: "stored content".into(), expected: *digest, found }),
        }
    }

    /// Begins a blob.
    pub fn ingest(&self) -> Result<Ingest> {
        let path = self.ingest.join(files::unique_name());
        let opened = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
        let file = opened.map_err(Error::io("create", &path))?;
        Ok(Ingest::new(file, Unfinished { path, keep: false }, 0))
    }

    /// Writes a blob that is all here, not yet published.
    pub fn stage(&self, bytes: &[u8]) -> Result<Staged> {
        let mut ingest = self.ingest()?;
        let path = ingest.unfinished.path.clone();
        ingest.write_all(bytes).map_err(Error::io("write", path))?;
        ingest.finish("content", None)
    }

    /// Gives finished blobs their names: sync, rename, sync of the directory.
    pub fn publish(&self, blobs: Vec<Staged>) -> Result<()> {
        for blob in &blobs {
            blob.file.sync_all().map_err(Error::io("sync", &blob.unfinished.path))?;
        }
        for blob in blobs {
            let path = self.path(&blob.digest);
            if !path.exists() {
                files::rename(&blob.unfinished.path, &path)?;
            }
        }
        files::sync_dir(&self.blobs)
    }

    /// Marks that someone is at work here; what a killed one leaves tells that there is garbage.
    pub(crate) fn mark(&self) -> Result<Marker> {
        let path = self.ingest.join(files::unique_name());
        File::create_new(&path).map_err(Error::io("create", &path))?;
        Ok(Marker { _file: Unfinished { path, keep: false } })
    }

    /// Leaves a mark that there is garbage.
    pub(crate) fn leave_mark(&self) -> Result<()> {
        self.mark().map(std::mem::forget)
    }

    /// Whether someone is at work or was killed at it.
    pub(crate) fn is_marked(&self) -> Result<bool> {
        Ok(!files::names(&self.ingest)?.is_empty())
    }

    /// Removes a blob.
    pub(crate) fn delete(&self, digest: &Digest) -> Result<bool> {
        files::remove(&self.path(digest))
    }

    /// All blobs with their sizes.
    pub(crate) fn list(&self) -> Result<Vec<(Digest, u64)>> {
        let mut blobs = Vec::new();
        for name in files::names(&self.blobs)? {
            let Ok(digest) = Digest::from_hex(&name) else { continue };
            let size = fs::metadata(self.path(&digest)).map_or(0, |meta| meta.len());
            blobs.push((digest, size));
        }
        Ok(blobs)
    }

    /// Removes what was being written by someone who is gone. Only while nobody writes.
    pub(crate) fn clear_ingest(&self) -> Result<u64> {
        let mut bytes = 0;
        for name in files::names(&self.ingest)? {
            let path = self.ingest.join(name);
            bytes += fs::symlink_metadata(&path).map_or(0, |meta| meta.len());
            files::remove(&path)?;
        }
        Ok(bytes)
    }
}

/// A file that is removed unless it was renamed before.
#[derive(Debug)]
struct Unfinished {
    path: PathBuf,
    /// Somebody may go on with it.
    keep: bool,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.keep {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A mark that goes when the work is done.
#[derive(Debug)]
pub(crate) struct Marker {
    _file: Unfinished,
}

/// A blob being written and hashed. Dropping it removes it.
pub struct Ingest {
    file: File,
    hasher: Hasher,
    size: u64,
    /// So many bytes were there from the beginning, and so many of them have not come by yet.
    there: u64,
    replay: u64,
    /// Worth keeping once there is enough of it.
    resumable: bool,
    unfinished: Unfinished,
}

impl Ingest {
    fn new(file: File, unfinished: Unfinished, there: u64) -> Self {
        Self { file, hasher: Hasher::default(), size: 0, there, replay: there, resumable: false, unfinished }
    }

    /// One whose file is kept when it ends early.
    pub(crate) fn resumed(file: File, path: PathBuf, there: u64) -> Self {
        Self { resumable: true, ..Self::new(file, Unfinished { path, keep: there >= WORTH }, there) }
    }

    pub(crate) fn there(&self) -> u64 {
        self.there
    }

    pub(crate) fn file(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Ends the blob; refuses it if it is not the one that was expected.
    pub fn finish(mut self, what: &str, expected: Option<&Digest>) -> Result<Staged> {
        self.unfinished.keep = false;
        let found = self.hasher.finish();
        if let Some(expected) = expected.filter(|expected| **expected != found) {
            return Err(Error::Mismatch { what: what.to_owned(), expected: *expected, found });
        }
        Ok(Staged { file: self.file, digest: found, size: self.size, unfinished: self.unfinished })
    }
}

impl Write for Ingest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = match usize::try_from(self.replay).unwrap_or(usize::MAX).min(bytes.len()) {
            0 => self.file.write(bytes)?,
            there => there,
        };
        self.replay = self.replay.saturating_sub(count as u64);
        self.hasher.update(&bytes[..count]);
        let before = self.size / HURRY;
        self.size += count as u64;
        if self.size / HURRY > before {
            // The sync at the end has less to wait for; that one has to succeed.
            let _ = writeback::begin(self.file.as_fd(), before * HURRY, HURRY);
        }
        self.unfinished.keep |= self.resumable && self.size >= WORTH;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A whole blob without its name yet. Dropping it removes it.
#[derive(Debug)]
pub struct Staged {
    pub(crate) file: File,
    /// Its digest.
    pub digest: Digest,
    /// Its size.
    pub size: u64,
    unfinished: Unfinished,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, ContentStore) {
        let dir = tempfile::tempdir().expect("a directory");
        let store = ContentStore::new(dir.path());
        store.prepare().expect("prepared");
        (dir, store)
    }

    #[test]
    fn publishes_only_what_is_whole() {
        let (_dir, store) = store();
        let staged = store.stage(b"hello").expect("staged");
        let digest = staged.digest;
        assert_eq!(digest, sha256(b"hello"));
        assert!(!store.exists(&digest));
        store.publish(vec![staged]).expect("published");
        assert_eq!(store.read(&digest, 10).expect("read"), b"hello");
        assert!(matches!(store.read(&digest, 4), Err(Error::Limit { .. })));
    }

    #[test]
    fn refuses_the_wrong_digest_and_leaves_nothing() {
        let (dir, store) = store();
        let mut ingest = store.ingest().expect("ingest");
        ingest.write_all(b"x").expect("write");
        let error = ingest.finish("a layer", Some(&sha256(b"y"))).expect_err("mismatch");
        assert!(error.to_string().starts_with("a layer: digest mismatch"));
        drop(store.stage(b"dropped").expect("staged"));
        assert_eq!(fs::read_dir(dir.path().join("ingest")).expect("list").count(), 0);
        assert!(store.list().expect("list").is_empty());
    }

    #[test]
    fn notices_a_blob_that_was_altered() {
        let (_dir, store) = store();
        let staged = store.stage(b"hello").expect("staged");
        let digest = staged.digest;
        store.publish(vec![staged]).expect("published");
        fs::write(store.path(&digest), b"jello").expect("write");
        assert!(matches!(store.read(&digest, 10), Err(Error::Mismatch { .. })));
    }
}
