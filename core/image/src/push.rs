//! `push`: what another store needs of an image.

use gantry_model::digest::Digest;
use gantry_model::reference::Reference;

use crate::error::Result;
use crate::limits::Limits;
use crate::manifest::{RemoteDocument, document, manifest_type};
use crate::records::Image;
use crate::store::ImageStore;

/// All that has to be at the other side before the manifest may be.
#[derive(Clone, Debug)]
pub struct PushPlan {
    pub manifest: Vec<u8>,
    pub media_type: String,
    pub digest: Digest,
    pub config: PushBlob,
    /// Bottom first, each once.
    pub layers: Vec<PushBlob>,
}

/// One blob of an image.
#[derive(Clone, Debug)]
pub struct PushBlob {
    pub digest: Digest,
    pub size: u64,
    /// Paths of repositories of the same registry that may have it already.
    pub neighbours: Vec<String>,
}

impl ImageStore {
    /// What has to be sent for a reference that names an image.
    pub fn plan_push(&self, reference: &Reference) -> Result<PushPlan> {
        let image = self.resolve(&reference.to_string())?;
        let manifest = self.content().read(&image.manifest, Limits::default().json_bytes)?;
        let (config, layers) = match document(&reference.familiar(), &manifest)? {
            RemoteDocument::Image { config, layers } => (config, layers),
            RemoteDocument::Index(_) => return Err(crate::error::Error::NotAnImage("its manifest is an index")),
        };
        let others = self.neighbours(reference)?;
        let blob = |digest: Digest| -> Result<PushBlob> {
            let size = self.content().size(&digest)?;
            let having = others.iter().filter(|(_, image)| image.blobs().any(|blob| blob == digest));
            Ok(PushBlob { digest, size, neighbours: having.map(|(path, _)| path.clone()).take(3).collect() })
        };
        let mut sent: Vec<PushBlob> = Vec::new();
        for layer in layers {
            if !sent.iter().any(|known| known.digest == layer.digest) {
                sent.push(blob(layer.digest)?);
            }
        }
        let config = PushBlob { neighbours: Vec::new(), ..blob(config.digest)? };
        let media_type = manifest_type(&manifest);
        Ok(PushPlan { media_type, digest: image.manifest, config, layers: sent, manifest })
    }

    /// Other repositories of the same registry that we know, with their images.
    fn neighbours(&self, reference: &Reference) -> Result<Vec<(String, Image)>> {
        let mut found: Vec<(String, Image)> = Vec::new();
        for record in self.references()? {
            let other = &record.reference;
            if other.host() == reference.host() && other.path() != reference.path() {
                found.extend(self.records.image(&record.id)?.map(|image| (other.path().to_owned(), image)));
            }
        }
        found.dedup_by(|a, b| a.0 == b.0 && a.1.id == b.1.id);
        Ok(found)
    }

    /// Notes the digest under which a registry has an image now.
    pub fn pushed(&self, reference: &Reference, digest: Digest) -> Result<()> {
        let image = self.resolve(&reference.to_string())?;
        self.record(&image, &[reference.with_digest(digest)]).map(drop)
    }
}
