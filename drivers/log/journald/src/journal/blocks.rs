//! Parts of a file kept in memory, so that an entry's fields, which lie near each other, cost few system calls.
//!
//! Files are read, not mapped: journald shortens a file when it is done with it.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// Bytes of a block.
const SIZE: u64 = 64 * 1024;
/// Blocks kept; then all are read anew.
const MOST: usize = 64;

/// A file and the blocks of it in memory.
pub struct Blocks {
    file: File,
    blocks: HashMap<u64, Vec<u8>>,
}

impl Blocks {
    /// Nothing in memory.
    pub fn new(file: File) -> Self {
        Blocks { file, blocks: HashMap::new() }
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// What was read may have changed: forgets it.
    pub fn forget(&mut self) {
        self.blocks.clear();
    }

    /// Fills `into`, from memory where possible.
    pub fn read(&mut self, mut offset: u64, mut into: &mut [u8]) -> io::Result<()> {
        if into.len() as u64 > SIZE {
            return self.file.read_exact_at(into, offset);
        }
        while !into.is_empty() {
            let (number, within) = (offset / SIZE, (offset % SIZE) as usize);
            let block = self.block(number)?;
            let part = block.get(within..).filter(|part| !part.is_empty()).ok_or(io::ErrorKind::UnexpectedEof)?;
            let length = part.len().min(into.len());
            let (now, later) = into.split_at_mut(length);
            now.copy_from_slice(&part[..length]);
            (into, offset) = (later, offset + length as u64);
        }
        Ok(())
    }

    /// Fills `into` from the file: for what changes.
    pub fn read_fresh(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(into, offset)
    }

    fn block(&mut self, number: u64) -> io::Result<&[u8]> {
        if !self.blocks.contains_key(&number) {
            if self.blocks.len() >= MOST {
                self.blocks.clear();
            }
            let block = read_block(&self.file, number * SIZE)?;
            self.blocks.insert(number, block);
        }
        Ok(self.blocks.get(&number).map(Vec::as_slice).unwrap_or_default())
    }
}

fn read_block(file: &File, offset: u64) -> io::Result<Vec<u8>> {
    let (mut block, mut length) = (vec![0; SIZE as usize], 0);
    while length < block.len() {
        match file.read_at(&mut block[length..], offset + length as u64)? {
            0 => break,
            more => length += more,
        }
    }
    block.truncate(length);
    Ok(block)
}
