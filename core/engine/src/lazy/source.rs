//! Where the bytes of a layer come from, for those who bring files or whole layers.

use crate::error::Result;
use gantry_image::{BoxError, Remote};
use gantry_model::digest::Digest;
use gantry_model::reference::Reference;
use gantry_registry::{Client, Repository};
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How long one looks away who goes behind others.
const PAUSE: Duration = Duration::from_millis(20);

/// A repository of a registry.
pub(super) struct Source {
    repository: Repository,
    /// How many others are in a hurry.
    hurried: Option<Arc<AtomicUsize>>,
}

impl Source {
    /// The one from which a reference was pulled.
    pub(super) fn of(client: &Client, reference: &str) -> Result<Source> {
        let reference = Reference::parse(reference).map_err(gantry_image::Error::from)?;
        Ok(Source { repository: client.pull_from(&reference)?, hurried: None })
    }

    /// One that stands still while others are in a hurry.
    pub(super) fn behind(self, hurried: &Arc<AtomicUsize>) -> Source {
        Source { hurried: Some(Arc::clone(hurried)), ..self }
    }
}

impl Remote for Source {
    fn manifest(&self, _: Option<&Digest>, _: u64) -> std::result::Result<Vec<u8>, BoxError> {
        Err(io::Error::from(io::ErrorKind::Unsupported).into())
    }

    fn document(&self, digest: &Digest, size: u64, limit: u64) -> std::result::Result<Vec<u8>, BoxError> {
        Ok(self.repository.small_blob(digest, size, limit)?)
    }

    fn blob<'s>(
        &'s self,
        digest: &Digest,
        size: u64,
        start: u64,
    ) -> std::result::Result<Box<dyn Read + Send + 's>, BoxError> {
        let input = self.repository.blob_from(digest, size, start)?;
        Ok(match &self.hurried {
            Some(hurried) => Box::new(Behind { input, hurried }),
            None => Box::new(input),
        })
    }

    fn part<'s>(
        &'s self,
        digest: &Digest,
        _: u64,
        start: u64,
        end: u64,
    ) -> std::result::Result<Box<dyn Read + Send + 's>, BoxError> {
        Ok(self.repository.blob_part(digest, start, end)?)
    }
}

struct Behind<'s, R> {
    input: R,
    hurried: &'s AtomicUsize,
}

impl<R: Read> Read for Behind<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.hurried.load(Ordering::Relaxed) > 0 {
            std::thread::sleep(PAUSE);
        }
        self.input.read(buffer)
    }
}
