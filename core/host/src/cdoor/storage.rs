//! Storage drivers in C.

use super::texts::{Keep, lossy, path};
use super::{Its, Table, Words, abi, at, bit, dirs, needed, place, start, table, take_mount, take_text};
use gantry_plugin_api::abi::storage::{DriverBox, boxed};
use gantry_plugin_api::host::Host;
use gantry_plugin_api::options::{OptionSpec, Options};
use gantry_plugin_api::storage::*;
use gantry_plugin_api::types::{Dirs, Mount};
use gantry_plugin_api::{Class, Error, Result};
use std::ffi::{c_char, c_int, c_void};
use std::path::PathBuf;
use std::sync::Arc;

/// The storage driver of a plugin.
pub fn driver(plugin: &abi::Plugin, host: Host) -> Result<DriverBox> {
    let table = table(plugin.storage, "storage")?;
    needed(table.0.init, "init")?;
    let its = start(table.0.start, &host)?;
    Ok(boxed(Driver { table: Arc::new(table), its }, host))
}

struct Driver {
    table: Arc<Table<abi::StorageDriver>>,
    its: Its,
}

impl StorageDriver for Driver {
    /// The schema stands in the file's note.
    const OPTIONS: &'static [OptionSpec] = &[];

    fn validate(&self, options: &Options) -> Result<()> {
        let Some(validate) = self.table.0.validate else { return Ok(()) };
        let mut keep = Keep::default();
        let options = keep.pairs(options.iter())?;
        // SAFETY: the options are kept until the call returns.
        Words::new().ask("validate", |error| unsafe { validate(self.its.0, &options, error) })
    }

    fn init(&self, at: &Dirs, options: &Options, _: Host) -> Result<Box<dyn Store>> {
        let (init, mut keep, mut its) = (needed(self.table.0.init, "init")?, Keep::default(), Its::NONE);
        let (at, options) = (dirs(&mut keep, at)?, keep.pairs(options.iter())?);
        // SAFETY: all that is pointed to lives until the call returns.
        Words::new().ask("init", |error| unsafe { init(self.its.0, &at, &options, &mut its.0, error) })?;
        Ok(Box::new(Open { table: self.table.clone(), its }))
    }
}

struct Open {
    table: Arc<Table<abi::StorageDriver>>,
    its: Its,
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(free) = self.table.0.free_store {
            // SAFETY: the store is not used again.
            unsafe { free(self.its.0) };
        }
    }
}

type OnId = unsafe extern "C" fn(*mut c_void, *const c_char, *mut abi::Error) -> c_int;
type AskText = unsafe extern "C" fn(*mut c_void, *const c_char, abi::EmitText, *mut c_void, *mut abi::Error) -> c_int;

impl Open {
    fn on(&self, call: &'static str, act: Option<OnId>, id: &str) -> Result<()> {
        let (act, mut keep) = (needed(act, call)?, Keep::default());
        let id = keep.text(id)?;
        // SAFETY: the id is kept until the call returns.
        Words::new().ask(call, |error| unsafe { act(self.its.0, id, error) })
    }

    fn ask_path(&self, call: &'static str, ask: Option<AskText>, id: &str) -> Result<Option<PathBuf>> {
        let Some(ask) = ask else { return Ok(None) };
        let (mut keep, mut answer) = (Keep::default(), None);
        let (id, to) = (keep.text(id)?, place::<Option<PathBuf>>(&mut answer));
        // SAFETY: id and place live until the call returns.
        Words::new().ask(call, |error| unsafe { ask(self.its.0, id, take_text, to, error) })?;
        Ok(answer)
    }
}

unsafe extern "C" fn take_pair(to: *mut c_void, key: *const c_char, value: *const c_char) {
    // SAFETY: a C string or null.
    let key = unsafe { lossy(key) };
    // SAFETY: a C string or null.
    let value = unsafe { lossy(value) };
    // SAFETY: `to` is the list of the call under way.
    unsafe { at::<Vec<(String, String)>>(to) }.push((key, value));
}

unsafe extern "C" fn take_target(to: *mut c_void, target: *const c_char, whiteouts: u32) {
    // SAFETY: a C string or null.
    let target = unsafe { path(target) };
    // SAFETY: `to` is the place of the call under way.
    *unsafe { at::<Option<LayerTarget>>(to) } = target.map(|path| LayerTarget::new(path, Whiteouts(whiteouts)));
}

unsafe extern "C" fn take_change(to: *mut c_void, kind: c_char, of: *const c_char) {
    // SAFETY: a C string or null.
    let of = unsafe { path(of) };
    // SAFETY: `to` is the list of the call under way.
    let changes = unsafe { at::<Vec<Change>>(to) };
    changes.extend(of.map(|path| Change::new(char::from(kind as u8), path)));
}

unsafe extern "C" fn take_layer(to: *mut c_void, id: *const c_char, writable: c_int) {
    // SAFETY: a C string or null.
    let id = unsafe { lossy(id) };
    // SAFETY: `to` is the list of the call under way.
    unsafe { at::<Vec<(String, bool)>>(to) }.push((id, writable != 0));
}

impl Store for Open {
    fn capabilities(&self) -> StorageCapabilities {
        // SAFETY: the store is open.
        let bits = self.table.0.capabilities.map_or(0, |ask| unsafe { ask(self.its.0) });
        let [copy_on_write, native_diff, quota, idmap, reflink, rootless, independent_layers] =
            [0, 1, 2, 3, 4, 5, 6].map(|number| bit(bits, number));
        StorageCapabilities { copy_on_write, native_diff, quota, idmap, reflink, rootless, independent_layers }
    }

    fn status(&self) -> Vec<(String, String)> {
        let Some(status) = self.table.0.status else { return vec![] };
        let mut facts = vec![];
        let to = place::<Vec<(String, String)>>(&mut facts);
        // SAFETY: the list lives until the call returns.
        let done = Words::new().ask("status", |error| unsafe { status(self.its.0, take_pair, to, error) });
        if done.is_ok() { facts } else { vec![] }
    }

    fn begin_layer(&self, id: &str, parent: Option<&str>) -> Result<LayerTarget> {
        let (begin, mut keep) = (needed(self.table.0.begin_layer, "begin_layer")?, Keep::default());
        let (id, mut target) = (keep.text(id)?, None);
        let parent = parent.map(|parent| keep.text(parent)).transpose()?.unwrap_or(std::ptr::null());
        let to = place::<Option<LayerTarget>>(&mut target);
        Words::new().ask("begin_layer", |error| {
            // SAFETY: all that is pointed to lives until the call returns.
            unsafe { begin(self.its.0, id, parent, take_target, to, error) }
        })?;
        target.ok_or_else(|| Error::new(Class::DRIVER, "begin_layer answered no directory"))
    }

    fn commit_layer(&self, id: &str) -> Result<()> {
        self.on("commit_layer", self.table.0.commit_layer, id)
    }

    fn has_layer(&self, id: &str) -> Result<bool> {
        let (has_layer, mut keep) = (needed(self.table.0.has_layer, "has_layer")?, Keep::default());
        let (id, mut has) = (keep.text(id)?, 0);
        // SAFETY: id and answer live until the call returns.
        Words::new().ask("has_layer", |error| unsafe { has_layer(self.its.0, id, &mut has, error) })?;
        Ok(has != 0)
    }

    fn create_container(&self, id: &str, layers: &[String], options: &Options) -> Result<()> {
        let (create, mut keep) = (needed(self.table.0.create_container, "create_container")?, Keep::default());
        let (id, (layers, len), options) = (keep.text(id)?, keep.words(layers)?, keep.pairs(options.iter())?);
        Words::new().ask("create_container", |error| {
            // SAFETY: all that is pointed to lives until the call returns.
            unsafe { create(self.its.0, id, layers, len, &options, error) }
        })
    }

    fn mount_plan(&self, id: &str, layers: &[String], read_only: bool) -> Result<Vec<Mount>> {
        let (plan, mut keep) = (needed(self.table.0.mount_plan, "mount_plan")?, Keep::default());
        let (id, (layers, len), mut mounts) = (keep.text(id)?, keep.words(layers)?, vec![]);
        let to = place::<Vec<Mount>>(&mut mounts);
        Words::new().ask("mount_plan", |error| {
            // SAFETY: all that is pointed to lives until the call returns.
            unsafe { plan(self.its.0, id, layers, len, read_only.into(), take_mount, to, error) }
        })?;
        Ok(mounts)
    }

    fn writable_dir(&self, id: &str) -> Result<Option<PathBuf>> {
        self.ask_path("writable_dir", self.table.0.writable_dir, id)
    }

    fn changes(&self, id: &str, layers: &[String]) -> Result<Vec<Change>> {
        let (ask, mut keep) = (needed(self.table.0.changes, "changes")?, Keep::default());
        let (id, (layers, len), mut changes) = (keep.text(id)?, keep.words(layers)?, vec![]);
        let to = place::<Vec<Change>>(&mut changes);
        Words::new().ask("changes", |error| {
            // SAFETY: all that is pointed to lives until the call returns.
            unsafe { ask(self.its.0, id, layers, len, take_change, to, error) }
        })?;
        Ok(changes)
    }

    fn usage(&self, id: &str) -> Result<Usage> {
        let (ask, mut keep) = (needed(self.table.0.usage, "usage")?, Keep::default());
        let (id, mut bytes, mut inodes) = (keep.text(id)?, 0, 0);
        Words::new().ask("usage", |error| {
            // SAFETY: id and answers live until the call returns.
            unsafe { ask(self.its.0, id, &mut bytes, &mut inodes, error) }
        })?;
        Ok(Usage { bytes, inodes })
    }

    fn remove(&self, id: &str) -> Result<()> {
        self.on("remove", self.table.0.remove, id)
    }

    fn list(&self) -> Result<Vec<(String, bool)>> {
        let (list, mut layers) = (needed(self.table.0.list, "list")?, vec![]);
        let to = place::<Vec<(String, bool)>>(&mut layers);
        // SAFETY: the list lives until the call returns.
        Words::new().ask("list", |error| unsafe { list(self.its.0, take_layer, to, error) })?;
        Ok(layers)
    }

    fn collect(&self) -> Result<()> {
        let Some(collect) = self.table.0.collect else { return Ok(()) };
        // SAFETY: the store is open.
        Words::new().ask("collect", |error| unsafe { collect(self.its.0, error) })
    }

    fn layer_dir(&self, id: &str) -> Result<Option<PathBuf>> {
        self.ask_path("layer_dir", self.table.0.layer_dir, id)
    }

    fn image_plan(&self, layers: &[String]) -> Result<Vec<Mount>> {
        let Some(plan) = self.table.0.image_plan else {
            return Err(Error::unsupported("this storage driver cannot show an image without a container"));
        };
        let (mut keep, mut mounts) = (Keep::default(), vec![]);
        let ((layers, len), to) = (keep.words(layers)?, place::<Vec<Mount>>(&mut mounts));
        Words::new().ask("image_plan", |error| {
            // SAFETY: all that is pointed to lives until the call returns.
            unsafe { plan(self.its.0, layers, len, take_mount, to, error) }
        })?;
        Ok(mounts)
    }

    fn clone_container(&self, id: &str, from: &str) -> Result<()> {
        let clone = self.table.0.clone_container;
        let clone = clone.ok_or_else(|| Error::unsupported("this storage driver cannot clone"))?;
        let mut keep = Keep::default();
        let (id, from) = (keep.text(id)?, keep.text(from)?);
        // SAFETY: both ids live until the call returns.
        Words::new().ask("clone_container", |error| unsafe { clone(self.its.0, id, from, error) })
    }
}
