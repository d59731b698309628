//! Volume drivers.

use super::{Driver, Handle, Loaded, construct, said, unmirrored};
use crate::cdoor;
use crate::error::Result;
use crate::isolate::Helper;
use crate::isolate::volume::Proxy;
use crate::plugins::Found;
use crate::verdict::Verdicts;
use crate::worker::{Crew, Limit};
use gantry_plugin_api::abi::Mirror;
use gantry_plugin_api::abi::volume::{DriverBox, VolumeModule, boxed};
use gantry_plugin_api::host::Host;
use gantry_plugin_api::manifest::Kind;
use gantry_plugin_api::options::Options;
use gantry_plugin_api::types::Dirs;
use gantry_plugin_api::volume::{VolumeCapabilities, VolumeInfo, VolumeMount};
use std::sync::Arc;

/// A loaded volume driver.
#[derive(Clone)]
pub struct VolumeDriver {
    handle: Handle<DriverBox>,
    capabilities: VolumeCapabilities,
}

impl Driver for VolumeDriver {
    const KIND: Kind = Kind::Volume;

    fn start(found: Arc<Found>, verdicts: &Verdicts, crew: Arc<Crew>) -> Result<Self> {
        let object = match crew.helper() {
            Some(helper) => stand_in(helper, &crew)?,
            None => construct(found, verdicts, &crew, |m: &VolumeModule, host| m.new()(host), cdoor::volume)?,
        };
        let capabilities = unmirrored(object.capabilities()).map_err(|e| said(&crew, "capabilities", e))?;
        let capabilities = VolumeCapabilities::from_abi(&capabilities);
        Ok(VolumeDriver { handle: Handle::new(object, crew), capabilities })
    }

    fn to_loaded(&self) -> Loaded {
        Loaded::Volume(self.clone())
    }

    fn from_loaded(loaded: Loaded) -> Option<Self> {
        if let Loaded::Volume(driver) = loaded { Some(driver) } else { None }
    }
}

/// The object for a driver in a process of its own, which is started here.
fn stand_in(helper: &Arc<Helper>, crew: &Crew) -> Result<DriverBox> {
    let proxy = Proxy::new(helper.clone());
    proxy.load().map_err(|error| said(crew, "load", error))?;
    Ok(boxed(proxy, Host::null()))
}

impl VolumeDriver {
    /// The name it was selected by.
    pub fn name(&self) -> &str {
        &self.handle.crew().name
    }

    /// What it can do.
    pub fn capabilities(&self) -> VolumeCapabilities {
        self.capabilities
    }

    /// Checks name and options; no I/O.
    pub fn validate(&self, name: &str, options: &Options) -> Result<()> {
        let (name, options) = (name.to_owned(), options.to_abi());
        self.handle.call(Limit::Quick, "validate", move |d| d.validate(name.as_str().into(), &options))
    }

    /// Makes a volume.
    pub fn create(&self, name: &str, options: &Options, dirs: &Dirs) -> Result<VolumeInfo> {
        let (name, options, dirs) = (name.to_owned(), options.to_abi(), dirs.to_abi());
        self.handle.call(Limit::Quick, "create", move |d| d.create(name.as_str().into(), &options, &dirs))
    }

    /// Removes a volume and its data.
    pub fn remove(&self, name: &str, dirs: &Dirs) -> Result<()> {
        let (name, dirs) = (name.to_owned(), dirs.to_abi());
        self.handle.call(Limit::Bulk, "remove", move |d| d.remove(name.as_str().into(), &dirs))
    }

    /// Looks at one volume.
    pub fn get(&self, name: &str, dirs: &Dirs) -> Result<VolumeInfo> {
        let (name, dirs) = (name.to_owned(), dirs.to_abi());
        self.handle.call(Limit::Quick, "get", move |d| d.get(name.as_str().into(), &dirs))
    }

    /// All volumes.
    pub fn list(&self, dirs: &Dirs) -> Result<Vec<VolumeInfo>> {
        let dirs = dirs.to_abi();
        self.handle.call(Limit::Quick, "list", move |d| d.list(&dirs))
    }

    /// Before the first container uses the volume.
    pub fn mount(&self, name: &str, dirs: &Dirs) -> Result<VolumeMount> {
        let (name, dirs) = (name.to_owned(), dirs.to_abi());
        self.handle.call(Limit::Quick, "mount", move |d| d.mount(name.as_str().into(), &dirs))
    }

    /// After the last container left it.
    pub fn unmount(&self, name: &str, dirs: &Dirs) -> Result<()> {
        let (name, dirs) = (name.to_owned(), dirs.to_abi());
        self.handle.call(Limit::Quick, "unmount", move |d| d.unmount(name.as_str().into(), &dirs))
    }

    /// A copy under a new name.
    pub fn clone_volume(&self, from: &str, to: &str, dirs: &Dirs) -> Result<VolumeInfo> {
        let (from, to, dirs) = (from.to_owned(), to.to_owned(), dirs.to_abi());
        let act = move |d: &DriverBox| d.clone_volume(from.as_str().into(), to.as_str().into(), &dirs);
        self.handle.call(Limit::Bulk, "clone_volume", act)
    }

    /// A new name for a volume nobody uses.
    pub fn rename(&self, from: &str, to: &str, dirs: &Dirs) -> Result<VolumeInfo> {
        let (from, to, dirs) = (from.to_owned(), to.to_owned(), dirs.to_abi());
        let act = move |d: &DriverBox| d.rename(from.as_str().into(), to.as_str().into(), &dirs);
        self.handle.call(Limit::Quick, "rename", act)
    }
}
