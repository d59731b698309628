//! Reads what a shared library says about itself without loading it: the machine it is for, whether it is whole, and
//! its notes. Everything in the file may lie, so nothing is indexed unchecked.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const ET_DYN: u16 = 3;
/// Header, program headers and notes of the libraries we know fit in here: one read.
const HEAD: usize = 8 * 1024;
const MAX_NOTES: u64 = 1 << 20;

/// Machine numbers and their names.
const MACHINES: &[(u16, &str)] = &[
    (3, "i386"),
    (20, "powerpc"),
    (21, "powerpc64"),
    (22, "s390x"),
    (40, "arm"),
    (62, "x86_64"),
    (183, "aarch64"),
    (243, "riscv64"),
    (258, "loongarch64"),
];

/// Why a file is no library for this machine.
#[derive(Debug)]
pub enum Fault {
    /// It cannot be read.
    Read(io::Error),
    /// It is something else.
    Odd(String),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fault::Read(source) => write!(f, "cannot read the file: {source}"),
            Fault::Odd(reason) => f.write_str(reason),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(source: io::Error) -> Self {
        Fault::Read(source)
    }
}

/// An opened library whose header was checked.
pub struct Library<'f> {
    file: &'f File,
    head: Vec<u8>,
    segments: Vec<Segment>,
}

struct Segment {
    kind: u32,
    offset: u64,
    len: u64,
}

impl<'f> Library<'f> {
    /// Checks the header of a shared library of `size` bytes.
    pub fn open(file: &'f File, size: u64) -> Result<Self, Fault> {
        let mut head = vec![0; HEAD];
        let len = read_up_to(file, &mut head)?;
        head.truncate(len);
        check_ident(&head)?;
        check_machine(&head)?;
        let mut library = Library { file, head, segments: vec![] };
        library.segments = library.read_segments()?;
        library.check_whole(size)?;
        Ok(library)
    }

    /// The descriptor of the first note of an owner (without NUL) and type.
    pub fn note(&self, owner: &[u8], kind: u32) -> Result<Option<Vec<u8>>, Fault> {
        for segment in self.segments.iter().filter(|s| s.kind == PT_NOTE) {
            let bytes = self.bytes(segment.offset, segment.len.min(MAX_NOTES))?;
            if let Some(found) = find_note(&bytes, owner, kind) {
                return Ok(Some(found.to_vec()));
            }
        }
        Ok(None)
    }

    fn read_segments(&self) -> Result<Vec<Segment>, Fault> {
        let table = u64_at(&self.head, 32).ok_or_else(truncated)?;
        let (size, count) = (u16_at(&self.head, 54), u16_at(&self.head, 56));
        let (Some(56), Some(count)) = (size, count) else { return Err(odd("damaged program headers")) };
        let bytes = self.bytes(table, u64::from(count) * 56)?;
        bytes.chunks_exact(56).map(|h| segment(h).ok_or_else(truncated)).collect()
    }

    /// A library cut short would load and then kill the process with SIGBUS.
    fn check_whole(&self, size: u64) -> Result<(), Fault> {
        let fits = |s: &Segment| s.offset.checked_add(s.len).is_some_and(|end| end <= size);
        match self.segments.iter().filter(|s| s.kind == PT_LOAD).all(fits) {
            true => Ok(()),
            false => Err(truncated()),
        }
    }

    fn bytes(&self, offset: u64, len: u64) -> Result<Vec<u8>, Fault> {
        let in_head = || self.head.get(usize::try_from(offset).ok()?..)?.get(..usize::try_from(len).ok()?);
        if let Some(bytes) = in_head() {
            return Ok(bytes.to_vec());
        }
        let mut bytes = vec![0; len as usize];
        match self.file.read_exact_at(&mut bytes, offset) {
            Ok(()) => Ok(bytes),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Err(truncated()),
            Err(e) => Err(e.into()),
        }
    }
}

fn read_up_to(file: &File, buf: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < buf.len() {
        match file.read_at(&mut buf[len..], len as u64)? {
            0 => break,
            n => len += n,
        }
    }
    Ok(len)
}

fn check_ident(head: &[u8]) -> Result<(), Fault> {
    if head.is_empty() {
        return Err(odd("the file is empty"));
    }
    if !head.starts_with(b"\x7fELF") {
        return Err(odd("not a Gantry plugin: no ELF file"));
    }
    if head.len() < 64 {
        return Err(truncated());
    }
    let little = if cfg!(target_endian = "little") { 1 } else { 2 };
    match (head[4], head[5]) {
        (2, data) if data == little => Ok(()),
        (1, _) => Err(odd(format!("built for a 32-bit machine, this engine runs on {}", std::env::consts::ARCH))),
        _ => Err(odd(format!("built for another byte order, this engine runs on {}", std::env::consts::ARCH))),
    }
}

fn check_machine(head: &[u8]) -> Result<(), Fault> {
    let machine = u16_at(head, 18).unwrap_or(0);
    let name = MACHINES.iter().find(|m| m.0 == machine).map_or("an unknown machine", |m| m.1);
    if name != std::env::consts::ARCH {
        return Err(odd(format!("built for {name}, this engine runs on {}", std::env::consts::ARCH)));
    }
    match u16_at(head, 16) {
        Some(ET_DYN) => Ok(()),
        _ => Err(odd("not a Gantry plugin: no shared library")),
    }
}

fn segment(header: &[u8]) -> Option<Segment> {
    Some(Segment { kind: u32_at(header, 0)?, offset: u64_at(header, 8)?, len: u64_at(header, 32)? })
}

fn find_note<'b>(mut bytes: &'b [u8], owner: &[u8], kind: u32) -> Option<&'b [u8]> {
    loop {
        let (owner_len, data_len) = (u32_at(bytes, 0)? as usize, u32_at(bytes, 4)? as usize);
        let rest = bytes.get(12..)?;
        let name = rest.get(..owner_len)?;
        let rest = rest.get(owner_len.next_multiple_of(4)..)?;
        let data = rest.get(..data_len)?;
        if u32_at(bytes, 8)? == kind && name.strip_suffix(&[0]) == Some(owner) {
            return Some(data);
        }
        bytes = rest.get(data_len.next_multiple_of(4)..)?;
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|b| u16::from_ne_bytes(*b))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_ne_bytes(*b))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|b| u64::from_ne_bytes(*b))
}

fn odd(reason: impl Into<String>) -> Fault {
    Fault::Odd(reason.into())
}

fn truncated() -> Fault {
    odd("the file is truncated")
}
