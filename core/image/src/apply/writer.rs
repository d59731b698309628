//! Files are named by one thread and filled by another: names must come in the order of the archive, contents need not.
//!
//! The thread that applies makes each file, so that links, replacements and whiteouts find what they must, and hands
//! its descriptor over with the bytes, a batch at a time; what the descriptor leads to may lose its name meanwhile.
//! Files that become a layer go on to the disk at once, so that the sync at the end does not have to wait for all of them.

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use gantry_sys::writeback;

use super::error::ApplyError;
use super::meta;
use crate::tar::Entry;

/// Bytes and files of one batch, and batches that may wait; together they bound memory and open descriptors.
const BYTES: usize = 256 << 10;
const FILES: usize = 16;
const WAITING: usize = 4;

/// Bytes of a file.
struct Part {
    file: Arc<OwnedFd>,
    bytes: Range<usize>,
    /// With the last of them, what the file is to be.
    end: Option<(Entry, Vec<u8>)>,
}

#[derive(Default)]
struct Batch {
    data: Vec<u8>,
    parts: Vec<Part>,
}

/// The side that makes files.
pub(super) struct Pen {
    full: SyncSender<Batch>,
    spare: Receiver<Batch>,
    batch: Batch,
    /// Where the present file's bytes begin in the batch.
    start: usize,
}

/// The side that fills them.
pub(super) struct Desk {
    /// What is written will be synced.
    hurry: bool,
    full: Receiver<Batch>,
    spare: Sender<Batch>,
}

pub(super) fn pair(hurry: bool) -> (Pen, Desk) {
    let (full_sender, full) = sync_channel(WAITING);
    let (spare_sender, spare) = channel();
    let pen = Pen { full: full_sender, spare, batch: Batch::default(), start: 0 };
    (pen, Desk { hurry, full, spare: spare_sender })
}

impl Pen {
    /// More bytes of a file.
    pub(super) fn write(&mut self, file: &Arc<OwnedFd>, mut bytes: &[u8]) -> Result<(), ApplyError> {
        while !bytes.is_empty() {
            if self.batch.data.len() >= BYTES {
                self.part(file, None);
                self.pass_on()?;
            }
            let count = bytes.len().min(BYTES - self.batch.data.len());
            self.batch.data.extend_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// The file is whole; it gets its owner, mode, attributes and times.
    pub(super) fn end(&mut self, file: &Arc<OwnedFd>, entry: &Entry, path: &[u8]) -> Result<(), ApplyError> {
        self.part(file, Some((entry.clone(), path.to_vec())));
        if self.batch.parts.len() >= FILES { self.pass_on() } else { Ok(()) }
    }

    /// Hands over what is left.
    pub(super) fn finish(mut self) -> Result<(), ApplyError> {
        self.pass_on()
    }

    fn part(&mut self, file: &Arc<OwnedFd>, end: Option<(Entry, Vec<u8>)>) {
        let bytes = self.start..self.batch.data.len();
        self.start = bytes.end;
        self.batch.parts.push(Part { file: Arc::clone(file), bytes, end });
    }

    fn pass_on(&mut self) -> Result<(), ApplyError> {
        let empty = self.spare.try_recv().unwrap_or_default();
        let batch = std::mem::replace(&mut self.batch, empty);
        self.start = 0;
        // The other side ends early only with an error, which is then the one that is told.
        self.full.send(batch).map_err(|_| ApplyError::Stream(io::Error::other("the writing thread stopped")))
    }
}

impl Desk {
    /// Fills files until the other side is done.
    pub(super) fn run(self) -> Result<(), ApplyError> {
        for mut batch in self.full {
            for part in batch.parts.drain(..) {
                fill(&part, &batch.data[part.bytes.clone()])?;
                if self.hurry {
                    // Only the sync at the end has to succeed.
                    let _ = writeback::begin(part.file.as_fd(), 0, 0);
                }
            }
            batch.data.clear();
            let _ = self.spare.send(batch);
        }
        Ok(())
    }
}

fn fill(part: &Part, mut bytes: &[u8]) -> Result<(), ApplyError> {
    let path = part.end.as_ref().map_or(&b"a file"[..], |(_, path)| path);
    while !bytes.is_empty() {
        let count = rustix::io::write(&*part.file, bytes).map_err(ApplyError::io("write", path))?;
        bytes = &bytes[count..];
    }
    match &part.end {
        Some((entry, path)) => meta::set_fresh(&part.file, entry, path),
        None => Ok(()),
    }
}
