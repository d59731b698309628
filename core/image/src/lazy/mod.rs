//! Layers whose files come when they are opened. Such a layer is made out of its table of contents: everything is there
//! with its metadata, and each file is one hole. Its outline, beside its record, says where the files' bytes are, and by
//! being there that the layer is not all here; it goes when every byte has been compared with the archive.
//!
//! Who sees to it that nobody reads a hole is not known here: see the engine's `lazy`.

mod complete;
mod toc;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use gantry_model::digest::{ChainId, Digest};
use rustix::fs::{FlockOperation, Mode, OFlags, ResolveFlags};
use serde::{Deserialize, Serialize};

use crate::apply::set_fresh;
use crate::error::{BoxError, Error, Result};
use crate::files::{self, open_scoped};
use crate::hash::Hasher;
use crate::layers::LayerSink;
use crate::pipeline::Compression;
use crate::pull::{Planned, Remote};
use crate::records::Image;
use crate::store::ImageStore;
use crate::tar::Entry;
pub(crate) use toc::{Described, Listing, listing};

const BUFFER: usize = 256 << 10;
/// A file that came wrong is asked for once more.
const HOLE_TRIES: u32 = 2;

/// Where the content of a file is: in these bytes of the blob, of which the first `inner`, unpacked, are not the file's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Contents {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) inner: u64,
    pub(crate) size: u64,
    pub(crate) digest: Digest,
}

/// A file of an outline, with what has to be set again when it was written.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Hole {
    path: String,
    mode: u32,
    uid: u64,
    gid: u64,
    mtime: (i64, u32),
    atime: Option<(i64, u32)>,
    xattrs: BTreeMap<String, Vec<u8>>,
    contents: Contents,
}

/// What is kept of a layer that is not all here.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Outline {
    schema: u32,
    /// By which name it was pulled.
    reference: String,
    chain: ChainId,
    blob: Digest,
    compressed: u64,
    gzip: bool,
    files: Vec<Hole>,
}

impl Outline {
    pub(crate) fn new(reference: &str, chain: ChainId, layer: (Digest, u64), listing: &Listing) -> Self {
        let files = listing.entries.iter().filter_map(|(entry, contents)| hole(entry, contents.as_ref()?));
        let gzip = listing.compression == Compression::Gzip;
        let (blob, compressed) = layer;
        let (schema, reference) = (files::SCHEMA, reference.to_owned());
        Self { schema, reference, chain, blob, compressed, gzip, files: files.collect() }
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_vec(self).map_err(|source| Error::Record { path: path.to_owned(), source })?;
        let packed = zstd::encode_all(&text[..], 1).map_err(Error::io("compress", path))?;
        std::fs::write(path, packed).map_err(Error::io("write", path))
    }

    fn read(path: &Path) -> Result<Option<Self>> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(Error::io("open", path))?,
        };
        let text = zstd::decode_all(file).map_err(Error::io("read", path))?;
        serde_json::from_slice(&text).map(Some).map_err(|source| Error::Record { path: path.to_owned(), source })
    }
}

/// Names of attributes and files came as text.
fn hole(entry: &Entry, contents: &Contents) -> Option<Hole> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    let xattrs = entry.xattrs.iter().map(|(name, value)| Some((text(name)?, value.clone())));
    Some(Hole {
        path: text(&entry.path)?,
        mode: entry.mode,
        uid: entry.uid,
        gid: entry.gid,
        mtime: entry.mtime,
        atime: entry.atime,
        xattrs: xattrs.collect::<Option<_>>()?,
        contents: contents.clone(),
    })
}

/// A layer that is not all here, opened.
pub struct LazyLayer {
    outline: Outline,
    root: OwnedFd,
    here: File,
    blob: std::path::PathBuf,
    /// The driver's.
    pub id: String,
}

impl ImageStore {
    /// Those of a driver's layers that are not all here. One look at a name for each.
    pub fn incomplete<'l>(&self, driver: &str, layers: &'l [String]) -> Result<Vec<&'l str>> {
        let mut found = Vec::new();
        for id in layers {
            if self.records.outline_path(driver, id)?.exists() {
                found.push(id.as_str());
            }
        }
        Ok(found)
    }

    /// All layers of a driver that are not all here.
    pub fn all_incomplete(&self, driver: &str) -> Result<Vec<String>> {
        self.records.outlined(driver)
    }

    /// The layers of an image that are not all here: each with its driver.
    pub fn awaited(&self, image: &Image) -> Result<Vec<(String, String)>> {
        let mut found = Vec::new();
        for driver in self.records.drivers()? {
            let chains = image.layers.iter().map(|layer| layer.chain);
            found.extend(self.incomplete_chains(&driver, chains)?.into_iter().map(|id| (driver.clone(), id)));
        }
        Ok(found)
    }

    /// The same of an image that is to be pulled, in one driver.
    pub fn incomplete_of(&self, planned: &Planned, driver: &str) -> Result<Vec<String>> {
        self.incomplete_chains(driver, planned.chains().into_iter())
    }

    fn incomplete_chains(&self, driver: &str, chains: impl Iterator<Item = ChainId>) -> Result<Vec<String>> {
        let outlined = self.records.outlined(driver)?;
        let mut found = Vec::new();
        for chain in chains.take_while(|_| !outlined.is_empty()) {
            let id = self.records.layer(driver, &chain)?.map(|record| record.id);
            found.extend(id.filter(|id| outlined.contains(id)));
        }
        Ok(found)
    }

    /// A layer that is not all here; `None` if it is.
    pub fn open_lazy(&self, driver: &str, sink: &dyn LayerSink, id: &str) -> Result<Option<LazyLayer>> {
        let Some(outline) = Outline::read(&self.records.outline_path(driver, id)?)? else { return Ok(None) };
        let shown = || Error::io("find the directory of the layer", id)(io::ErrorKind::Unsupported.into());
        let dir = sink.dir(id).ok_or_else(shown)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&dir, flags, Mode::empty()).map_err(Error::errno("open the layer", &dir))?;
        let path = self.records.here_path(driver, id)?;
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let here = opened.map_err(Error::io("open", path))?;
        let blob = self.content.path(&outline.blob);
        Ok(Some(LazyLayer { outline, root, here, blob, id: id.to_owned() }))
    }
}

impl LazyLayer {
    /// Where it comes from.
    pub fn reference(&self) -> &str {
        &self.outline.reference
    }

    /// Which layer it is.
    pub fn chain(&self) -> &ChainId {
        &self.outline.chain
    }

    /// How many files are to come, or have come.
    pub fn len(&self) -> usize {
        self.outline.files.len()
    }

    /// True if there is nothing to come.
    pub fn is_empty(&self) -> bool {
        self.outline.files.is_empty()
    }

    /// A file's path in the layer.
    pub fn path(&self, file: usize) -> &str {
        self.outline.files.get(file).map_or("", |hole| &hole.path)
    }

    /// Whether a file is whole.
    pub fn is_here(&self, file: usize) -> bool {
        let mut mark = [0];
        self.here.read_at(&mut mark, file as u64).is_ok_and(|count| count == 1) && mark == [1]
    }

    /// The file itself, which nobody is asked about.
    pub fn handle(&self, file: usize) -> io::Result<OwnedFd> {
        Ok(self.open(self.path(file), OFlags::PATH)?)
    }

    fn open(&self, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        open_scoped(&self.root, path.trim_start_matches('/'), flags | OFlags::NOFOLLOW, ResolveFlags::IN_ROOT)
    }

    /// Brings a file's content. Who does so is asked about as everybody else is, and must be let pass.
    pub fn fill(&self, file: usize, remote: &dyn Remote) -> Result<()> {
        let Some(hole) = self.outline.files.get(file).filter(|_| !self.is_here(file)) else { return Ok(()) };
        let place = self.open(&hole.path, OFlags::RDWR).map_err(Error::errno("open", &hole.path))?;
        // One at a time: what was found right is not written over.
        rustix::fs::flock(&place, FlockOperation::LockExclusive).map_err(Error::errno("lock", &hole.path))?;
        if self.is_here(file) {
            return Ok(());
        }
        let place = File::from(place);
        let mut tries = 1;
        while let Err(error) = self.bring(hole, &place, remote) {
            let empty = place.set_len(0).and_then(|()| place.set_len(hole.contents.size));
            empty.map_err(Error::io("empty", &hole.path))?;
            if tries == HOLE_TRIES {
                return Err(error);
            }
            tries += 1;
        }
        let unset = |source| Error::Unpack { layer: self.outline.blob.to_string(), source };
        set_fresh(&place.into(), &hole.entry(), hole.path.as_bytes()).map_err(unset)?;
        self.here.write_all_at(&[1], file as u64).map_err(Error::io("note", &hole.path))
    }

    fn bring(&self, hole: &Hole, place: &File, remote: &dyn Remote) -> Result<()> {
        let Contents { start, end, inner, size, digest } = hole.contents;
        let stored = BufReader::with_capacity(BUFFER, self.stored(start, end, remote)?);
        let mut unpacked: Box<dyn Read> = match self.outline.gzip {
            true => Box::new(flate2::bufread::MultiGzDecoder::new(stored)),
            false => Box::new(zstd::Decoder::with_buffer(stored).map_err(Error::io("unpack", &hole.path))?),
        };
        let failed = |source: io::Error| Error::Remote { source: BoxError::from(source) };
        io::copy(&mut (&mut unpacked).take(inner), &mut io::sink()).map_err(failed)?;
        let mut writer = Hashed { file: place, at: 0, hasher: Hasher::default() };
        io::copy(&mut unpacked.take(size), &mut writer).map_err(failed)?;
        let found = writer.hasher.finish();
        match found == digest && writer.at == size {
            true => Ok(()),
            false => Err(Error::Mismatch { what: hole.path.clone(), expected: digest, found }),
        }
    }

    /// Bytes of the blob: from the store if it has come meanwhile.
    fn stored<'r>(&self, start: u64, end: u64, remote: &'r dyn Remote) -> Result<Box<dyn Read + 'r>> {
        if let Ok(mut file) = File::open(&self.blob) {
            file.seek(SeekFrom::Start(start)).map_err(Error::io("read", &self.blob))?;
            return Ok(Box::new(file.take(end.saturating_sub(start))));
        }
        let part = remote.part(&self.outline.blob, self.outline.compressed, start, end);
        Ok(part.map_err(|source| Error::Remote { source })?)
    }
}

impl Hole {
    fn entry(&self) -> Entry {
        let xattrs = self.xattrs.iter().map(|(name, value)| (name.clone().into_bytes(), value.clone()));
        Entry {
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
            size: self.contents.size,
            mtime: self.mtime,
            atime: self.atime,
            xattrs: xattrs.collect(),
            ..Entry::default()
        }
    }
}

/// Writes into a file and hashes what it writes.
struct Hashed<'f> {
    file: &'f File,
    at: u64,
    hasher: Hasher,
}

impl Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write_at(bytes, self.at)?;
        self.hasher.update(&bytes[..count]);
        self.at += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
