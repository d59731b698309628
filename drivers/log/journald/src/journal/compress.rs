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
