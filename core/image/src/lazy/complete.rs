//! Bringing all that is missing of a layer. The archive comes whole, is checked against its digests and kept; the files
//! are filled from it, and the directory is compared with the archive, byte for byte. Only then the layer is like any other.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

use gantry_model::digest::DiffId;
use rustix::fs::{AtFlags, CWD, FlockOperation, OFlags, Timespec, Timestamps, UTIME_OMIT};

use super::LazyLayer;
use crate::apply::{Applied, ApplyError, list};
use crate::error::{Error, Result};
use crate::files;
use crate::layers::UnpackOptions;
use crate::pipeline;
use crate::pull::Remote;
use crate::records::LayerRecord;
use crate::store::ImageStore;
use crate::sums::Expected;
use crate::tar::TarReader;
use crate::verify::verify;

impl ImageStore {
    /// Brings what a layer lacks; false when somebody else does so now and is not to be waited for.
    pub fn complete(&self, id: &str, remote: &dyn Remote, options: &UnpackOptions<'_>, wait: bool) -> Result<bool> {
        let path = self.records.outline_path(options.driver, id)?;
        let Ok(lock) = File::open(&path) else { return Ok(true) };
        let how = if wait { FlockOperation::LockExclusive } else { FlockOperation::NonBlockingLockExclusive };
        match rustix::fs::flock(&lock, how) {
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(false),
            locked => locked.map_err(Error::errno("lock", &path))?,
        }
        let Some(layer) = self.open_lazy(options.driver, options.sink, id)? else { return Ok(true) };
        let record = self.records.layer(options.driver, &layer.outline.chain)?.filter(|record| record.id == id);
        let record = record.ok_or(Error::MissingContent(layer.outline.chain.0))?;
        let _writing = self.begin_writing()?;
        let archive = self.read_archive(&layer, &record, remote, options)?;
        for file in 0..layer.len() {
            layer.fill(file, remote)?;
        }
        self.compare_with(&layer, &record, &archive, options)?;
        self.keep_whole(&layer, &archive, options)?;
        Ok(true)
    }

    /// Keeps the blob, and answers what it holds.
    fn read_archive(
        &self,
        layer: &LazyLayer,
        record: &LayerRecord,
        remote: &dyn Remote,
        options: &UnpackOptions<'_>,
    ) -> Result<Applied> {
        let (blob, limits) = (layer.outline.blob, &options.limits);
        let source = self.remote_layer(remote, (blob, layer.outline.compressed))?;
        let fetched = source.data.is_remote().then_some(source.data.len());
        let (keep, _) = source.blob.split(self, fetched)?;
        let input = source.data.open(keep.as_ref())?;
        let refused = |source| Error::Unpack { layer: record.layer.diff.to_string(), source };
        let read = pipeline::through(input, keep, limits, limits.layer_bytes, |stream| {
            let mut tar = TarReader::new(stream, limits.header_bytes);
            let applied = list(&mut tar, limits)?;
            Ok((applied, DiffId(tar.into_input().digest())))
        });
        let ((applied, diff), source) = read.map_err(refused)?;
        if diff != record.layer.diff {
            let (expected, found) = (record.layer.diff.0, diff.0);
            self.content.forget_partial(&blob);
            return Err(refused(ApplyError::Digest { what: "the digest of its content", expected, found }));
        }
        let staged = source.blob.map(|ingest| ingest.finish(&format!("layer {diff}"), Some(&blob))).transpose()?;
        self.content.publish(staged.into_iter().collect())?;
        Ok(applied)
    }

    fn compare_with(
        &self,
        layer: &LazyLayer,
        record: &LayerRecord,
        archive: &Applied,
        options: &UnpackOptions<'_>,
    ) -> Result<()> {
        let what = record.layer.diff.to_string();
        let expected = Expected::parse(&archive.sums[..]).map_err(Error::io("read back the list of", &what))?;
        layer.settle_times(&expected)?;
        let shown = || Error::io("find the directory of the layer", &what)(std::io::ErrorKind::Unsupported.into());
        let faults = verify(&options.sink.dir(&record.id).ok_or_else(shown)?, &expected, true)?;
        match (faults.count, archive.size == record.layer.size) {
            (0, true) => Ok(()),
            (0, false) => Err(Error::Outline { layer: what, faults: "another size".to_owned() }),
            _ => Err(Error::Outline { layer: what, faults: faults.told.join("; ") }),
        }
    }

    /// The layer reaches the disk before its outline goes.
    fn keep_whole(&self, layer: &LazyLayer, archive: &Applied, options: &UnpackOptions<'_>) -> Result<()> {
        let sums = self.records.sums_path(options.driver, &layer.id)?;
        std::fs::write(&sums, &archive.sums).map_err(Error::io("write", &sums))?;
        let dir = self.records.driver_dir(options.driver)?;
        let sync =
            |file: &std::os::fd::OwnedFd| rustix::fs::syncfs(file).map_err(Error::errno("sync the layer in", &dir));
        sync(&layer.root)?;
        sync(&File::open(&dir).map_err(Error::io("open", &dir))?.into())?;
        files::remove(&self.records.outline_path(options.driver, &layer.id)?)?;
        files::remove(&self.records.here_path(options.driver, &layer.id)?)?;
        files::sync_dir(&dir)
    }
}

impl LazyLayer {
    /// Tables of contents may know whole seconds only, archives more.
    fn settle_times(&self, expected: &Expected) -> Result<()> {
        for (path, sum) in expected.entries.iter().filter(|(path, sum)| sum.mtime.1 != 0 && !path.is_empty()) {
            let path = String::from_utf8_lossy(path);
            let Ok(handle) = self.open(&path, OFlags::PATH) else { continue };
            let handle = File::from(handle);
            let meta = handle.metadata().map_err(Error::io("look at", &*path))?;
            if (meta.mtime(), meta.mtime_nsec()) == (sum.mtime.0, sum.mtime.1.into()) {
                continue;
            }
            let last_access = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
            let last_modification = Timespec { tv_sec: sum.mtime.0, tv_nsec: sum.mtime.1.into() };
            let times = Timestamps { last_access, last_modification };
            let name = format!("/proc/self/fd/{}", handle.as_raw_fd());
            let set = rustix::fs::utimensat(CWD, name, &times, AtFlags::empty());
            set.map_err(Error::errno("set the times of", &*path))?;
        }
        Ok(())
    }
}
