//! Where an image comes from: a directory, a tar file, or a stream that is spooled.
//!
//! All three end as names that lead to regions of open files, so that layers can be read in parallel. A tar
//! file that is not compressed is read in place; anything else goes to the content store's ingest directory,
//! hashed on the way, and becomes a blob by a rename.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rustix::fs::{OFlags, ResolveFlags};

use crate::apply::ApplyError;
use crate::content::{ContentStore, Staged};
use crate::error::{Error, Result};
use crate::files::{open_scoped, read_limited};
use crate::limits::Limits;
use crate::pipeline::{self, Compression};
use crate::tar::{Entry, Input, Kind, TarError, TarReader};

/// How many links inside an archive may follow one another.
const HOPS: usize = 8;

/// Part of an open file.
#[derive(Clone, Debug)]
pub(crate) struct Region {
    file: Arc<File>,
    start: u64,
    len: u64,
}

impl Region {
    pub(crate) fn whole(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { file: Arc::new(file), start: 0, len })
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn reader(&self) -> RegionReader {
        RegionReader { region: self.clone(), position: 0, buffer: Vec::new(), used: 0 }
    }
}

/// Reads a region from its beginning; buffered where that is asked for.
pub(crate) struct RegionReader {
    region: Region,
    position: u64,
    buffer: Vec<u8>,
    used: usize,
}

impl RegionReader {
    fn read_here(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.region.len - self.position;
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = self.region.file.read_at(&mut buffer[..most], self.region.start + self.position)?;
        if count == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.position += count as u64;
        Ok(count)
    }
}

impl Read for RegionReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_here(buffer)
    }
}

impl BufRead for RegionReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.used == self.buffer.len() {
            let mut buffer = std::mem::take(&mut self.buffer);
            buffer.resize(4096, 0);
            let count = self.read_here(&mut buffer)?;
            buffer.truncate(count);
            (self.buffer, self.used) = (buffer, 0);
        }
        Ok(&self.buffer[self.used..])
    }

    fn consume(&mut self, count: usize) {
        self.used += count;
    }
}

impl Input for RegionReader {
    fn skip(&mut self, count: u64) -> io::Result<()> {
        let buffered = (self.buffer.len() - self.used) as u64;
        if count <= buffered {
            self.used += count as usize;
            return Ok(());
        }
        self.used = self.buffer.len();
        self.position += count - buffered;
        match self.position > self.region.len {
            true => {
                self.position = self.region.len;
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            false => Ok(()),
        }
    }
}

enum Item {
    Region(Region),
    Spooled(Staged, Region),
    Link(String),
}

/// The files of an archive by name.
pub(crate) struct Archive {
    items: Mutex<HashMap<String, Item>>,
    dir: Option<OwnedFd>,
}

impl Archive {
    /// Opens an archive file or an OCI layout directory.
    pub(crate) fn open(path: &Path, content: &ContentStore, limits: &Limits) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let meta = file.metadata().map_err(Error::io("look at", path))?;
        if meta.is_dir() {
            return Ok(Self { items: Mutex::default(), dir: Some(file.into()) });
        }
        let mut head = [0; 6];
        let seekable = meta.is_file() && file.read_at(&mut head, 0).is_ok();
        match pipeline::sniff(&head).map_err(refused)? {
            Compression::None if seekable => Self::index(Region::whole(file).map_err(Error::io("read", path))?, limits),
            _ => Self::spool(file, content, limits),
        }
    }

    /// Notes where the files of a plain tar begin.
    fn index(region: Region, limits: &Limits) -> Result<Self> {
        let mut tar = TarReader::new(region.reader(), limits.header_bytes);
        let mut items = HashMap::new();
        while let Some(entry) = tar.next_entry().map_err(Error::Archive)? {
            check_count(items.len(), limits)?;
            let Some(name) = entry_name(&entry) else { continue };
            let start = region.start + tar.data_position();
            let inside = Region { file: Arc::clone(&region.file), start, len: entry.size };
            let item = match entry.kind {
                Kind::Regular if entry.chunks.is_none() => Item::Region(inside),
                _ => match link(&entry, &name) {
                    Some(target) => Item::Link(target),
                    None => continue,
                },
            };
            items.insert(name, item);
        }
        Ok(Self { items: Mutex::new(items), dir: None })
    }

    /// Writes the files of a stream to the content store, unpublished.
    pub(crate) fn spool(input: impl Read + Send, content: &ContentStore, limits: &Limits) -> Result<Self> {
        content.prepare()?;
        let mut spool = Spool { content, limits, items: HashMap::new(), failure: None };
        let done = pipeline::through(input, None, limits, limits.archive_bytes, |stream| {
            let mut tar = TarReader::new(stream, limits.header_bytes);
            while let Some(entry) = tar.next_entry()? {
                spool.take(&mut tar, &entry)?;
            }
            tar.drain().map_err(ApplyError::from)
        });
        if let Some(failure) = spool.failure {
            return Err(failure);
        }
        done.map_err(refused)?;
        Ok(Self { items: Mutex::new(spool.items), dir: None })
    }

    /// The bytes of a file, if the archive has it.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Region>> {
        let Some(mut name) = normal(name) else { return Ok(None) };
        if let Some(dir) = &self.dir {
            return open_inside(dir, &name);
        }
        let items = self.lock();
        for _ in 0..HOPS {
            match items.get(&name) {
                Some(Item::Region(region) | Item::Spooled(_, region)) => return Ok(Some(region.clone())),
                Some(Item::Link(target)) => name.clone_from(target),
                None => return Ok(None),
            }
        }
        Ok(None)
    }

    /// The bytes of a file that must be there.
    pub(crate) fn get(&self, name: &str) -> Result<Region> {
        self.find(name)?.ok_or_else(|| Error::MissingFile(name.to_owned()))
    }

    /// Reads a small file that must be there.
    pub(crate) fn read(&self, name: &str, limits: &Limits) -> Result<Vec<u8>> {
        read_limited(self.get(name)?.reader(), name, limits.json_bytes)
    }

    /// Takes a file that is a finished, unpublished blob already. Its region stays readable.
    pub(crate) fn take_staged(&self, name: &str) -> Option<Staged> {
        let name = normal(name)?;
        let mut items = self.lock();
        let Some(Item::Spooled(_, region)) = items.get(&name) else { return None };
        let region = Item::Region(region.clone());
        match items.insert(name, region) {
            Some(Item::Spooled(staged, _)) => Some(staged),
            _ => None,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Item>> {
        self.items.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A stream on its way to files.
struct Spool<'a> {
    content: &'a ContentStore,
    limits: &'a Limits,
    items: HashMap<String, Item>,
    /// An error of ours, kept beside the pipeline's.
    failure: Option<Error>,
}

impl Spool<'_> {
    fn take<R: Input>(&mut self, tar: &mut TarReader<R>, entry: &Entry) -> std::result::Result<(), ApplyError> {
        let Some(name) = entry_name(entry) else { return Ok(()) };
        match check_count(self.items.len(), self.limits).and_then(|()| self.item(tar, entry, &name)) {
            Ok(Some(item)) => drop(self.items.insert(name, item)),
            Ok(None) => {}
            Err(error) => {
                self.failure = Some(error);
                return Err(TarError::Truncated.into());
            }
        }
        Ok(())
    }

    fn item<R: Input>(&self, tar: &mut TarReader<R>, entry: &Entry, name: &str) -> Result<Option<Item>> {
        if entry.kind != Kind::Regular || entry.chunks.is_some() {
            return Ok(link(entry, name).map(Item::Link));
        }
        let mut ingest = self.content.ingest()?;
        let written = tar.read_data(|piece| ingest.write_all(piece).map_err(TarError::Read));
        written.map_err(Error::Archive)?;
        let staged = ingest.finish(name, None)?;
        let file = staged.file.try_clone().map_err(Error::io("read", name))?;
        let region = Region { file: Arc::new(file), start: 0, len: staged.size };
        Ok(Some(Item::Spooled(staged, region)))
    }
}

fn refused(source: ApplyError) -> Error {
    match source {
        ApplyError::Tar(error) => Error::Archive(error),
        source => Error::Unpack { layer: "of the archive itself".to_owned(), source },
    }
}

fn check_count(count: usize, limits: &Limits) -> Result<()> {
    match count < limits.archive_files {
        true => Ok(()),
        false => Err(Error::Limit { what: "the number of files".to_owned(), limit: limits.archive_files as u64 }),
    }
}

fn entry_name(entry: &Entry) -> Option<String> {
    normal(std::str::from_utf8(&entry.path).ok()?)
}

/// Old archives store a layer once and link to it from the others.
fn link(entry: &Entry, name: &str) -> Option<String> {
    let target = std::str::from_utf8(&entry.link).ok()?;
    match entry.kind {
        Kind::HardLink => normal(target),
        Kind::Symlink if !target.starts_with('/') => {
            let dir = name.rsplit_once('/').map_or("", |(dir, _)| dir);
            normal(&format!("{dir}/{target}"))
        }
        _ => None,
    }
}

/// Resolves `.` and `..` by text; nothing outside the archive has a name.
fn normal(name: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            _ => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// Opens a regular file below a directory, following links only inside it.
fn open_inside(dir: &OwnedFd, name: &str) -> Result<Option<Region>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    let file: File = match open_scoped(dir, name, flags, ResolveFlags::BENEATH) {
        Ok(file) => file.into(),
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(error) => return Err(Error::errno("open", name)(error)),
    };
    if !file.metadata().map_err(Error::io("look at", name))?.is_file() {
        return Err(Error::MissingFile(name.to_owned()));
    }
    Region::whole(file).map(Some).map_err(Error::io("look at", name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside() {
        assert_eq!(normal("./a//b/../c").as_deref(), Some("a/c"));
        assert_eq!(normal("../a"), None);
        assert_eq!(normal("."), None);
    }
}
