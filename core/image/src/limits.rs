//! What an archive may ask of us before it is refused.
//!
//! The defaults are far above what real images need; they exist so that a hostile archive ends in an error
//! instead of a full disk or an exhausted memory.

/// Bounds on archives and layers. Every one of them can be raised by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Uncompressed bytes of one layer; also the apparent size of one file in it.
    pub layer_bytes: u64,
    /// How many times larger than its compressed form a layer may become once it exceeds `ratio_floor`.
    pub ratio: u64,
    /// Below this many uncompressed bytes the ratio is not looked at.
    pub ratio_floor: u64,
    /// Entries of one layer.
    pub entries: u64,
    /// Components of one path.
    pub depth: usize,
    /// Bytes of one path.
    pub path_bytes: usize,
    /// Bytes of one manifest, index or image configuration.
    pub json_bytes: u64,
    /// Bytes of one extended tar header.
    pub header_bytes: u64,
    /// Uncompressed bytes of an outer archive that has to be spooled.
    pub archive_bytes: u64,
    /// Files of an outer archive.
    pub archive_files: usize,
    /// Layers of one image: as many as the kernel stacks below a writable one.
    pub layers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            layer_bytes: 64 << 30,
            ratio: 1000,
            ratio_floor: 256 << 20,
            entries: 5_000_000,
            depth: 255,
            path_bytes: 4095,
            json_bytes: 8 << 20,
            header_bytes: 1 << 20,
            archive_bytes: 256 << 30,
            archive_files: 100_000,
            layers: 500,
        }
    }
}
