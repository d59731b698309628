//! The driver's entry.

use crate::disk;
use crate::error::Error;
use crate::mounts;
use crate::options::{Choice, OPTIONS, check_name};
use crate::shelf::Shelf;
use gantry_driver_shared::tree::{CopyMode, copy_tree};
use gantry_plugin_api::error::Result;
use gantry_plugin_api::host::Host;
use gantry_plugin_api::options::{OptionSpec, Options};
use gantry_plugin_api::types::Dirs;
use gantry_plugin_api::volume::{VolumeCapabilities, VolumeDriver, VolumeInfo, VolumeMount};
use std::path::Path;

/// The fact by which the engine learns which file holds a volume's data.
const BACKING_FILE: &str = "Backing File";

/// The local volume driver.
#[derive(Default)]
pub struct Local;

impl VolumeDriver for Local {
    const OPTIONS: &'static [OptionSpec] = OPTIONS;

    fn capabilities(&self) -> VolumeCapabilities {
        VolumeCapabilities { global_scope: false, quota: true, clone: true, rename: true }
    }

    fn validate(&self, name: &str, options: &Options) -> Result<()> {
        check_name(name)?;
        Choice::parse(options)?;
        Ok(())
    }

    fn create(&self, name: &str, options: &Options, dirs: &Dirs, _host: &Host) -> Result<VolumeInfo> {
        Ok(create(name, options, &dirs.root)?)
    }

    fn remove(&self, name: &str, dirs: &Dirs, _host: &Host) -> Result<()> {
        Ok(remove(name, &dirs.root)?)
    }

    fn get(&self, name: &str, dirs: &Dirs) -> Result<VolumeInfo> {
        let (shelf, _) = find(name, &dirs.root)?;
        Ok(info(&shelf, name))
    }

    fn list(&self, dirs: &Dirs) -> Result<Vec<VolumeInfo>> {
        let shelf = Shelf::open(&dirs.root)?;
        Ok(shelf.names()?.iter().map(|name| info(&shelf, name)).collect())
    }

    fn mount(&self, name: &str, dirs: &Dirs, _host: &Host) -> Result<VolumeMount> {
        Ok(mount(name, &dirs.root)?)
    }

    fn unmount(&self, name: &str, dirs: &Dirs, _host: &Host) -> Result<()> {
        find(name, &dirs.root)?;
        Ok(())
    }

    fn clone_volume(&self, from: &str, to: &str, dirs: &Dirs, host: &Host) -> Result<VolumeInfo> {
        Ok(clone(from, to, &dirs.root, host)?)
    }

    fn rename(&self, from: &str, to: &str, dirs: &Dirs, _host: &Host) -> Result<VolumeInfo> {
        Ok(rename(from, to, &dirs.root)?)
    }
}

fn create(name: &str, options: &Options, root: &Path) -> Result<VolumeInfo, Error> {
    check_name(name)?;
    let choice = Choice::parse(options)?;
    let shelf = Shelf::open(root)?;
    if shelf.find(name)?.is_none() && shelf.publish(shelf.draft(&choice)?, name)? {
        return Ok(info(&shelf, name));
    }
    // It was there, or somebody else was faster.
    let existing = shelf.find(name)?.ok_or_else(|| Error::Exists(name.to_owned()))?;
    match choice.difference(&existing) {
        None => Ok(info(&shelf, name)),
        Some(difference) => Err(Error::Differs { name: name.to_owned(), difference }),
    }
}

fn remove(name: &str, root: &Path) -> Result<(), Error> {
    check_name(name)?;
    let found = Shelf::open(root)?.remove(name)?;
    if found { Ok(()) } else { Err(Error::Missing(name.to_owned())) }
}

fn mount(name: &str, root: &Path) -> Result<VolumeMount, Error> {
    let (shelf, choice) = find(name, root)?;
    if let Some(disk) = shelf.disk(name) {
        return Ok(VolumeMount::FileSystem(disk::mount(&disk)));
    }
    let Some(mount) = mounts::mount(&choice) else {
        return Ok(VolumeMount::Directory(shelf.data(name).display().to_string()));
    };
    if mounts::is_bind(&choice) && !Path::new(&mount.source).exists() {
        return Err(Error::Device { name: name.to_owned(), device: mount.source });
    }
    Ok(VolumeMount::FileSystem(mount))
}

fn clone(from: &str, to: &str, root: &Path, host: &Host) -> Result<VolumeInfo, Error> {
    check_name(to)?;
    let (shelf, choice) = find(from, root)?;
    if let Some(device) = choice.get("device") {
        return Err(Error::CloneDevice { name: from.to_owned(), device: device.to_owned() });
    }
    if shelf.find(to)?.is_some() {
        return Err(Error::Exists(to.to_owned()));
    }
    let has_disk = shelf.disk(from).is_some();
    let draft = if has_disk { shelf.draft_unlimited(&choice)? } else { shelf.draft(&choice)? };
    match copy(&shelf, from, &draft.path, has_disk) {
        Ok(bytes) => host.count("copied_bytes", bytes),
        Err(error) => {
            shelf.abandon(draft);
            return Err(error);
        }
    }
    if shelf.publish(draft, to)? { Ok(info(&shelf, to)) } else { Err(Error::Exists(to.to_owned())) }
}

fn copy(shelf: &Shelf, from: &str, to: &Path, has_disk: bool) -> Result<u64, Error> {
    if !has_disk {
        return Ok(copy_tree(&shelf.data(from), &to.join("_data"), CopyMode::Copy)?.copied_bytes);
    }
    disk::copy(&shelf.folder_of(from), to).map_err(|error| match error {
        mounted @ Error::Mounted => Error::CloneInUse { name: from.to_owned(), source: Box::new(mounted) },
        other => other,
    })
}

fn rename(from: &str, to: &str, root: &Path) -> Result<VolumeInfo, Error> {
    check_name(to)?;
    let (shelf, _) = find(from, root)?;
    shelf.rename(from, to)?;
    Ok(info(&shelf, to))
}

fn find(name: &str, root: &Path) -> Result<(Shelf, Choice), Error> {
    check_name(name)?;
    let shelf = Shelf::open(root)?;
    match shelf.find(name)? {
        Some(choice) => Ok((shelf, choice)),
        None => Err(Error::Missing(name.to_owned())),
    }
}

fn info(shelf: &Shelf, name: &str) -> VolumeInfo {
    VolumeInfo {
        name: name.to_owned(),
        mountpoint: shelf.data(name).display().to_string(),
        created_ns: shelf.created_ns(name),
        status: shelf
            .disk(name)
            .map(|disk| (BACKING_FILE.to_owned(), disk.display().to_string()))
            .into_iter()
            .collect(),
    }
}
