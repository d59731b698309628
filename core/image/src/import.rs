//! `import`: the tar of a root file system becomes an image of one layer.

use std::io::Read;

use gantry_model::digest::Digest;
use gantry_model::reference::Reference;

use crate::change::apply_changes;
use crate::config::{ContainerConfig, History, ImageConfig, RootFs, host_architecture};
use crate::error::{Error, Result};
use crate::files;
use crate::hash::sha256;
use crate::layers::{UnpackOptions, one_more};
use crate::load::manifest_of;
use crate::records::{Image, Layer};
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
        let mut stack = one_more(self, input, Vec::new(), options, "the imported tar")?;
        let warnings = std::mem::take(&mut stack.warnings);
        let config = import_config(request, container, &stack.layers);
        let bytes = serde_json::to_vec(&config).map_err(|source| Error::Json { name: "the image".into(), source })?;
        let manifest = self.content.stage(&manifest_of(&bytes, &stack.layers))?;
        let manifest_digest = manifest.digest;
        let layers = stack.commit(self, vec![self.content.stage(&bytes)?, manifest])?;
        let image = Image::new(sha256(&bytes), manifest_digest, &config, layers);
        self.record(&image, request.reference.as_slice())?;
        Ok(Imported { id: image.id, warnings })
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
