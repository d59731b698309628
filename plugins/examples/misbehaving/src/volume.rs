//! A volume driver without volumes.

use crate::fault::{Faults, OPTIONS, construct};
use gantry_plugin_api::prelude::*;

pub struct Driver;

impl Default for Driver {
    fn default() -> Self {
        construct();
        Driver
    }
}

fn info(name: &str) -> VolumeInfo {
    VolumeInfo {
        name: name.into(),
        mountpoint: "/nowhere".into(),
        created_ns: 5,
        status: vec![("a".into(), "b".into())],
    }
}

impl VolumeDriver for Driver {
    const OPTIONS: &'static [OptionSpec] = OPTIONS;

    fn capabilities(&self) -> VolumeCapabilities {
        VolumeCapabilities { global_scope: true, ..VolumeCapabilities::default() }
    }

    fn validate(&self, name: &str, _: &Options) -> Result<()> {
        Faults::of_name(name).at("validate")
    }

    fn create(&self, name: &str, options: &Options, _: &Dirs, _: &Host) -> Result<VolumeInfo> {
        Faults::of(options).at("create")?;
        Faults::of_name(name).at("create")?;
        Ok(info(name))
    }

    fn remove(&self, name: &str, _: &Dirs, _: &Host) -> Result<()> {
        Faults::of_name(name).at("remove")
    }

    fn get(&self, name: &str, _: &Dirs) -> Result<VolumeInfo> {
        Faults::of_name(name).at("get")?;
        Ok(info(name))
    }

    fn list(&self, dirs: &Dirs) -> Result<Vec<VolumeInfo>> {
        Ok(vec![info(&dirs.root.display().to_string())])
    }

    fn mount(&self, name: &str, _: &Dirs, _: &Host) -> Result<VolumeMount> {
        Faults::of_name(name).at("mount")?;
        match name {
            "tmpfs" => {
                Ok(VolumeMount::FileSystem(Mount { fstype: "tmpfs".into(), ..Mount::default() }.option("size", "1m")))
            }
            _ => Ok(VolumeMount::Directory("/nowhere".into())),
        }
    }

    fn unmount(&self, name: &str, _: &Dirs, _: &Host) -> Result<()> {
        Faults::of_name(name).at("unmount")
    }
}
