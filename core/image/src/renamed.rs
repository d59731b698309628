//! An archive on its way from one machine to another: what lies in it gets another name or other owners.

use std::io::{self, BufRead, BufReader, Read, Write};

use crate::limits::Limits;
use crate::tar::{Entry, Input, Kind, TarError, TarReader, TarWriter};

/// What becomes of the entries.
#[derive(Clone, Debug, Default)]
pub struct Renaming {
    /// The name in place of the first part of all paths.
    pub name: Option<Vec<u8>>,
    /// The archive is the content of a directory: its paths have no first part in common, and get one.
    pub content: bool,
    /// User and group of all files.
    pub owner: Option<(u32, u32)>,
}

struct Buffered<R>(BufReader<R>);

impl<R: Read> Read for Buffered<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }
}

impl<R: Read> BufRead for Buffered<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.0.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.0.consume(count);
    }
}

impl<R: Read> Input for Buffered<R> {}

/// Copies a plain archive, changed, to its end.
pub fn rename(input: impl Read, renaming: &Renaming, limits: &Limits, output: impl Write) -> io::Result<()> {
    let mut reader = TarReader::new(Buffered(BufReader::with_capacity(256 << 10, input)), limits.header_bytes);
    let mut writer = TarWriter::new(io::BufWriter::with_capacity(256 << 10, output));
    if let (true, Some(name)) = (renaming.content, &renaming.name) {
        let (uid, gid) = renaming.owner.unwrap_or_default();
        let (uid, gid) = (u64::from(uid), u64::from(gid));
        let path = [name, &b"/"[..]].concat();
        writer.header(&Entry { kind: Kind::Directory, path, mode: 0o755, uid, gid, ..Entry::default() })?;
    }
    while let Some(mut entry) = reader.next_entry().map_err(unread)? {
        renaming.apply(&mut entry);
        if entry.chunks.is_some() {
            return Err(unread(TarError::Sparse));
        }
        writer.header(&entry)?;
        reader.read_data(|piece| writer.piece(piece).map_err(TarError::Read)).map_err(unread)?;
        writer.end_of_data(entry.size)?;
    }
    reader.drain().map_err(unread)?;
    writer.finish()?.flush()
}

fn unread(error: TarError) -> io::Error {
    match error {
        TarError::Read(source) => source,
        error => io::Error::other(error),
    }
}

impl Renaming {
    fn apply(&self, entry: &mut Entry) {
        if let Some(name) = &self.name {
            entry.path = self.renamed(&entry.path, name);
            if entry.kind == Kind::HardLink {
                entry.link = self.renamed(&entry.link, name);
            }
        }
        if let Some((uid, gid)) = self.owner {
            (entry.uid, entry.gid) = (u64::from(uid), u64::from(gid));
        }
    }

    fn renamed(&self, path: &[u8], name: &[u8]) -> Vec<u8> {
        let path = path.strip_prefix(b"./").unwrap_or(path);
        let rest = match path.iter().position(|byte| *byte == b'/') {
            _ if self.content => path,
            Some(at) => &path[at + 1..],
            None => b"",
        };
        if rest.is_empty() && !path.ends_with(b"/") { name.to_vec() } else { [name, b"/", rest].concat() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(entries: &[Entry], renaming: &Renaming) -> Vec<(String, String, u64)> {
        let mut writer = TarWriter::new(Vec::new());
        for entry in entries {
            writer.file(entry, &b"abc"[..]).expect("written");
        }
        let archive = writer.finish().expect("ended");
        let mut out = Vec::new();
        rename(&archive[..], renaming, &Limits::default(), &mut out).expect("passed on");
        let mut reader = TarReader::new(Buffered(BufReader::new(&out[..])), 1 << 20);
        let mut found = Vec::new();
        while let Some(entry) = reader.next_entry().expect("reads") {
            let mut data = Vec::new();
            let keep = |piece: &[u8]| {
                data.extend_from_slice(piece);
                Ok::<_, TarError>(())
            };
            reader.read_data(keep).expect("data");
            assert!(entry.size as usize == data.len() && (data.is_empty() || data == b"abc"), "{entry:?}");
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            found.push((text(&entry.path), text(&entry.link), entry.uid));
        }
        found
    }

    #[test]
    fn names_and_owners() {
        let dir = |path: &str| Entry { kind: Kind::Directory, path: path.into(), ..Entry::default() };
        let file = |path: &str| Entry { kind: Kind::Regular, path: path.into(), size: 3, uid: 5, ..Entry::default() };
        let link = Entry { kind: Kind::HardLink, path: "d/l".into(), link: "d/f".into(), ..Entry::default() };
        let text = |rows: &[(&str, &str, u64)]| {
            rows.iter().map(|(path, link, uid)| ((*path).to_owned(), (*link).to_owned(), *uid)).collect::<Vec<_>>()
        };
        let to = |name: &str| Renaming { name: Some(name.into()), ..Renaming::default() };
        let tree = [dir("d/"), file("d/f"), link];
        let wanted = text(&[("new/", "", 0), ("new/f", "", 5), ("new/l", "new/f", 0)]);
        assert_eq!(passed(&tree, &to("new")), wanted);
        assert_eq!(passed(&[file("f")], &to("g")), text(&[("g", "", 5)]));
        let content = Renaming { content: true, owner: Some((7, 7)), ..to("new") };
        let wanted = text(&[("new/", "", 7), ("new/a", "", 7), ("new/b/", "", 7)]);
        assert_eq!(passed(&[file("./a"), dir("b/")], &content), wanted);
        assert_eq!(passed(&tree, &Renaming::default()).len(), 3);
    }
}
