//! The storage driver in use, and the image crate's view of it.

use crate::Engine;
use crate::error::{Error, Result};
use gantry_host::api::options::{Options, Scope};
use gantry_host::api::storage::Whiteouts as DriverWhiteouts;
use gantry_host::{Kind, Store};
use gantry_image::{BoxError, LayerSink, LayerTarget, Whiteouts};
use gantry_model::container::HostConfig;
use gantry_runtime::RootMount;
use std::path::PathBuf;

/// The option by which a driver leaves syncs out: of a store, for containers that are removed at their end.
const VOLATILE: &str = "volatile";

/// An open store and its driver's name.
pub struct Storage {
    /// The driver.
    pub driver: String,
    /// Its store.
    pub store: Store,
}

impl Engine {
    /// The driver's name: the flag's, else the configuration's.
    pub(crate) fn storage_driver(&self) -> &str {
        self.settings.storage_driver.as_deref().unwrap_or(&self.settings.config.storage_driver)
    }

    /// The store of the driver in use, opened once.
    pub(crate) fn storage(&self) -> Result<&Storage> {
        if let Some(storage) = self.store.get() {
            return Ok(storage);
        }
        let opened = self.open_storage(self.storage_driver())?;
        Ok(self.store.get_or_init(|| opened))
    }

    /// The store of a named driver: a container keeps the driver it was made with.
    pub(crate) fn open_storage(&self, name: &str) -> Result<Storage> {
        let driver = self.plugins.storage(name)?;
        let given = self.settings.config.driver_options("storage", name);
        let options = self.plugins.check_options(Kind::Storage, name, Scope::OBJECT, given)?;
        let store = driver.init(&self.driver_dirs("storage", name), &options)?;
        Ok(Storage { driver: name.to_owned(), store })
    }

    /// Runs `act` with the store of `name`, the open one when it is the same.
    pub(crate) fn with_storage<T>(&self, name: &str, act: impl FnOnce(&Store) -> Result<T>) -> Result<T> {
        if name == self.storage_driver() { act(&self.storage()?.store) } else { act(&self.open_storage(name)?.store) }
    }

    /// Options of a container's writable layer.
    pub(crate) fn storage_options(&self, host: &HostConfig) -> Result<Options> {
        let driver = self.storage_driver();
        let check =
            |pairs: &[(String, String)]| self.plugins.check_options(Kind::Storage, driver, Scope::CONTAINER, pairs);
        let mut pairs: Vec<_> = host.storage_opt.clone().into_iter().collect();
        // What an operator lets a driver leave unsynced is what nobody means to keep.
        let operator = self.settings.config.driver_options("storage", driver);
        if !host.auto_remove && !host.storage_opt.contains_key(VOLATILE) && operator.iter().any(|(k, _)| k == VOLATILE)
        {
            let lasting = (VOLATILE.to_owned(), "false".to_owned());
            pairs.extend(check(std::slice::from_ref(&lasting)).is_ok().then_some(lasting));
        }
        if pairs.is_empty() { Ok(Options::default()) } else { Ok(check(&pairs)?) }
    }
}

/// The mounts of a root as the runtime wants them.
pub(crate) fn root_mounts(plan: Vec<gantry_host::api::types::Mount>) -> Vec<RootMount> {
    let convert = |m: gantry_host::api::types::Mount| RootMount {
        fstype: m.fstype,
        source: m.source,
        target: m.target,
        flags: m.flags,
        options: m.options,
    };
    plan.into_iter().map(convert).collect()
}

impl LayerSink for Storage {
    fn depends_on_parent(&self) -> bool {
        !self.store.capabilities().is_ok_and(|c| c.independent_layers)
    }

    fn begin(&self, chain: &str, parent: Option<&str>) -> std::result::Result<LayerTarget, BoxError> {
        let target = self.store.begin_layer(chain, parent)?;
        let whiteouts = match target.whiteouts {
            DriverWhiteouts::APPLY => Whiteouts::Apply,
            DriverWhiteouts::OVERLAY_TRUSTED => Whiteouts::OverlayTrusted,
            DriverWhiteouts::OVERLAY_USER => Whiteouts::OverlayUser,
            other => return Err(Error::invalid(format!("unknown form of whiteouts: {}", other.0)).into()),
        };
        Ok(LayerTarget { path: target.path, whiteouts })
    }

    fn commit(&self, chain: &str) -> std::result::Result<(), BoxError> {
        Ok(self.store.commit_layer(chain)?)
    }

    fn abort(&self, chain: &str) {
        if let Err(error) = self.store.remove(chain) {
            tracing::warn!(layer = chain, "cannot remove an unfinished layer: {error}");
        }
    }

    fn exists(&self, chain: &str) -> bool {
        self.store.has_layer(chain).unwrap_or(false)
    }

    fn dir(&self, layer: &str) -> Option<PathBuf> {
        self.store.layer_dir(layer).ok().flatten()
    }

    fn list(&self) -> Vec<String> {
        let layers = self.store.list().unwrap_or_default().into_iter();
        let images = layers.filter(|(_, writable)| !writable).map(|(id, _)| id);
        images.filter(|id| *id != crate::mount_points::id()).collect()
    }
}
