//! Manifests as bytes: which types we take, and whether they are what was asked for.

use gantry_model::digest::Digest;
use sha2::Digest as _;

use crate::client::Repository;
use crate::endpoint::Endpoint;
use crate::error::{Error, Result};
use crate::http::{Payload, Request};

/// Manifests and indexes of both families; the last is refused by those who read it, with better words than a 404.
const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'a> {
    Tag(&'a str),
    Digest(&'a Digest),
}

/// A manifest or an index, as the registry keeps it.
#[derive(Clone, Debug)]
pub struct Manifest {
    pub bytes: Vec<u8>,
    pub digest: Digest,
    /// As the registry states it; manifests may state it themselves.
    pub media_type: String,
}

impl Wanted<'_> {
    fn text(&self) -> String {
        match self {
            Self::Tag(tag) => (*tag).to_owned(),
            Self::Digest(digest) => digest.to_string(),
        }
    }
}

/// The digest of bytes.
pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    Digest::from_bytes(sha2::Sha256::digest(bytes).into())
}

impl Repository {
    /// Fetches a manifest or an index of at most `limit` bytes.
    pub fn manifest(&self, wanted: Wanted<'_>, limit: u64) -> Result<Manifest> {
        self.each(|endpoint| self.fetch_manifest(endpoint, wanted, limit))
    }

    fn fetch_manifest(&self, endpoint: &Endpoint, wanted: Wanted<'_>, limit: u64) -> Result<Manifest> {
        let name = wanted.text();
        let url = endpoint.url(&format!("{}/manifests/{name}", self.path()))?;
        let what = format!("manifest for {}", self.named(&wanted));
        let request = Request::get(url, &what).header("accept", ACCEPTED).scopes(&self.scopes());
        let answer = endpoint.call(&request)?.expect(&[200])?;
        let stated = answer.header("docker-content-digest").and_then(|text| Digest::parse(text).ok());
        let media_type = answer.header("content-type").unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim().to_owned();
        let bytes = answer.read(&what, limit)?;
        let digest = sha256(&bytes);
        let expected = if let Wanted::Digest(asked) = wanted { Some(*asked) } else { stated };
        match expected.filter(|expected| *expected != digest) {
            Some(expected) => Err(Error::Mismatch { what, expected, found: digest }),
            None => Ok(Manifest { bytes, digest, media_type }),
        }
    }

    /// Sends a manifest under a tag; answers its digest.
    pub fn put_manifest(&self, tag: &str, bytes: &[u8], media_type: &str) -> Result<Digest> {
        let endpoint = self.own();
        let url = endpoint.url(&format!("{}/manifests/{tag}", self.path()))?;
        let request = Request::new(ureq::http::Method::PUT, url, format!("take the manifest of {tag}"))
            .header("content-type", media_type)
            .payload(Payload::Bytes(bytes))
            .scopes(&self.scopes());
        endpoint.call(&request)?.expect(&[200, 201, 202])?;
        Ok(sha256(bytes))
    }

    fn named(&self, wanted: &Wanted<'_>) -> String {
        let joint = if matches!(wanted, Wanted::Tag(_)) { ':' } else { '@' };
        format!("{}{joint}{}", self.familiar_name(), wanted.text())
    }
}
