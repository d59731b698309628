//! `--mount type=image`: another image's files, read-only. The image is mounted once on the host for all containers that
//! show it, as volumes that are file systems are, and stays as long as a container has it among its mounts.

use super::ContainerFile;
use super::mounts::MountRecord;
use crate::Engine;
use crate::error::{Error, Result};
use gantry_model::class::Class;
use gantry_model::container::{HostConfig, Mount};
use serde::{Deserialize, Serialize};

/// An image as it was when the container was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MountedImage {
    /// `sha256:…`.
    pub id: String,
    /// The storage driver's layers, nearest first.
    pub layers: Vec<String>,
    /// The layers' chain ids.
    pub chains: Vec<String>,
}

/// Whoever asked for the container is not to fetch the container's own image because a mount's is missing.
fn mount_error(reference: &str, error: gantry_image::Error) -> Error {
    if error.class() != Class::NotFound {
        return error.into();
    }
    let error = Error::invalid(format!("invalid mount config for type \"image\": {error}"));
    error.with_hint(format!("fetch it first: gantry pull {reference}"))
}

impl Engine {
    /// Has the images of a new container's mounts unpacked. Afterwards they are looked up again, while nobody removes any.
    pub(crate) fn unpack_mounted(&self, host: &HostConfig) -> Result<()> {
        for mount in host.mounts.iter().filter(|mount| mount.r#type == "image") {
            self.mounted_image(&mount.source)?;
        }
        Ok(())
    }

    fn mounted_image(&self, reference: &str) -> Result<MountedImage> {
        let image = self.images()?.resolve(reference).map_err(|error| mount_error(reference, error))?;
        let layers = self.image_layers(&image, None)?;
        let chains = image.layers.iter().map(|layer| layer.chain.to_string()).collect();
        Ok(MountedImage { id: image.id.to_string(), layers, chains })
    }

    pub(crate) fn image_mount_record(&self, mount: &Mount, target: &str) -> Result<MountRecord> {
        Ok(MountRecord {
            r#type: "image".into(),
            name: mount.source.clone(),
            destination: target.to_owned(),
            rw: false,
            propagation: "rprivate".into(),
            subpath: mount.image_options.clone().unwrap_or_default().subpath,
            image: Some(self.mounted_image(&mount.source)?),
            ..MountRecord::default()
        })
    }

    /// Where an image is mounted for its containers; notes this one among them.
    pub(crate) fn open_image(&self, file: &ContainerFile, mount: &MountRecord) -> Result<String> {
        let image = mount.image.as_ref().ok_or_else(|| Error::invalid("a mount of no image"))?;
        // It may be shown for long after the command that asked for it.
        let incomplete = self.images()?.incomplete(&file.storage_driver, &image.layers)?;
        self.complete_layers(&file.storage_driver, &incomplete)?;
        let plan = self.with_storage(&file.storage_driver, |store| Ok(store.image_plan(&image.layers)?))?;
        let [plan] = plan.as_slice() else {
            let message = format!("the storage driver {} shows an image as several mounts", file.storage_driver);
            return Err(Error::request(Class::Unsupported, message));
        };
        // No volume is called so.
        let name = format!("@{}-{}", file.storage_driver, image.id.trim_start_matches("sha256:"));
        self.mount_volume(&file.id, &name, plan)
    }

    /// The images among a container's mounts.
    pub(crate) fn mounted_images(&self, id: &str) -> Vec<MountedImage> {
        self.mounts(id).unwrap_or_default().into_iter().filter_map(|mount| mount.image).collect()
    }
}
