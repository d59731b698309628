//! Sending blobs: not at all if they are there, by a mount from a neighbouring repository, or as a stream that goes on
//! after a cut.

use std::io::{self, Read};

use gantry_model::digest::Digest;
use ureq::http::Method;

use crate::auth::escaped;
use crate::client::Repository;
use crate::endpoint::pause;
use crate::error::{Error, Result};
use crate::http::{Answer, Payload, Request, redirected};

/// How a blob came to be at the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It was there.
    Exists,
    /// Mounted from this repository.
    Mounted(String),
    /// Sent.
    Sent,
}

/// A blob that may be read from any place, and repeatedly.
pub trait Source: Sync {
    /// How many bytes it has.
    fn size(&self) -> u64;
    /// The bytes from `start` on.
    fn open(&self, start: u64) -> io::Result<Box<dyn Read + '_>>;
}

impl Repository {
    /// Whether the registry has a blob.
    pub fn has_blob(&self, digest: &Digest) -> Result<bool> {
        let url = self.own().url(&format!("{}/blobs/{digest}", self.path()))?;
        let request = Request::new(Method::HEAD, url, format!("blob {digest}")).scopes(&self.scopes());
        let answer = self.own().call(&request)?;
        match answer.status {
            404 => Ok(false),
            _ => answer.expect(&[200]).map(|_| true),
        }
    }

    /// Brings a blob to the registry. `neighbours` are paths of repositories of the same registry that may have it.
    pub fn push_blob(&self, digest: &Digest, source: &dyn Source, neighbours: &[String]) -> Result<Pushed> {
        if self.has_blob(digest)? {
            return Ok(Pushed::Exists);
        }
        for neighbour in neighbours {
            if self.mount(digest, neighbour)? {
                return Ok(Pushed::Mounted(neighbour.clone()));
            }
        }
        self.send(digest, source).map(|()| Pushed::Sent)
    }

    /// Asks for a mount; that it is refused is no failure, the blob is sent then.
    fn mount(&self, digest: &Digest, from: &str) -> Result<bool> {
        let query = format!("mount={}&from={}", escaped(&digest.to_string()), escaped(from));
        let url = self.own().url(&format!("{}/blobs/uploads/?{query}", self.path()))?;
        let mut scopes = self.scopes();
        scopes.push(format!("repository:{from}:pull"));
        let request = Request::new(Method::POST, url, "mount a blob").payload(Payload::Bytes(&[])).scopes(&scopes);
        match self.own().call(&request) {
            Ok(answer) if answer.status == 201 => Ok(true),
            Ok(answer) if answer.status == 202 => {
                // It opened an upload instead, which nobody will use.
                let request =
                    Request::new(Method::DELETE, upload_url(&answer)?, "drop an upload").scopes(&self.scopes());
                let _ = self.own().call(&request);
                Ok(false)
            }
            Ok(_) | Err(Error::Unauthorized { .. } | Error::Denied { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn send(&self, digest: &Digest, source: &dyn Source) -> Result<()> {
        let mut upload = self.begin_upload()?;
        let mut failures = 0;
        let mut sent = 0;
        while sent < source.size() {
            match self.send_from(&upload, source, sent) {
                Ok(answer) => {
                    upload = upload_url(&answer)?;
                    break;
                }
                Err(error) if error.is_passing() && failures < self.own().retries() => {
                    tracing::debug!(blob = %digest, "cut off while sending: {error}");
                    std::thread::sleep(pause(failures));
                    failures += 1;
                    (upload, sent) = self.resume(upload)?;
                }
                Err(error) => return Err(error),
            }
        }
        let joint = if upload.contains('?') { '&' } else { '?' };
        let url = format!("{upload}{joint}digest={}", escaped(&digest.to_string()));
        let request = Request::new(Method::PUT, url, format!("take blob {digest}"));
        let request = request.payload(Payload::Bytes(&[])).scopes(&self.scopes());
        self.own().call(&request)?.expect(&[201, 204]).map(drop)
    }

    fn begin_upload(&self) -> Result<String> {
        let url = self.own().url(&format!("{}/blobs/uploads/", self.path()))?;
        let request =
            Request::new(Method::POST, url, "begin an upload").payload(Payload::Bytes(&[])).scopes(&self.scopes());
        upload_url(&self.own().call(&request)?.expect(&[202])?)
    }

    /// Sends once what is missing: a failure is answered by asking how far we came.
    fn send_from(&self, upload: &str, source: &dyn Source, sent: u64) -> Result<Answer> {
        let open = || source.open(sent);
        let size = source.size();
        let mut request = Request::new(Method::PATCH, upload, "take a part of a blob")
            .header("content-type", "application/octet-stream")
            .payload(Payload::Stream(&open, size - sent))
            .scopes(&self.scopes());
        if sent > 0 {
            request = request.header("content-range", format!("{sent}-{}", size - 1));
        }
        self.own().once(&request)?.expect(&[202, 204])
    }

    /// How far an upload came; a new one if it is gone.
    fn resume(&self, upload: String) -> Result<(String, u64)> {
        let request = Request::get(&upload, "continue an upload").scopes(&self.scopes());
        let answer = self.own().call(&request)?;
        if !matches!(answer.status, 202 | 204) {
            return Ok((self.begin_upload()?, 0));
        }
        let range = answer.header("range").unwrap_or_default();
        let end = range.rsplit_once('-').and_then(|(_, end)| end.parse::<u64>().ok());
        // Nothing at all is told as `0-0`, as one byte would be: that one is worth sending again.
        match end.filter(|end| *end > 0) {
            Some(end) => Ok((upload_url(&answer).unwrap_or(upload), end + 1)),
            None => Ok((self.begin_upload()?, 0)),
        }
    }
}

fn upload_url(answer: &Answer) -> Result<String> {
    let missing = || Error::Answer { host: answer.host.clone(), reason: "an upload without a location".to_owned() };
    redirected(&answer.url, answer.header("location").ok_or_else(missing)?)
}
