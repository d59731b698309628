//! The driver's entry: opens the store after a look at the host.

use crate::error::Error;
use crate::links;
use crate::mounts::WORK;
use crate::options::{OPTIONS, Settings};
use crate::probe::{Kernel, backing};
use crate::store::OverlayStore;
use gantry_driver_shared::layers::Layers;
use gantry_plugin_api::error::Result;
use gantry_plugin_api::host::Host;
use gantry_plugin_api::options::{OptionSpec, Options};
use gantry_plugin_api::storage::{StorageDriver, Store};
use gantry_plugin_api::types::Dirs;
use std::path::Path;

/// The overlay2 storage driver.
#[derive(Default)]
pub struct Overlay2;

impl StorageDriver for Overlay2 {
    const OPTIONS: &'static [OptionSpec] = OPTIONS;

    fn validate(&self, options: &Options) -> Result<()> {
        Settings::of_store(options)?;
        Ok(())
    }

    fn init(&self, dirs: &Dirs, options: &Options, _host: Host) -> Result<Box<dyn Store>> {
        Ok(Box::new(open(dirs, options)?))
    }
}

fn open(dirs: &Dirs, options: &Options) -> Result<OverlayStore, Error> {
    let root = &dirs.root;
    check_path(root)?;
    let settings = Settings::of_store(options)?;
    let layers = Layers::open(root, &[links::FOLDER, WORK])?;
    let (backing, kernel) = (backing(&layers)?, Kernel::probe()?);
    Ok(OverlayStore { layers, state: dirs.state.clone(), backing, kernel, settings })
}

/// Lists of lower directories are split at colons and options at commas by kernels without `lowerdir+`.
fn check_path(root: &Path) -> Result<(), Error> {
    let bad = root.as_os_str().as_encoded_bytes().iter().any(|b| matches!(b, b':' | b',' | b'\\'));
    if bad { Err(Error::Path(root.to_owned())) } else { Ok(()) }
}
