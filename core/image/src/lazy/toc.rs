//! Tables of contents of layers: what a layer holds and where in its blob each file's bytes are. Two forms are read,
//! zstd:chunked and eStargz. Neither is believed: the digest of the table stands in the manifest, each file's in the table.
//!
//! A table that says less than the archive would (a hard link to a file of another layer, names that are not text) is none:
//! such a layer is fetched whole.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Cursor, Read};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gantry_model::digest::Digest;
use serde::Deserialize;

use super::Contents;
use crate::apply::clean;
use crate::error::{Error, Result};
use crate::hash::sha256;
use crate::limits::Limits;
use crate::pipeline::Compression;
use crate::pull::Remote;
use crate::tar::{Entry, Kind, TarReader};

/// Both spellings are in use.
const CHUNKED: [&str; 2] = ["io.github.containers.zstd-chunked", "io.containers.zstd-chunked"];
const STARGZ: &str = "containerd.io/snapshot/stargz/toc.digest";
/// The most bytes of a table, compressed or not.
const MOST: u64 = 64 << 20;
/// The last bytes of an eStargz layer: an empty gzip stream that says where the table is.
const FOOTER: u64 = 51;
const FOOTER_NAME: usize = 16;

/// A layer as its manifest describes it.
pub(crate) struct Described<'d> {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) annotations: &'d BTreeMap<String, String>,
}

/// What a layer holds.
pub(crate) struct Listing {
    pub(crate) compression: Compression,
    pub(crate) entries: Vec<(Entry, Option<Contents>)>,
}

#[derive(Deserialize)]
struct Table {
    entries: Vec<Row>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Row {
    r#type: String,
    name: String,
    link_name: String,
    mode: i64,
    uid: u64,
    gid: u64,
    size: u64,
    modtime: Option<String>,
    accesstime: Option<String>,
    dev_major: u32,
    dev_minor: u32,
    xattrs: BTreeMap<String, String>,
    digest: Option<String>,
    offset: u64,
    end_offset: u64,
    inner_offset: u64,
}

/// The table of a layer; `None` if it has none of which everything could be made.
pub(crate) fn listing(remote: &dyn Remote, layer: &Described<'_>, limits: &Limits) -> Result<Option<Listing>> {
    if let Some((position, checksum)) = chunked_place(layer.annotations) {
        let bytes = part(remote, layer, position.start, position.start.saturating_add(position.length))?;
        check("its table of contents", &bytes, &checksum)?;
        let text = read_bounded(zstd::Decoder::new(&bytes[..]).map_err(broken)?)?;
        return Ok(entries(parse(&text)?, Ends::Given, limits)
            .map(|entries| Listing { compression: Compression::Zstd, entries }));
    }
    match layer.annotations.get(STARGZ).and_then(|text| Digest::parse(text).ok()) {
        Some(digest) => stargz(remote, layer, &digest, limits),
        None => Ok(None),
    }
}

struct Position {
    start: u64,
    length: u64,
}

/// `OFFSET:LENGTH:LENGTH UNCOMPRESSED:FORM`; the form that is known is 1.
fn chunked_place(annotations: &BTreeMap<String, String>) -> Option<(Position, Digest)> {
    CHUNKED.iter().find_map(|prefix| {
        let checksum = Digest::parse(annotations.get(&format!("{prefix}.manifest-checksum"))?).ok()?;
        let text = annotations.get(&format!("{prefix}.manifest-position"))?;
        let numbers: Vec<u64> = text.split(':').map(|number| number.parse().ok()).collect::<Option<_>>()?;
        match numbers[..] {
            [start, length, _, 1] if length <= MOST => Some((Position { start, length }, checksum)),
            _ => None,
        }
    })
}

/// The table is the last file of the archive itself, so the layer holds it, too.
fn stargz(remote: &dyn Remote, layer: &Described<'_>, digest: &Digest, limits: &Limits) -> Result<Option<Listing>> {
    let end = layer.size.saturating_sub(FOOTER);
    let footer = part(remote, layer, end, layer.size)?;
    let Some(start) = footer_offset(&footer).filter(|start| *start < end && end - start <= MOST) else {
        return Ok(None);
    };
    let packed = part(remote, layer, start, end)?;
    let unpacked = read_bounded(flate2::read::MultiGzDecoder::new(&packed[..]))?;
    let mut tar = TarReader::new(Cursor::new(unpacked), limits.header_bytes);
    let archive = |source| Error::Archive(source);
    let Some(own) = tar.next_entry().map_err(archive)? else { return Ok(None) };
    let inner = tar.data_position();
    let mut text = Vec::new();
    tar.read_data(|piece| {
        text.extend_from_slice(piece);
        Ok::<_, crate::tar::TarError>(())
    })
    .map_err(archive)?;
    check("its table of contents", &text, digest)?;
    let Some(mut entries) = entries(parse(&text)?, Ends::Next(start), limits) else { return Ok(None) };
    let contents = Contents { start, end, inner, size: own.size, digest: *digest };
    entries.push((outlined(own), Some(contents)));
    Ok(Some(Listing { compression: Compression::Gzip, entries }))
}

/// An extra field `SG` with 16 hexadecimal digits and a name.
fn footer_offset(footer: &[u8]) -> Option<u64> {
    let field = footer.strip_prefix(&[0x1f, 0x8b, 8, 4])?.get(8..)?;
    let text = field.strip_prefix(b"SG\x16\x00")?.get(..FOOTER_NAME + 6)?;
    let digits = text.strip_suffix(b"STARGZ")?;
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Where the stored bytes of a file end.
enum Ends {
    /// The table says it.
    Given,
    /// Where the next one's begin; those of the last one here.
    Next(u64),
}

impl Ends {
    fn offsets(&self, rows: &[Row]) -> Vec<u64> {
        let Self::Next(last) = self else { return Vec::new() };
        let mut offsets: Vec<u64> = rows.iter().map(|row| row.offset).filter(|offset| *offset > 0).collect();
        offsets.push(*last);
        offsets.sort_unstable();
        offsets
    }
}

fn entries(table: Table, ends: Ends, limits: &Limits) -> Option<Vec<(Entry, Option<Contents>)>> {
    let rows = table.entries;
    let offsets = ends.offsets(&rows);
    let mut last = BTreeMap::new();
    last.extend(rows.iter().map(|row| (row.name.as_str(), row.offset)));
    let end = |row: &Row| match ends {
        Ends::Given => Some(row.end_offset),
        Ends::Next(_) => {
            let begin = last.get(row.name.as_str()).copied().unwrap_or_default().max(row.offset);
            offsets.get(offsets.partition_point(|offset| *offset <= begin)).copied()
        }
    };
    let (mut names, mut found, mut bytes) = (HashSet::new(), Vec::new(), 0_u64);
    for row in rows.iter().filter(|row| row.r#type != "chunk") {
        let entry = entry(row)?;
        let path = clean(&entry.path, limits).ok()?;
        let linked =
            entry.kind != Kind::HardLink || clean(&entry.link, limits).is_ok_and(|target| names.contains(&target));
        if !linked || !names.insert(path) && entry.kind != Kind::Directory {
            return None;
        }
        bytes = bytes.saturating_add(entry.size);
        let contents = if entry.size > 0 { Some(contents(row, end(row)?)?) } else { None };
        found.push((entry, contents));
    }
    (bytes <= limits.layer_bytes && found.len() as u64 <= limits.entries).then_some(found)
}

fn contents(row: &Row, end: u64) -> Option<Contents> {
    let digest = Digest::parse(row.digest.as_deref()?).ok()?;
    let sound = row.offset < end;
    sound.then_some(Contents { start: row.offset, end, inner: row.inner_offset, size: row.size, digest })
}

fn entry(row: &Row) -> Option<Entry> {
    let kind = match row.r#type.as_str() {
        "reg" => Kind::Regular,
        "dir" => Kind::Directory,
        "hardlink" => Kind::HardLink,
        "symlink" => Kind::Symlink,
        "char" => Kind::CharDevice,
        "block" => Kind::BlockDevice,
        "fifo" => Kind::Fifo,
        _ => return None,
    };
    // What JSON could not carry was replaced by whoever wrote the table.
    if row.name.contains('\u{fffd}') || row.link_name.contains('\u{fffd}') {
        return None;
    }
    let xattr = |(name, value): (&String, &String)| Some((name.clone().into_bytes(), STANDARD.decode(value).ok()?));
    let time = |text: &Option<String>| match text.as_deref() {
        None => Some(None),
        Some(text) => time(text).map(Some),
    };
    Some(outlined(Entry {
        kind,
        path: row.name.clone().into_bytes(),
        link: row.link_name.clone().into_bytes(),
        mode: u32::try_from(row.mode & 0o7777).ok()?,
        uid: row.uid,
        gid: row.gid,
        size: if kind == Kind::Regular { row.size } else { 0 },
        mtime: time(&row.modtime)?.unwrap_or_default(),
        atime: time(&row.accesstime)?,
        major: row.dev_major,
        minor: row.dev_minor,
        xattrs: row.xattrs.iter().map(xattr).collect::<Option<_>>()?,
        chunks: None,
    }))
}

/// A file is one hole.
fn outlined(entry: Entry) -> Entry {
    let chunks = (entry.kind == Kind::Regular).then(Vec::new);
    Entry { chunks, ..entry }
}

fn time(text: &str) -> Option<(i64, u32)> {
    let time: jiff::Timestamp = text.parse().ok()?;
    let nanos = time.as_nanosecond();
    let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?;
    Some((seconds, u32::try_from(nanos.rem_euclid(1_000_000_000)).ok()?))
}

fn part(remote: &dyn Remote, layer: &Described<'_>, start: u64, end: u64) -> Result<Vec<u8>> {
    let length = end.saturating_sub(start);
    if length > MOST || end > layer.size {
        return Err(Error::Limit { what: "the table of contents of a layer".to_owned(), limit: MOST });
    }
    let input = remote.part(&layer.digest, layer.size, start, end).map_err(|source| Error::Remote { source })?;
    let mut bytes = Vec::new();
    let read = input.take(length).read_to_end(&mut bytes).map_err(|source| Error::Remote { source: source.into() })?;
    match read as u64 == length {
        true => Ok(bytes),
        false => Err(broken(io::ErrorKind::UnexpectedEof.into())),
    }
}

fn read_bounded(input: impl Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(MOST + 1).read_to_end(&mut bytes).map_err(broken)?;
    match bytes.len() as u64 > MOST {
        true => Err(Error::Limit { what: "the table of contents of a layer".to_owned(), limit: MOST }),
        false => Ok(bytes),
    }
}

fn check(what: &str, bytes: &[u8], expected: &Digest) -> Result<()> {
    let found = sha256(bytes);
    match found == *expected {
        true => Ok(()),
        false => Err(Error::Mismatch { what: what.to_owned(), expected: *expected, found }),
    }
}

fn parse(text: &[u8]) -> Result<Table> {
    let json = |source| Error::Json { name: "the table of contents of a layer".to_owned(), source };
    serde_json::from_slice(text).map_err(json)
}

fn broken(source: io::Error) -> Error {
    Error::Io { act: "read", path: "the table of contents of a layer".into(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_tables_are() {
        let with = |key: &str, position: &str| {
            let digest = sha256(b"x").to_string();
            let pairs =
                [(format!("{key}.manifest-checksum"), digest), (format!("{key}.manifest-position"), position.into())];
            chunked_place(&pairs.into_iter().collect()).map(|(position, _)| (position.start, position.length))
        };
        assert_eq!(with(CHUNKED[0], "10:20:30:1"), Some((10, 20)));
        assert_eq!(with(CHUNKED[1], "10:20:30:1"), Some((10, 20)));
        for wrong in ["10:20:30:2", "10:20", "a:b:c:1", "1:99999999999:1:1"] {
            assert_eq!(with(CHUNKED[0], wrong), None, "{wrong}");
        }
        let mut footer = vec![0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 255, 26, 0];
        footer.extend(b"SG\x16\x0000000000000000ffSTARGZ\x01\x00\x00\xff\xff");
        assert_eq!(footer_offset(&footer), Some(255));
        assert_eq!(footer_offset(&footer[1..]), None);
    }

    #[test]
    fn a_table_that_says_too_little_is_none() {
        let digest = sha256(b"x");
        let file = |name: &str, offset, end| {
            format!(
                r#"{{"type":"reg","name":"{name}","size":1,"digest":"{digest}","offset":{offset},"endOffset":{end}}}"#
            )
        };
        let read = |rows: &[String]| {
            let table = parse(format!(r#"{{"version":1,"entries":[{}]}}"#, rows.join(",")).as_bytes()).expect("parses");
            entries(table, Ends::Given, &Limits::default()).map(|entries| entries.len())
        };
        let link = |to: &str| format!(r#"{{"type":"hardlink","name":"l","linkName":"{to}"}}"#);
        assert_eq!(read(&[file("a", 1, 2), link("a")]), Some(2));
        assert_eq!(read(&[file("a", 1, 2), link("elsewhere")]), None);
        assert_eq!(read(&[file("a", 1, 2), file("./a", 2, 3)]), None, "twice");
        assert_eq!(read(&[file("a", 2, 2)]), None, "no bytes");
        assert_eq!(
            read(&[r#"{"type":"reg","name":"a","size":1,"offset":1,"endOffset":2}"#.to_owned()]),
            None,
            "no digest"
        );
        assert_eq!(read(&[r#"{"type":"socket","name":"a"}"#.to_owned()]), None);
        assert_eq!(read(&[r#"{"type":"dir","name":"../a"}"#.to_owned()]), None);
    }
}
