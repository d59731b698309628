//! The 512-byte header block in its dialects.

use super::sparse::Chunk;
use super::{Entry, TarError};

pub(super) const BLOCK: usize = 512;

/// What an entry is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    #[default]
    Regular,
    HardLink,
    Symlink,
    CharDevice,
    BlockDevice,
    Directory,
    Fifo,
}

impl Kind {
    /// Only regular files carry data; a size elsewhere is ignored, as Go's reader does.
    pub fn has_data(self) -> bool {
        self == Self::Regular
    }
}

/// One checked block.
pub(super) struct Header([u8; BLOCK]);

impl Header {
    /// Accepts a block whose checksum is right.
    pub(super) fn parse(block: [u8; BLOCK]) -> Result<Self, TarError> {
        let header = Self(block);
        let stated = header.number(148, 8, "checksum")?;
        let field = 148..156;
        let byte_at = |(at, byte): (usize, &u8)| if field.contains(&at) { b' ' } else { *byte };
        let unsigned: u64 = block.iter().enumerate().map(byte_at).map(u64::from).sum();
        let signed: i64 = block.iter().enumerate().map(byte_at).map(|byte| i64::from(byte as i8)).sum();
        if stated != unsigned as i64 && stated != signed {
            return Err(TarError::Header("checksum"));
        }
        Ok(header)
    }

    pub(super) fn type_flag(&self) -> u8 {
        self.0[156]
    }

    pub(super) fn is_gnu_sparse(&self) -> bool {
        self.type_flag() == b'S'
    }

    pub(super) fn size(&self) -> Result<u64, TarError> {
        u64::try_from(self.number(124, 12, "size")?).map_err(|_| TarError::Header("size"))
    }

    /// The entry without its extensions.
    pub(super) fn entry(&self) -> Result<Entry, TarError> {
        let path = self.path();
        let kind = self.kind()?;
        let unsigned = |at, len, what| u64::try_from(self.number(at, len, what)?).map_err(|_| TarError::Header(what));
        let device = matches!(kind, Kind::CharDevice | Kind::BlockDevice);
        let minor = |at| if device { self.number(at, 8, "device") } else { Ok(0) };
        Ok(Entry {
            kind,
            path,
            link: text(&self.0[157..257]).to_vec(),
            mode: (self.number(100, 8, "mode")? & 0o7777) as u32,
            uid: unsigned(108, 8, "uid")?,
            gid: unsigned(116, 8, "gid")?,
            size: self.size()?,
            mtime: (self.number(136, 12, "mtime")?, 0),
            atime: None,
            major: u32::try_from(minor(329)?).map_err(|_| TarError::Header("device"))?,
            minor: u32::try_from(minor(337)?).map_err(|_| TarError::Header("device"))?,
            xattrs: Vec::new(),
            chunks: None,
        })
    }

    /// The type alone: a name that ends in a slash counts only when it is whole, for the one in the header may be the
    /// beginning of a longer one.
    fn kind(&self) -> Result<Kind, TarError> {
        Ok(match self.type_flag() {
            b'0' | 0 | b'7' | b'S' => Kind::Regular,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::CharDevice,
            b'4' => Kind::BlockDevice,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => return Err(TarError::UnknownType(other)),
        })
    }

    fn path(&self) -> Vec<u8> {
        let name = text(&self.0[0..100]);
        let prefix = if &self.0[257..263] == b"ustar\0" { text(&self.0[345..500]) } else { b"" };
        match prefix.is_empty() {
            true => name.to_vec(),
            false => [prefix, b"/", name].concat(),
        }
    }

    /// The sparse map in the header, the real size, and whether further blocks follow.
    pub(super) fn gnu_sparse(&self) -> Result<(Vec<Chunk>, u64, bool), TarError> {
        let mut chunks = Vec::new();
        read_chunks(&self.0[386..482], &mut chunks)?;
        let real_size = u64::try_from(self.number(483, 12, "real size")?).map_err(|_| TarError::Sparse)?;
        Ok((chunks, real_size, self.0[482] != 0))
    }

    fn number(&self, at: usize, len: usize, what: &'static str) -> Result<i64, TarError> {
        number(&self.0[at..at + len]).ok_or(TarError::Header(what))
    }
}

/// Reads one continuation block of an old GNU sparse map; true if another follows.
pub(super) fn gnu_sparse_block(block: &[u8; BLOCK], chunks: &mut Vec<Chunk>) -> Result<bool, TarError> {
    read_chunks(&block[..504], chunks)?;
    Ok(block[504] != 0)
}

fn read_chunks(fields: &[u8], chunks: &mut Vec<Chunk>) -> Result<(), TarError> {
    for field in fields.chunks_exact(24) {
        if field[0] == 0 {
            break;
        }
        let part = |bytes| number(bytes).and_then(|value| u64::try_from(value).ok()).ok_or(TarError::Sparse);
        chunks.push(Chunk { offset: part(&field[..12])?, len: part(&field[12..])? });
    }
    Ok(())
}

fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    &field[..end]
}

/// Octal digits between blanks, or GNU's big-endian binary form.
fn number(field: &[u8]) -> Option<i64> {
    if field[0] & 0x80 != 0 {
        return binary(field);
    }
    let digits = text(field).trim_ascii();
    digits.iter().try_fold(0i64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

fn binary(field: &[u8]) -> Option<i64> {
    let negative = field[0] & 0x40 != 0;
    let first = if negative { i128::from(field[0]) - 256 } else { i128::from(field[0] & 0x7f) };
    let value = field[1..].iter().try_fold(first, |value, byte| value.checked_mul(256)?.checked_add(i128::from(*byte)));
    i64::try_from(value?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_both_forms() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   755 \0"), Some(0o755));
        assert_eq!(number(b"\0\0\0\0"), Some(0));
        assert_eq!(number(b"89\0"), None);
        assert_eq!(number(b"\x80\0\0\0\0\0\0\x01\0\0\0\0"), Some(1 << 32));
        assert_eq!(number(&[0xff; 12]), Some(-1));
        assert_eq!(number(b"\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), None);
    }
}
