//! A storage driver that stores nothing and answers with what it was given.

use crate::fault::{Faults, OPTIONS, construct};
use gantry_plugin_api::prelude::*;
use std::path::PathBuf;

pub struct Driver;

impl Default for Driver {
    fn default() -> Self {
        construct();
        Driver
    }
}

impl StorageDriver for Driver {
    const OPTIONS: &'static [OptionSpec] = OPTIONS;

    fn validate(&self, options: &Options) -> Result<()> {
        Faults::of(options).at("validate")
    }

    fn init(&self, dirs: &Dirs, options: &Options, _: Host) -> Result<Box<dyn Store>> {
        let faults = Faults::of(options);
        faults.at("init")?;
        Ok(Box::new(Nothing { faults, root: dirs.root.clone() }))
    }
}

struct Nothing {
    faults: Faults,
    root: PathBuf,
}

impl Drop for Nothing {
    fn drop(&mut self) {
        if let Err(error) = self.faults.at("drop") {
            panic!("{error}");
        }
    }
}

impl Store for Nothing {
    fn capabilities(&self) -> StorageCapabilities {
        StorageCapabilities { native_diff: true, rootless: true, ..StorageCapabilities::default() }
    }

    fn status(&self) -> Vec<(String, String)> {
        vec![("Backing".into(), "nothing".into())]
    }

    fn begin_layer(&self, id: &str, parent: Option<&str>) -> Result<LayerTarget> {
        self.faults.at("begin_layer")?;
        Ok(LayerTarget::new(self.root.join(parent.unwrap_or("none")).join(id), Whiteouts::OVERLAY_USER))
    }

    fn commit_layer(&self, _: &str) -> Result<()> {
        self.faults.at("commit_layer")
    }

    fn has_layer(&self, id: &str) -> Result<bool> {
        self.faults.at("has_layer")?;
        Ok(id == "yes")
    }

    fn create_container(&self, _: &str, _: &[String], _: &Options) -> Result<()> {
        self.faults.at("create_container")
    }

    fn mount_plan(&self, id: &str, layers: &[String], read_only: bool) -> Result<Vec<Mount>> {
        self.faults.at("mount_plan")?;
        if self.faults.is_garbage("mount_plan") {
            let out = Mount { target: "../../../../etc".into(), ..Mount::bind("/\0\n") };
            return Ok(vec![Mount { fstype: "no such\nthing".into(), flags: u64::MAX, ..Mount::default() }, out]);
        }
        let mut mount = Mount { fstype: "overlay".into(), source: id.into(), ..Mount::default() };
        mount.flags = u64::from(read_only);
        mount.options = layers.iter().map(|l| ("lowerdir+".into(), Some(l.clone()))).collect();
        mount.options.push(("bare".into(), None));
        Ok(vec![mount])
    }

    fn writable_dir(&self, id: &str) -> Result<Option<PathBuf>> {
        self.faults.at("writable_dir")?;
        Ok((id == "yes").then(|| self.root.clone()))
    }

    fn changes(&self, _: &str, _: &[String]) -> Result<Vec<Change>> {
        self.faults.at("changes")?;
        let odd = std::os::unix::ffi::OsStringExt::from_vec(b"/\xff".to_vec());
        let odd: std::ffi::OsString = odd;
        Ok(vec![Change::new('A', odd)])
    }

    fn usage(&self, _: &str) -> Result<Usage> {
        self.faults.at("usage")?;
        Ok(Usage { bytes: 1 << 40, inodes: 3 })
    }

    fn remove(&self, _: &str) -> Result<()> {
        self.faults.at("remove")
    }

    fn list(&self) -> Result<Vec<(String, bool)>> {
        self.faults.at("list")?;
        Ok(vec![("a".into(), false), ("b".into(), true)])
    }

    fn collect(&self) -> Result<()> {
        self.faults.at("collect")
    }
}
