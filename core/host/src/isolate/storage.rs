//! Storage drivers and their stores: both sides of their calls.

use super::helper::{Helper, Object};
use super::line::Line;
use super::serve::{answer_all, done, opened, unknown};
use crate::worker::Limit::{Bulk, Quick};
use crate::{StorageDriver as Handle, Store as StoreHandle};
use gantry_plugin_api::host::Host;
use gantry_plugin_api::options::{OptionSpec, Options};
use gantry_plugin_api::storage::{Change, LayerTarget, StorageCapabilities, StorageDriver, Store, Usage};
use gantry_plugin_api::types::{Dirs, Mount};
use gantry_plugin_api::{Class, Error, Result};
use std::path::PathBuf;
use std::sync::Arc;

/// Stands in for a driver in a helper. It shows no schema: the engine reads schemas from files.
#[derive(Default)]
pub struct Proxy {
    helper: Option<Arc<Helper>>,
}

impl Proxy {
    pub fn new(helper: Arc<Helper>) -> Self {
        Proxy { helper: Some(helper) }
    }

    /// Starts the helper.
    pub fn load(&self) -> Result<()> {
        self.helper()?.ready()
    }

    fn helper(&self) -> Result<&Arc<Helper>> {
        self.helper.as_ref().ok_or_else(|| Error::new(Class::INTERNAL, "no driver stands behind this"))
    }
}

impl StorageDriver for Proxy {
    const OPTIONS: &'static [OptionSpec] = &[];

    fn validate(&self, options: &Options) -> Result<()> {
        self.helper()?.ask(Quick, "validate", &(options, ()))
    }

    fn init(&self, dirs: &Dirs, options: &Options, _: Host) -> Result<Box<dyn Store>> {
        let ((capabilities, status), object) = self.helper()?.open("init", &(dirs, options))?;
        Ok(Box::new(StoreProxy { object, capabilities, status }))
    }
}

/// Stands in for an open store. What it can do and its facts come with the opening: asking for them cannot fail.
struct StoreProxy {
    object: Object,
    capabilities: StorageCapabilities,
    status: Vec<(String, String)>,
}

impl Store for StoreProxy {
    fn capabilities(&self) -> StorageCapabilities {
        self.capabilities
    }

    fn status(&self) -> Vec<(String, String)> {
        self.status.clone()
    }

    fn begin_layer(&self, id: &str, parent: Option<&str>) -> Result<LayerTarget> {
        self.object.ask(Bulk, "begin_layer", &(id, parent))
    }

    fn commit_layer(&self, id: &str) -> Result<()> {
        self.object.ask(Bulk, "commit_layer", &id)
    }

    fn has_layer(&self, id: &str) -> Result<bool> {
        self.object.ask(Quick, "has_layer", &id)
    }

    fn create_container(&self, id: &str, layers: &[String], options: &Options) -> Result<()> {
        self.object.ask(Bulk, "create_container", &(id, layers, options))
    }

    fn mount_plan(&self, id: &str, layers: &[String], read_only: bool) -> Result<Vec<Mount>> {
        self.object.ask(Quick, "mount_plan", &(id, layers, read_only))
    }

    fn writable_dir(&self, id: &str) -> Result<Option<PathBuf>> {
        self.object.ask(Quick, "writable_dir", &id)
    }

    fn changes(&self, id: &str, layers: &[String]) -> Result<Vec<Change>> {
        self.object.ask(Bulk, "changes", &(id, layers))
    }

    fn usage(&self, id: &str) -> Result<Usage> {
        self.object.ask(Bulk, "usage", &id)
    }

    fn remove(&self, id: &str) -> Result<()> {
        self.object.ask(Quick, "remove", &id)
    }

    fn list(&self) -> Result<Vec<(String, bool)>> {
        self.object.ask(Quick, "list", &())
    }

    fn collect(&self) -> Result<()> {
        self.object.ask(Bulk, "collect", &())
    }

    fn layer_dir(&self, id: &str) -> Result<Option<PathBuf>> {
        self.object.ask(Quick, "layer_dir", &id)
    }

    fn image_plan(&self, layers: &[String]) -> Result<Vec<Mount>> {
        self.object.ask(Quick, "image_plan", &layers)
    }

    fn container_disk(&self, id: &str) -> Result<Option<Mount>> {
        self.object.ask(Quick, "container_disk", &id)
    }

    fn trash(&self) -> Result<Usage> {
        self.object.ask(Bulk, "trash", &())
    }

    fn clone_container(&self, id: &str, from: &str) -> Result<()> {
        self.object.ask(Bulk, "clone_container", &(id, from))
    }
}

/// Answers for a loaded driver.
pub fn serve(driver: &Handle, line: &Line) {
    answer_all(line, |call, arguments, _| match call {
        "validate" => done(arguments, |(options, ()): (Options, ())| driver.validate(&options)),
        "init" => opened(arguments, |(dirs, options): (Dirs, Options)| init(driver, &dirs, &options), serve_store),
        _ => unknown(call),
    });
}

type Facts = (StorageCapabilities, Vec<(String, String)>);

fn init(driver: &Handle, dirs: &Dirs, options: &Options) -> crate::Result<(Facts, StoreHandle)> {
    let store = driver.init(dirs, options)?;
    Ok(((store.capabilities()?, store.status()?), store))
}

type Layers = Vec<String>;

fn serve_store(store: StoreHandle, line: &Line) {
    answer_all(line, |call, arguments, _| match call {
        "begin_layer" => {
            done(arguments, |(id, parent): (String, Option<String>)| store.begin_layer(&id, parent.as_deref()))
        }
        "commit_layer" => done(arguments, |id: String| store.commit_layer(&id)),
        "has_layer" => done(arguments, |id: String| store.has_layer(&id)),
        "create_container" => done(arguments, |(id, layers, options): (String, Layers, Options)| {
            store.create_container(&id, &layers, &options)
        }),
        "mount_plan" => {
            done(arguments, |(id, layers, read_only): (String, Layers, bool)| store.mount_plan(&id, &layers, read_only))
        }
        "writable_dir" => done(arguments, |id: String| store.writable_dir(&id)),
        "changes" => done(arguments, |(id, layers): (String, Layers)| store.changes(&id, &layers)),
        "usage" => done(arguments, |id: String| store.usage(&id)),
        "remove" => done(arguments, |id: String| store.remove(&id)),
        "list" => done(arguments, |(): ()| store.list()),
        "collect" => done(arguments, |(): ()| store.collect()),
        "layer_dir" => done(arguments, |id: String| store.layer_dir(&id)),
        "image_plan" => done(arguments, |layers: Layers| store.image_plan(&layers)),
        "container_disk" => done(arguments, |id: String| store.container_disk(&id)),
        "trash" => done(arguments, |(): ()| store.trash()),
        "clone_container" => done(arguments, |(id, from): (String, String)| store.clone_container(&id, &from)),
        _ => unknown(call),
    });
}
