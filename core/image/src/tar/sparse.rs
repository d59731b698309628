//! Sparse maps: where the stored bytes of a file with holes belong.

use super::header::BLOCK;
use super::pax::decimal;
use super::{Entry, TarError};

/// A run of stored bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    pub offset: u64,
    pub len: u64,
}

/// Where the map of a sparse file is found.
pub(super) enum SparseKind {
    None,
    /// In the extended header.
    Map {
        chunks: Vec<Chunk>,
        real_size: u64,
    },
    /// In front of the data.
    InData {
        real_size: u64,
    },
}

/// Gives the entry its map, after checking that it ascends and accounts for every stored byte.
pub(super) fn attach(entry: &mut Entry, chunks: Vec<Chunk>, real_size: u64, stored: u64) -> Result<(), TarError> {
    let mut end = 0u64;
    let mut sum = 0u64;
    for chunk in &chunks {
        let ordered = chunk.offset >= end;
        end = chunk.offset.checked_add(chunk.len).filter(|_| ordered).ok_or(TarError::Sparse)?;
        sum = sum.checked_add(chunk.len).ok_or(TarError::Sparse)?;
    }
    if end > real_size || sum != stored {
        return Err(TarError::Sparse);
    }
    entry.size = real_size;
    entry.chunks = Some(chunks);
    Ok(())
}

/// `offset,length,offset,length…`
pub(super) fn comma_map(value: &[u8]) -> Result<Vec<Chunk>, TarError> {
    if value.is_empty() {
        return Ok(Vec::new());
    }
    let numbers = value.split(|byte| *byte == b',').map(decimal).collect::<Result<Vec<_>, _>>()?;
    pairs(&numbers)
}

fn pairs(numbers: &[u64]) -> Result<Vec<Chunk>, TarError> {
    if !numbers.len().is_multiple_of(2) {
        return Err(TarError::Sparse);
    }
    Ok(numbers.chunks_exact(2).map(|pair| Chunk { offset: pair[0], len: pair[1] }).collect())
}

/// The map of format 1.0 while its blocks arrive: a count, then pairs, one number a line.
#[derive(Default)]
pub(super) struct DecimalMap {
    text: Vec<u8>,
    lines: u64,
    wanted: Option<u64>,
}

impl DecimalMap {
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    pub(super) fn push(&mut self, block: &[u8; BLOCK]) -> Result<(), TarError> {
        self.text.extend_from_slice(block);
        self.lines += block.iter().filter(|byte| **byte == b'\n').count() as u64;
        if self.wanted.is_none() && self.lines > 0 {
            let count = self.text.split(|byte| *byte == b'\n').next().map(decimal).ok_or(TarError::Sparse)??;
            self.wanted = Some(count.checked_mul(2).and_then(|lines| lines.checked_add(1)).ok_or(TarError::Sparse)?);
        }
        Ok(())
    }

    pub(super) fn is_complete(&self) -> bool {
        self.wanted.is_some_and(|wanted| self.lines >= wanted)
    }

    pub(super) fn chunks(&self) -> Result<Vec<Chunk>, TarError> {
        let wanted = self.wanted.and_then(|wanted| usize::try_from(wanted).ok()).ok_or(TarError::Sparse)?;
        let lines = self.text.split(|byte| *byte == b'\n').take(wanted).skip(1);
        pairs(&lines.map(decimal).collect::<Result<Vec<_>, _>>()?)
    }
}
