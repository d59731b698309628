//! `pull`: an image from somewhere else into the store.
//!
//! How manifests and blobs are fetched is for a [`Remote`]; here is decided what is needed, and nothing of it is
//! believed: each document and each layer must be what its digest and size say.

use std::collections::BTreeMap;
use std::io::Read;

use gantry_model::digest::{ChainId, Digest};
use gantry_model::platform::Platform;
use gantry_model::reference::Reference;

use crate::blobs::{BlobSource, BlobState, Data};
use crate::config::ImageConfig;
use crate::content::Staged;
use crate::error::{BoxError, Error, Result};
use crate::hash::{chain_ids, sha256};
use crate::layers::{Outlined, Outliner, UnpackOptions, unpack_stack};
use crate::lazy::{Described, listing};
use crate::limits::Limits;
use crate::manifest::{Descriptor, NESTING, RemoteDocument, choose, document};
use crate::records::Image;
use crate::store::ImageStore;

/// Where an image is fetched from. Called by several threads.
pub trait Remote: Sync {
    /// The manifest or index with a digest; without one, that which the reference names.
    fn manifest(&self, digest: Option<&Digest>, limit: u64) -> std::result::Result<Vec<u8>, BoxError>;
    /// A small blob, whole.
    fn document(&self, digest: &Digest, size: u64, limit: u64) -> std::result::Result<Vec<u8>, BoxError>;
    /// A blob of `size` bytes as a stream, from one of them on.
    fn blob<'s>(
        &'s self,
        digest: &Digest,
        size: u64,
        start: u64,
    ) -> std::result::Result<Box<dyn Read + Send + 's>, BoxError>;
    /// Those bytes of it from `start` to before `end`.
    fn part<'s>(
        &'s self,
        digest: &Digest,
        size: u64,
        start: u64,
        end: u64,
    ) -> std::result::Result<Box<dyn Read + Send + 's>, BoxError> {
        Ok(Box::new(self.blob(digest, size, start)?.take(end.saturating_sub(start))))
    }
}

/// An image that can be fetched: everything of it but the layers is here.
#[derive(Debug)]
pub struct Planned {
    /// Of the configuration.
    pub id: Digest,
    /// What the reference names: a manifest, or an index of several.
    pub named: Digest,
    /// Digest and size of each layer as it is fetched, bottom first.
    pub layers: Vec<(Digest, u64)>,
    /// What the manifest says of each layer beside that.
    annotations: Vec<BTreeMap<String, String>>,
    config: ImageConfig,
    config_bytes: Vec<u8>,
    manifest: Vec<u8>,
}

impl Planned {
    /// The chain ids of its layers, bottom first.
    pub(crate) fn chains(&self) -> Vec<ChainId> {
        chain_ids(&self.config.rootfs.diff_ids)
    }
}

/// An image that was pulled.
#[derive(Debug)]
pub struct Pulled {
    pub id: Digest,
    /// The reference named this very image before.
    pub known: bool,
    pub warnings: Vec<String>,
}

impl ImageStore {
    /// Finds out what an image of a remote consists of.
    pub fn plan_pull(
        &self,
        remote: &dyn Remote,
        reference: &Reference,
        platform: &Platform,
        limits: &Limits,
    ) -> Result<Planned> {
        let fetch = |digest: Option<&Digest>| {
            let bytes = remote.manifest(digest, limits.json_bytes).map_err(|source| Error::Remote { source })?;
            let found = sha256(&bytes);
            match digest.filter(|expected| **expected != found) {
                Some(expected) => Err(mismatch("manifest", *expected, found)),
                None => Ok((bytes, found)),
            }
        };
        let (mut bytes, named) = fetch(reference.digest())?;
        for _ in 0..NESTING {
            match document(&reference.familiar(), &bytes)? {
                RemoteDocument::Image { config, layers } => {
                    return self.plan_image(remote, reference, bytes, named, &config, layers, limits);
                }
                RemoteDocument::Index(candidates) => bytes = fetch(Some(&choose(&candidates, platform)?))?.0,
            }
        }
        Err(Error::Limit { what: "the nesting of indexes".to_owned(), limit: NESTING as u64 })
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one manifest")]
    fn plan_image(
        &self,
        remote: &dyn Remote,
        reference: &Reference,
        manifest: Vec<u8>,
        named: Digest,
        config: &Descriptor,
        layers: Vec<Descriptor>,
        limits: &Limits,
    ) -> Result<Planned> {
        if layers.len() > limits.layers {
            return Err(Error::Depth(limits.layers));
        }
        let config_bytes = self.remote_config(remote, config, limits)?;
        let name = format!("the configuration of {}", reference.familiar());
        let parsed: ImageConfig =
            serde_json::from_slice(&config_bytes).map_err(|source| Error::Json { name, source })?;
        let expected = parsed.rootfs.diff_ids.len();
        if expected != layers.len() {
            return Err(Error::LayerCount { expected, found: layers.len() });
        }
        let (layers, annotations) =
            layers.into_iter().map(|layer| ((layer.digest, layer.size), layer.annotations)).unzip();
        Ok(Planned { id: config.digest, named, layers, annotations, config: parsed, config_bytes, manifest })
    }

    /// What we have need not be fetched.
    fn remote_config(&self, remote: &dyn Remote, config: &Descriptor, limits: &Limits) -> Result<Vec<u8>> {
        if let Ok(bytes) = self.content().read(&config.digest, limits.json_bytes) {
            return Ok(bytes);
        }
        let fetched = remote.document(&config.digest, config.size, limits.json_bytes);
        let bytes = fetched.map_err(|source| Error::Remote { source })?;
        let found = sha256(&bytes);
        match found == config.digest {
            true => Ok(bytes),
            false => Err(mismatch("image configuration", config.digest, found)),
        }
    }

    /// Fetches the layers that are missing and gives the image its names.
    pub fn pull(
        &self,
        remote: &dyn Remote,
        reference: &Reference,
        planned: &Planned,
        options: &UnpackOptions<'_>,
    ) -> Result<Pulled> {
        self.pull_as(remote, reference, planned, options, false)
    }

    /// The same, but of layers with a table of contents only that is fetched.
    pub fn pull_lazily(
        &self,
        remote: &dyn Remote,
        reference: &Reference,
        planned: &Planned,
        options: &UnpackOptions<'_>,
    ) -> Result<Pulled> {
        self.pull_as(remote, reference, planned, options, true)
    }

    fn pull_as(
        &self,
        remote: &dyn Remote,
        reference: &Reference,
        planned: &Planned,
        options: &UnpackOptions<'_>,
        lazily: bool,
    ) -> Result<Pulled> {
        let _writing = self.begin_writing()?;
        let source = |index: usize| self.remote_layer(remote, planned.layers[index]);
        let outline = |index: usize| self.outline(remote, reference, planned, index, &options.limits);
        let outline = lazily.then_some(&outline as Outliner<'_>);
        let mut stack = unpack_stack(self, options, &planned.config.rootfs.diff_ids, &source, outline)?;
        let warnings = std::mem::take(&mut stack.warnings);
        let manifest = self.content().stage(&planned.manifest)?;
        let digest = manifest.digest;
        let documents: Vec<Staged> = vec![self.content().stage(&planned.config_bytes)?, manifest];
        let layers = stack.commit(self, documents)?;
        let image = Image::new(planned.id, digest, &planned.config, layers);
        let mut names = vec![reference.with_digest(planned.named)];
        names.extend(Some(reference.clone()).filter(|reference| reference.digest().is_none()));
        let before = self.reference(reference.digest().map_or(reference, |_| &names[0]))?;
        self.record_anew(&image, &names)?;
        Ok(Pulled { id: image.id, known: before == Some(image.id), warnings })
    }

    /// What is known of a layer that need not come whole; a layer whose table cannot be had comes whole.
    fn outline(
        &self,
        remote: &dyn Remote,
        reference: &Reference,
        planned: &Planned,
        index: usize,
        limits: &Limits,
    ) -> Option<Outlined> {
        let (digest, size) = planned.layers[index];
        if self.content().exists(&digest) {
            return None;
        }
        let described = Described { digest, size, annotations: &planned.annotations[index] };
        let listing = listing(remote, &described, limits).ok().flatten()?;
        Some(Outlined { reference: reference.to_string(), blob: digest, compressed: size, listing })
    }

    /// Where a layer's blob is.
    pub(crate) fn remote_layer<'s>(
        &self,
        remote: &'s dyn Remote,
        (digest, size): (Digest, u64),
    ) -> Result<BlobSource<'s>> {
        if self.content().exists(&digest) {
            return self.stored_source(digest);
        }
        let open = move |start| remote.blob(&digest, size, start).map_err(|source| Error::Remote { source });
        Ok(BlobSource { data: Data::Remote(Box::new(open), size), blob: BlobState::Foreign(Some(digest)) })
    }
}

fn mismatch(what: &str, expected: Digest, found: Digest) -> Error {
    Error::Mismatch { what: what.to_owned(), expected, found }
}
