//! What no record names is garbage: half-written blobs, layers of interrupted loads, images' remains.

use std::collections::HashSet;
use std::time::Duration;

use gantry_model::digest::{ChainId, Digest};

use crate::error::Result;
use crate::files::Lock;
use crate::layers::storage;
use crate::records::{Image, LayerRecord};
use crate::remove::{DeadLayer, DeleteLayer, Removal, Users};
use crate::store::ImageStore;

/// What a collection removed.
#[derive(Debug, Default)]
pub struct Collected {
    /// Someone was bringing content, so nothing was done.
    pub busy: bool,
    pub blobs: usize,
    /// Bytes of blobs.
    pub bytes: u64,
    pub layers: usize,
    pub failures: Vec<crate::error::Error>,
}

/// A download that nobody went on with for so long is given up.
const UNWANTED: Duration = Duration::from_secs(24 * 3600);

/// Layers to be deleted: those with their driver and record, and ids that no record names.
type Swept = (Vec<(String, LayerRecord)>, Vec<String>);

impl ImageStore {
    /// Removes everything that no image needs, of one storage driver. `driver_layers` are the ids of all image
    /// layers that the driver holds, listed before this call; containers' layers must not be among them.
    pub fn collect_garbage(
        &self,
        driver: &str,
        driver_layers: &[String],
        users: &dyn Users,
        delete: DeleteLayer<'_>,
    ) -> Result<Collected> {
        self.content.prepare()?;
        self.records.prepare()?;
        self.records.prepare_driver(driver)?;
        let mut collected = Collected::default();
        let (dying, strangers) = {
            let _images = Lock::exclusive(&self.records.lock_path())?;
            let Some(_alone) = Lock::try_exclusive(&self.content_lock_path())? else {
                return Ok(Collected { busy: true, ..collected });
            };
            self.records.clear_unfinished()?;
            collected.bytes += self.content.clear_ingest()?;
            collected.bytes += self.content.clear_partials(UNWANTED)?;
            let images = self.records.images()?;
            self.sweep_blobs(&images, &mut collected)?;
            self.sweep_layers(driver, &images, driver_layers, users)?
        };
        let mut removal = Removal::default();
        self.delete_layers(&dying, delete, &mut removal);
        collected.layers += removal.removed.len();
        collected.failures = removal.failures;
        delete_strangers(driver, strangers, delete, &mut collected);
        Ok(collected)
    }

    fn sweep_blobs(&self, images: &[Image], collected: &mut Collected) -> Result<()> {
        let named: HashSet<Digest> = images.iter().flat_map(Image::blobs).collect();
        for (digest, size) in self.content.list()? {
            if !named.contains(&digest) && self.content.delete(&digest)? {
                collected.blobs += 1;
                collected.bytes += size;
            }
        }
        Ok(())
    }

    /// Layers with a record that no image names, and layers without a record.
    fn sweep_layers(
        &self,
        driver: &str,
        images: &[Image],
        driver_layers: &[String],
        users: &dyn Users,
    ) -> Result<Swept> {
        let chains: HashSet<ChainId> = images.iter().flat_map(|image| &image.layers).map(|layer| layer.chain).collect();
        let mut dying: Vec<LayerRecord> = Vec::new();
        let mut named: HashSet<String> = HashSet::new();
        for record in self.records.layers(driver)? {
            let chain = record.layer.chain;
            named.insert(record.id.clone());
            if !chains.contains(&chain) && !users.holds_layer(driver, &chain) {
                self.records.begin_removal(driver, &record)?;
            }
        }
        for record in self.records.dying_layers(driver)? {
            named.insert(record.id.clone());
            dying.push(record);
        }
        self.records.sweep_notes(driver, &named)?;
        let stranger = |layer: &&String| !named.contains(*layer) && !users.holds_id(driver, layer);
        let strangers = driver_layers.iter().filter(stranger).cloned().collect();
        Ok((dying.into_iter().map(|record| (driver.to_owned(), record)).collect(), strangers))
    }
}

impl ImageStore {
    /// Gives up all downloads that were cut off and that nobody goes on with now; answers their bytes.
    pub fn forget_downloads(&self) -> Result<u64> {
        self.content.clear_partials(Duration::ZERO)
    }

    /// How many blobs are kept, and the bytes of these and of downloads that were cut off.
    pub fn kept_content(&self) -> Result<(usize, u64, u64)> {
        let (blobs, bytes) = self.content.blob_space()?;
        Ok((blobs, bytes, self.content.partial_space()?.1))
    }
}

/// Layers of loads that did not get as far as a record.
fn delete_strangers(driver: &str, strangers: Vec<String>, delete: DeleteLayer<'_>, collected: &mut Collected) {
    for layer in strangers {
        let dead = DeadLayer { driver: driver.to_owned(), chain: ChainId(crate::hash::sha256(b"")), layer };
        match delete(&dead).map_err(storage("remove", &dead.layer)) {
            Ok(()) => collected.layers += 1,
            Err(error) => collected.failures.push(error),
        }
    }
}
