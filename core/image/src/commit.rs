//! `commit`: one more layer on an image, or on nothing; where nothing was changed, none, as in Docker.

use std::io::Read;

use gantry_model::digest::{ChainId, Digest};
use gantry_model::reference::Reference;

use crate::config::{ContainerConfig, History, ImageConfig, RootFs, host_architecture};
use crate::error::{Error, Result};
use crate::files;
use crate::hash::sha256;
use crate::layers::{UnpackOptions, one_more, unchanged};
use crate::load::manifest_of;
use crate::records::{Image, Layer, LayerRecord};
use crate::store::ImageStore;

/// What becomes an image.
#[derive(Clone, Debug, Default)]
pub struct CommitRequest {
    /// The image below; `None`: only its layers are known any more.
    pub base: Option<Digest>,
    /// The layers below, bottom first.
    pub chains: Vec<ChainId>,
    pub reference: Option<Reference>,
    pub config: ContainerConfig,
    pub author: String,
    pub comment: String,
    /// The command that made the layer.
    pub created_by: String,
}

/// An image that was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub id: Digest,
    pub warnings: Vec<String>,
}

impl ImageStore {
    /// Takes a layer as a tar stream, plain or compressed; its blob is kept as it comes. Without one, the image has the
    /// layers of below.
    pub fn commit(
        &self,
        input: Option<impl Read + Send>,
        request: &CommitRequest,
        options: &UnpackOptions<'_>,
    ) -> Result<Committed> {
        if request.reference.as_ref().is_some_and(|reference| reference.digest().is_some()) {
            return Err(Error::DigestTag);
        }
        let limit = options.limits.layers;
        if request.chains.len() >= limit {
            return Err(Error::Depth(limit));
        }
        let _writing = self.begin_writing()?;
        let below = self.layers_below(request, options.driver)?;
        let changed = input.is_some();
        let mut stack = match input {
            Some(input) => one_more(self, input, below, options, "the container")?,
            None => unchanged(self, below, options),
        };
        let warnings = std::mem::take(&mut stack.warnings);
        let config = self.committed_config(request, &stack.layers, changed);
        let bytes = serde_json::to_vec(&config).map_err(|source| Error::Json { name: "the image".into(), source })?;
        let manifest = self.content().stage(&manifest_of(&bytes, &stack.layers))?;
        let digest = manifest.digest;
        let layers = stack.commit(self, vec![self.content().stage(&bytes)?, manifest])?;
        let mut image = Image::new(sha256(&bytes), digest, &config, layers);
        image.parent = request.base;
        self.record(&image, request.reference.as_slice())?;
        Ok(Committed { id: image.id, warnings })
    }

    /// The layers as the image knows them, which says under which blobs; else as the storage driver does.
    fn layers_below(&self, request: &CommitRequest, driver: &str) -> Result<Vec<LayerRecord>> {
        let image = request.base.map(|id| self.records.image(&id)).transpose()?.flatten();
        let mut records = Vec::new();
        for chain in &request.chains {
            let record = self.records.layer(driver, chain)?;
            let mut record = record.ok_or(Error::MissingContent(chain.0))?;
            if let Some(layer) = image.iter().flat_map(|image| &image.layers).find(|layer| layer.chain == *chain) {
                record.layer.clone_from(layer);
            }
            records.push(record);
        }
        Ok(records)
    }

    /// The configuration of the image below, changed; one that is gone is made up from its layers.
    fn committed_config(&self, request: &CommitRequest, layers: &[Layer], changed: bool) -> ImageConfig {
        let base = request.base.and_then(|id| self.config(&id).ok());
        let mut config = base.unwrap_or_else(|| ImageConfig {
            architecture: host_architecture().to_owned(),
            os: "linux".to_owned(),
            ..ImageConfig::default()
        });
        let created = Some(files::now());
        config.history.push(History {
            created: created.clone(),
            author: request.author.clone(),
            created_by: request.created_by.clone(),
            comment: request.comment.clone(),
            empty_layer: !changed,
        });
        let rootfs = RootFs { diff_ids: layers.iter().map(|layer| layer.diff).collect(), ..RootFs::default() };
        let (author, comment) = (request.author.clone(), request.comment.clone());
        ImageConfig { created, author, comment, config: request.config.clone(), rootfs, ..config }
    }
}
