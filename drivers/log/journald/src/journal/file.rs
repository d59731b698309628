//! One file: its header, and its objects by offset.

use super::blocks::Blocks;
use super::{compress, hash};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

const SIGNATURE: &[u8; 8] = b"LPKSHHRH";
/// Bytes of the header in its oldest form.
const HEADER: usize = 208;
/// Offsets within the header.
mod head {
    pub const INCOMPATIBLE: usize = 12;
    pub const STATE: u64 = 16;
    pub const FILE_ID: usize = 24;
    pub const HASH_TABLE: usize = 104;
    pub const HASH_TABLE_SIZE: usize = 112;
    pub const ENTRIES: u64 = 152;
    pub const TAIL_REALTIME: u64 = 192;
}

/// Incompatible flags.
const KEYED_HASH: u32 = 1 << 2;
const COMPACT: u32 = 1 << 4;
const KNOWN: u32 = 0x1f;

/// Kinds of objects.
pub const DATA: u8 = 1;
pub const ENTRY: u8 = 3;
pub const ENTRY_ARRAY: u8 = 6;

/// Bytes of an object's own header: kind, flags, size.
pub const OBJECT: u64 = 16;
/// An entry has no more fields than this many.
const MOST_FIELDS: u64 = 64 * 1024;
/// So much of a field is read at first.
const SHORT: usize = 256;

/// An open file.
pub struct JournalFile {
    /// As it was called when it was opened.
    pub path: PathBuf,
    /// Device and inode: the same file under any name.
    pub identity: (u64, u64),
    blocks: Blocks,
    compact: bool,
    key: Option<[u8; 16]>,
    hash_table: u64,
    buckets: u64,
}

/// An entry but for its fields.
#[derive(Clone, Debug)]
pub struct EntryHead {
    /// When journald took it, microseconds.
    pub realtime_us: u64,
    /// The offsets of its fields.
    pub fields: Vec<u64>,
}

impl JournalFile {
    /// Opens a file. An error says why it cannot be read; one that is just being made is too short.
    pub fn open(path: &Path) -> io::Result<JournalFile> {
        let file = File::open(path)?;
        let meta = file.metadata()?;
        let blocks = Blocks::new(file);
        let mut header = [0; HEADER];
        blocks.read_fresh(0, &mut header)?;
        let flags = number32(&header[head::INCOMPATIBLE..]);
        if header.starts_with(&[0; SIGNATURE.len()]) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !header.starts_with(SIGNATURE) {
            return Err(invalid("it is no journal"));
        }
        if flags & !KNOWN != 0 {
            return Err(invalid("it is of a newer format"));
        }
        let key = header[head::FILE_ID..].first_chunk::<16>().copied().filter(|_| flags & KEYED_HASH != 0);
        let buckets = number(&header[head::HASH_TABLE_SIZE..]) / 16;
        // Journald fills in the header piece by piece.
        if buckets == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(JournalFile {
            path: path.to_path_buf(),
            identity: (meta.dev(), meta.ino()),
            blocks,
            compact: flags & COMPACT != 0,
            key,
            hash_table: number(&header[head::HASH_TABLE..]),
            buckets,
        })
    }

    /// Entries in the file now; what belongs to them can be read after [`JournalFile::refresh`].
    pub fn count(&self) -> io::Result<u64> {
        self.fresh(head::ENTRIES)
    }

    /// When journald took its last entry, microseconds.
    pub fn last_realtime_us(&self) -> io::Result<u64> {
        self.fresh(head::TAIL_REALTIME)
    }

    /// False once journald has done with it.
    pub fn is_online(&self) -> bool {
        let mut state = [0];
        const ARCHIVED: u8 = 2;
        self.blocks.read_fresh(head::STATE, &mut state).is_ok() && state[0] != ARCHIVED
    }

    /// False once it was deleted.
    pub fn is_named(&self) -> bool {
        self.blocks.file().metadata().is_ok_and(|meta| meta.nlink() > 0)
    }

    /// Forgets what was read before.
    pub fn refresh(&mut self) {
        self.blocks.forget();
    }

    /// A number that may change.
    pub fn fresh(&self, offset: u64) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.blocks.read_fresh(offset, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Bytes of an offset within lists.
    pub fn item_size(&self) -> u64 {
        if self.compact { 4 } else { 8 }
    }

    /// An offset within a list; `fresh`: one that may be 0 yet.
    pub fn item(&mut self, offset: u64) -> io::Result<u64> {
        let mut bytes = [0; 8];
        let size = self.item_size() as usize;
        self.blocks.read(offset, &mut bytes[..size])?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// The size of an object of a kind.
    pub fn object(&mut self, offset: u64, kind: u8) -> io::Result<u64> {
        let mut bytes = [0; OBJECT as usize];
        self.blocks.read(offset, &mut bytes)?;
        let size = number(&bytes[8..]);
        if !offset.is_multiple_of(8) || bytes[0] != kind || size < OBJECT {
            return Err(invalid("an object is damaged"));
        }
        Ok(size)
    }

    /// The offset of the DATA object of `NAME=value`.
    pub fn find(&mut self, field: &[u8]) -> io::Result<Option<u64>> {
        if self.buckets == 0 {
            return Ok(None);
        }
        let hash = self.key.map_or_else(|| hash::jenkins(field), |key| hash::sip(&key, field));
        let mut offset = self.fresh(self.hash_table + hash % self.buckets * 16)?;
        while offset != 0 {
            if self.fresh(offset + OBJECT)? == hash && self.field(offset)? == field {
                return Ok(Some(offset));
            }
            offset = forward(offset, self.fresh(offset + OBJECT + 8)?)?;
        }
        Ok(None)
    }

    /// The field of a DATA object: `NAME=value`.
    pub fn field(&mut self, offset: u64) -> io::Result<Vec<u8>> {
        let start = if self.compact { 72 } else { 64 };
        let mut bytes = vec![0; SHORT];
        if self.blocks.read(offset, &mut bytes).is_err() {
            // At the end of the file.
            bytes.truncate(start);
            self.blocks.read(offset, &mut bytes)?;
        }
        let (kind, flags, size) = (bytes[0], bytes[1], number(&bytes[8..]));
        if !offset.is_multiple_of(8) || kind != DATA || size < start as u64 || size > compress::LARGEST {
            return Err(invalid("a field is damaged"));
        }
        let (size, there) = (size as usize, bytes.len());
        bytes.resize(size, 0);
        if size > there {
            self.blocks.read(offset + there as u64, &mut bytes[there..])?;
        }
        bytes.drain(..start);
        if flags == 0 { Ok(bytes) } else { compress::undo(flags, &bytes) }
    }

    /// An ENTRY object.
    pub fn entry(&mut self, offset: u64) -> io::Result<EntryHead> {
        const ITEMS: u64 = 64;
        let length = self.object(offset, ENTRY)?;
        let size = if self.compact { 4 } else { 16 };
        let count = length.saturating_sub(ITEMS) / size;
        if count > MOST_FIELDS {
            return Err(invalid("an entry is damaged"));
        }
        let mut bytes = vec![0; (ITEMS + count * size) as usize];
        self.blocks.read(offset, &mut bytes)?;
        let items = bytes[ITEMS as usize..].chunks_exact(size as usize);
        let fields = items.map(|item| if self.compact { u64::from(number32(item)) } else { number(item) }).collect();
        Ok(EntryHead { realtime_us: number(&bytes[24..]), fields })
    }
}

/// The next offset of a list. Objects are only ever added at the end, so anything else is damage, and could be a circle.
pub fn forward(offset: u64, next: u64) -> io::Result<u64> {
    if next != 0 && next <= offset { Err(invalid("a list goes backwards")) } else { Ok(next) }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn number32(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
