//! The image store: what there is, under which names.
//!
//! Readers take no lock: every record is replaced as a whole. Writers of references and image records take
//! `images/lock` for as long as they write. Whoever brings or uses content holds `content/lock` shared, and
//! content is only deleted by who gets it alone, so nothing disappears under a load.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use gantry_model::digest::Digest;
use gantry_model::idmap::IdMaps;
use gantry_model::reference::Reference;

use crate::config::ImageConfig;
use crate::content::{ContentStore, Marker};
use crate::error::{Error, Result};
use crate::files::{self, Lock};
use crate::layers::{UnpackOptions, chain_for, unpack_stack};
use crate::limits::Limits;
use crate::records::{Image, Records, RefRecord};

/// All images under one root directory.
#[derive(Clone, Debug)]
pub struct ImageStore {
    pub(crate) content: ContentStore,
    pub(crate) records: Records,
    content_dir: PathBuf,
}

/// Content is being brought in.
#[derive(Debug)]
pub(crate) struct Writing {
    _marker: Marker,
    _lock: Lock,
}

/// As `images` lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSummary {
    pub image: Image,
    /// With a tag, in the order of their names.
    pub tags: Vec<Reference>,
    /// By digest.
    pub digests: Vec<Reference>,
}

impl ImageSummary {
    /// No name leads to it.
    pub fn is_dangling(&self) -> bool {
        self.tags.is_empty() && self.digests.is_empty()
    }

    /// The time it was built, as an instant.
    pub fn created(&self) -> Option<jiff::Timestamp> {
        self.image.created.as_deref()?.parse().ok()
    }
}

impl ImageStore {
    /// The store below `root`. Nothing is made before something is written.
    pub fn open(root: &Path) -> Self {
        let content_dir = root.join("content");
        Self { content: ContentStore::new(&content_dir), records: Records::new(root), content_dir }
    }

    /// The blobs.
    pub fn content(&self) -> &ContentStore {
        &self.content
    }

    /// Makes the directories and holds off the deletion of content while content is brought in.
    pub(crate) fn begin_writing(&self) -> Result<Writing> {
        self.content.prepare()?;
        self.records.prepare()?;
        let lock = Lock::shared(&self.content_lock_path())?;
        Ok(Writing { _marker: self.content.mark()?, _lock: lock })
    }

    /// Whether garbage is likely: a load was killed, or a removal was put off. One directory is read.
    pub fn needs_collection(&self) -> bool {
        self.content.is_marked().unwrap_or(true)
    }

    pub(crate) fn content_lock_path(&self) -> PathBuf {
        self.content_dir.join("lock")
    }

    /// Finds an image by reference, id, or unique beginning of an id.
    pub fn resolve(&self, name: &str) -> Result<Image> {
        self.find(name)?.ok_or_else(|| no_such(name))
    }

    fn find(&self, name: &str) -> Result<Option<Image>> {
        let hex = name.strip_prefix("sha256:").unwrap_or(name);
        if let Ok(id) = Digest::from_hex(hex) {
            return self.records.image(&id);
        }
        if let Some(image) = self.find_reference(name)? {
            return Ok(Some(image));
        }
        self.find_prefix(hex)
    }

    fn find_reference(&self, name: &str) -> Result<Option<Image>> {
        let Ok(reference) = Reference::parse(name) else { return Ok(None) };
        let record = match reference.digest() {
            None => self.records.reference(&reference)?,
            Some(digest) => match self.records.reference(&reference.with_digest(*digest))? {
                Some(record) => Some(record),
                None => return self.find_manifest(&reference, digest),
            },
        };
        record.map_or(Ok(None), |record| self.records.image(&record.id))
    }

    /// An image of that repository whose manifest has the digest.
    fn find_manifest(&self, reference: &Reference, digest: &Digest) -> Result<Option<Image>> {
        let repository = reference.repository();
        for record in self.records.references()?.iter().filter(|record| record.reference.repository() == repository) {
            let image = self.records.image(&record.id)?.filter(|image| image.manifest == *digest);
            if image.is_some() {
                return Ok(image);
            }
        }
        Ok(None)
    }

    fn find_prefix(&self, prefix: &str) -> Result<Option<Image>> {
        let plausible = !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !plausible {
            return Ok(None);
        }
        let mut matching = self.records.image_ids()?.into_iter().filter(|id| id.hex().starts_with(prefix));
        match (matching.next(), matching.next()) {
            (Some(_), Some(_)) => Err(Error::AmbiguousId(prefix.to_owned())),
            (Some(id), None) => self.records.image(&id),
            (None, _) => Ok(None),
        }
    }

    /// All images, newest first.
    pub fn list(&self) -> Result<Vec<ImageSummary>> {
        let references = self.records.references()?;
        let images = self.records.images()?.into_iter();
        let mut list: Vec<_> = images.map(|image| summary(image, &references)).collect();
        list.sort_by_cached_key(|summary| (std::cmp::Reverse(summary.created()), summary.image.id));
        Ok(list)
    }

    /// One image with its names.
    pub fn summary(&self, image: Image) -> Result<ImageSummary> {
        Ok(summary(image, &self.records.references()?))
    }

    /// The image that a reference names.
    pub fn reference(&self, reference: &Reference) -> Result<Option<Digest>> {
        Ok(self.records.reference(reference)?.map(|record| record.id))
    }

    /// All names with what they name.
    pub fn references(&self) -> Result<Vec<RefRecord>> {
        self.records.references()
    }

    /// Gives an image another name; tells which image had it before.
    pub fn tag(&self, name: &str, reference: &Reference) -> Result<Option<Digest>> {
        if reference.digest().is_some() {
            return Err(Error::DigestTag);
        }
        self.records.prepare()?;
        let _lock = Lock::exclusive(&self.records.lock_path())?;
        let image = self.resolve(name)?;
        let old = self.records.reference(reference)?.map(|record| record.id);
        self.records.write_reference(reference, image.id)?;
        Ok(old.filter(|old| *old != image.id))
    }

    /// The configuration of an image.
    pub fn config(&self, id: &Digest) -> Result<ImageConfig> {
        let bytes = self.content.read(id, Limits::default().json_bytes)?;
        let json = |source| Error::Json { name: format!("the configuration of {id}"), source };
        serde_json::from_slice(&bytes).map_err(json)
    }

    /// The ids under which a storage driver holds the image's layers, bottom first; those whose files belong to `owners`.
    pub fn driver_layers(&self, image: &Image, driver: &str, owners: Option<&IdMaps>) -> Result<Vec<String>> {
        let missing = || Error::NotUnpacked { image: image.id.short(), driver: driver.to_owned() };
        let record = |layer: &crate::records::Layer| {
            self.records.layer(driver, &chain_for(&layer.chain, owners))?.ok_or_else(missing)
        };
        image.layers.iter().map(|layer| record(layer).map(|record| record.id)).collect()
    }

    /// The same for a stack that is only known by its chain ids, bottom first; nearest first, and `None` if one lacks.
    pub fn layers_of(&self, driver: &str, chains: &[String]) -> Result<Option<Vec<String>>> {
        let mut layers = Vec::with_capacity(chains.len());
        for chain in chains.iter().rev() {
            let Ok(digest) = Digest::parse(chain) else { return Ok(None) };
            let Some(record) = self.records.layer(driver, &gantry_model::digest::ChainId(digest))? else {
                return Ok(None);
            };
            layers.push(record.id);
        }
        Ok(Some(layers))
    }

    /// The storage drivers that have held layers of images.
    pub fn layer_drivers(&self) -> Result<Vec<String>> {
        let mut drivers = self.records.drivers()?;
        drivers.retain(|driver| self.layer_count(driver).is_ok_and(|count| count > 0));
        Ok(drivers)
    }

    /// How many layers of images a storage driver holds.
    pub fn layer_count(&self, driver: &str) -> Result<usize> {
        self.records.layer_count(driver)
    }

    /// All layers of images that a storage driver holds.
    pub fn layer_records(&self, driver: &str) -> Result<Vec<crate::records::LayerRecord>> {
        self.records.layers(driver)
    }

    /// Unpacks from the blobs what a storage driver lacks of an image.
    pub fn unpack_image(&self, image: &Image, options: &UnpackOptions<'_>) -> Result<()> {
        let _writing = self.begin_writing()?;
        let diffs: Vec<_> = image.layers.iter().map(|layer| layer.diff).collect();
        let source = |index: usize| self.stored_source(image.layers[index].blob);
        unpack_stack(self, options, &diffs, &source, None)?.commit(self, Vec::new())?;
        Ok(())
    }
}

fn summary(image: Image, references: &[RefRecord]) -> ImageSummary {
    let own = references.iter().filter(|record| record.id == image.id).map(|record| record.reference.clone());
    let (tags, digests) = own.partition(|reference| reference.digest().is_none());
    ImageSummary { image, tags, digests }
}

/// Docker completes what was typed before it says that it is not there.
pub(crate) fn no_such(name: &str) -> Error {
    let completed = Reference::parse(name).map(|reference| reference.familiar());
    Error::NoSuchImage(completed.unwrap_or_else(|_| name.to_owned()))
}

/// Whether what was typed is (the beginning of) this id rather than a name.
pub(crate) fn is_id_prefix(id: &Digest, name: &str) -> bool {
    let hex = name.strip_prefix("sha256:").unwrap_or(name);
    !hex.is_empty() && id.hex().starts_with(hex)
}

impl ImageStore {
    /// The time an image was last given a name.
    pub(crate) fn last_tagged(&self, id: &Digest) -> Result<Option<String>> {
        let records = self.records.references()?.into_iter().filter(|record| record.id == *id);
        Ok(records.map(|record| record.tagged).max())
    }

    /// Notes that an image is used now, in the time of its record: a few microseconds, and no harm if it fails.
    pub fn note_use(&self, id: &Digest) {
        self.records.touch_image(id);
    }

    /// When an image came, or was last used.
    pub fn last_used(&self, id: &Digest) -> Result<SystemTime> {
        self.records.image_time(id)
    }

    /// Holds off removals and changes of names. For whoever makes a container: take it before `resolve`, and
    /// drop it when the container's record says which image it uses.
    pub fn hold(&self) -> Result<Lock> {
        files::create_dir(&self.content_dir.with_file_name("images"))?;
        Lock::shared(&self.records.lock_path())
    }
}
