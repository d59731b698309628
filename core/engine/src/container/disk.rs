//! Writable layers that lie in a file system of their own, because they are limited where the host's file system keeps no
//! quotas. Each is mounted once, whoever uses it: its container while that runs, and acts that look into a stopped one.
//! Its users are noted as those of volumes are.

use super::ContainerFile;
use crate::Engine;
use crate::error::Result;
use crate::volume::borrowing::Borrowed;
use gantry_host::api::types::Mount;

impl Engine {
    /// Mounts it for a run, at whose end it is given up with the volumes. True when there is one.
    pub(crate) fn open_disk(&self, file: &ContainerFile) -> Result<bool> {
        let Some(disk) = self.disk_of(file)? else { return Ok(false) };
        self.use_disk(&file.id, &name_of(file), &disk)?;
        Ok(true)
    }

    /// Mounts it for as long as the answer lives.
    pub(crate) fn borrow_disk_of(&self, file: &ContainerFile) -> Result<Option<Borrowed<'_>>> {
        self.disk_of(file)?.map(|disk| self.borrow_disk(name_of(file), &disk)).transpose()
    }

    fn disk_of(&self, file: &ContainerFile) -> Result<Option<Mount>> {
        self.with_storage(&file.storage_driver, |store| Ok(store.container_disk(&file.id)?))
    }
}

/// No volume is called so.
fn name_of(file: &ContainerFile) -> String {
    format!("@layer-{}", file.id)
}
