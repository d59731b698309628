//! Files of an archive into a directory that is in use: what is there is replaced by its like only, and no name has a
//! meaning of its own.

use std::io::Read;
use std::path::Path;

use crate::apply::{LayerTarget, Whiteouts, apply};
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::pipeline;
use crate::tar::TarReader;
use gantry_model::idmap::IdMaps;

/// Unpacks a tar stream, plain or compressed, below a directory; answers what could not be carried over. The archive's
/// owners are those of a container with the maps `owners`, when there are any.
pub fn extract(input: impl Read + Send, dir: &Path, limits: &Limits, owners: Option<&IdMaps>) -> Result<Vec<String>> {
    let target = LayerTarget { path: dir.to_owned(), whiteouts: Whiteouts::Plain };
    let unpacked = pipeline::through(input, None, limits, limits.layer_bytes, |stream| {
        let mut tar = TarReader::new(stream, limits.header_bytes);
        apply(&mut tar, &target, limits, None, owners)
    });
    let (applied, _) = unpacked.map_err(Error::Extract)?;
    Ok(applied.warnings)
}
