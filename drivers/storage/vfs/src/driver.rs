//! The driver's entry.

use crate::error::Error;
use crate::options::{OPTIONS, layer_copy};
use crate::store::VfsStore;
use gantry_driver_shared::layers::Layers;
use gantry_plugin_api::error::Result;
use gantry_plugin_api::host::Host;
use gantry_plugin_api::options::{OptionSpec, Options};
use gantry_plugin_api::storage::{StorageDriver, Store};
use gantry_plugin_api::types::Dirs;

/// The vfs storage driver.
#[derive(Default)]
pub struct Vfs;

impl StorageDriver for Vfs {
    const OPTIONS: &'static [OptionSpec] = OPTIONS;

    fn validate(&self, options: &Options) -> Result<()> {
        layer_copy(options)?;
        Ok(())
    }

    fn init(&self, dirs: &Dirs, options: &Options, host: Host) -> Result<Box<dyn Store>> {
        let layer_copy = layer_copy(options)?;
        let layers = Layers::open(&dirs.root, &[]).map_err(Error::from)?;
        Ok(Box::new(VfsStore::new(layers, layer_copy, host)))
    }
}
