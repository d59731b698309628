//! Where the blob of a layer comes from, and what becomes of it while it is read.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use gantry_model::digest::{DiffId, Digest};

use crate::archive::Region;
use crate::content::{Ingest, Staged};
use crate::error::{Error, Result};
use crate::pipeline::{self, Compression};
use crate::store::ImageStore;

/// Where one layer's blob is read from.
pub(crate) struct BlobSource<'s> {
    pub(crate) data: Data<'s>,
    pub(crate) blob: BlobState,
}

/// The bytes of a blob.
pub(crate) enum Data<'s> {
    /// In an open file.
    Region(Region),
    /// Somewhere else; fetched only when it is read. So many bytes.
    Remote(Opener<'s>, u64),
}

/// Begins to fetch a blob, from some byte on.
pub(crate) type Opener<'s> = Box<dyn FnOnce(u64) -> Result<Box<dyn Read + Send + 's>> + Send + 's>;

impl<'s> Data<'s> {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Region(region) => region.len(),
            Self::Remote(_, size) => *size,
        }
    }

    /// The bytes; of what is fetched for `keep`, those that are there already are not fetched again.
    pub(crate) fn open(self, keep: Option<&Ingest>) -> Result<Box<dyn Read + Send + 's>> {
        let (open, size) = match self {
            Self::Region(region) => return Ok(Box::new(region.reader())),
            Self::Remote(open, size) => (open, size),
        };
        let begun = keep.map(Ingest::begun).transpose().map_err(Error::io("read", "what was fetched before"))?;
        match begun {
            Some((start, there)) if start == size => Ok(there),
            Some((start, there)) if start > 0 => Ok(Box::new(there.chain(open(start)?))),
            _ => open(0),
        }
    }

    pub(crate) fn is_remote(&self) -> bool {
        matches!(self, Self::Remote(..))
    }
}

/// What is known of a blob before it is read.
pub(crate) enum BlobState {
    /// It is published.
    Stored(Digest),
    /// It is whole and hashed, but not published.
    Staged(Staged),
    /// It has to be copied; its digest may be prescribed.
    Foreign(Option<Digest>),
}

/// A blob on its way: copied while it is read, or already whole.
pub(crate) enum Stored {
    Copied(Option<Digest>),
    Published(Digest),
    Staged(Staged),
}

impl BlobState {
    pub(crate) fn prescribed(&self) -> Option<Digest> {
        match self {
            Self::Foreign(expected) => *expected,
            _ => None,
        }
    }

    /// `remote`: the size of what is fetched from elsewhere.
    pub(crate) fn split(self, store: &ImageStore, remote: Option<u64>) -> Result<(Option<Ingest>, Stored)> {
        Ok(match (self, remote) {
            (Self::Foreign(Some(digest)), Some(size)) => {
                (Some(store.content.resume(&digest, size)?), Stored::Copied(Some(digest)))
            }
            (state, _) => return state.split_here(store),
        })
    }

    fn split_here(self, store: &ImageStore) -> Result<(Option<Ingest>, Stored)> {
        Ok(match self {
            Self::Stored(digest) => (None, Stored::Published(digest)),
            Self::Staged(staged) => (None, Stored::Staged(staged)),
            Self::Foreign(expected) => (Some(store.content.ingest()?), Stored::Copied(expected)),
        })
    }
}

impl BlobState {
    /// Digest and media type of a blob, and the blob itself if it is not published.
    pub(crate) fn copy(
        self,
        store: &ImageStore,
        data: Data<'_>,
        diff: &DiffId,
    ) -> Result<(Digest, &'static str, Option<Staged>)> {
        let expected = match self {
            Self::Staged(staged) => return Ok((staged.digest, media_type(&staged.file)?, Some(staged))),
            Self::Stored(digest) => return Ok((digest, media_type(&store.content.open(&digest)?)?, None)),
            Self::Foreign(expected) => expected,
        };
        let mut ingest = store.content.ingest()?;
        let what = format!("layer {diff}");
        io::copy(&mut data.open(None)?, &mut ingest).map_err(Error::io("copy", &what))?;
        let staged = ingest.finish(&what, expected.as_ref())?;
        Ok((staged.digest, media_type(&staged.file)?, Some(staged)))
    }
}

pub(crate) fn media_type(file: &File) -> Result<&'static str> {
    let mut head = [0; 6];
    let have = file.read_at(&mut head, 0).map_err(Error::io("read", "a layer"))?;
    Ok(pipeline::sniff(&head[..have]).unwrap_or(Compression::None).media_type())
}
