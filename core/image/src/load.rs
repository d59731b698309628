//! `load`: archives of images into the store.

use std::fmt;
use std::io::Read;
use std::path::Path;

use gantry_model::digest::Digest;
use gantry_model::reference::Reference;

use crate::archive::Archive;
use crate::blobs::{BlobSource, BlobState, Data};
use crate::content::Staged;
use crate::error::{Error, Result};
use crate::files::Lock;
use crate::layers::{UnpackOptions, unpack_stack};
use crate::manifest::{self, Descriptor, Plan, PlannedLayer};
use crate::records::{Image, Layer};
use crate::store::ImageStore;

/// One image that was loaded. Prints as Docker prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    pub id: Digest,
    pub references: Vec<Reference>,
    /// References that named another image before.
    pub replaced: Vec<(Reference, Digest)>,
    /// What the layers could not carry over.
    pub warnings: Vec<String>,
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (reference, old) in &self.replaced {
            let name = reference.familiar();
            writeln!(f, "The image {name} already exists, renaming the old one with ID {old} to empty string")?;
        }
        if self.references.is_empty() {
            return write!(f, "Loaded image ID: {}", self.id);
        }
        let lines: Vec<_> = self.references.iter().map(|r| format!("Loaded image: {}", r.familiar())).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl ImageStore {
    /// Loads an archive file, or an OCI layout directory.
    pub fn load(&self, path: &Path, options: &UnpackOptions<'_>) -> Result<Vec<Loaded>> {
        let _writing = self.begin_writing()?;
        let archive = Archive::open(path, &self.content, &options.limits)?;
        self.load_archive(&archive, options)
    }

    /// Loads an archive from a stream.
    pub fn load_reader(&self, input: impl Read + Send, options: &UnpackOptions<'_>) -> Result<Vec<Loaded>> {
        let _writing = self.begin_writing()?;
        let archive = Archive::spool(input, &self.content, &options.limits)?;
        self.load_archive(&archive, options)
    }

    fn load_archive(&self, archive: &Archive, options: &UnpackOptions<'_>) -> Result<Vec<Loaded>> {
        let plans = manifest::plans(archive, &options.limits)?;
        plans.into_iter().map(|plan| self.install(archive, plan, options)).collect()
    }

    fn install(&self, archive: &Archive, plan: Plan, options: &UnpackOptions<'_>) -> Result<Loaded> {
        let source = |index: usize| self.layer_source(archive, &plan.layers[index]);
        let mut stack = unpack_stack(self, options, &plan.config.rootfs.diff_ids, &source, None)?;
        let warnings = std::mem::take(&mut stack.warnings);
        let (manifest, blobs) = self.stage_documents(&plan, &stack.layers)?;
        let layers = stack.commit(self, blobs)?;
        let image = Image::new(plan.id, manifest, &plan.config, layers);
        let replaced = self.record(&image, &plan.references)?;
        Ok(Loaded { id: plan.id, references: plan.references, replaced, warnings })
    }

    fn layer_source<'s>(&self, archive: &Archive, layer: &PlannedLayer) -> Result<BlobSource<'s>> {
        if let Some(digest) = layer.digest.filter(|digest| self.content.exists(digest)) {
            return self.stored_source(digest);
        }
        let region = archive.get(&layer.name)?;
        let blob = match (archive.take_staged(&layer.name), layer.digest) {
            (Some(staged), Some(expected)) if staged.digest != expected => {
                let what = layer.name.clone();
                return Err(Error::Mismatch { what, expected, found: staged.digest });
            }
            (Some(staged), _) => BlobState::Staged(staged),
            (None, digest) => BlobState::Foreign(digest),
        };
        Ok(BlobSource { data: Data::Region(region), blob })
    }

    pub(crate) fn stored_source<'s>(&self, digest: Digest) -> Result<BlobSource<'s>> {
        let file = self.content.open(&digest)?;
        let region = crate::archive::Region::whole(file).map_err(Error::io("read", self.content.path(&digest)))?;
        Ok(BlobSource { data: Data::Region(region), blob: BlobState::Stored(digest) })
    }

    /// The configuration and the manifest as blobs that are not yet published.
    fn stage_documents(&self, plan: &Plan, layers: &[Layer]) -> Result<(Digest, Vec<Staged>)> {
        let manifest = match &plan.manifest_bytes {
            Some(bytes) => self.content.stage(bytes)?,
            None => self.content.stage(&manifest_of(&plan.config_bytes, layers))?,
        };
        let config = self.content.stage(&plan.config_bytes)?;
        Ok((manifest.digest, vec![config, manifest]))
    }

    /// Writes the image's record and its references; tells which named another image.
    pub(crate) fn record(&self, image: &Image, references: &[Reference]) -> Result<Vec<(Reference, Digest)>> {
        let _lock = Lock::exclusive(&self.records.lock_path())?;
        let known = self.records.image(&image.id)?;
        if !known.is_some_and(|known| known.blobs().all(|blob| self.content.exists(&blob))) {
            self.records.write_image(image)?;
        }
        self.note_use(&image.id);
        self.name(image, references)
    }

    /// The same, but what is known of the image gives way: its publisher's manifest counts.
    pub(crate) fn record_anew(&self, image: &Image, references: &[Reference]) -> Result<()> {
        let _lock = Lock::exclusive(&self.records.lock_path())?;
        let known = self.records.image(&image.id)?;
        if !known.is_some_and(|known| known.manifest == image.manifest && known.layers == image.layers) {
            self.records.write_image(image)?;
        }
        self.note_use(&image.id);
        self.name(image, references).map(drop)
    }

    fn name(&self, image: &Image, references: &[Reference]) -> Result<Vec<(Reference, Digest)>> {
        let mut replaced = Vec::new();
        for reference in references {
            let old = self.records.reference(reference)?.map(|record| record.id);
            self.records.write_reference(reference, image.id)?;
            replaced.extend(old.filter(|old| *old != image.id).map(|old| (reference.clone(), old)));
        }
        Ok(replaced)
    }
}

/// The manifest of an image that came without one, over the blobs as they are stored.
pub(crate) fn manifest_of(config: &[u8], layers: &[Layer]) -> Vec<u8> {
    let describe = |layer: &Layer| Descriptor::new(&layer.media_type, layer.blob, layer.compressed);
    manifest::write_manifest(config, layers.iter().map(describe).collect())
}
