//! Volume drivers in C.

use super::texts::{Keep, lossy, pairs, path};
use super::{Its, Table, Words, abi, at, bit, dirs, mount, needed, place, start, table, taken};
use gantry_plugin_api::abi::volume::{DriverBox, boxed};
use gantry_plugin_api::host::Host;
use gantry_plugin_api::options::{OptionSpec, Options};
use gantry_plugin_api::types::Dirs;
use gantry_plugin_api::volume::*;
use gantry_plugin_api::{Class, Error, Result};
use std::ffi::{c_char, c_int, c_void};

/// The volume driver of a plugin.
pub fn driver(plugin: &abi::Plugin, host: Host) -> Result<DriverBox> {
    let table = table(plugin.volume, "volume")?;
    let its = start(table.0.start, &host)?;
    Ok(boxed(Driver { table, its }, host))
}

struct Driver {
    table: Table<abi::VolumeDriver>,
    its: Its,
}

type OnVolume = unsafe extern "C" fn(*mut c_void, *const c_char, *const abi::Dirs, *mut abi::Error) -> c_int;

impl Driver {
    /// A call about one volume that answers nothing.
    fn act(&self, call: &'static str, act: OnVolume, name: &str, at: &Dirs) -> Result<()> {
        let mut keep = Keep::default();
        let (name, at) = (keep.text(name)?, dirs(&mut keep, at)?);
        // SAFETY: all that is pointed to lives until the call returns.
        Words::new().ask(call, |error| unsafe { act(self.its.0, name, &at, error) })
    }

    /// A call that answers a volume.
    fn one(
        call: &'static str,
        act: impl FnOnce(abi::EmitVolume, *mut c_void, *mut abi::Error) -> c_int,
    ) -> Result<VolumeInfo> {
        let mut found: Vec<VolumeInfo> = vec![];
        let to = place(&mut found);
        Words::new().ask(call, |error| act(take, to, error))?;
        found.pop().ok_or_else(|| Error::new(Class::DRIVER, format!("{call} answered no volume")))
    }
}

unsafe extern "C" fn take(to: *mut c_void, info: *const abi::VolumeInfo) {
    // SAFETY: the plugin passes what the header says.
    let Some(info) = (unsafe { taken(info) }) else { return };
    let info = VolumeInfo {
        // SAFETY: texts of the plugin's struct.
        name: unsafe { lossy(info.name) },
        // SAFETY: as above.
        mountpoint: unsafe { lossy(info.mountpoint) },
        created_ns: info.created_ns,
        // SAFETY: as above.
        status: unsafe { pairs(&info.status) },
    };
    // SAFETY: `to` is the list of the call under way.
    unsafe { at::<Vec<VolumeInfo>>(to) }.push(info);
}

unsafe extern "C" fn take_mount(to: *mut c_void, directory: *const c_char, file_system: *const abi::Mount) {
    // SAFETY: null or a mount as the header says.
    let file_system = unsafe { mount(file_system) }.map(VolumeMount::FileSystem);
    // SAFETY: a C string or null.
    let directory = unsafe { path(directory) };
    let directory = directory.map(|path| VolumeMount::Directory(path.to_string_lossy().into_owned()));
    // SAFETY: `to` is the place of the call under way.
    *unsafe { at::<Option<VolumeMount>>(to) } = file_system.or(directory);
}

impl VolumeDriver for Driver {
    /// The schema stands in the file's note.
    const OPTIONS: &'static [OptionSpec] = &[];

    fn capabilities(&self) -> VolumeCapabilities {
        let [global_scope, quota, clone, rename] = [0, 1, 2, 3].map(|number| bit(self.table.0.capabilities, number));
        VolumeCapabilities { global_scope, quota, clone, rename }
    }

    fn validate(&self, name: &str, options: &Options) -> Result<()> {
        let Some(validate) = self.table.0.validate else { return Ok(()) };
        let mut keep = Keep::default();
        let (name, options) = (keep.text(name)?, keep.pairs(options.iter())?);
        // SAFETY: all that is pointed to lives until the call returns.
        Words::new().ask("validate", |error| unsafe { validate(self.its.0, name, &options, error) })
    }

    fn create(&self, name: &str, options: &Options, at: &Dirs, _: &Host) -> Result<VolumeInfo> {
        let (create, mut keep) = (needed(self.table.0.create, "create")?, Keep::default());
        let (name, options, at) = (keep.text(name)?, keep.pairs(options.iter())?, dirs(&mut keep, at)?);
        // SAFETY: all that is pointed to lives until the call returns.
        Self::one("create", |emit, to, error| unsafe { create(self.its.0, name, &options, &at, emit, to, error) })
    }

    fn remove(&self, name: &str, at: &Dirs, _: &Host) -> Result<()> {
        self.act("remove", needed(self.table.0.remove, "remove")?, name, at)
    }

    fn get(&self, name: &str, at: &Dirs) -> Result<VolumeInfo> {
        let (get, mut keep) = (needed(self.table.0.get, "get")?, Keep::default());
        let (name, at) = (keep.text(name)?, dirs(&mut keep, at)?);
        // SAFETY: all that is pointed to lives until the call returns.
        Self::one("get", |emit, to, error| unsafe { get(self.its.0, name, &at, emit, to, error) })
    }

    fn list(&self, at: &Dirs) -> Result<Vec<VolumeInfo>> {
        let (list, mut keep) = (needed(self.table.0.list, "list")?, Keep::default());
        let (at, mut found) = (dirs(&mut keep, at)?, vec![]);
        let to = place::<Vec<VolumeInfo>>(&mut found);
        // SAFETY: all that is pointed to lives until the call returns.
        Words::new().ask("list", |error| unsafe { list(self.its.0, &at, take, to, error) })?;
        Ok(found)
    }

    fn mount(&self, name: &str, at: &Dirs, _: &Host) -> Result<VolumeMount> {
        let (mount, mut keep) = (needed(self.table.0.mount, "mount")?, Keep::default());
        let (name, at, mut answer) = (keep.text(name)?, dirs(&mut keep, at)?, None);
        let to = place::<Option<VolumeMount>>(&mut answer);
        // SAFETY: all that is pointed to lives until the call returns.
        Words::new().ask("mount", |error| unsafe { mount(self.its.0, name, &at, take_mount, to, error) })?;
        answer.ok_or_else(|| Error::new(Class::DRIVER, "mount answered neither directory nor file system"))
    }

    fn unmount(&self, name: &str, at: &Dirs, _: &Host) -> Result<()> {
        self.table.0.unmount.map_or(Ok(()), |unmount| self.act("unmount", unmount, name, at))
    }

    fn clone_volume(&self, from: &str, to: &str, at: &Dirs, _: &Host) -> Result<VolumeInfo> {
        let clone = needed(self.table.0.clone_volume, "clone_volume")?;
        let mut keep = Keep::default();
        let (from, name, at) = (keep.text(from)?, keep.text(to)?, dirs(&mut keep, at)?);
        // SAFETY: all that is pointed to lives until the call returns.
        Self::one("clone_volume", |emit, to, error| unsafe { clone(self.its.0, from, name, &at, emit, to, error) })
    }

    fn rename(&self, from: &str, to: &str, at: &Dirs, _: &Host) -> Result<VolumeInfo> {
        let rename = needed(self.table.0.rename, "rename")?;
        let mut keep = Keep::default();
        let (from, name, at) = (keep.text(from)?, keep.text(to)?, dirs(&mut keep, at)?);
        // SAFETY: all that is pointed to lives until the call returns.
        Self::one("rename", |emit, to, error| unsafe { rename(self.its.0, from, name, &at, emit, to, error) })
    }
}
