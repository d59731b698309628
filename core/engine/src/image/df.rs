//! `system df -v`: what takes space, one by one, and which storage driver holds how much.

use crate::Engine;
use crate::container::ContainerSummary;
use crate::error::Result;
use crate::request::ListRequest;
use crate::volume::VolumeRecord;
use gantry_image::ImageSummary;
use gantry_model::digest::ChainId;
use std::collections::{BTreeMap, HashMap};
use std::time::SystemTime;

use super::logs_size;

/// Everything that takes space.
#[derive(Clone, Debug)]
pub struct Details {
    pub images: Vec<ImageSpace>,
    pub containers: Vec<ContainerSpace>,
    pub volumes: Vec<VolumeSpace>,
    pub drivers: Vec<DriverSpace>,
}

/// An image.
#[derive(Clone, Debug)]
pub struct ImageSpace {
    pub summary: ImageSummary,
    /// Bytes in layers that other images have too.
    pub shared: u64,
    /// Containers of it.
    pub containers: usize,
    /// When it came, or was last used.
    pub last_used: SystemTime,
}

/// A container.
#[derive(Clone, Debug)]
pub struct ContainerSpace {
    pub summary: ContainerSummary,
    /// Volumes it mounts.
    pub volumes: usize,
    /// Bytes of its logs.
    pub logs: u64,
}

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeSpace {
    pub name: String,
    pub driver: String,
    /// Containers that mount it.
    pub links: usize,
    pub size: u64,
}

/// What one storage driver holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverSpace {
    pub driver: String,
    /// Layers of images.
    pub layers: usize,
    /// Bytes in them.
    pub size: u64,
    /// Writable layers.
    pub containers: usize,
    /// Layers that no image has: leftovers, which the next collection takes.
    pub orphans: usize,
}

impl Engine {
    /// What takes space, one by one.
    pub fn usage_details(&self) -> Result<Details> {
        let request = ListRequest { all: true, size: true, ..ListRequest::default() };
        let containers: Vec<ContainerSpace> =
            self.list(&request, false)?.into_iter().map(|summary| self.container_detail(summary)).collect();
        Ok(Details {
            images: self.image_details()?,
            volumes: self.volume_details(&containers),
            drivers: self.driver_details()?,
            containers,
        })
    }

    fn image_details(&self) -> Result<Vec<ImageSpace>> {
        let (images, users) = (self.images()?, self.image_users()?);
        let list = images.list()?;
        let mut holders: HashMap<ChainId, usize> = HashMap::new();
        for layer in list.iter().flat_map(|summary| &summary.image.layers) {
            *holders.entry(layer.chain).or_insert(0) += 1;
        }
        let detail = |summary: ImageSummary| -> Result<ImageSpace> {
            let layers = summary.image.layers.iter();
            let shared = layers.filter(|layer| holders.get(&layer.chain).is_some_and(|count| *count > 1));
            let shared = shared.map(|layer| layer.size).sum();
            let id = summary.image.id;
            let containers = users.get(&id.to_string()).copied().unwrap_or(0);
            Ok(ImageSpace { shared, containers, last_used: images.last_used(&id)?, summary })
        };
        list.into_iter().map(detail).collect()
    }

    fn container_detail(&self, summary: ContainerSummary) -> ContainerSpace {
        let id = &summary.record.id;
        let volumes = self.mounts(id).unwrap_or_default().iter().filter(|mount| mount.r#type == "volume").count();
        ContainerSpace { volumes, logs: logs_size(&self.layout.container(id)), summary }
    }

    fn volume_details(&self, containers: &[ContainerSpace]) -> Vec<VolumeSpace> {
        let mut links: BTreeMap<String, usize> = BTreeMap::new();
        for container in containers {
            for mount in self.mounts(&container.summary.record.id).unwrap_or_default() {
                *links.entry(mount.name).or_insert(0) += 1;
            }
        }
        let volumes = self.volume_records();
        let sizes = self.volume_sizes(&volumes);
        let detail = |volume: VolumeRecord| {
            let VolumeRecord { name, driver, .. } = volume;
            let (links, size) = (links.get(&name).copied().unwrap_or(0), sizes.get(&name).copied().unwrap_or(0));
            VolumeSpace { size, links, driver, name }
        };
        volumes.into_iter().map(detail).collect()
    }

    fn driver_details(&self) -> Result<Vec<DriverSpace>> {
        self.drivers_with_layers()?.into_iter().map(|driver| self.driver_detail(driver)).collect()
    }

    /// A driver that copies holds with each layer all those below it.
    pub(super) fn driver_detail(&self, driver: String) -> Result<DriverSpace> {
        let records = self.images()?.layer_records(&driver)?;
        let (copies, held) = self.with_storage(&driver, |store| {
            let capabilities = store.capabilities()?;
            Ok((!capabilities.copy_on_write && !capabilities.reflink, store.list()?))
        })?;
        let below: HashMap<ChainId, (Option<ChainId>, u64)> =
            records.iter().map(|record| (record.layer.chain, (record.parent, record.layer.size))).collect();
        let size = |chain: &ChainId| {
            let own = below.get(chain).copied();
            let stack = std::iter::successors(own, |(parent, _)| below.get(parent.as_ref()?).copied());
            stack.take(if copies { usize::MAX } else { 1 }).map(|(_, size)| size).sum::<u64>()
        };
        let named = |id: &str| records.iter().any(|record| record.id == id) || id == crate::mount_points::id();
        Ok(DriverSpace {
            layers: records.len(),
            size: records.iter().map(|record| size(&record.layer.chain)).sum(),
            containers: held.iter().filter(|(_, writable)| *writable).count(),
            orphans: held.iter().filter(|(id, writable)| !writable && !named(id)).count(),
            driver,
        })
    }
}
