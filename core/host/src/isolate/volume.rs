//! Volume drivers: both sides of their calls.

use super::helper::Helper;
use super::line::Line;
use super::serve::{answer_all, done, unknown};
use crate::VolumeDriver as Handle;
use crate::worker::Limit::{Bulk, Quick};
use gantry_plugin_api::host::Host;
use gantry_plugin_api::options::{OptionSpec, Options};
use gantry_plugin_api::types::Dirs;
use gantry_plugin_api::volume::{VolumeCapabilities, VolumeDriver, VolumeInfo, VolumeMount};
use gantry_plugin_api::{Class, Error, Result};
use std::sync::{Arc, OnceLock};

/// Stands in for a driver in a helper. It shows no schema: the engine reads schemas from files.
#[derive(Default)]
pub struct Proxy {
    helper: Option<Arc<Helper>>,
    capabilities: OnceLock<VolumeCapabilities>,
}

impl Proxy {
    pub fn new(helper: Arc<Helper>) -> Self {
        Proxy { helper: Some(helper), ..Proxy::default() }
    }

    /// Starts the helper.
    pub fn load(&self) -> Result<()> {
        self.helper()?.ready()?;
        let capabilities = self.helper()?.ask(Quick, "capabilities", &())?;
        let _ = self.capabilities.set(capabilities);
        Ok(())
    }

    fn helper(&self) -> Result<&Helper> {
        self.helper.as_deref().ok_or_else(|| Error::new(Class::INTERNAL, "no driver stands behind this"))
    }
}

impl VolumeDriver for Proxy {
    const OPTIONS: &'static [OptionSpec] = &[];

    fn capabilities(&self) -> VolumeCapabilities {
        if self.capabilities.get().is_none() {
            let _ = self.load();
        }
        self.capabilities.get().copied().unwrap_or_default()
    }

    fn validate(&self, name: &str, options: &Options) -> Result<()> {
        self.helper()?.ask(Quick, "validate", &(name, options))
    }

    fn create(&self, name: &str, options: &Options, dirs: &Dirs, _: &Host) -> Result<VolumeInfo> {
        self.helper()?.ask(Quick, "create", &(name, options, dirs))
    }

    fn remove(&self, name: &str, dirs: &Dirs, _: &Host) -> Result<()> {
        self.helper()?.ask(Bulk, "remove", &(name, dirs))
    }

    fn get(&self, name: &str, dirs: &Dirs) -> Result<VolumeInfo> {
        self.helper()?.ask(Quick, "get", &(name, dirs))
    }

    fn list(&self, dirs: &Dirs) -> Result<Vec<VolumeInfo>> {
        self.helper()?.ask(Quick, "list", &(dirs, ()))
    }

    fn mount(&self, name: &str, dirs: &Dirs, _: &Host) -> Result<VolumeMount> {
        self.helper()?.ask(Quick, "mount", &(name, dirs))
    }

    fn unmount(&self, name: &str, dirs: &Dirs, _: &Host) -> Result<()> {
        self.helper()?.ask(Quick, "unmount", &(name, dirs))
    }

    fn clone_volume(&self, from: &str, to: &str, dirs: &Dirs, _: &Host) -> Result<VolumeInfo> {
        self.helper()?.ask(Bulk, "clone_volume", &(from, to, dirs))
    }

    fn rename(&self, from: &str, to: &str, dirs: &Dirs, _: &Host) -> Result<VolumeInfo> {
        self.helper()?.ask(Quick, "rename", &(from, to, dirs))
    }
}

type Named = (String, Dirs);
type Two = (String, String, Dirs);

/// Answers for a loaded driver.
pub fn serve(driver: &Handle, line: &Line) {
    answer_all(line, |call, arguments, _| match call {
        "capabilities" => done(arguments, |(): ()| Ok(driver.capabilities())),
        "validate" => done(arguments, |(name, options): (String, Options)| driver.validate(&name, &options)),
        "create" => {
            done(arguments, |(name, options, dirs): (String, Options, Dirs)| driver.create(&name, &options, &dirs))
        }
        "remove" => done(arguments, |(name, dirs): Named| driver.remove(&name, &dirs)),
        "get" => done(arguments, |(name, dirs): Named| driver.get(&name, &dirs)),
        "list" => done(arguments, |(dirs, ()): (Dirs, ())| driver.list(&dirs)),
        "mount" => done(arguments, |(name, dirs): Named| driver.mount(&name, &dirs)),
        "unmount" => done(arguments, |(name, dirs): Named| driver.unmount(&name, &dirs)),
        "clone_volume" => done(arguments, |(from, to, dirs): Two| driver.clone_volume(&from, &to, &dirs)),
        "rename" => done(arguments, |(from, to, dirs): Two| driver.rename(&from, &to, &dirs)),
        _ => unknown(call),
    });
}
