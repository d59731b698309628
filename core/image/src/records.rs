//! The records this crate keeps, and where.
//!
//! `images/records/<id>` for each image, `images/refs/<hash of the reference>` for each reference,
//! `layers/<driver>/<chain id>` for each layer a storage driver holds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use gantry_model::digest::{ChainId, DiffId, Digest};
use gantry_model::reference::Reference;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files;
use crate::hash::sha256;

/// The end of the name of a layer record whose layer is being removed.
const REMOVING: &str = ".removing";

/// The end of the name of a list of sums.
const SUMS: &str = ".sums";

/// The end of the name of the outline of a layer that is not all here, and of the list of those of its files that are.
const OUTLINE: &str = ".lazy";
const HERE: &str = ".here";

/// Says which layers need no look after a boot.
const TRUST: &str = ".trust";

/// See [`Records::trust`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trust {
    schema: u32,
    pub(crate) boot: String,
    /// Layers made up to this moment were looked at, or reached the disk before an orderly shutdown.
    pub(crate) until: String,
}

impl Trust {
    pub(crate) fn new(until: String) -> Self {
        Self { schema: files::SCHEMA, boot: files::boot(), until }
    }
}

/// What is known of an image without reading its blobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    schema: u32,
    /// The digest of the configuration.
    pub id: Digest,
    /// The digest of the manifest.
    pub manifest: Digest,
    /// When the image was built, as its configuration says.
    pub created: Option<String>,
    /// When it came into this store.
    pub stored: String,
    /// The sum of the layers' sizes.
    pub size: u64,
    pub architecture: String,
    pub os: String,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Bottom first.
    pub layers: Vec<Layer>,
    /// The image of the container that it was committed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Digest>,
}

/// One layer of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    pub diff: DiffId,
    pub chain: ChainId,
    /// The digest of the layer as it is stored, usually compressed.
    pub blob: Digest,
    pub media_type: String,
    /// Size of the blob.
    pub compressed: u64,
    /// Size of the files.
    pub size: u64,
}

/// A layer in a storage driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRecord {
    schema: u32,
    /// The id by which the driver knows it.
    pub id: String,
    pub parent: Option<ChainId>,
    pub created: String,
    /// The boot of the host in which it was unpacked: what was written shortly before a boot ended is not trusted.
    #[serde(default)]
    pub boot: String,
    #[serde(flatten)]
    pub layer: Layer,
}

/// A name of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefRecord {
    schema: u32,
    pub reference: Reference,
    pub id: Digest,
    pub tagged: String,
}

impl Image {
    pub(crate) fn new(id: Digest, manifest: Digest, config: &crate::config::ImageConfig, layers: Vec<Layer>) -> Self {
        Self {
            schema: files::SCHEMA,
            id,
            manifest,
            created: config.created.clone(),
            stored: files::now(),
            size: layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.size)),
            architecture: config.architecture.clone(),
            os: config.os.clone(),
            labels: config.config.labels.clone(),
            layers,
            parent: None,
        }
    }

    /// Every blob this image needs.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = Digest> {
        [self.id, self.manifest].into_iter().chain(self.layers.iter().map(|layer| layer.blob))
    }
}

impl LayerRecord {
    pub(crate) fn new(id: &str, parent: Option<ChainId>, layer: Layer) -> Self {
        Self { schema: files::SCHEMA, id: id.to_owned(), parent, created: files::now(), boot: files::boot(), layer }
    }
}

/// The directories of the records.
#[derive(Clone, Debug)]
pub(crate) struct Records {
    images: PathBuf,
    layers: PathBuf,
}

impl Records {
    pub(crate) fn new(root: &Path) -> Self {
        Self { images: root.join("images"), layers: root.join("layers") }
    }

    pub(crate) fn prepare(&self) -> Result<()> {
        files::create_dir(&self.images.join("records"))?;
        files::create_dir(&self.images.join("refs"))?;
        files::create_dir(&self.layers)
    }

    pub(crate) fn lock_path(&self) -> PathBuf {
        self.images.join("lock")
    }

    fn image_path(&self, id: &Digest) -> PathBuf {
        self.images.join("records").join(id.hex())
    }

    fn ref_path(&self, reference: &Reference) -> PathBuf {
        self.images.join("refs").join(sha256(reference.to_string().as_bytes()).hex())
    }

    pub(crate) fn image(&self, id: &Digest) -> Result<Option<Image>> {
        files::read_record(&self.image_path(id))
    }

    pub(crate) fn write_image(&self, image: &Image) -> Result<()> {
        files::write_record(&self.image_path(&image.id), image)
    }

    pub(crate) fn touch_image(&self, id: &Digest) {
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let times = Timestamps { last_access: now, last_modification: now };
        let _ = rustix::fs::utimensat(CWD, self.image_path(id), &times, AtFlags::empty());
    }

    pub(crate) fn image_time(&self, id: &Digest) -> Result<SystemTime> {
        let path = self.image_path(id);
        std::fs::metadata(&path).and_then(|meta| meta.modified()).map_err(Error::io("look at", path))
    }

    pub(crate) fn remove_image(&self, id: &Digest) -> Result<()> {
        files::remove(&self.image_path(id))?;
        files::sync_dir(&self.images.join("records"))
    }

    /// The ids of all images.
    pub(crate) fn image_ids(&self) -> Result<Vec<Digest>> {
        let names = files::names(&self.images.join("records"))?;
        Ok(names.iter().filter_map(|name| Digest::from_hex(name).ok()).collect())
    }

    /// All images. One that is removed meanwhile is left out.
    pub(crate) fn images(&self) -> Result<Vec<Image>> {
        let ids = self.image_ids()?;
        ids.iter().filter_map(|id| self.image(id).transpose()).collect()
    }

    pub(crate) fn reference(&self, reference: &Reference) -> Result<Option<RefRecord>> {
        files::read_record(&self.ref_path(reference))
    }

    pub(crate) fn write_reference(&self, reference: &Reference, id: Digest) -> Result<()> {
        let record = RefRecord { schema: files::SCHEMA, reference: reference.clone(), id, tagged: files::now() };
        files::write_record(&self.ref_path(reference), &record)
    }

    pub(crate) fn remove_reference(&self, reference: &Reference) -> Result<bool> {
        let removed = files::remove(&self.ref_path(reference))?;
        files::sync_dir(&self.images.join("refs"))?;
        Ok(removed)
    }

    /// All references, in the order of their names.
    pub(crate) fn references(&self) -> Result<Vec<RefRecord>> {
        let dir = self.images.join("refs");
        let mut records: Vec<RefRecord> = Vec::new();
        for name in files::names(&dir)?.iter().filter(|name| !name.starts_with('.')) {
            records.extend(files::read_record(&dir.join(name))?);
        }
        records.sort_by(|a, b| a.reference.cmp(&b.reference));
        Ok(records)
    }

    /// The references of one image.
    pub(crate) fn references_of(&self, id: &Digest) -> Result<Vec<Reference>> {
        let records = self.references()?.into_iter().filter(|record| record.id == *id);
        Ok(records.map(|record| record.reference).collect())
    }

    /// A driver's directory, made if it is missing.
    pub(crate) fn prepare_driver(&self, driver: &str) -> Result<()> {
        files::create_dir(&self.driver_dir(driver)?)
    }

    pub(crate) fn driver_dir(&self, driver: &str) -> Result<PathBuf> {
        let plain = !driver.is_empty() && !driver.starts_with('.') && !driver.contains(['/', '\0']);
        match plain {
            true => Ok(self.layers.join(driver)),
            false => Err(Error::NoSuchDriver(driver.to_owned())),
        }
    }

    fn layer_path(&self, driver: &str, chain: &ChainId) -> Result<PathBuf> {
        Ok(self.driver_dir(driver)?.join(format!("{}.json", chain.0.hex())))
    }

    pub(crate) fn layer_lock_path(&self, driver: &str, chain: &ChainId) -> Result<PathBuf> {
        Ok(self.driver_dir(driver)?.join(format!(".lock-{}", chain.0.hex())))
    }

    /// What was recorded of a layer's entries when it was unpacked.
    pub(crate) fn sums_path(&self, driver: &str, id: &str) -> Result<PathBuf> {
        Ok(self.driver_dir(driver)?.join(format!("{id}{SUMS}")))
    }

    /// What is known of a layer that is not all here; that there is such a file says so.
    pub(crate) fn outline_path(&self, driver: &str, id: &str) -> Result<PathBuf> {
        Ok(self.driver_dir(driver)?.join(format!("{id}{OUTLINE}")))
    }

    /// Which of its files are here: known as long as the host is up, since nobody waits until they are on the disk.
    pub(crate) fn here_path(&self, driver: &str, id: &str) -> Result<PathBuf> {
        Ok(self.driver_dir(driver)?.join(format!("{id}.{}{HERE}", files::boot())))
    }

    /// The ids of layers that are not all here.
    pub(crate) fn outlined(&self, driver: &str) -> Result<Vec<String>> {
        let names = files::names(&self.driver_dir(driver)?)?;
        Ok(names.iter().filter_map(|name| name.strip_suffix(OUTLINE)).map(str::to_owned).collect())
    }

    /// Removes what else is kept of a layer, or of one that came to nothing.
    pub(crate) fn remove_notes(&self, driver: &str, id: &str) -> Result<()> {
        files::remove(&self.outline_path(driver, id)?)?;
        files::remove(&self.here_path(driver, id)?)?;
        files::remove(&self.sums_path(driver, id)?).map(drop)
    }

    /// Removes lists and outlines of layers that are not among these ids, and what earlier boots knew to be here.
    pub(crate) fn sweep_notes(&self, driver: &str, ids: &std::collections::HashSet<String>) -> Result<usize> {
        let (dir, present) = (self.driver_dir(driver)?, format!(".{}", files::boot()));
        let mut removed = 0;
        for name in files::names(&dir)? {
            let here = name.strip_suffix(HERE).map(|rest| rest.strip_suffix(&present).unwrap_or_default());
            let id = name.strip_suffix(SUMS).or_else(|| name.strip_suffix(OUTLINE)).or(here);
            if id.is_some_and(|id| !ids.contains(id)) {
                removed += usize::from(files::remove(&dir.join(name))?);
            }
        }
        Ok(removed)
    }

    /// Which boot's layers were looked at, and up to which moment.
    pub(crate) fn trust(&self) -> Result<Trust> {
        Ok(files::read_record(&self.layers.join(TRUST))?.unwrap_or_default())
    }

    pub(crate) fn write_trust(&self, trust: &Trust) -> Result<()> {
        files::write_record(&self.layers.join(TRUST), trust)
    }

    pub(crate) fn layer(&self, driver: &str, chain: &ChainId) -> Result<Option<LayerRecord>> {
        files::read_record(&self.layer_path(driver, chain)?)
    }

    pub(crate) fn write_layer(&self, driver: &str, record: &LayerRecord) -> Result<()> {
        files::write_record(&self.layer_path(driver, &record.layer.chain)?, record)
    }

    pub(crate) fn remove_layer(&self, driver: &str, chain: &ChainId) -> Result<()> {
        files::remove(&self.layer_path(driver, chain)?).map(drop)
    }

    /// The storage drivers that have layers.
    pub(crate) fn drivers(&self) -> Result<Vec<String>> {
        Ok(files::names(&self.layers)?.into_iter().filter(|name| !name.starts_with('.')).collect())
    }

    /// All layers of a driver.
    pub(crate) fn layers(&self, driver: &str) -> Result<Vec<LayerRecord>> {
        self.layer_records(driver, ".json")
    }

    /// How many layers a driver has; no record is read.
    pub(crate) fn layer_count(&self, driver: &str) -> Result<usize> {
        let names = files::names(&self.driver_dir(driver)?)?;
        Ok(names.iter().filter(|name| name.ends_with(".json") && !name.starts_with('.')).count())
    }

    /// Layers of a driver whose removal was begun.
    pub(crate) fn dying_layers(&self, driver: &str) -> Result<Vec<LayerRecord>> {
        self.layer_records(driver, REMOVING)
    }

    fn layer_records(&self, driver: &str, end: &str) -> Result<Vec<LayerRecord>> {
        let dir = self.driver_dir(driver)?;
        let names = files::names(&dir)?;
        let paths =
            names.iter().filter(|name| name.ends_with(end) && !name.starts_with('.')).map(|name| dir.join(name));
        paths.filter_map(|path| files::read_record(&path).transpose()).collect()
    }

    /// First phase of a layer's removal: nobody finds it any more.
    pub(crate) fn begin_removal(&self, driver: &str, record: &LayerRecord) -> Result<()> {
        let from = self.layer_path(driver, &record.layer.chain)?;
        files::rename(&from, &self.removing_path(driver, record)?)?;
        files::sync_dir(&self.driver_dir(driver)?)
    }

    /// Last phase: the driver has removed it.
    pub(crate) fn finish_removal(&self, driver: &str, record: &LayerRecord) -> Result<()> {
        self.remove_notes(driver, &record.id)?;
        files::remove(&self.removing_path(driver, record)?).map(drop)
    }

    fn removing_path(&self, driver: &str, record: &LayerRecord) -> Result<PathBuf> {
        let name = format!("{}-{}{REMOVING}", record.layer.chain.0.hex(), record.id);
        Ok(self.driver_dir(driver)?.join(name))
    }

    /// Removes unfinished files of writers that are gone. Only while nobody writes.
    pub(crate) fn clear_unfinished(&self) -> Result<()> {
        let mut dirs = vec![self.images.join("records"), self.images.join("refs")];
        dirs.extend(self.drivers()?.iter().map(|driver| self.layers.join(driver)));
        for dir in dirs {
            for name in files::names(&dir)?.iter().filter(|name| name.starts_with('.')) {
                files::remove(&dir.join(name))?;
            }
        }
        Ok(())
    }
}
