//! What each entry of a layer was when it was unpacked: kind, owner, mode, times, and a digest of its content, so that
//! a layer can be compared with it later. The digest is XXH3 with 128 bits: it is there to find what a disk or a power
//! cut has spoilt, not what somebody forged, and costs next to nothing beside the writing.
//!
//! The list is kept in the order of the archive, compressed, with an end and a checksum, beside the layer's record.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{SeekFrom, Timestamps};

use crate::error::{Error, Result};
use crate::tar::{Entry, Kind};

/// The first bytes of a list, with its version.
const HEAD: &[u8] = b"gantry-sums-1\n";
/// Longest path or link that is read back.
const LONGEST: usize = 64 << 10;
/// The unit in which files with holes are looked at.
const BLOCK: usize = 4096;

/// A running digest of a file's content.
pub(crate) struct Content(twox_hash::XxHash3_128);

impl Content {
    pub(crate) fn new() -> Self {
        Self(twox_hash::XxHash3_128::new())
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    pub(crate) fn finish(self) -> u128 {
        self.0.finish_128()
    }

    /// The digest of bytes that are all here.
    pub(crate) fn of(bytes: &[u8]) -> u128 {
        twox_hash::XxHash3_128::oneshot(bytes)
    }
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Sort {
    Directory = b'd',
    File = b'f',
    /// A file with holes: digested by the blocks that hold something.
    Sparse = b's',
    Symlink = b'l',
    Fifo = b'p',
    CharDevice = b'c',
    BlockDevice = b'b',
}

/// What an entry must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) sort: Sort,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    pub(crate) mtime: (i64, u32),
    pub(crate) device: (u32, u32),
    /// Of the content, or of a link's target.
    pub(crate) digest: u128,
    /// Of the attributes `user.*` of a file.
    pub(crate) xattrs: u128,
}

const LINK: u8 = b'h';
const HIDDEN: u8 = b'w';
const OPAQUE: u8 = b'o';
const END: u8 = b'e';
const SUM_BYTES: usize = 4 * 3 + 8 + 8 + 4 + 4 * 2 + 16 * 2;

impl Sum {
    /// What an archive's entry becomes on the disk.
    pub(crate) fn of(entry: &Entry, times: &Timestamps, digest: u128) -> Self {
        let sort = match entry.kind {
            Kind::Directory => Sort::Directory,
            Kind::Symlink => Sort::Symlink,
            Kind::Fifo => Sort::Fifo,
            Kind::CharDevice => Sort::CharDevice,
            Kind::BlockDevice => Sort::BlockDevice,
            Kind::Regular | Kind::HardLink if entry.chunks.is_some() => Sort::Sparse,
            Kind::Regular | Kind::HardLink => Sort::File,
        };
        let device = matches!(sort, Sort::CharDevice | Sort::BlockDevice);
        let time = times.last_modification;
        Self {
            sort,
            mode: entry.mode & 0o7777,
            // Larger ones were refused when the owner was set.
            uid: entry.uid as u32,
            gid: entry.gid as u32,
            size: if entry.kind == Kind::Regular { entry.size } else { 0 },
            mtime: (time.tv_sec, time.tv_nsec as u32),
            device: if device { (entry.major, entry.minor) } else { (0, 0) },
            digest,
            xattrs: user_xattrs(entry.xattrs.iter().map(|(name, value)| (&name[..], &value[..]))),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        for number in [self.mode, self.uid, self.gid, self.mtime.1, self.device.0, self.device.1] {
            out.extend(number.to_le_bytes());
        }
        out.extend(self.size.to_le_bytes());
        out.extend(self.mtime.0.to_le_bytes());
        out.extend(self.digest.to_le_bytes());
        out.extend(self.xattrs.to_le_bytes());
    }

    fn read(sort: Sort, input: &mut impl Read) -> io::Result<Self> {
        let mut bytes = [0; SUM_BYTES];
        input.read_exact(&mut bytes)?;
        let mut rest = &bytes[..];
        let mut words = [0; 6];
        for word in &mut words {
            *word = u32::from_le_bytes(take(&mut rest));
        }
        let [mode, uid, gid, nanos, major, minor] = words;
        let size = u64::from_le_bytes(take(&mut rest));
        let seconds = i64::from_le_bytes(take(&mut rest));
        let (digest, xattrs) = (u128::from_le_bytes(take(&mut rest)), u128::from_le_bytes(take(&mut rest)));
        Ok(Self { sort, mode, uid, gid, size, mtime: (seconds, nanos), device: (major, minor), digest, xattrs })
    }
}

/// The next bytes; the callers read fields of a record of known length.
fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let (field, more) = rest.split_first_chunk().map_or(([0; N], &[][..]), |(field, more)| (*field, more));
    *rest = more;
    field
}

/// A digest of the attributes that only users set: those the kernel writes itself may come back otherwise.
pub(crate) fn user_xattrs<'a>(all: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> u128 {
    let ours = |name: &[u8]| name.starts_with(b"user.") && !name.starts_with(b"user.overlay.");
    let mut own: Vec<_> = all.filter(|(name, _)| ours(name)).collect();
    if own.is_empty() {
        return 0;
    }
    own.sort_unstable();
    let mut digest = Content::new();
    for part in own.iter().flat_map(|(name, value)| [name, value]) {
        digest.update(&(part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    digest.finish()
}

/// The digest of a file with holes: of the blocks in which anything is not zero, with their places.
pub(crate) fn sparse_digest(file: impl AsFd) -> rustix::io::Result<u128> {
    let size = rustix::fs::fstat(&file)?.st_size as u64;
    let mut digest = Content::new();
    digest.update(&size.to_le_bytes());
    let (mut position, mut block) = (0, [0; BLOCK]);
    while let Some(start) = next_data(&file, position)? {
        position = start - start % BLOCK as u64;
        let have = read_at(&file, &mut block, position)?;
        if have == 0 {
            break;
        }
        if block[..have].iter().any(|byte| *byte != 0) {
            digest.update(&position.to_le_bytes());
            digest.update(&block[..have]);
        }
        position += BLOCK as u64;
    }
    Ok(digest.finish())
}

fn next_data(file: impl AsFd, from: u64) -> rustix::io::Result<Option<u64>> {
    match rustix::fs::seek(file, SeekFrom::Data(from)) {
        Ok(start) => Ok(Some(start.max(from))),
        Err(rustix::io::Errno::NXIO) => Ok(None),
        Err(error) => Err(error),
    }
}

fn read_at(file: impl AsFd, block: &mut [u8], position: u64) -> rustix::io::Result<usize> {
    let mut have = 0;
    while have < block.len() {
        match rustix::io::pread(&file, &mut block[have..], position + have as u64)? {
            0 => break,
            count => have += count,
        }
    }
    Ok(have)
}

/// Writes a list while a layer is unpacked. What cannot be written is told at the end.
pub(crate) struct Recorder {
    encoder: Option<zstd::stream::write::Encoder<'static, Vec<u8>>>,
    buffer: Vec<u8>,
    count: u64,
}

impl Recorder {
    /// A recorder; one that is not wanted records nothing.
    pub(crate) fn new(wanted: bool) -> Self {
        let encoder = wanted.then(|| zstd::stream::write::Encoder::new(Vec::new(), 1)).and_then(io::Result::ok);
        let mut recorder = Self { encoder, buffer: HEAD.to_vec(), count: 0 };
        if let Some(encoder) = &mut recorder.encoder {
            let _ = encoder.include_checksum(true);
        }
        recorder
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.encoder.is_some()
    }

    pub(crate) fn entry(&mut self, path: &[u8], sum: &Sum) {
        self.begin(sum.sort as u8, path);
        sum.write(&mut self.buffer);
        self.pass_on();
    }

    pub(crate) fn link(&mut self, path: &[u8], target: &[u8]) {
        self.begin(LINK, path);
        self.text(target);
        self.pass_on();
    }

    pub(crate) fn hidden(&mut self, path: &[u8]) {
        self.begin(HIDDEN, path);
        self.pass_on();
    }

    pub(crate) fn opaque(&mut self, path: &[u8]) {
        self.begin(OPAQUE, path);
        self.pass_on();
    }

    /// The compressed list; empty if none was wanted.
    pub(crate) fn finish(mut self) -> io::Result<Vec<u8>> {
        if self.encoder.is_none() {
            return Ok(Vec::new());
        }
        self.buffer.push(END);
        self.buffer.extend(self.count.to_le_bytes());
        self.flush()?;
        self.encoder.map_or(Ok(Vec::new()), zstd::stream::write::Encoder::finish)
    }

    fn begin(&mut self, sort: u8, path: &[u8]) {
        self.count += 1;
        self.buffer.push(sort);
        self.text(path);
    }

    fn text(&mut self, text: &[u8]) {
        self.buffer.extend((text.len() as u32).to_le_bytes());
        self.buffer.extend(text);
    }

    /// Memory does not refuse; an encoder that failed leaves a list without its end, which is no list.
    fn pass_on(&mut self) {
        if self.buffer.len() > 64 << 10 && self.flush().is_err() {
            self.encoder = None;
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let written = self.encoder.as_mut().map_or(Ok(()), |encoder| encoder.write_all(&self.buffer));
        self.buffer.clear();
        written
    }
}

/// What a layer must hold.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    pub(crate) entries: BTreeMap<Vec<u8>, Sum>,
    /// Several paths of one file.
    pub(crate) links: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) hidden: Vec<Vec<u8>>,
    pub(crate) opaque: Vec<Vec<u8>>,
}

impl Expected {
    /// Reads a list; `None` if there is none.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>> {
        let file = match std::fs::File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(Error::io("open", path))?,
        };
        Self::parse(io::BufReader::new(file)).map(Some).map_err(Error::io("read", path))
    }

    pub(crate) fn parse(file: impl io::BufRead) -> io::Result<Self> {
        let mut input = io::BufReader::new(zstd::Decoder::with_buffer(file)?);
        let mut head = [0; HEAD.len()];
        input.read_exact(&mut head)?;
        if head != HEAD {
            return Err(io::Error::other("not a list of sums that this version knows"));
        }
        let (mut expected, mut count) = (Self::default(), 0);
        loop {
            let mut sort = [0];
            input.read_exact(&mut sort)?;
            if sort[0] == END {
                break;
            }
            count += 1;
            expected.add(sort[0], &mut input)?;
        }
        let mut end = [0; 8];
        input.read_exact(&mut end)?;
        let rest = input.read(&mut [0])?;
        match u64::from_le_bytes(end) == count && rest == 0 {
            true => Ok(expected),
            false => Err(io::Error::other("the list of sums is damaged")),
        }
    }

    fn add(&mut self, sort: u8, input: &mut impl Read) -> io::Result<()> {
        let path = read_text(input)?;
        let sort = match sort {
            b'd' => Sort::Directory,
            b'f' => Sort::File,
            b's' => Sort::Sparse,
            b'l' => Sort::Symlink,
            b'p' => Sort::Fifo,
            b'c' => Sort::CharDevice,
            b'b' => Sort::BlockDevice,
            LINK => return self.add_link(path, read_text(input)?),
            HIDDEN => {
                self.hidden.push(path);
                return Ok(());
            }
            OPAQUE => {
                self.opaque.push(path);
                return Ok(());
            }
            _ => return Err(io::Error::other("the list of sums has an entry of an unknown sort")),
        };
        let sum = Sum::read(sort, input)?;
        self.put(path, sum);
        Ok(())
    }

    /// A later entry replaces an earlier one, and what was below it unless both are directories.
    fn put(&mut self, path: Vec<u8>, sum: Sum) {
        if sum.sort != Sort::Directory {
            self.remove_below(&path);
        }
        self.links.remove(&path);
        self.entries.insert(path, sum);
    }

    fn add_link(&mut self, path: Vec<u8>, target: Vec<u8>) -> io::Result<()> {
        if let Some(sum) = self.entries.get(&target).copied() {
            self.put(path.clone(), sum);
            self.links.insert(path, target);
        }
        Ok(())
    }

    /// Removes all paths below one.
    pub(crate) fn remove_below(&mut self, path: &[u8]) {
        let mut from = path.to_vec();
        if !from.is_empty() {
            from.push(b'/');
        }
        for path in keys_below(&self.entries, &from) {
            self.entries.remove(&path);
        }
        for path in keys_below(&self.links, &from) {
            self.links.remove(&path);
        }
    }

    /// What a tree holds that grew from `lower` by this layer.
    pub(crate) fn over(self, mut lower: Self) -> Self {
        for path in &self.hidden {
            lower.remove_below(path);
            lower.entries.remove(path);
        }
        self.opaque.iter().for_each(|path| lower.remove_below(path));
        for (path, sum) in self.entries {
            lower.put(path, sum);
        }
        lower.links.extend(self.links);
        Self { hidden: Vec::new(), opaque: Vec::new(), ..lower }
    }
}

/// The keys that begin so; the root itself is below nothing.
fn keys_below<T>(map: &BTreeMap<Vec<u8>, T>, from: &[u8]) -> Vec<Vec<u8>> {
    let keys = map.range(from.to_vec()..).map(|(path, _)| path);
    keys.take_while(|path| path.starts_with(from)).filter(|path| !path.is_empty()).cloned().collect()
}

fn read_text(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut len = [0; 4];
    input.read_exact(&mut len)?;
    let len = u32::from_le_bytes(len) as usize;
    if len > LONGEST {
        return Err(io::Error::other("the list of sums is damaged"));
    }
    let mut text = vec![0; len];
    input.read_exact(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(sort: Sort, digest: u128) -> Sum {
        Sum { sort, mode: 0o644, uid: 1, gid: 2, size: 3, mtime: (4, 5), device: (6, 7), digest, xattrs: 8 }
    }

    fn list(write: impl FnOnce(&mut Recorder)) -> Vec<u8> {
        let mut recorder = Recorder::new(true);
        write(&mut recorder);
        recorder.finish().expect("memory takes everything")
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = list(|r| {
            r.entry(b"a", &sum(Sort::Directory, 0));
            r.entry(b"a/f", &sum(Sort::File, 9));
            r.link(b"a/g", b"a/f");
            r.hidden(b"a/gone");
            r.opaque(b"a");
        });
        let read = Expected::parse(&bytes[..]).expect("reads");
        assert_eq!(read.entries[&b"a/g"[..]], sum(Sort::File, 9));
        assert_eq!((read.links.len(), read.hidden.len(), read.opaque.len()), (1, 1, 1));
        for cut in [0, 5, bytes.len() / 2, bytes.len() - 1] {
            assert!(Expected::parse(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn later_entries_replace_earlier_ones() {
        let bytes = list(|r| {
            r.entry(b"a", &sum(Sort::Directory, 0));
            r.entry(b"a/f", &sum(Sort::File, 1));
            r.entry(b"a", &sum(Sort::Symlink, 2));
            r.entry(b"b", &sum(Sort::File, 3));
            r.entry(b"b", &sum(Sort::File, 4));
        });
        let read = Expected::parse(&bytes[..]).expect("reads");
        let paths: Vec<_> = read.entries.iter().map(|(path, sum)| (path.as_slice(), sum.digest)).collect();
        assert_eq!(paths, [(&b"a"[..], 2), (&b"b"[..], 4)]);
    }

    #[test]
    fn a_tree_is_what_its_layers_make_of_it() {
        let lower = list(|r| {
            r.entry(b"d", &sum(Sort::Directory, 0));
            r.entry(b"d/x", &sum(Sort::File, 1));
            r.entry(b"o", &sum(Sort::Directory, 0));
            r.entry(b"o/x", &sum(Sort::File, 1));
            r.entry(b"w", &sum(Sort::File, 1));
        });
        let upper = list(|r| {
            r.hidden(b"w");
            r.opaque(b"o");
            r.entry(b"o/y", &sum(Sort::File, 2));
            r.entry(b"d", &sum(Sort::Directory, 0));
        });
        let read = |bytes: &[u8]| Expected::parse(bytes).expect("reads");
        let merged = read(&upper).over(read(&lower));
        let paths: Vec<_> = merged.entries.keys().map(|path| String::from_utf8_lossy(path).into_owned()).collect();
        assert_eq!(paths, ["d", "d/x", "o", "o/y"]);
    }
}
