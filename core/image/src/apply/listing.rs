//! What an archive holds, as it is recorded of a layer that is unpacked, without unpacking it.

use super::error::ApplyError;
use super::path::clean;
use super::whiteout::{Meaning, meaning};
use super::{Applied, meta};
use crate::limits::Limits;
use crate::sums::{Content, Recorder, Sum};
use crate::tar::{Chunk, Entry, Input, Kind, TarReader};

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Reads a stream to its end.
pub(crate) fn list<R: Input>(tar: &mut TarReader<R>, limits: &Limits) -> Result<Applied, ApplyError> {
    let (mut sums, mut applied) = (Recorder::new(true), Applied::default());
    while let Some(entry) = tar.next_entry()? {
        applied.entries += 1;
        if applied.entries > limits.entries {
            return Err(ApplyError::Limit { what: "the number of entries", limit: limits.entries });
        }
        let path = clean(&entry.path, limits)?;
        match meaning(&path)? {
            Meaning::Entry => {
                applied.size = applied.size.saturating_add(entry.size);
                record(tar, entry, &path, &mut sums, limits)?;
            }
            Meaning::Hide(target) => sums.hidden(&target),
            Meaning::Opaque(dir) => sums.opaque(&dir),
            Meaning::Ignored => {}
        }
    }
    tar.drain()?;
    applied.sums = sums.finish().map_err(ApplyError::Stream)?;
    Ok(applied)
}

fn record<R: Input>(
    tar: &mut TarReader<R>,
    mut entry: Entry,
    path: &[u8],
    sums: &mut Recorder,
    limits: &Limits,
) -> Result<(), ApplyError> {
    let digest = match entry.kind {
        Kind::HardLink => {
            sums.link(path, &clean(&entry.link, limits)?);
            return Ok(());
        }
        // Such a one is left out, too, when a layer is unpacked.
        Kind::CharDevice if (entry.major, entry.minor) == (0, 0) => return Ok(()),
        Kind::Regular => content(tar, &mut entry)?,
        Kind::Symlink => Content::of(&entry.link),
        _ => 0,
    };
    sums.entry(path, &Sum::of(&entry, &meta::times(&entry), digest));
    Ok(())
}

/// The digest of a file's content, its holes filled: it is compared as a file without any.
fn content<R: Input>(tar: &mut TarReader<R>, entry: &mut Entry) -> Result<u128, ApplyError> {
    let mut digest = Content::new();
    let chunks = entry.chunks.take();
    let whole = [Chunk { offset: 0, len: entry.size }];
    let mut chunks = chunks.as_deref().unwrap_or(&whole).iter().copied().filter(|chunk| chunk.len > 0);
    let (mut at, mut chunk) = (0, chunks.next());
    tar.read_data(|mut piece| {
        while !piece.is_empty() {
            let Some(now) = &mut chunk else { break };
            zeros(&mut digest, now.offset - at);
            let count = piece.len().min(usize::try_from(now.len).unwrap_or(usize::MAX));
            digest.update(&piece[..count]);
            (now.offset, now.len) = (now.offset + count as u64, now.len - count as u64);
            (at, piece) = (now.offset, &piece[count..]);
            if now.len == 0 {
                chunk = chunks.next();
            }
        }
        Ok::<(), ApplyError>(())
    })?;
    zeros(&mut digest, entry.size.saturating_sub(at));
    Ok(digest.finish())
}

fn zeros(digest: &mut Content, mut count: u64) {
    while count > 0 {
        let step = ZEROS.len().min(usize::try_from(count).unwrap_or(usize::MAX));
        digest.update(&ZEROS[..step]);
        count -= step as u64;
    }
}
