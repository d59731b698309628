//! `import`: the tar of a root file system becomes an image of one layer.

use std::io::Read;

use gantry_model::digest::{ChainId, Digest};
use gantry_model::reference::Reference;

use crate::change::apply_changes;
use crate::config::{ContainerConfig, History, ImageConfig, RootFs, host_architecture};
use crate::error::{Error, Result};
use crate::files::{self, PassingLock};
use crate::hash::sha256;
use crate::layers::{Begun, Stack, UnpackOptions, known_layer, random_id, storage, sync_all};
use crate::load::manifest_of;
use crate::pipeline::{self, Unpacked};
use crate::records::{Image, Layer, LayerRecord};
use crate::store::ImageStore;

/// What `import` may be told.
#[derive(Clone, Debug, Default)]
pub struct ImportRequest {
    /// The name of the image; without one it is known by its id.
    pub reference: Option<Reference>,
    /// Dockerfile instructions.
    pub changes: Vec<String>,
    /// The history's comment.
    pub message: Option<String>,
    /// Where the tar comes from, for the comment if there is no message; `-` for standard input.
    pub origin: String,
    /// If it is not this machine's.
    pub architecture: Option<String>,
}

/// An image that was imported. Its id is what Docker prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    pub id: Digest,
    pub warnings: Vec<String>,
}

impl ImageStore {
    /// Imports a tar stream, plain or compressed.
    pub fn import(
        &self,
        input: impl Read + Send,
        request: &ImportRequest,
        options: &UnpackOptions<'_>,
    ) -> Result<Imported> {
        let mut container = ContainerConfig::default();
        apply_changes(&mut container, &request.changes)?;
        if request.reference.as_ref().is_some_and(|reference| reference.digest().is_some()) {
            return Err(Error::DigestTag);
        }
        let _writing = self.begin_writing()?;
        let (stack, warnings) = self.unpack_root(input, options)?;
        let config = import_config(request, container, &stack.layers);
        let bytes = serde_json::to_vec(&config).map_err(|source| Error::Json { name: "the image".into(), source })?;
        let manifest = self.content.stage(&manifest_of(&bytes, &stack.layers))?;
        let manifest_digest = manifest.digest;
        let layers = stack.commit(self, vec![self.content.stage(&bytes)?, manifest])?;
        let image = Image::new(sha256(&bytes), manifest_digest, &config, layers);
        self.record(&image, request.reference.as_slice())?;
        Ok(Imported { id: image.id, warnings })
    }

    /// Unpacks first and learns the layer's name from its content.
    fn unpack_root<'a>(
        &self,
        input: impl Read + Send,
        options: &'a UnpackOptions<'a>,
    ) -> Result<(Stack<'a>, Vec<String>)> {
        self.records.prepare_driver(options.driver)?;
        let begun = Begun::new(options.sink);
        let id = random_id()?;
        let target = begun.begin(&id, None)?;
        let unpacked = pipeline::unpack(input, Some(self.content.ingest()?), &target, &options.limits);
        let mut unpacked = unpacked.map_err(|source| Error::Unpack { layer: "of the imported tar".into(), source })?;
        sync_all([&*target.path].into_iter())?;
        if options.sink.depends_on_parent() {
            options.sink.commit(&id).map_err(storage("commit", &id))?;
        }
        let warnings = std::mem::take(&mut unpacked.applied.warnings);
        Ok((self.root_stack(options, begun, &id, unpacked)?, warnings))
    }

    /// A stack of the new layer, or of the same one if the driver has it.
    fn root_stack<'a>(
        &self,
        options: &'a UnpackOptions<'a>,
        begun: Begun<'a>,
        id: &str,
        unpacked: Unpacked,
    ) -> Result<Stack<'a>> {
        let chain = ChainId::base(unpacked.diff);
        let lock = PassingLock::take(&self.records.layer_lock_path(options.driver, &chain)?)?;
        let known = known_layer(self, options, &chain)?.filter(|known| self.content.exists(&known.layer.blob));
        if let Some(known) = known {
            drop(lock);
            drop(begun);
            let mut stack = Stack::new(options, Begun::new(options.sink));
            stack.layers.push(known.layer);
            return Ok(stack);
        }
        let Some(ingest) = unpacked.blob else { return Err(Error::MissingContent(chain.0)) };
        let blob = ingest.finish("the imported tar", None)?;
        let layer = Layer {
            diff: unpacked.diff,
            chain,
            blob: blob.digest,
            media_type: unpacked.compression.media_type().to_owned(),
            compressed: blob.size,
            size: unpacked.applied.size,
        };
        let mut stack = Stack::new(options, begun);
        stack.add(LayerRecord::new(id, None, layer), blob, lock);
        Ok(stack)
    }
}

fn import_config(request: &ImportRequest, container: ContainerConfig, layers: &[Layer]) -> ImageConfig {
    let created = Some(files::now());
    let imported = || format!("Imported from {}", request.origin);
    let comment = request.message.clone().unwrap_or_else(imported);
    let history = History { created: created.clone(), comment, ..History::default() };
    ImageConfig {
        created,
        architecture: request.architecture.clone().unwrap_or_else(|| host_architecture().to_owned()),
        os: "linux".to_owned(),
        config: container,
        rootfs: RootFs { diff_ids: layers.iter().map(|layer| layer.diff).collect(), ..RootFs::default() },
        history: vec![history],
        ..ImageConfig::default()
    }
}
