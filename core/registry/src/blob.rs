//! A blob as a stream that survives cut connections: what is missing is asked for again, from where it broke off.

use std::io::{self, Read};

use gantry_model::digest::Digest;
use ureq::BodyReader;

use crate::client::Repository;
use crate::endpoint::{Endpoint, pause};
use crate::error::{Error, Result};
use crate::http::{Answer, Request};

/// So much progress makes up for a failure before.
const PROGRESS: u64 = 1 << 20;

/// Reads one blob. Its digest is for the reader to check; its size is checked here.
pub struct BlobReader {
    repository: Repository,
    digest: Digest,
    size: u64,
    position: u64,
    body: Option<BodyReader<'static>>,
    /// Failures since `good` bytes were there.
    failures: u32,
    good: u64,
}

impl Repository {
    /// Begins to fetch a blob of a known size. Failures of the first request are told at once.
    pub fn blob(&self, digest: &Digest, size: u64) -> Result<BlobReader> {
        self.blob_from(digest, size, 0)
    }

    /// The same from some byte on; a registry that knows no ranges sends all, and what is not wanted is passed over.
    pub fn blob_from(&self, digest: &Digest, size: u64, start: u64) -> Result<BlobReader> {
        let mut reader = BlobReader {
            repository: self.clone(),
            digest: *digest,
            size,
            position: start,
            body: None,
            failures: 0,
            good: start,
        };
        reader.open()?;
        Ok(reader)
    }

    /// The bytes of a blob from `start` to before `end`. One try: who needs them and does not get them asks again.
    pub fn blob_part(&self, digest: &Digest, start: u64, end: u64) -> Result<Box<dyn Read + Send>> {
        let range = format!("bytes={start}-{}", end.saturating_sub(1));
        let answer = self.each(|endpoint| {
            let url = endpoint.url(&format!("{}/blobs/{digest}", self.path()))?;
            let request = Request::get(url, format!("blob {digest}")).scopes(&self.scopes());
            endpoint.call(&request.header("range", range.clone()))?.expect(&[200, 206])
        })?;
        let skip = match answer.status {
            206 => check_range(&answer, start).map(|()| 0)?,
            _ => start,
        };
        let lost = |source: io::Error| Error::Lost { host: answer.host.clone(), source: source.into() };
        let mut body = answer.body.into_reader();
        io::copy(&mut (&mut body).take(skip), &mut io::sink()).map_err(lost)?;
        Ok(Box::new(body.take(end.saturating_sub(start))))
    }

    /// A small blob, whole.
    pub fn small_blob(&self, digest: &Digest, size: u64, limit: u64) -> Result<Vec<u8>> {
        let what = format!("blob {digest}");
        if size > limit {
            return Err(Error::Limit { what, limit });
        }
        let mut bytes = Vec::new();
        let lost = |source: io::Error| Error::Lost { host: self.own().host.clone(), source: source.into() };
        self.blob(digest, size)?.read_to_end(&mut bytes).map_err(lost)?;
        let found = crate::manifest::sha256(&bytes);
        match found == *digest {
            true => Ok(bytes),
            false => Err(Error::Mismatch { what, expected: *digest, found }),
        }
    }
}

impl BlobReader {
    /// How far it is.
    pub fn position(&self) -> u64 {
        self.position
    }

    fn what(&self) -> String {
        format!("blob {}", self.digest)
    }

    /// Asks for what is missing.
    fn open(&mut self) -> Result<()> {
        let answer = self.repository.each(|endpoint| self.request(endpoint))?;
        let skip = match answer.status {
            206 => check_range(&answer, self.position).map(|()| 0)?,
            _ => {
                self.check_length(&answer)?;
                self.position
            }
        };
        let mut body = answer.body.into_reader();
        if skip > 0 {
            // This registry does not know ranges: what we have is read again.
            let lost = |source: io::Error| Error::Lost { host: answer.host.clone(), source: source.into() };
            let skipped = io::copy(&mut (&mut body).take(skip), &mut io::sink()).map_err(lost)?;
            if skipped < skip {
                return Err(self.wrong_size(format!("only {skipped}")));
            }
        }
        self.body = Some(body);
        Ok(())
    }

    fn request(&self, endpoint: &Endpoint) -> Result<Answer> {
        let url = endpoint.url(&format!("{}/blobs/{}", self.repository.path(), self.digest))?;
        let mut request = Request::get(url, self.what()).scopes(&self.repository.scopes());
        if self.position > 0 {
            request = request.header("range", format!("bytes={}-", self.position));
        }
        endpoint.call(&request)?.expect(&[200, 206])
    }

    fn check_length(&self, answer: &Answer) -> Result<()> {
        let length = answer.header("content-length").and_then(|text| text.parse::<u64>().ok());
        match length.filter(|length| *length != self.size) {
            Some(length) => Err(self.wrong_size(length.to_string())),
            None => Ok(()),
        }
    }

    fn wrong_size(&self, found: String) -> Error {
        Error::Size { what: self.what(), stated: self.size, found }
    }

    /// The connection broke: wait, and go on; or give up.
    fn recover(&mut self, cause: io::Error) -> io::Result<()> {
        self.body = None;
        if self.position >= self.good + PROGRESS {
            (self.failures, self.good) = (0, self.position);
        }
        if self.failures >= self.repository.own().retries() {
            let host = self.repository.own().host.clone();
            return Err(io::Error::other(Error::Lost { host, source: cause.into() }));
        }
        tracing::debug!(blob = %self.digest, at = self.position, "cut off, going on from there: {cause}");
        std::thread::sleep(pause(self.failures));
        self.failures += 1;
        Ok(())
    }

    /// A registry that sends more than was said is not to be trusted with the rest.
    fn end(&mut self) -> io::Result<usize> {
        let mut more = [0];
        match self.body.take().map(|mut body| body.read(&mut more)) {
            Some(Ok(1..)) => Err(io::Error::other(self.wrong_size("more".to_owned()))),
            _ => Ok(0),
        }
    }
}

/// `bytes START-END/TOTAL` must begin where we asked.
fn check_range(answer: &Answer, wanted: u64) -> Result<()> {
    let range = answer.header("content-range").unwrap_or_default();
    let start = range.strip_prefix("bytes ").and_then(|rest| rest.split_once('-')).and_then(|(s, _)| s.parse().ok());
    match start == Some(wanted) {
        true => Ok(()),
        false => {
            Err(Error::Answer { host: answer.host.clone(), reason: format!("asked from {wanted}, got {range:?}") })
        }
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let left = self.size - self.position;
            if left == 0 {
                return self.end();
            }
            let Some(body) = &mut self.body else {
                match self.open() {
                    Ok(()) => continue,
                    Err(error @ (Error::Lost { .. } | Error::Connect { .. })) => {
                        self.recover(io::Error::other(error))?
                    }
                    Err(error) => return Err(io::Error::other(error)),
                }
                continue;
            };
            let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            match body.read(&mut buffer[..most]) {
                Ok(0) => self.recover(io::ErrorKind::UnexpectedEof.into())?,
                Ok(count) => {
                    self.position += count as u64;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.recover(error)?,
            }
        }
    }
}
