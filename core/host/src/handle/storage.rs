//! Storage drivers and their stores. Calls that may copy or walk an image's worth of data have the longer deadline.

use super::{Driver, Handle, Loaded, construct, said};
use crate::cdoor;
use crate::error::Result;
use crate::isolate::Helper;
use crate::isolate::storage::Proxy;
use crate::plugins::Found;
use crate::verdict::Verdicts;
use crate::worker::{Crew, Limit};
use abi_stable::std_types::{RNone, RSome, RStr};
use gantry_plugin_api::abi::Mirror;
use gantry_plugin_api::abi::storage::{DriverBox, StorageModule, StoreBox, boxed};
use gantry_plugin_api::host::Host;
use gantry_plugin_api::manifest::Kind;
use gantry_plugin_api::options::Options;
use gantry_plugin_api::storage::{Change, LayerTarget, StorageCapabilities, Usage};
use gantry_plugin_api::types::{Dirs, Mount};
use std::path::PathBuf;
use std::sync::Arc;

/// A loaded storage driver.
#[derive(Clone)]
pub struct StorageDriver {
    handle: Handle<DriverBox>,
}

impl Driver for StorageDriver {
    const KIND: Kind = Kind::Storage;

    fn start(found: Arc<Found>, verdicts: &Verdicts, crew: Arc<Crew>) -> Result<Self> {
        let object = match crew.helper() {
            Some(helper) => stand_in(helper, &crew)?,
            None => construct(found, verdicts, &crew, |m: &StorageModule, host| m.new()(host), cdoor::storage)?,
        };
        Ok(StorageDriver { handle: Handle::new(object, crew) })
    }

    fn to_loaded(&self) -> Loaded {
        Loaded::Storage(self.clone())
    }

    fn from_loaded(loaded: Loaded) -> Option<Self> {
        if let Loaded::Storage(driver) = loaded { Some(driver) } else { None }
    }
}

/// The object for a driver in a process of its own, which is started here.
fn stand_in(helper: &Arc<Helper>, crew: &Crew) -> Result<DriverBox> {
    let proxy = Proxy::new(helper.clone());
    proxy.load().map_err(|error| said(crew, "load", error))?;
    Ok(boxed(proxy, Host::null()))
}

impl StorageDriver {
    /// The name it was selected by.
    pub fn name(&self) -> &str {
        &self.handle.crew().name
    }

    /// Checks across options; no I/O.
    pub fn validate(&self, options: &Options) -> Result<()> {
        let options = options.to_abi();
        self.handle.call(Limit::Quick, "validate", move |d| d.validate(&options))
    }

    /// Opens the store in `dirs.root`.
    pub fn init(&self, dirs: &Dirs, options: &Options) -> Result<Store> {
        let (dirs, options) = (dirs.to_abi(), options.to_abi());
        let store = self.handle.call_raw(Limit::Quick, "init", move |d| d.init(&dirs, &options))?;
        Ok(Store { handle: Handle::new(store, self.handle.crew().clone()) })
    }
}

/// An open store.
#[derive(Clone)]
pub struct Store {
    handle: Handle<StoreBox>,
}

impl Store {
    /// What this store can do here.
    pub fn capabilities(&self) -> Result<StorageCapabilities> {
        self.handle.call(Limit::Quick, "capabilities", |s| s.capabilities())
    }

    /// Facts for `info`.
    pub fn status(&self) -> Result<Vec<(String, String)>> {
        self.handle.call(Limit::Quick, "status", |s| s.status())
    }

    /// Starts a layer of an image.
    pub fn begin_layer(&self, id: &str, parent: Option<&str>) -> Result<LayerTarget> {
        let (id, parent) = (id.to_owned(), parent.map(str::to_owned));
        self.handle.call(Limit::Bulk, "begin_layer", move |s| {
            let parent = parent.as_deref().map_or(RNone, |p| RSome(RStr::from(p)));
            s.begin_layer(id.as_str().into(), parent)
        })
    }

    /// Makes a layer visible.
    pub fn commit_layer(&self, id: &str) -> Result<()> {
        let id = id.to_owned();
        self.handle.call(Limit::Bulk, "commit_layer", move |s| s.commit_layer(id.as_str().into()))
    }

    /// True when a committed layer of this id exists.
    pub fn has_layer(&self, id: &str) -> Result<bool> {
        let id = id.to_owned();
        self.handle.call(Limit::Quick, "has_layer", move |s| s.has_layer(id.as_str().into()))
    }

    /// Makes the writable layer of a container.
    pub fn create_container(&self, id: &str, layers: &[String], options: &Options) -> Result<()> {
        let (id, layers, options) = (id.to_owned(), layers.to_vec().to_abi(), options.to_abi());
        let act = move |s: &StoreBox| s.create_container(id.as_str().into(), layers.as_slice().into(), &options);
        self.handle.call(Limit::Bulk, "create_container", act)
    }

    /// The mounts that make the root of a container.
    pub fn mount_plan(&self, id: &str, layers: &[String], read_only: bool) -> Result<Vec<Mount>> {
        let (id, layers) = (id.to_owned(), layers.to_vec().to_abi());
        let act = move |s: &StoreBox| s.mount_plan(id.as_str().into(), layers.as_slice().into(), read_only);
        self.handle.call(Limit::Quick, "mount_plan", act)
    }

    /// The mounts that show an image without a container.
    pub fn image_plan(&self, layers: &[String]) -> Result<Vec<Mount>> {
        let layers = layers.to_vec().to_abi();
        self.handle.call(Limit::Quick, "image_plan", move |s: &StoreBox| s.image_plan(layers.as_slice().into()))
    }

    /// Where files can be put without a mount.
    pub fn writable_dir(&self, id: &str) -> Result<Option<PathBuf>> {
        let id = id.to_owned();
        self.handle.call(Limit::Quick, "writable_dir", move |s| s.writable_dir(id.as_str().into()))
    }

    /// The directory of a committed layer, for looking.
    pub fn layer_dir(&self, id: &str) -> Result<Option<PathBuf>> {
        let id = id.to_owned();
        self.handle.call(Limit::Quick, "layer_dir", move |s| s.layer_dir(id.as_str().into()))
    }

    /// What the container changed against its image.
    pub fn changes(&self, id: &str, layers: &[String]) -> Result<Vec<Change>> {
        let (id, layers) = (id.to_owned(), layers.to_vec().to_abi());
        let act = move |s: &StoreBox| s.changes(id.as_str().into(), layers.as_slice().into());
        self.handle.call(Limit::Bulk, "changes", act)
    }

    /// Sizes of one layer.
    pub fn usage(&self, id: &str) -> Result<Usage> {
        let id = id.to_owned();
        self.handle.call(Limit::Bulk, "usage", move |s| s.usage(id.as_str().into()))
    }

    /// Sizes of many layers, asked for in one go.
    pub fn usages(&self, ids: Vec<String>) -> Result<Vec<Result<Usage>>> {
        self.handle.call_each(Limit::Bulk, "usage", ids, |s, id| s.usage(id.as_str().into()))
    }

    /// Removes a layer of either sort.
    pub fn remove(&self, id: &str) -> Result<()> {
        let id = id.to_owned();
        self.handle.call(Limit::Quick, "remove", move |s| s.remove(id.as_str().into()))
    }

    /// All layer ids with true for writable ones.
    pub fn list(&self) -> Result<Vec<(String, bool)>> {
        self.handle.call(Limit::Quick, "list", |s| s.list())
    }

    /// Deletes trash and leftovers.
    pub fn collect(&self) -> Result<()> {
        self.handle.call(Limit::Bulk, "collect", |s| s.collect())
    }

    /// The file system of its own in which a container's writable layer lies.
    pub fn container_disk(&self, id: &str) -> Result<Option<Mount>> {
        let id = id.to_owned();
        self.handle.call(Limit::Quick, "container_disk", move |s| s.container_disk(id.as_str().into()))
    }

    /// What takes space until it is collected.
    pub fn trash(&self) -> Result<Usage> {
        self.handle.call(Limit::Bulk, "trash", |s| s.trash())
    }

    /// A copy of a container's writable layer.
    pub fn clone_container(&self, id: &str, from: &str) -> Result<()> {
        let (id, from) = (id.to_owned(), from.to_owned());
        let act = move |s: &StoreBox| s.clone_container(id.as_str().into(), from.as_str().into());
        self.handle.call(Limit::Bulk, "clone_container", act)
    }
}
