//! A writer of tar: ustar headers, with a PAX header before those that ustar cannot express.
//!
//! The same entries always give the same bytes: no names of users, no times of access, attributes in the order in
//! which they are given.

use std::io::{self, Read, Write};

use super::header::BLOCK;
use super::{Entry, Kind};

const NAME: usize = 100;
/// The largest numbers of seven and eleven octal digits.
const SMALL: u64 = 0o7_777_777;
const LARGE: u64 = 0o77_777_777_777;

/// Writes entries to a stream.
pub struct TarWriter<W> {
    output: W,
}

impl<W: Write> TarWriter<W> {
    pub fn new(output: W) -> Self {
        Self { output }
    }

    /// Writes an entry without its data; `entry.size` bytes must follow if its kind has data.
    pub fn header(&mut self, entry: &Entry) -> io::Result<()> {
        let records = records(entry);
        if !records.is_empty() {
            let pax = Entry {
                kind: Kind::Regular,
                path: b"PaxHeaders/entry".to_vec(),
                size: records.len() as u64,
                mode: 0o644,
                ..Entry::default()
            };
            self.output.write_all(&block(&pax, b'x'))?;
            self.output.write_all(&records)?;
            self.pad(records.len() as u64)?;
        }
        self.output.write_all(&block(entry, type_flag(entry.kind)))
    }

    /// Writes an entry with its data; a source that ends too early is filled up with zeros, and told.
    pub fn file(&mut self, entry: &Entry, data: impl Read) -> io::Result<bool> {
        self.header(entry)?;
        let copied = io::copy(&mut data.take(entry.size), &mut self.output)?;
        io::copy(&mut io::repeat(0).take(entry.size - copied), &mut self.output)?;
        self.pad(entry.size)?;
        Ok(copied == entry.size)
    }

    /// Some of the data after a header.
    pub fn piece(&mut self, data: &[u8]) -> io::Result<()> {
        self.output.write_all(data)
    }

    /// Ends the data after a header.
    pub fn end_of_data(&mut self, size: u64) -> io::Result<()> {
        self.pad(size)
    }

    /// Writes an entry with data that is here.
    pub fn bytes(&mut self, entry: &Entry, data: &[u8]) -> io::Result<()> {
        self.file(&Entry { size: data.len() as u64, ..entry.clone() }, data).map(drop)
    }

    /// Ends the archive.
    pub fn finish(mut self) -> io::Result<W> {
        self.output.write_all(&[0; 2 * BLOCK])?;
        self.output.flush()?;
        Ok(self.output)
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let rest = (size % BLOCK as u64) as usize;
        let missing = if rest == 0 { 0 } else { BLOCK - rest };
        self.output.write_all(&[0; BLOCK][..missing])
    }
}

fn type_flag(kind: Kind) -> u8 {
    match kind {
        Kind::Regular => b'0',
        Kind::HardLink => b'1',
        Kind::Symlink => b'2',
        Kind::CharDevice => b'3',
        Kind::BlockDevice => b'4',
        Kind::Directory => b'5',
        Kind::Fifo => b'6',
    }
}

/// What does not fit into the header, as PAX records.
fn records(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::new();
    let (seconds, nanos) = entry.mtime;
    if entry.path.len() > NAME {
        record(&mut out, b"path", &entry.path);
    }
    if entry.link.len() > NAME {
        record(&mut out, b"linkpath", &entry.link);
    }
    for (key, value, most) in
        [(&b"size"[..], data_size(entry), LARGE), (b"uid", entry.uid, SMALL), (b"gid", entry.gid, SMALL)]
    {
        if value > most {
            record(&mut out, key, value.to_string().as_bytes());
        }
    }
    if nanos != 0 || !(0..=LARGE as i64).contains(&seconds) {
        record(&mut out, b"mtime", time(seconds, nanos).as_bytes());
    }
    for (name, value) in &entry.xattrs {
        record(&mut out, &[b"SCHILY.xattr.", name.as_slice()].concat(), value);
    }
    out
}

/// `LENGTH KEY=VALUE\n`, where the length counts itself.
fn record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    out.extend_from_slice(format!("{length} ").as_bytes());
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// Decimal seconds; before 1970 the fraction counts towards zero.
fn time(seconds: i64, nanos: u32) -> String {
    let total = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    let (sign, total) = if total < 0 { ("-", -total) } else { ("", total) };
    let text = format!("{sign}{}.{:09}", total / 1_000_000_000, total % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn data_size(entry: &Entry) -> u64 {
    if entry.kind == Kind::Regular { entry.size } else { 0 }
}

fn block(entry: &Entry, flag: u8) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    text(&mut block[..NAME], &entry.path);
    octal(&mut block[100..108], u64::from(entry.mode & 0o7777));
    octal(&mut block[108..116], entry.uid.min(SMALL));
    octal(&mut block[116..124], entry.gid.min(SMALL));
    octal(&mut block[124..136], data_size(entry).min(LARGE));
    octal(&mut block[136..148], u64::try_from(entry.mtime.0).unwrap_or(0).min(LARGE));
    block[148..156].fill(b' ');
    block[156] = flag;
    text(&mut block[157..257], &entry.link);
    block[257..265].copy_from_slice(b"ustar\x0000");
    if matches!(entry.kind, Kind::CharDevice | Kind::BlockDevice) {
        octal(&mut block[329..337], u64::from(entry.major));
        octal(&mut block[337..345], u64::from(entry.minor));
    }
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    octal(&mut block[148..155], sum);
    block
}

/// As much as fits; the whole is in the PAX header then.
fn text(field: &mut [u8], bytes: &[u8]) {
    let count = bytes.len().min(field.len());
    field[..count].copy_from_slice(&bytes[..count]);
}

/// Digits, and a NUL at the end.
fn octal(field: &mut [u8], mut value: u64) {
    let (last, digits) = match field.split_last_mut() {
        Some(split) => split,
        None => return,
    };
    *last = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value & 7) as u8;
        value >>= 3;
    }
}

#[cfg(test)]
mod tests {
    use super::super::TarReader;
    use super::*;

    struct Whole<'a>(&'a [u8]);

    impl Read for Whole<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl io::BufRead for Whole<'_> {
        fn fill_buf(&mut self) -> io::Result<&[u8]> {
            Ok(self.0)
        }

        fn consume(&mut self, count: usize) {
            self.0 = &self.0[count..];
        }
    }

    impl super::super::Input for Whole<'_> {}

    #[test]
    fn what_is_written_is_read() {
        let plain = Entry { kind: Kind::Regular, path: b"a/b".to_vec(), mode: 0o4755, size: 3, ..Entry::default() };
        let hard = Entry {
            kind: Kind::Regular,
            path: vec![b'p'; 3000],
            uid: 4_000_000_000,
            gid: 1 << 40,
            mode: 0o644,
            mtime: (1_700_000_000, 123_456_789),
            xattrs: vec![(b"user.a".to_vec(), vec![0, 10, b'=', 255]), (b"security.capability".to_vec(), vec![1; 20])],
            ..Entry::default()
        };
        let old = Entry {
            kind: Kind::Symlink,
            path: b"l".to_vec(),
            link: vec![b'x'; 200],
            mtime: (-3, 500_000_000),
            mode: 0o777,
            ..Entry::default()
        };
        let device = Entry {
            kind: Kind::CharDevice,
            path: b"d".to_vec(),
            major: 5,
            minor: 300,
            mode: 0o600,
            ..Entry::default()
        };
        let mut writer = TarWriter::new(Vec::new());
        writer.file(&plain, &b"abc"[..]).expect("written");
        [&hard, &old, &device].iter().for_each(|entry| writer.header(entry).expect("written"));
        let archive = writer.finish().expect("ended");
        let mut reader = TarReader::new(Whole(&archive), 1 << 20);
        for wanted in [&plain, &hard, &old, &device] {
            let found = reader.next_entry().expect("reads").expect("an entry");
            assert_eq!(format!("{wanted:?}"), format!("{found:?}"));
        }
        assert!(reader.next_entry().expect("reads").is_none());
    }

    #[test]
    fn a_short_file_is_filled_up() {
        let entry = Entry { kind: Kind::Regular, path: b"a".to_vec(), size: 600, ..Entry::default() };
        let mut writer = TarWriter::new(Vec::new());
        assert!(!writer.file(&entry, &b"abc"[..]).expect("written"));
        assert_eq!(writer.finish().expect("ended").len(), 5 * BLOCK);
    }

    #[test]
    fn lengths_that_grow_by_themselves() {
        let mut out = Vec::new();
        record(&mut out, b"k", &[b'v'; 93]);
        record(&mut out, b"k", &[b'v'; 94]);
        assert!(out.starts_with(b"99 k=") && out[99..].starts_with(b"101 k="), "{}", String::from_utf8_lossy(&out));
    }
}
