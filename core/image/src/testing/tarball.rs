//! A tar writer that writes whatever it is told.

use std::os::unix::ffi::OsStrExt;

/// One entry, all fields open.
#[derive(Clone, Debug)]
pub struct TarEntry {
    pub flag: u8,
    pub path: Vec<u8>,
    pub link: Vec<u8>,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: u64,
    pub major: u32,
    pub minor: u32,
    pub pax: Vec<(Vec<u8>, Vec<u8>)>,
    pub data: Vec<u8>,
}

impl TarEntry {
    pub fn new(flag: u8, path: &str) -> Self {
        let path = std::ffi::OsStr::new(path).as_bytes().to_vec();
        let (link, pax, data) = Default::default();
        Self { flag, path, link, mode: 0o644, uid: 0, gid: 0, mtime: 1_000_000_000, major: 0, minor: 0, pax, data }
    }

    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    pub fn owner(mut self, uid: u32, gid: u32) -> Self {
        (self.uid, self.gid) = (uid, gid);
        self
    }

    pub fn link(mut self, link: &str) -> Self {
        self.link = link.as_bytes().to_vec();
        self
    }

    pub fn device(mut self, major: u32, minor: u32) -> Self {
        (self.major, self.minor) = (major, minor);
        self
    }

    pub fn pax(mut self, key: &str, value: &[u8]) -> Self {
        self.pax.push((key.as_bytes().to_vec(), value.to_vec()));
        self
    }

    pub fn data(mut self, data: &[u8]) -> Self {
        self.data = data.to_vec();
        self
    }
}

/// A tar under way.
#[derive(Clone, Debug, Default)]
pub struct Tar {
    bytes: Vec<u8>,
}

impl Tar {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn file(&mut self, path: &str, data: &[u8]) -> &mut Self {
        self.add(TarEntry::new(b'0', path).data(data))
    }

    pub fn dir(&mut self, path: &str) -> &mut Self {
        self.add(TarEntry::new(b'5', path).mode(0o755))
    }

    pub fn symlink(&mut self, path: &str, target: &str) -> &mut Self {
        self.add(TarEntry::new(b'2', path).link(target).mode(0o777))
    }

    pub fn hard_link(&mut self, path: &str, target: &str) -> &mut Self {
        self.add(TarEntry::new(b'1', path).link(target))
    }

    pub fn add(&mut self, entry: TarEntry) -> &mut Self {
        if entry.path.len() > 100 {
            self.block(b'L', b"././@LongLink", &TarEntry::new(b'L', ""), &[&entry.path[..], &[0]].concat());
        }
        if entry.link.len() > 100 {
            self.block(b'K', b"././@LongLink", &TarEntry::new(b'K', ""), &[&entry.link[..], &[0]].concat());
        }
        if !entry.pax.is_empty() {
            self.block(b'x', b"PaxHeaders/x", &TarEntry::new(b'x', ""), &pax_records(&entry.pax));
        }
        let (flag, path, data) = (entry.flag, entry.path.clone(), entry.data.clone());
        self.block(flag, &path, &entry, &data);
        self
    }

    /// Bytes as they are, for what no writer would write.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    pub fn finish(&self) -> Vec<u8> {
        [&self.bytes[..], &[0; 1024]].concat()
    }

    fn block(&mut self, flag: u8, path: &[u8], entry: &TarEntry, data: &[u8]) {
        let header = header(flag, path, entry, data.len() as u64);
        self.bytes.extend_from_slice(&header);
        self.bytes.extend_from_slice(data);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
    }
}

/// A header block with a right checksum.
pub fn header(flag: u8, path: &[u8], entry: &TarEntry, size: u64) -> [u8; 512] {
    let mut block = [0; 512];
    put(&mut block[0..100], path);
    put(&mut block[100..108], format!("{:07o}", entry.mode).as_bytes());
    put(&mut block[108..116], format!("{:07o}", entry.uid).as_bytes());
    put(&mut block[116..124], format!("{:07o}", entry.gid).as_bytes());
    put(&mut block[124..136], format!("{size:011o}").as_bytes());
    put(&mut block[136..148], format!("{:011o}", entry.mtime).as_bytes());
    block[156] = flag;
    put(&mut block[157..257], &entry.link);
    put(&mut block[257..265], b"ustar\x0000");
    put(&mut block[329..337], format!("{:07o}", entry.major).as_bytes());
    put(&mut block[337..345], format!("{:07o}", entry.minor).as_bytes());
    seal(&mut block);
    block
}

/// Writes the checksum of a block that was altered.
pub fn seal(block: &mut [u8; 512]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    put(&mut block[148..156], format!("{sum:06o}\0 ").as_bytes());
}

fn put(field: &mut [u8], bytes: &[u8]) {
    let count = bytes.len().min(field.len());
    field[..count].copy_from_slice(&bytes[..count]);
}

fn pax_records(records: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut text = Vec::new();
    for (key, value) in records {
        let body = key.len() + value.len() + 3;
        let mut len = body + body.to_string().len();
        if len.to_string().len() > body.to_string().len() {
            len += 1;
        }
        text.extend_from_slice(format!("{len} ").as_bytes());
        text.extend_from_slice(&[&key[..], b"=", value, b"\n"].concat());
    }
    text
}
