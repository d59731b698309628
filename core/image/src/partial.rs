//! Downloads that go on where a killed or cut-off one ended: a blob of a known digest is fetched into a file of that
//! name, which stays when the fetching ends early. What is there is hashed again, so it has to be right all the same.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, SystemTime};

use gantry_model::digest::Digest;
use rustix::fs::FlockOperation;

use crate::archive::Region;
use crate::content::{ContentStore, Ingest};
use crate::error::{Error, Result};
use crate::files;

/// Less than this is not worth keeping.
pub(crate) const WORTH: u64 = 256 << 10;

impl ContentStore {
    /// A blob to be fetched, begun or gone on with; one that another process fetches too is begun by each.
    pub(crate) fn resume(&self, digest: &Digest, size: u64) -> Result<Ingest> {
        files::create_dir(self.partials())?;
        let path = self.partials().join(digest.hex());
        let opened = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path);
        let file = opened.map_err(Error::io("open", &path))?;
        let locked = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
        // Whoever had the lock before may have finished and given the file its name.
        if !locked || !is_same(&file, &path) {
            return self.ingest();
        }
        let there = file.metadata().map_err(Error::io("look at", &path))?.len();
        if there > size {
            file.set_len(0).map_err(Error::io("truncate", &path))?;
        }
        Ok(Ingest::resumed(file, path, if there > size { 0 } else { there }))
    }

    /// What was fetched of a blob turned out to be wrong.
    pub(crate) fn forget_partial(&self, digest: &Digest) {
        let _ = files::remove(&self.partials().join(digest.hex()));
    }

    /// Removes what nobody went on with for so long.
    pub(crate) fn clear_partials(&self, age: Duration) -> Result<u64> {
        let mut bytes = 0;
        for name in files::names(self.partials())? {
            let path = self.partials().join(name);
            let Ok(file) = File::open(&path) else { continue };
            let free = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
            let meta = file.metadata().map_err(Error::io("look at", &path))?;
            let idle = meta.modified().unwrap_or(SystemTime::now()).elapsed().unwrap_or_default();
            if free && idle >= age && files::remove(&path)? {
                bytes += meta.len();
            }
        }
        Ok(bytes)
    }
}

fn is_same(file: &File, path: &std::path::Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |meta: fs::Metadata| (meta.dev(), meta.ino());
    matches!((file.metadata().map(identity), fs::metadata(path).map(identity)), (Ok(a), Ok(b)) if a == b)
}

impl Ingest {
    /// What is there of the blob already, as a stream, and how long it is.
    pub(crate) fn begun(&self) -> io::Result<(u64, Box<dyn Read + Send>)> {
        match self.there() {
            0 => Ok((0, Box::new(io::empty()))),
            there => Ok((there, Box::new(Region::whole(self.file()?)?.reader()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::sha256;
    use std::io::Write;

    fn store() -> (tempfile::TempDir, ContentStore) {
        let dir = tempfile::tempdir().expect("a directory");
        let store = ContentStore::new(dir.path());
        store.prepare().expect("prepared");
        (dir, store)
    }

    #[test]
    fn what_was_fetched_is_not_fetched_again() {
        let (_dir, store) = store();
        let bytes: Vec<u8> = (0..WORTH as usize * 3).map(|n| (n / 7) as u8).collect();
        let (digest, size) = (sha256(&bytes), bytes.len() as u64);
        let cut = WORTH as usize + 5;
        let mut first = store.resume(&digest, size).expect("begun");
        assert_eq!(first.begun().expect("nothing").0, 0);
        first.write_all(&bytes[..cut]).expect("written");
        // Somebody else who wants it at the same time begins anew.
        assert_eq!(store.resume(&digest, size).expect("begun").begun().expect("nothing").0, 0);
        drop(first);
        let mut second = store.resume(&digest, size).expect("gone on with");
        let (start, mut there) = second.begun().expect("something");
        assert_eq!(start, cut as u64);
        let mut read = Vec::new();
        there.read_to_end(&mut read).expect("read");
        second.write_all(&read).and_then(|()| second.write_all(&bytes[cut..])).expect("written");
        let staged = second.finish("a layer", Some(&digest)).expect("it is the one");
        store.publish(vec![staged]).expect("published");
        assert_eq!(store.read(&digest, size).expect("read"), bytes);
        assert_eq!(store.clear_partials(Duration::ZERO).expect("cleared"), 0);
    }

    #[test]
    fn what_is_wrong_or_old_goes() {
        let (_dir, store) = store();
        let digest = sha256(b"right");
        let mut wrong = store.resume(&digest, WORTH).expect("begun");
        wrong.write_all(&vec![1; WORTH as usize]).expect("written");
        wrong.finish("a layer", Some(&digest)).expect_err("mismatch");
        assert_eq!(store.resume(&digest, WORTH).expect("begun").begun().expect("nothing").0, 0);
        let mut old = store.resume(&digest, WORTH).expect("begun");
        old.write_all(&vec![1; WORTH as usize]).expect("written");
        assert_eq!(store.clear_partials(Duration::ZERO).expect("in use"), 0);
        drop(old);
        assert_eq!(store.clear_partials(Duration::from_secs(60)).expect("young"), 0);
        assert_eq!(store.clear_partials(Duration::ZERO).expect("cleared"), WORTH);
    }
}
