//! Extended headers: PAX records and GNU's long names.

use super::sparse::{self, Chunk, SparseKind};
use super::{Entry, Kind, TarError};

const XATTR: &[u8] = b"SCHILY.xattr.";

/// What extended headers say about the entry that follows them.
#[derive(Default)]
pub(super) struct Extensions {
    pub(super) long_path: Option<Vec<u8>>,
    pub(super) long_link: Option<Vec<u8>>,
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<(i64, u32)>,
    atime: Option<(i64, u32)>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    sparse: SparseFields,
}

#[derive(Default)]
struct SparseFields {
    major: Option<u64>,
    name: Option<Vec<u8>>,
    real_size: Option<u64>,
    map: Option<Vec<Chunk>>,
    offset: Option<u64>,
}

impl Extensions {
    pub(super) fn is_empty(&self) -> bool {
        let names = self.long_path.is_none() && self.long_link.is_none() && self.path.is_none() && self.link.is_none();
        names && self.size.is_none() && self.mtime.is_none() && self.xattrs.is_empty()
    }

    /// Reads `<length> <key>=<value>\n` records.
    pub(super) fn read_pax(&mut self, mut bytes: &[u8]) -> Result<(), TarError> {
        while !bytes.is_empty() {
            let (key, value, rest) = record(bytes).ok_or(TarError::Header("extended header"))?;
            self.take(key, value)?;
            bytes = rest;
        }
        Ok(())
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), TarError> {
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = Some(decimal(value)?),
            b"uid" => self.uid = Some(decimal(value)?),
            b"gid" => self.gid = Some(decimal(value)?),
            b"mtime" => self.mtime = Some(time(value)?),
            b"atime" => self.atime = Some(time(value)?),
            _ if key.starts_with(XATTR) => self.take_xattr(&key[XATTR.len()..], value),
            _ if key.starts_with(b"GNU.sparse.") => self.sparse.take(&key[11..], value)?,
            _ => {}
        }
        Ok(())
    }

    fn take_xattr(&mut self, name: &[u8], value: &[u8]) {
        self.xattrs.retain(|(known, _)| known != name);
        self.xattrs.push((name.to_vec(), value.to_vec()));
    }

    /// Puts all that was said into the entry.
    pub(super) fn apply(self, entry: &mut Entry) -> Result<SparseKind, TarError> {
        let name = self.sparse.name.clone();
        if let Some(path) = name.or(self.path).or(self.long_path) {
            entry.path = without_zero(path)?;
        }
        if let Some(link) = self.link.or(self.long_link) {
            entry.link = without_zero(link)?;
        }
        if entry.kind == Kind::Regular && entry.path.ends_with(b"/") {
            entry.kind = Kind::Directory;
        }
        entry.size = self.size.unwrap_or(entry.size);
        entry.uid = self.uid.unwrap_or(entry.uid);
        entry.gid = self.gid.unwrap_or(entry.gid);
        entry.mtime = self.mtime.unwrap_or(entry.mtime);
        entry.atime = self.atime;
        entry.xattrs = self.xattrs;
        self.sparse.kind()
    }
}

impl SparseFields {
    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), TarError> {
        match key {
            b"major" => self.major = Some(decimal(value)?),
            b"name" => self.name = Some(value.to_vec()),
            b"size" | b"realsize" => self.real_size = Some(decimal(value)?),
            b"map" => self.map = Some(sparse::comma_map(value)?),
            b"offset" => self.offset = Some(decimal(value)?),
            b"numbytes" => self.take_numbytes(value)?,
            _ => {}
        }
        Ok(())
    }

    fn take_numbytes(&mut self, value: &[u8]) -> Result<(), TarError> {
        let offset = self.offset.take().ok_or(TarError::Sparse)?;
        self.map.get_or_insert_default().push(Chunk { offset, len: decimal(value)? });
        Ok(())
    }

    fn kind(self) -> Result<SparseKind, TarError> {
        match (self.major, self.real_size, self.map) {
            (Some(1), Some(real_size), _) => Ok(SparseKind::InData { real_size }),
            (None | Some(0), Some(real_size), Some(chunks)) => Ok(SparseKind::Map { chunks, real_size }),
            (None, None, None) => Ok(SparseKind::None),
            _ => Err(TarError::Sparse),
        }
    }
}

fn without_zero(name: Vec<u8>) -> Result<Vec<u8>, TarError> {
    match name.contains(&0) {
        true => Err(TarError::Header("name with a zero byte")),
        false => Ok(name),
    }
}

/// Splits off one record: key, value, the rest.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let len = usize::try_from(decimal(&bytes[..space]).ok()?).ok()?;
    let body = bytes.get(space + 1..len)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|byte| *byte == b'=')?;
    (equals > 0).then(|| (&body[..equals], &body[equals + 1..], &bytes[len..]))
}

pub(super) fn decimal(text: &[u8]) -> Result<u64, TarError> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let parsed = std::str::from_utf8(text).ok().filter(|_| digits).and_then(|text| text.parse().ok());
    parsed.ok_or(TarError::Header("number in an extended header"))
}

/// `[-]seconds[.fraction]`; digits beyond nanoseconds are dropped.
fn time(text: &[u8]) -> Result<(i64, u32), TarError> {
    let wrong = TarError::Header("time in an extended header");
    let text = std::str::from_utf8(text).map_err(|_| TarError::Header("time in an extended header"))?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().map_err(|_| TarError::Header("time in an extended header"))?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong);
    }
    let digits: String = fraction.chars().chain(std::iter::repeat('0')).take(9).collect();
    let nanos: u32 = digits.parse().map_err(|_| wrong)?;
    if whole.starts_with('-') && nanos > 0 {
        return Ok((seconds.saturating_sub(1), 1_000_000_000 - nanos));
    }
    Ok((seconds, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(time(b"1.5").expect("time"), (1, 500_000_000));
        assert_eq!(time(b"7").expect("time"), (7, 0));
        assert_eq!(time(b"1.1234567899").expect("time"), (1, 123_456_789));
        assert_eq!(time(b"-1.25").expect("time"), (-2, 750_000_000));
        assert!(time(b"1.x").is_err());
        assert!(time(b"").is_err());
    }

    #[test]
    fn records() {
        assert_eq!(record(b"9 a=b=cxx"), None);
        assert_eq!(record(b"8 a=b=c\nx"), Some((&b"a"[..], &b"b=c"[..], &b"x"[..])));
        assert_eq!(record(b"99 a=b\n"), None);
        assert_eq!(record(b"2 "), None);
        assert_eq!(record(b"99999999999999999999999 a=b\n"), None);
    }
}
