//! Directory trees as tar entries: for layers, for `export`, for `cp`.
//!
//! A tree may belong to a container that runs and means ill. Every directory is opened from its parent's descriptor
//! and no last name is ever followed, so that whatever is swapped meanwhile, nothing outside is read.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::tar::{Entry, Kind, TarWriter};
use gantry_model::idmap::IdMaps;

/// Attributes that belong to a file wherever it is; others are the file system's or the host's.
const KEPT: [&[u8]; 4] = [b"user.", b"security.capability", b"system.posix_acl_access", b"system.posix_acl_default"];
/// Attributes of overlay file systems for unprivileged users.
const OVERLAY: &[u8] = b"user.overlay.";
/// How deep a tree may be: each level holds a descriptor.
const DEPTH: usize = 400;

/// How a tree is written.
#[derive(Clone, Debug, Default)]
pub struct TreeOptions {
    /// Everything belongs to this user and group.
    pub owner: Option<(u32, u32)>,
    /// Owners are written as a container with these maps sees them.
    pub owners: Option<IdMaps>,
    /// Extended attributes are left out.
    pub plain: bool,
}

impl TreeOptions {
    fn owner_of(&self, stat: &Stat) -> (u32, u32) {
        match (&self.owner, &self.owners) {
            (Some(owner), _) => *owner,
            (None, Some(maps)) => maps.to_container(stat.st_uid, stat.st_gid),
            (None, None) => (stat.st_uid, stat.st_gid),
        }
    }
}

/// What could not be written, in words; the rest was.
pub type Skipped = Vec<String>;

/// Writes trees into one archive; hard links between them are kept.
pub struct TreeWriter<W> {
    tar: TarWriter<W>,
    options: TreeOptions,
    links: HashMap<(u64, u64), Vec<u8>>,
    skipped: Skipped,
}

impl<W: Write> TreeWriter<W> {
    pub fn new(output: W, options: TreeOptions) -> Self {
        Self { tar: TarWriter::new(output), options, links: HashMap::new(), skipped: Vec::new() }
    }

    /// Writes `name` in `dir`, and all that is below, as `path`. A directory named `.` itself is not an entry.
    pub fn tree(&mut self, dir: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> io::Result<()> {
        self.node(dir, name, path, true, 0)
    }

    /// Writes `name` in `dir` alone, without what is below.
    pub fn entry(&mut self, dir: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> io::Result<()> {
        self.node(dir, name, path, false, 0)
    }

    /// Writes an entry that is made up.
    pub fn made(&mut self, entry: &Entry) -> io::Result<()> {
        self.tar.header(entry)
    }

    /// Ends the archive; answers what was left out.
    pub fn finish(self) -> io::Result<(W, Skipped)> {
        Ok((self.tar.finish()?, self.skipped))
    }

    fn node(&mut self, dir: BorrowedFd<'_>, name: &[u8], path: &[u8], below: bool, depth: usize) -> io::Result<()> {
        let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if depth > DEPTH {
            return Err(io::Error::other(format!("{}: nested too deeply", lossy(path))));
        }
        let mut entry = self.described(dir, name, path, &stat);
        match kind {
            FileType::Directory => self.directory(dir, name, entry, below, depth),
            _ if stat.st_nlink > 1 && self.linked(&mut entry, &stat) => self.tar.header(&entry),
            FileType::RegularFile => self.file(dir, name, entry),
            FileType::Symlink => {
                entry.kind = Kind::Symlink;
                entry.link = rustix::fs::readlinkat(dir, name, Vec::new())?.into_bytes();
                self.tar.header(&entry)
            }
            FileType::Fifo => self.special(entry, Kind::Fifo),
            FileType::BlockDevice => self.special(entry, Kind::BlockDevice),
            FileType::CharacterDevice if stat.st_rdev == 0 => self.skip(path, "a character device 0:0 would hide it"),
            FileType::CharacterDevice => self.special(entry, Kind::CharDevice),
            _ => self.skip(path, "sockets cannot be in an archive"),
        }
    }

    fn special(&mut self, mut entry: Entry, kind: Kind) -> io::Result<()> {
        entry.kind = kind;
        self.tar.header(&entry)
    }

    fn skip(&mut self, path: &[u8], why: &str) -> io::Result<()> {
        self.skipped.push(format!("{}: {why}", lossy(path)));
        Ok(())
    }

    fn directory(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        mut entry: Entry,
        below: bool,
        depth: usize,
    ) -> io::Result<()> {
        entry.kind = Kind::Directory;
        let path = std::mem::take(&mut entry.path);
        if path != b"." {
            entry.path = [&path[..], b"/"].concat();
            self.tar.header(&entry)?;
        }
        if !below {
            return Ok(());
        }
        let opened = open(dir, name, OFlags::DIRECTORY)?;
        for child in names(&opened)? {
            let inner = if path == b"." { child.clone() } else { [&path[..], b"/", &child[..]].concat() };
            match self.node(opened.as_fd(), &child, &inner, true, depth + 1) {
                // It was removed while we were on our way.
                Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => {}
                done => done?,
            }
        }
        Ok(())
    }

    /// A regular file, as long as it is when it is opened.
    fn file(&mut self, dir: BorrowedFd<'_>, name: &[u8], mut entry: Entry) -> io::Result<()> {
        let file = open(dir, name, OFlags::NONBLOCK)?;
        let stat = rustix::fs::fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Errno::NOENT.into());
        }
        entry.size = u64::try_from(stat.st_size).unwrap_or(0);
        match self.tar.file(&entry, File::from(file))? {
            true => Ok(()),
            false => self.skip(&entry.path.clone(), "it shrank while it was read"),
        }
    }

    /// True if the file was written before under another name: then the entry is a link to that.
    fn linked(&mut self, entry: &mut Entry, stat: &Stat) -> bool {
        match self.links.get(&(stat.st_dev, stat.st_ino)) {
            Some(first) => {
                entry.kind = Kind::HardLink;
                entry.link.clone_from(first);
                entry.xattrs.clear();
                true
            }
            None => {
                self.links.insert((stat.st_dev, stat.st_ino), entry.path.clone());
                false
            }
        }
    }

    fn described(&self, dir: BorrowedFd<'_>, name: &[u8], path: &[u8], stat: &Stat) -> Entry {
        let (uid, gid) = self.options.owner_of(stat);
        let xattrs = if self.options.plain { Vec::new() } else { attributes(dir, name) };
        Entry {
            kind: Kind::Regular,
            path: path.to_vec(),
            mode: stat.st_mode & 0o7777,
            uid: uid.into(),
            gid: gid.into(),
            mtime: (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(0)),
            major: rustix::fs::major(stat.st_rdev),
            minor: rustix::fs::minor(stat.st_rdev),
            xattrs,
            ..Entry::default()
        }
    }
}

fn open(dir: BorrowedFd<'_>, name: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(dir, name, flags, Mode::empty())?)
}

/// The names in a directory, sorted: the same tree gives the same archive.
fn names(dir: &OwnedFd) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// The attributes that travel, sorted. A file without any, or on a file system without them, has none.
fn attributes(dir: BorrowedFd<'_>, name: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let path = [format!("/proc/self/fd/{}/", dir.as_raw_fd()).as_bytes(), name].concat();
    let mut list = vec![0; 64 << 10];
    let count = rustix::fs::llistxattr(&path[..], &mut list[..]).unwrap_or(0);
    let mut found: Vec<_> = list[..count]
        .split(|byte| *byte == 0)
        .filter(|name| KEPT.iter().any(|kept| name.starts_with(kept)) && !name.starts_with(OVERLAY))
        .filter_map(|name| {
            let mut value = vec![0; 64 << 10];
            let count = rustix::fs::lgetxattr(&path[..], name, &mut value[..]).ok()?;
            Some((name.to_vec(), value[..count].to_vec()))
        })
        .collect();
    found.sort_unstable();
    found
}

fn lossy(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tar::TarReader;
    use std::os::unix::fs::{PermissionsExt, symlink};

    struct Whole<'a>(io::Cursor<&'a [u8]>);

    impl io::Read for Whole<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl io::BufRead for Whole<'_> {
        fn fill_buf(&mut self) -> io::Result<&[u8]> {
            self.0.fill_buf()
        }

        fn consume(&mut self, count: usize) {
            self.0.consume(count);
        }
    }

    impl crate::tar::Input for Whole<'_> {}

    #[test]
    fn trees_in_order_with_links() {
        let dir = tempfile::tempdir().expect("dir");
        let root = dir.path().join("t");
        std::fs::create_dir_all(root.join("sub")).expect("dir");
        std::fs::write(root.join("sub/b"), "b").expect("file");
        std::fs::set_permissions(root.join("sub/b"), std::fs::Permissions::from_mode(0o4711)).expect("mode");
        std::fs::hard_link(root.join("sub/b"), root.join("z")).expect("link");
        symlink("/nowhere", root.join("a")).expect("symlink");
        let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).expect("socket");
        let parent = File::open(dir.path()).expect("open");
        let mut writer =
            TreeWriter::new(Vec::new(), TreeOptions { owner: Some((7, 8)), plain: true, ..TreeOptions::default() });
        writer.tree(parent.as_fd(), b"t", b"renamed").expect("written");
        let (archive, skipped) = writer.finish().expect("ended");
        assert_eq!(skipped, ["renamed/socket: sockets cannot be in an archive"]);
        let mut reader = TarReader::new(Whole(io::Cursor::new(&archive)), 1 << 20);
        let mut found = Vec::new();
        while let Some(entry) = reader.next_entry().expect("reads") {
            assert_eq!((entry.uid, entry.gid), (7, 8));
            found.push((
                entry.kind,
                String::from_utf8(entry.path).expect("text"),
                String::from_utf8(entry.link).expect("text"),
            ));
        }
        let wanted = [
            (Kind::Directory, "renamed/", ""),
            (Kind::Symlink, "renamed/a", "/nowhere"),
            (Kind::Directory, "renamed/sub/", ""),
            (Kind::Regular, "renamed/sub/b", ""),
            (Kind::HardLink, "renamed/z", "renamed/sub/b"),
        ];
        let wanted = wanted.map(|(kind, path, link)| (kind, path.to_owned(), link.to_owned()));
        assert_eq!(found, wanted);
    }
}
