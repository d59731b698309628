//! Compressed fields: whichever of three ways journald was built with or told to use.

use std::io::{self, Read as _};

/// Flags of an object.
pub const XZ: u8 = 1;
pub const LZ4: u8 = 2;
pub const ZSTD: u8 = 4;
/// A larger field is not believed.
pub const LARGEST: u64 = 64 << 20;
/// What the xz decoder may use.
const XZ_MEMORY_KIB: u32 = 64 << 10;

/// Makes the field out of its compressed form.
pub fn undo(flags: u8, bytes: &[u8]) -> io::Result<Vec<u8>> {
    match flags & (XZ | LZ4 | ZSTD) {
        ZSTD => read_all(zstd::stream::read::Decoder::with_buffer(bytes)?),
        LZ4 => lz4(bytes),
        XZ => read_all(lzma_rust2::XzReader::new_mem_limit(bytes, false, XZ_MEMORY_KIB)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "compressed in several ways at once")),
    }
}

fn read_all(reader: impl io::Read) -> io::Result<Vec<u8>> {
    let mut field = Vec::new();
    let length = reader.take(LARGEST + 1).read_to_end(&mut field)?;
    if length as u64 > LARGEST { Err(too_large()) } else { Ok(field) }
}

/// The size, as 64 bits, and one block.
fn lz4(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let (size, block) = bytes.split_first_chunk::<8>().ok_or(io::ErrorKind::UnexpectedEof)?;
    let size = u64::from_le_bytes(*size);
    if size > LARGEST {
        return Err(too_large());
    }
    lz4_flex::block::decompress(block, size as usize).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

fn too_large() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "larger than any field")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By liblzma.
    const BY_XZ: &[u8] =
        b"\xfd\x37\x7a\x58\x5a\x00\x00\x00\xff\x12\xd9\x41\x02\x00\x21\x01\x16\x00\x00\x00\x74\x2f\xe5\xa3\xe0\
          \x01\x47\x00\x19\x5d\x00\x26\x91\x46\xc0\xd1\x94\x57\xe4\x94\x0a\x1b\x66\x83\xc1\xef\x5e\xb2\x50\xcd\
          \xf3\xc8\xa6\xce\x00\x00\x00\x00\x00\x00\x00\x01\x2d\xc8\x02\x00\x00\x00\xa4\xa9\x0b\x0b\xa8\x00\x0a\
          \xfc\x02\x00\x00\x00\x00\x00\x59\x5a";
    /// The size; sixteen bytes, then the last eight again and again, then five bytes.
    const BY_LZ4: &[u8] =
        b"\x48\x01\x00\x00\x00\x00\x00\x00\xff\x01\x4d\x45\x53\x53\x41\x47\x45\x3d\x6a\x6f\x75\x72\x6e\x61\x6c\
          \x20\x08\x00\xff\x21\x50\x72\x6e\x61\x6c\x20";

    fn field() -> Vec<u8> {
        [b"MESSAGE=".to_vec(), b"journal ".repeat(40)].concat()
    }

    #[test]
    fn all_three_ways_are_undone() {
        let zstd = zstd::bulk::compress(&field(), 3).unwrap();
        for (flags, bytes) in [(XZ, BY_XZ), (LZ4, BY_LZ4), (ZSTD, &zstd)] {
            assert_eq!(undo(flags, bytes).unwrap(), field(), "{flags}");
            for cut in 0..bytes.len() {
                if let Ok(part) = undo(flags, &bytes[..cut]) {
                    assert!(field().starts_with(&part), "{flags} cut at {cut}");
                }
            }
        }
        assert!(undo(XZ | ZSTD, &zstd).is_err());
        assert!(undo(0, &zstd).is_err());
    }

    #[test]
    fn bombs_are_refused() {
        let bomb = zstd::bulk::compress(&vec![0; 65 << 20], 1).unwrap();
        assert!(undo(ZSTD, &bomb).is_err());
        assert!(undo(LZ4, &[0xff; 20]).is_err());
    }
}
